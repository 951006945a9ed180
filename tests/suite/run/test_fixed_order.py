import cv2
import faiss
import pytest
import torch
from torch import nn

from patchcore_suite.run.fixed_order import images_at_once, one_thread
from patchcore_suite.settings.execution import Execution


def threads():
    return torch.get_num_threads(), faiss.omp_get_max_threads(), cv2.getNumThreads()


class Recording(nn.Module):
    """Two maps of the mean colour; notes how it is called."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, images):
        self.calls.append((len(images), torch.get_num_threads()))
        return [nn.functional.avg_pool2d(images, side) for side in (8, 16)]


@pytest.mark.parametrize(("size", "images"), [((224, 224), 16), ((448, 448), 16), ((1024, 1024), 4), ((16384, 512), 1)])
def test_on_a_cpu_the_size_of_images_alone_says_how_many_are_described_at_once(size, images):
    assert {images_at_once(Execution(batch_size=number), size) for number in (1, 5, 16, 64)} == {images}


def test_on_a_gpu_the_settings_say_how_many_are_described_at_once():
    assert images_at_once(Execution(device="cuda:0", batch_size=5), (224, 224)) == 5


def test_threads_come_back_even_after_an_error():
    torch.set_num_threads(3)
    faiss.omp_set_num_threads(3)
    before = threads()
    within = []

    def fail():
        with one_thread(Execution()):
            within.append(threads())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert within == [(1, 1, 1)]
    assert threads() == before


def test_neither_threads_nor_batch_size_reach_what_computes_stored_results(project):
    project.variants = {"own": {"backbone": "mine", "hierarchies": [2, 3], "coreset_fraction": 0.5}}
    calls, stored = [], []
    for number, (count, batch_size) in enumerate([(1, 16), (3, 4), (2, 5)]):
        torch.set_num_threads(count)
        network = Recording()
        project.execution = {"engine": "local", "batch_size": batch_size, "cache_dir": f"cache-{number}"}
        project.score(networks={"mine": network})
        calls.append(network.calls)
        stored.append(
            {path.name: path.read_bytes() for path in project.root.glob(f"cache-{number}/cells/*.safetensors")}
        )
    assert {threads for _, threads in calls[0]} == {1}
    assert calls[1] == calls[2] == calls[0]
    assert len(stored[0]) == 4
    assert stored[1] == stored[2] == stored[0]
