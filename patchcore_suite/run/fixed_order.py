"""In which order the numbers of a stored result add up: on a CPU the same, whatever threads and settings there are."""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import faiss
import torch
from threadpoolctl import threadpool_limits

from patchcore_suite.settings.execution import Execution

MOST_IMAGES = 16  # that a CPU describes at once
MOST_PIXELS = MOST_IMAGES * 512 * 512  # of these, so that a batch of large images stays as small as its memory


def images_at_once(execution: Execution, size: tuple[int, int]) -> int:
    """How many images of `size` (H, W) are described at once.

    Libraries choose their way to multiply by the shape of what they are given: with other batches, features differ in
    their last digits. On a CPU batches therefore follow from the images alone, on a GPU they are as large as
    `execution.batch_size`.
    """
    if not execution.device.startswith("cpu"):
        return execution.batch_size
    height, width = size
    return max(1, min(MOST_IMAGES, MOST_PIXELS // (height * width)))


def take_one_thread() -> None:
    """Let this process compute with one thread: several would divide sums among them."""
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    cv2.setNumThreads(1)
    threadpool_limits(1)  # of NumPy's and SciPy's products


@contextmanager
def one_thread(execution: Execution) -> Iterator[None]:
    """Compute what is stored with one thread, and give the others back; on a GPU nothing changes."""
    if not execution.device.startswith("cpu"):
        yield
        return
    before = torch.get_num_threads(), faiss.omp_get_max_threads(), cv2.getNumThreads()
    with threadpool_limits(1):
        take_one_thread()
        try:
            yield
        finally:
            torch.set_num_threads(before[0])
            faiss.omp_set_num_threads(before[1])
            cv2.setNumThreads(before[2])
