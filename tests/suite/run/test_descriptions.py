"""Patch features that are made anew from feature maps are those that would be held; results are, too."""

import errno
import resource

import numpy as np
import pytest
import torch

from patchcore_core import PatchCoreConfig
from patchcore_core.common.errors import InputError
from patchcore_core.coreset import random_projection
from patchcore_core.patches import patch_features
from patchcore_suite.baselines import work
from patchcore_suite.baselines.config import SpadeConfig
from patchcore_suite.run import descriptions, feature_files, streamed
from patchcore_suite.run.feature_files import read_maps
from patchcore_suite.run.patch_rows import PatchRows
from patchcore_suite.run.score import score_dataset
from patchcore_suite.shards import room, search


@pytest.fixture
def maps(tmp_path):
    rng = np.random.default_rng(0)
    made = []
    for number, shape in enumerate([(11, 5, 6, 4), (11, 7, 3, 2)]):
        np.save(tmp_path / f"{number}.npy", rng.normal(size=shape).astype(np.float32))
        made.append(np.load(tmp_path / f"{number}.npy", mmap_mode="r"))
    return made


IMAGES = [0, 2, 3, 5, 6, 8, 10]


def rows_of(maps, step=3):
    return PatchRows(maps, IMAGES, lambda some: patch_features(some), step, torch.device("cpu"))


def held_of(maps):
    return patch_features([torch.from_numpy(part[IMAGES]) for part in maps]).flatten(0, 2)


@pytest.mark.parametrize("step", [1, 3, 7, 20])
def test_rows_are_those_of_a_tensor_of_all(maps, step):
    rows, held = rows_of(maps, step), held_of(maps)
    assert rows.shape == held.shape == (7 * 24, 12)
    assert (len(rows), rows.dtype, rows.device, rows.grid) == (7 * 24, held.dtype, held.device, (7, 6, 4))
    for part in (slice(None), slice(0, 1), slice(20, 75), slice(75, 80), slice(160, 500), slice(3, 3)):
        assert torch.equal(rows[part], held[part])
    draw = torch.Generator().manual_seed(0)
    for count in (1, 5, 168):
        chosen = torch.randperm(168, generator=draw)[:count]
        assert torch.equal(rows[chosen], held[chosen])
    twice = torch.tensor([100, 3, 100, 3, 101])
    assert torch.equal(rows[twice], held[twice])
    assert rows[torch.empty(0, dtype=torch.long)].shape == (0, 12)


def test_neighbouring_parts_describe_each_image_once(maps):
    seen = []
    rows = PatchRows(maps, IMAGES, lambda some: (seen.append(len(some[0])), patch_features(some))[1], 2, "cpu")
    assert rows.shape == (168, 12)
    assert seen == [1]  # one image tells the shape
    for start in range(0, 168, 30):
        rows[start : start + 30]
    assert seen[1:] == [2, 2, 2, 1]


def test_projections_are_equal_to_the_last_bit(maps):
    draw = (torch.Generator().manual_seed(1) for _ in range(2))
    first, second = (random_projection(of(maps), 4, generator=next(draw)) for of in (rows_of, held_of))
    assert torch.equal(first, second)


def test_what_was_read_of_maps_is_a_copy(maps):
    copies = read_maps(maps, [4, 1])
    assert all(np.array_equal(copy, part[[4, 1]]) for copy, part in zip(copies, maps, strict=True))
    assert not any(np.shares_memory(copy, part) for copy, part in zip(copies, maps, strict=True))


def test_few_or_small_descriptions_are_held_and_those_of_other_methods(monkeypatch):
    shape, counts = [(8, 8, 152)], {"described": 20_000, "nominal": 16_000}  # 742 MiB, 10240 rows: 67 a dimension
    assert work.makes_anew(PatchCoreConfig(coreset_fraction=0.01), shape, **counts)
    assert not work.makes_anew(PatchCoreConfig(coreset_fraction=0.001), shape, **counts)  # 6.7 a dimension
    assert not work.makes_anew(PatchCoreConfig(coreset_fraction=0.5), shape, described=6_000, nominal=5_000)  # 222 MiB
    assert not work.makes_anew(SpadeConfig(), shape, **counts)


def test_results_are_the_same_bytes(project, scored_once, monkeypatch):
    project.variants = scored_once.variants
    project.dataset = scored_once.dataset
    monkeypatch.setattr(work, "MOST_HELD", 0)
    monkeypatch.setattr(work, "ROWS_A_DIMENSION", 0)
    monkeypatch.setattr(descriptions, "_described", None)  # nothing is held
    index, expected = project.score(), scored_once.root / "reports/scores/toy"
    assert len(index.cells) == 8
    for cell in index.cells:
        assert (project.root / "reports/scores/toy" / cell["file"]).read_bytes() == (
            expected / cell["file"]
        ).read_bytes()


@pytest.mark.parametrize("variant", ["random", "whole", "shots", "kmeans", "two_round", "unprojected", "radius"])
def test_every_sampler_and_study_gives_the_same_bytes(project, tmp_path, monkeypatch, variant):
    fields = {
        "random": {"sampler": "random"},
        "kmeans": {"sampler": "kmeans"},
        "two_round": {"sampler": "two_round", "shards": 3},
        "unprojected": {"projection_dimension": None},
        "whole": {"coreset_fraction": 1, "search": "faiss"},
    }
    project.variants = {"one": {"coreset_fraction": 0.2} | fields.get(variant, {})}
    study = {"variants": ["one"], "seeds": [0], "categories": ["bolt"]}
    study |= {"shots": {"shots": [2]}, "radius": {"covering_radius": True}}.get(variant, {})
    project.dataset |= {"variants": ["one"], "seeds": [0], "studies": {"other": study}}

    def results():
        project.score()
        files = sorted((project.root / "reports/scores/toy").rglob("*.safetensors"))
        return [file.read_bytes() for file in files]

    held = results()
    monkeypatch.setattr(work, "MOST_HELD", 0)
    monkeypatch.setattr(work, "ROWS_A_DIMENSION", 0)
    monkeypatch.setattr(descriptions, "_described", None)
    for file in (project.root / ".cache/cells").iterdir():
        file.unlink()
    assert results() == held


@pytest.mark.parametrize(
    ("variant", "parts"), [("random", 0), ("unprojected", 0), ("anchors", 0), ("float16", 0), ("float16", 3)]
)
def test_rows_that_lie_on_disk_for_want_of_memory_give_the_same_bytes(project, monkeypatch, variant, parts):
    fields = {
        "random": {"sampler": "random"},
        "unprojected": {"projection_dimension": None},
        "anchors": {"first_pick": "anchors"},
        "float16": {"storage": "float16"},
    }
    project.variants = {"one": {"coreset_fraction": 0.2, "projection_dimension": 5} | fields.get(variant, {})}
    study = {"variants": ["one"], "seeds": [0], "categories": ["bolt"], "covering_radius": True}
    project.dataset |= {"variants": ["one"], "seeds": [0], "studies": {"other": study}}

    def results():
        project.score()
        return [file.read_bytes() for file in sorted((project.root / "reports/scores/toy").rglob("*.safetensors"))]

    held = results()
    chosen, searched = [], []
    select, in_parts = streamed._kept, search.nearest_in_parts
    monkeypatch.setattr(streamed, "_kept", lambda *given, **options: chosen.append(1) or select(*given, **options))
    monkeypatch.setattr(search, "nearest_in_parts", lambda q, of, k: searched.append(len(of)) or in_parts(q, of, k))
    monkeypatch.setattr(descriptions, "_described", None)
    if parts:  # the bank, too
        monkeypatch.setattr(streamed, "bank_lies_on_disk", lambda *_, **__: True)
        monkeypatch.setattr(search, "parts_within", lambda file, _: file.divided(parts))
    project.execution["memory_gb"] = 1.0003  # 315 KiB beside the process itself
    for file in (project.root / ".cache/cells").iterdir():
        file.unlink()
    assert results() == held
    assert len(chosen) == len(held) > 0
    assert set(searched) == ({parts} if parts else set())
    assert list((project.root / ".cache/rows").glob(".*")) == []


def test_a_budget_that_cannot_hold_a_block_is_refused_before_anything_is_computed(project):
    project.execution["memory_gb"] = 0.5
    with pytest.raises(InputError, match=r"need more than execution\.memory_gb=0\.5") as refused:
        project.score()
    assert "bolt: tenth, all: 1." in str(refused.value) or "bolt: all, tenth: 1." in str(refused.value)
    assert not (project.root / ".cache/features").exists()


def test_a_disk_that_is_full_is_told_and_nothing_stays_behind(project, monkeypatch):
    project.variants = {"one": {"coreset_fraction": 0.2, "projection_dimension": 5}}
    project.execution |= {"memory_gb": 1.0003, "engine": "local"}
    rows = project.root / ".cache/rows"
    rows.mkdir(parents=True)
    (rows / ".rows.abcdefgh").write_bytes(b"of a run that was killed")

    def fallocate(handle, start, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(room.os, "posix_fallocate", fallocate)
    monkeypatch.setattr(feature_files.MapsWriter, "take_room", lambda writer: None)
    with pytest.raises(InputError, match=r"rows of 5 values in float32 need 1 MiB in .*rows, where"):
        project.score()
    assert list(rows.iterdir()) == []


@pytest.mark.parametrize("limit", [512, 8192])  # bytes: of 3840 of projected rows, and of 23,104 of kept ones
def test_a_disk_that_fills_while_rows_are_written_is_told_and_nothing_stays_behind(project, monkeypatch, limit):
    project.variants = {"one": {"coreset_fraction": 0.2, "projection_dimension": 5}}
    project.dataset |= {"seeds": [0], "categories": ["bolt"]}
    project.score()  # its feature maps are there
    for file in (project.root / ".cache/cells").iterdir():
        file.unlink()
    project.execution |= {"memory_gb": 1.0003, "engine": "local"}
    toy = project.toy
    monkeypatch.setattr(streamed, "bank_lies_on_disk", lambda *_, **__: True)
    monkeypatch.setattr(room, "take_room", lambda *_: None)  # of a file system that promises what it does not keep
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(InputError, match=r"\.rows\.\w+ cannot be written: File too large; .*\nRemedy: make room"):
            score_dataset(toy, show_progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [*(project.root / ".cache/rows").iterdir()] == [*(project.root / ".cache/cells").iterdir()] == []
