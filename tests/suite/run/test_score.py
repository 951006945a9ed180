import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ToyProject
from PIL import Image
from toy_folders import mvtec_folder, save_image

from patchcore_core import InputError, PatchCore, backbones
from patchcore_suite.datasets.images import Batches
from patchcore_suite.run import cells, feature_cache, fixed_order, groups
from patchcore_suite.run.cells import plan
from patchcore_suite.run.environment import versions
from patchcore_suite.run.raw_results import RawResult, ScoreIndex
from patchcore_suite.run.score import collect
from patchcore_suite.settings.project import Project


def run(project):
    return project.score()


def pending(project):
    """(category, variant, seed) of the cells that a run would compute."""
    return [(cell.category, cell.variant, cell.seed) for cell in plan(project.toy).pending()]


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def exchange_masks(folder):
    """Turn the masks upside down."""
    for path in folder.iterdir():
        Image.open(path).transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(path)


def refuse(*arguments, **options):
    raise AssertionError("this should not have been called")


@pytest.fixture
def finished(scored):
    """A toy project that was run: two categories, two variants, two seeds."""
    return scored


@pytest.fixture
def unscored(finished):
    """The same with its feature maps alone: no results yet."""
    shutil.rmtree(finished.root / ".cache" / "cells")
    shutil.rmtree(finished.root / "reports")
    return finished


@pytest.fixture
def computed(monkeypatch):
    """The cells that are computed from now on, as they are."""
    done, original = [], groups._run_model

    def run_model(cells, *arguments, **options):
        original(cells, *arguments, **options)
        done.extend((cell.category, cell.variant, cell.seed) for cell in cells)

    monkeypatch.setattr(groups, "_run_model", run_model)
    return done


# What is written


def test_every_cell_is_written_and_indexed(finished):
    folder = finished.root / "reports" / "scores" / "toy"
    index = ScoreIndex.read(folder)
    expected = [(c, v, s) for c in ("bolt", "nut") for v in ("tenth", "all") for s in (0, 1)]
    assert [(cell["category"], cell["variant"], cell["seed"]) for cell in index.cells] == expected
    assert (index.dataset, index.synthetic, index.source) == ("toy", False, "folder")
    assert all(cell["shots"] is None for cell in index.cells)
    assert index.weights_missing == ()
    assert set(files(folder)) == {"index.json"} | {f"{c}/{v}/seed-{s}.safetensors" for c, v, s in expected}
    for cell, result in index.results(folder):
        assert result.scores.shape == result.reweighted_scores.shape == (4,)
        assert result.distances.shape == result.indices.shape == (4, 8, 8)
        assert len(result.coreset_indices) == (19 if cell["variant"] == "tenth" else 192)


def test_a_result_is_what_patchcore_says_of_the_test_images(finished):
    params = finished.params
    work, toy = plan(Project(params).dataset("toy")), params.dataset("toy")
    cell = next(cell for cell in work.cells if (cell.category, cell.variant, cell.seed) == ("nut", "tenth", 1))
    train, test = (list(Batches(work.manifest.records("nut", s), toy.preprocessing, 2)) for s in ("train", "test"))
    model = PatchCore(params.config("toy", "tenth"), seed=1).fit(train)
    prediction = model.predict(test)
    result = RawResult.read(work.path(cell))
    assert np.array_equal(result.coreset_indices, model.coreset_indices)
    assert np.array_equal(result.indices, prediction.indices)
    for name in ("scores", "reweighted_scores", "distances"):
        np.testing.assert_allclose(getattr(result, name), getattr(prediction, name), rtol=1e-5)


def test_variants_that_describe_patches_differently_do_not_get_each_others_features(finished):
    finished.variants = {
        "default": {"coreset_fraction": 1},
        "window": {"coreset_fraction": 1, "neighbourhood_size": 1},
        "border": {"coreset_fraction": 1, "border": "cut"},
        "stride": {"coreset_fraction": 1, "stride": 2},
        "dimension": {"coreset_fraction": 1, "dimension": 64},
        "hierarchy": {"coreset_fraction": 1, "hierarchies": [3]},
    }
    finished.dataset["seeds"] = [0]
    index, params = run(finished), finished.params
    manifest, preprocessing = plan(Project(params).dataset("toy")).manifest, params.dataset("toy").preprocessing
    train, test = (list(Batches(manifest.records("bolt", split), preprocessing, 4)) for split in ("train", "test"))
    for cell, result in index.results(finished.root / "reports/scores/toy", category="bolt"):
        expected = PatchCore(params.config("toy", cell["variant"])).fit(train).predict(test).distances
        np.testing.assert_allclose(result.distances, expected, rtol=1e-4)


def test_images_of_another_size_get_feature_maps_of_their_own(finished):
    finished.dataset["resize"] = [72, 96]
    index = run(finished)
    for _, result in index.results(finished.root / "reports/scores/toy"):
        assert result.distances.shape == (4, 9, 12)


def test_a_result_says_what_it_was_made_with_and_holds_no_times(finished):
    work = plan(finished.toy)
    stamp = RawResult.read(work.path(work.cells[0])).stamp
    assert stamp["images_sha256"] == work.manifest.digest("bolt")
    (weights,) = stamp["weights"]
    assert weights["backbone"] == "tf_efficientnet_lite0"
    assert len(weights["sha256"]) == len(stamp["code_sha256"]) == 64
    assert stamp["preprocessing"] == {"resize": [64, 64], "crop": None, "masks": "nearest"}
    assert stamp["method"] == "patchcore"
    assert stamp["config"] == work.cells[0].config.to_dict()
    assert stamp["versions"] == versions()
    assert (stamp["category"], stamp["variant"], stamp["seed"], stamp["device"]) == ("bolt", "tenth", 0, "cpu")
    assert (stamp["memory_bank"], stamp["image_size"]) == ([19, 152], [64, 64])
    assert (stamp["shots"], stamp["nominal_images"]) == (None, 3)
    assert "covering_radius" not in stamp
    assert not any(word in key for key in stamp for word in ("time", "seconds", "machine", "path", "host"))


def test_times_are_kept_beside_the_results(finished):
    times = json.loads((finished.root / "reports" / "timings" / "toy.json").read_text())
    assert set(times) == {cell["file"] for cell in ScoreIndex.read(finished.root / "reports/scores/toy").cells}
    for of_cell in times.values():
        assert of_cell["features_s"] >= 0
        assert of_cell["coreset_s"] >= 0
        assert of_cell["scoring_s"] >= 0
        assert of_cell["peak_memory_bytes"] > 2**20
        assert of_cell["machine"]["cores"] >= 1
    # The bank and its picks, which are rows of 64 bits.
    assert times["bolt/tenth/seed-0.safetensors"]["model_bytes"] == 19 * 152 * 4 + 19 * 8


def test_two_runs_from_scratch_give_the_same_bytes(finished, project):
    run(project)
    assert project.root != finished.root
    assert files(project.root / "reports" / "scores") == files(finished.root / "reports" / "scores")


# What is not computed again


def test_a_second_run_computes_nothing(finished, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in (finished.root / ".cache").rglob("*")}
    results = files(finished.root / "reports" / "scores")
    for module, name in ((PatchCore, "fit_described"), (feature_cache, "load_backbone"), (groups, "_run_model")):
        monkeypatch.setattr(module, name, refuse)
    run(finished)
    assert {path: path.stat().st_mtime_ns for path in (finished.root / ".cache").rglob("*")} == before
    assert files(finished.root / "reports" / "scores") == results


@pytest.mark.parametrize(
    "change",
    [
        lambda project: project.execution.update(batch_size=1, workers=1),
        lambda project: (
            project.variants.update(unused={"stride": 2}) or project.dataset.update(variants=["tenth", "all"])
        ),
        lambda project: project.variants["tenth"].update(stride=1),  # says what is the default anyway
        lambda project: project.dataset.update(seeds=[1]),
        lambda project: project.prepare(),
    ],
    ids=["execution", "an unused variant", "a default", "fewer seeds", "the same images"],
)
def test_what_does_not_touch_a_result_leaves_nothing_to_do(finished, change):
    change(finished)
    assert pending(finished) == []


def test_a_changed_variant_recomputes_its_own_cells_and_no_others(finished, computed):
    finished.variants["tenth"]["coreset_fraction"] = 0.2
    before = files(finished.root / "reports" / "scores" / "toy")
    run(finished)
    assert computed == [(category, "tenth", seed) for category in ("bolt", "nut") for seed in (0, 1)]
    after = files(finished.root / "reports" / "scores" / "toy")
    assert {name for name in after if after[name] != before[name]} == {
        "index.json",
        *(f"{category}/tenth/seed-{seed}.safetensors" for category in ("bolt", "nut") for seed in (0, 1)),
    }


def test_a_changed_variant_that_needs_the_same_feature_maps_runs_no_network(finished, monkeypatch):
    monkeypatch.setattr(feature_cache, "load_backbone", refuse)
    finished.variants["tenth"].update(coreset_fraction=0.2, neighbourhood_size=1, dimension=64)
    run(finished)
    assert pending(finished) == []


def test_taking_a_change_back_finds_the_earlier_results(finished):
    finished.variants["tenth"]["coreset_fraction"] = 0.2
    assert len(pending(finished)) == 4
    finished.variants["tenth"]["coreset_fraction"] = 0.1
    assert pending(finished) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda project: project.dataset.update(seeds=[0, 1, 2]), [("*", "*", 2)]),
        (lambda project: project.dataset.update(resize=[72, 72]), [("*", "*", "*")]),
        (lambda project: project.dataset.update(crop=56), [("*", "*", "*")]),
        (lambda project: project.dataset.update(overrides={"stride": 2}), [("*", "*", "*")]),
        (lambda project: project.variants["all"].update(smoothing_sigma=2), [("*", "all", "*")]),
        (lambda project: mvtec_folder(project.root / "images", "pin"), [("pin", "*", "*")]),
        (
            lambda project: save_image(project.root / "images/nut/train/good/000.png", seed=9),
            [("nut", "*", "*")],
        ),
        (lambda project: exchange_masks(project.root / "images/nut/ground_truth/scratch"), [("nut", "*", "*")]),
    ],
    ids=["a seed", "resize", "crop", "override", "a config", "a category", "an image", "masks"],
)
def test_a_change_leaves_exactly_the_cells_to_do_that_it_touches(finished, change, expected):
    change(finished)
    finished.prepare()
    planned = [(cell.category, cell.variant, cell.seed) for cell in plan(finished.toy).cells]
    touched = [
        cell
        for cell in planned
        if any(all(p in ("*", c) for p, c in zip(pattern, cell, strict=True)) for pattern in expected)
    ]
    assert pending(finished) == touched != []


@pytest.mark.parametrize(
    ("name", "changed"), [("code_fingerprint", lambda *modules: "other code"), ("versions", lambda: {"torch": "0.1"})]
)
def test_other_code_or_libraries_leave_everything_to_do(finished, monkeypatch, name, changed):
    monkeypatch.setattr(cells, name, changed)
    assert len(pending(finished)) == 8


def test_other_weights_leave_everything_to_do(finished, tmp_path):
    (weights,) = plan(finished.toy).cells[0].stamp["weights"]
    path = tmp_path / "tf_efficientnet_lite0.pth"
    path.write_bytes(b"others")
    finished.execution["weights"] = str(path)
    assert len(pending(finished)) == 8
    assert plan(finished.toy).cells[0].stamp["weights"][0]["sha256"] != weights["sha256"]


def test_a_project_may_be_moved(finished, tmp_path):
    shutil.move(finished.root, tmp_path / "moved")
    assert pending(ToyProject(tmp_path / "moved")) == []


def test_each_image_runs_through_the_network_once_for_all_variants_and_seeds(project, monkeypatch):
    seen, original = [], backbones.feature_maps

    def feature_maps(network, images):
        seen.append(len(images))
        return original(network, images)

    monkeypatch.setattr(feature_cache, "feature_maps", feature_maps)
    project.variants |= {"coarse": {"hierarchies": [3]}, "fine": {"hierarchies": [1]}, "spade": {"method": "spade"}}
    run(project)
    assert sum(seen) == 2 * 7


def test_the_cache_of_feature_maps_stays_within_its_size(finished):
    folder = finished.root / ".cache" / "features"
    assert len(list(folder.iterdir())) == 4  # two categories, two hierarchies
    finished.execution["cache_size_gb"] = 0
    finished.variants["tenth"]["coreset_fraction"] = 0.2
    run(finished)
    assert len(list(folder.iterdir())) == 2  # those of the last category, which were in use
    assert pending(finished) == []


def test_evicted_feature_maps_are_made_anew_and_give_the_same_results(finished):
    before = files(finished.root / "reports" / "scores")
    shutil.rmtree(finished.root / ".cache")
    run(finished)
    assert files(finished.root / "reports" / "scores") == before


# Runs that break off


def leftovers(project):
    return [path for path in project.root.rglob("*") if path.name.startswith(".") and path.name != ".cache"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_killed_run_keeps_the_finished_cells_and_the_next_one_does_the_rest(unscored, monkeypatch, error):
    original, calls = PatchCore.predict_described, []

    def predict_described(self, *arguments):
        calls.append(1)
        if len(calls) == 4:
            raise error
        return original(self, *arguments)

    monkeypatch.setattr(PatchCore, "predict_described", predict_described)
    with pytest.raises(error):
        run(unscored)
    assert len(pending(unscored)) == 8 - 3
    assert leftovers(unscored) == []
    assert not (unscored.root / "reports").exists()

    run(unscored)
    assert len(calls) == 4 + 5
    assert pending(unscored) == []


def test_a_run_killed_while_it_writes_a_result_leaves_none_of_it(unscored, monkeypatch):
    def write_bytes(path, content):
        path.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(KeyboardInterrupt):
        run(unscored)
    assert len(pending(unscored)) == 8
    assert leftovers(unscored) == []


def test_a_run_killed_while_it_makes_feature_maps_leaves_none_of_them(project, monkeypatch):
    original, calls = backbones.feature_maps, []

    def feature_maps(network, images):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(network, images)

    monkeypatch.setattr(fixed_order, "MOST_IMAGES", 4)
    monkeypatch.setattr(feature_cache, "feature_maps", feature_maps)
    with pytest.raises(KeyboardInterrupt):
        run(project)
    assert len(calls) == 2  # seven images in batches of four
    assert [path for path in (project.root / ".cache").rglob("*") if path.is_file()] == []


# The store is not believed by names


def flip(path, place=-1):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def store_of(project):
    work = plan(project.toy)
    return {(cell.category, cell.variant, cell.seed): work.path(cell) for cell in work.cells}


@pytest.mark.parametrize(
    "harm",
    [
        lambda path, other: flip(path),
        lambda path, other: flip(path, 9),
        lambda path, other: path.write_bytes(path.read_bytes()[:-7]),
        lambda path, other: path.write_bytes(b""),
        lambda path, other: shutil.copyfile(other, path),
    ],
    ids=["a number", "the header", "truncated", "empty", "another's"],
)
def test_a_result_in_the_store_that_is_not_what_was_written_is_computed_again_with_a_word(
    finished, computed, harm, capsys
):
    before, store = files(finished.root / "reports/scores"), store_of(finished)
    harm(store["nut", "tenth", 1], store["nut", "tenth", 0])
    harm(store["bolt", "all", 0], store["nut", "all", 0])
    capsys.readouterr()
    run(finished)
    assert computed == [("bolt", "all", 0), ("nut", "tenth", 1)]
    said = [line for line in capsys.readouterr().err.splitlines() if "computed again" in line]
    assert len(said) == 2
    assert "bolt/all/seed-0.safetensors" in said[0]
    assert files(finished.root / "reports/scores") == before
    assert pending(finished) == []


def test_the_store_is_read_once_a_run(finished, monkeypatch):
    read, original = [], RawResult.damage
    monkeypatch.setattr(RawResult, "damage", lambda path, key: read.append(path) or original(path, key))
    run(finished)
    assert len(read) == 8


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"coreset_s": 7.0}'])
def test_times_in_the_store_that_are_damaged_are_lost_and_nothing_else(finished, computed, content, capsys):
    path = store_of(finished)["nut", "tenth", 1].with_suffix(".json")
    path.write_bytes(content)
    run(finished)
    assert computed == []
    assert "how long nut/tenth/seed-1.safetensors took is lost" in capsys.readouterr().err
    assert len(json.loads((finished.root / "reports/timings/toy.json").read_text())) == 7


def test_what_a_killed_run_left_in_the_stores_is_deleted(finished):
    left = [finished.root / f".cache/{name}" for name in ("cells/.abc.x1.safetensors", "cells/.tmpA1b2C3")]
    left.append(finished.root / ".cache/features/.abc.x1.npy")
    for path in left:
        path.write_bytes(b"half")
    run(finished)
    assert not any(path.exists() for path in left)


def test_reports_that_cannot_be_written_are_named(unscored):
    (unscored.root / "reports").write_text("in the way")
    with pytest.raises(InputError, match=r"reports/scores/toy/\S+ cannot be written: Not a directory"):
        run(unscored)
    assert pending(unscored) == []  # what was computed is kept


def test_a_store_that_cannot_be_written_is_named(project):
    (project.root / ".cache").mkdir()
    (project.root / ".cache/features").write_text("in the way")
    with pytest.raises(InputError, match=r"\.cache/features/\S+ cannot be written: File exists"):
        run(project)


def test_a_file_in_place_of_the_stores_is_named_with_its_key(project):
    (project.root / ".cache").write_text("in the way")
    with pytest.raises(InputError, match=r"execution\.cache_dir='\.cache' is a file"):
        run(project)


# What is refused


SHORTAGES = {
    "Python": MemoryError(),
    "torch": RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
    "the system": OSError(errno.ENOMEM, "Cannot allocate memory"),
}


@pytest.mark.parametrize("error", SHORTAGES.values(), ids=SHORTAGES)
def test_memory_that_runs_out_in_the_midst_of_work_is_told(unscored, monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(groups, "_run_model", fail)
    with pytest.raises(InputError, match=r"memory ran out while \S+ was computed on bolt"):
        run(unscored)


@pytest.mark.parametrize(
    "file", ["train/good/001.png", "test/good/000.png", "test/scratch/001.png", "ground_truth/scratch/000_mask.png"]
)
@pytest.mark.parametrize("kind", ["changed", "missing"])
def test_files_that_are_not_those_of_the_manifest_are_named(finished, file, kind):
    path = finished.root / "images" / "nut" / file
    path.unlink() if kind == "missing" else path.write_bytes(path.read_bytes() + b"\0")
    finished.dataset["seeds"] = [0, 1, 2]
    with pytest.raises(InputError, match="files of toy/nut are not those of its manifest") as caught:
        run(finished)
    assert f"{kind}: {path}" in str(caught.value)
    assert pending(finished) == [("nut", "tenth", 2), ("nut", "all", 2)]  # the other category is done


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_named_before_any_work(project):
    project.execution["device"] = "cuda"
    with pytest.raises(InputError, match=r"execution\.device=cuda .* no GPU"):
        run(project)


def test_a_dataset_that_is_not_prepared_says_so(finished):
    (finished.root / "data" / "toy" / "manifest.json").unlink()
    with pytest.raises(InputError, match="there is no manifest"):
        run(finished)


def test_results_that_are_not_there_cannot_be_collected(unscored):
    with pytest.raises(InputError, match="not computed yet") as caught:
        collect(plan(unscored.toy))
    assert str(caught.value).count("  - ") == 8
    assert "bolt/tenth/seed-0.safetensors" in str(caught.value)
    assert not (unscored.root / "reports").exists()


def test_a_result_that_is_copied_in_part_is_not_there(finished, monkeypatch):
    def broken(source, target):
        target.write_bytes(source.read_bytes()[:100])
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(shutil, "copyfile", broken)
    with pytest.raises(InputError, match="cannot be written: No space left"):
        collect(plan(finished.toy))
    assert not [path for path in (finished.root / "reports/scores").rglob("*") if path.is_file()]


def test_images_of_different_sizes_without_a_common_one_are_named(project):
    save_image(project.root / "images/bolt/train/good/001.png", size=(24, 48))
    project.prepare().dataset["resize"] = 64
    with pytest.raises(InputError, match="images of different sizes") as caught:
        run(project)
    assert "bolt/train/good/001.png" in str(caught.value)


# Weights, and small sets


def test_a_variant_without_weights_is_listed_and_the_others_run(unscored):
    unscored.variants = {
        "paper": {"backbone": "wide_resnet50_2", "dimension": 1024},
        "tenth": unscored.variants["tenth"],
    }
    index = run(unscored)
    assert {cell["variant"] for cell in index.cells} == {"tenth"}
    assert [entry["variant"] for entry in index.weights_missing] == ["paper"]
    assert "weights missing for backbone 'wide_resnet50_2'" in index.weights_missing[0]["remedy"]
    assert ScoreIndex.read(unscored.root / "reports/scores/toy").weights_missing == index.weights_missing


def test_without_any_weights_there_is_an_index_of_what_is_missing(project):
    project.variants = {"paper": {"backbone": "wide_resnet50_2"}}
    index = run(project)
    assert index.cells == ()
    assert len(index.weights_missing) == 1


def test_one_training_image_is_enough(tmp_path):
    (tmp_path / "project").mkdir()
    mvtec_folder(tmp_path / "project" / "images", "bolt", training=1)
    project = ToyProject(tmp_path / "project").prepare()
    index = run(project)
    results = {
        (cell["variant"], cell["seed"]): result for cell, result in index.results(project.root / "reports/scores/toy")
    }
    assert len(results["tenth", 0].coreset_indices) == 6
    assert all(np.isfinite(result.scores).all() and (result.scores > 0).all() for result in results.values())


def test_results_of_a_variant_that_is_gone_are_not_collected(finished):
    del finished.variants["all"]
    index = run(finished)
    assert {cell["variant"] for cell in index.cells} == {"tenth"}
    assert not list((finished.root / "reports" / "scores").rglob("all"))


def test_a_cells_key_does_not_depend_on_its_neighbours(finished):
    keys = {(cell.category, cell.variant, cell.seed): cell.key for cell in plan(finished.toy).cells}
    assert len(set(keys.values())) == 8
    finished.variants = {"all": finished.variants["all"]}
    finished.dataset["seeds"] = [1]
    for cell in plan(finished.toy).cells:
        assert cell.key == keys[cell.category, cell.variant, cell.seed]
