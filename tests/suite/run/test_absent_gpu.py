"""A dataset is computed on a GPU that is not there: see `absent_gpu`."""

import numpy as np
import pytest
import torch
from absent_gpu import absent_gpu
from small_networks import SmallPyramid

from patchcore_core.patches import patch_features
from patchcore_suite.baselines import work
from patchcore_suite.run import descriptions, streamed
from patchcore_suite.run.patch_rows import PatchRows
from patchcore_suite.run.raw_results import RawResult
from patchcore_suite.shards import search

OF_ALL = {"backbone": "small", "hierarchies": [2, 3]}
VARIANTS = {
    "tenth": {"coreset_fraction": 0.1},
    "kmeans": {"coreset_fraction": 0.1, "sampler": "kmeans"},
    "faiss": {"coreset_fraction": 0.1, "sampler": "random", "search": "faiss"},
    "padim": {"method": "padim", "dimensions": 5},
    "spade": {"method": "spade", "hierarchies": [2], "pooled_hierarchy": 3, "neighbour_images": 3},
    "mahalanobis": {"method": "mahalanobis"},
    "images": {"method": "nearest_images"},
}


@pytest.fixture
def gpu(monkeypatch):
    """The device, and what torch would ask its driver for."""
    with absent_gpu() as device:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "absent")
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, 2**30))
        yield device


@pytest.mark.parametrize("anew", [False, True], ids=["held", "made anew"])
def test_a_dataset_is_computed_on_a_gpu_as_on_the_cpu(project, monkeypatch, anew, gpu):
    monkeypatch.setattr(work, "makes_anew", lambda config, *given, **counts: anew and config.method == "patchcore")
    project.variants = {name: OF_ALL | fields for name, fields in VARIANTS.items()}
    study = {"variants": ["tenth"], "seeds": [0], "covering_radius": True}
    project.dataset |= {"variants": [*VARIANTS], "seeds": [0], "studies": {"radius": study}}

    def results():
        project.score(networks={"small": SmallPyramid((2, 3))})
        files = sorted((project.root / "reports/scores/toy").rglob("*.safetensors"))
        return {file.stem + file.parent.name: RawResult.read(file) for file in files}

    expected = results()
    project.execution["device"] = str(gpu)
    found = results()
    assert found.keys() == expected.keys()
    for name, result in found.items():
        np.testing.assert_allclose(result.scores, expected[name].scores, rtol=1e-5)
        assert result.stamp.get("covering_radius") == pytest.approx(expected[name].stamp.get("covering_radius"))


@pytest.mark.parametrize("parts", [0, 3])
def test_rows_that_lie_on_disk_for_want_of_memory_are_selected_and_searched_on_a_gpu(project, monkeypatch, parts, gpu):
    fields = OF_ALL | {"projection_dimension": 5, "coreset_fraction": 0.2}
    project.variants = {"drawn": fields | {"storage": "float16"}, "anchors": fields | {"first_pick": "anchors"}}
    study = {"variants": ["drawn"], "seeds": [0], "categories": ["bolt"], "covering_radius": True}
    project.dataset |= {"variants": [*project.variants], "seeds": [0], "studies": {"other": study}}

    def results():
        project.score(networks={"small": SmallPyramid((2, 3))})
        files = sorted((project.root / "reports/scores/toy").rglob("*.safetensors"))
        return {file.stem + file.parent.name: RawResult.read(file) for file in files}

    expected = results()
    looked = set()
    in_parts = search.nearest_in_parts
    monkeypatch.setattr(
        search, "nearest_in_parts", lambda q, of, k: looked.add((len(of), q.device)) or in_parts(q, of, k)
    )
    monkeypatch.setattr(descriptions, "lies_on_disk", lambda *_, **__: True)
    monkeypatch.setattr(descriptions, "_described", None)  # nothing is held
    if parts:  # the bank lies on disk, too
        monkeypatch.setattr(streamed, "bank_lies_on_disk", lambda *_, **__: True)
        monkeypatch.setattr(search, "parts_within", lambda file, _: file.divided(parts))
    project.execution["device"] = str(gpu)
    found = results()
    assert found.keys() == expected.keys()
    assert looked == ({(parts, gpu)} if parts else set())
    for name, result in found.items():
        np.testing.assert_array_equal(result.coreset_indices, expected[name].coreset_indices)
        np.testing.assert_allclose(result.scores, expected[name].scores, rtol=1e-5)
        assert result.stamp.get("covering_radius") == pytest.approx(expected[name].stamp.get("covering_radius"))


def test_rows_that_are_made_anew_lie_on_the_gpu(gpu):
    maps = [np.random.default_rng(0).normal(size=(5, 7, 6, 4)).astype(np.float32)]
    expected = PatchRows(maps, range(5), patch_features, 2, torch.device("cpu"))
    rows = PatchRows(maps, range(5), patch_features, 2, gpu)
    chosen = torch.tensor([100, 3, 50])
    for some, same in ((slice(20, 90), slice(20, 90)), (chosen.to(gpu), chosen)):
        assert rows[some].device == gpu
        assert torch.equal(rows[some].cpu(), expected[same])
