"""Few nominal images: which are drawn, and how they are turned."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from patchcore_core import InputError
from patchcore_suite.baselines.registry import detector
from patchcore_suite.datasets.images import image_tensor, read_image
from patchcore_suite.datasets.records import NOMINAL, Record
from patchcore_suite.explore.categories import Category
from patchcore_suite.paper.conditions import conditions_of, differences
from patchcore_suite.run import feature_cache, inference_times
from patchcore_suite.run.cells import plan
from patchcore_suite.run.few_shot import drawn_rows, rotated, rotated_rows
from patchcore_suite.run.raw_results import RawResult

PIXELS = {"backbone": "pixels", "hierarchies": [1, 2]}


def records(*names):
    return [Record(Path(name), "bolt", "train", 0, NOMINAL) for name in names]


def study(variants, seeds=(0,), **more):
    return {"variants": list(variants), "seeds": list(seeds)} | more


def message(act, *arguments):
    with pytest.raises(InputError) as caught:
        act(*arguments)
    return str(caught.value)


# Draws


def test_blocks_follow_one_another_in_the_order_of_names():
    given = records("c.png", "a.png", "f.png", "b.png", "e.png", "d.png")  # a, b, c, d, e, f are rows 1, 3, 0, 5, 4, 2
    assert [drawn_rows(given, 1, seed, "blocks") for seed in range(3)] == [(1,), (3,), (0,)]
    assert [drawn_rows(given, 2, seed, "blocks") for seed in range(3)] == [(1, 3), (0, 5), (2, 4)]
    assert drawn_rows(given, 3, 1, "blocks") == (2, 4, 5)


def test_frames_of_a_video_are_in_the_order_of_their_numbers():
    given = [replace(records("a.avi")[0], frame=frame) for frame in (10, 9, 2)]
    assert [drawn_rows(given, 1, seed, "blocks") for seed in range(3)] == [(2,), (1,), (0,)]


def test_without_shots_nothing_is_drawn():
    assert [drawn_rows(records("a", "b"), None, 3, draw) for draw in ("nested", "blocks")] == [None, None]


def test_a_cell_says_which_images_it_learns_from(project):
    project.variants = {"tenth": {**PIXELS, "coreset_fraction": 0.1}}
    project.dataset |= {"draw": "blocks", "studies": {"few": study(["tenth"], [0, 2], shots=[1])}}
    found = {cell.seed: cell for cell in plan(project.toy).cells if cell.shots and cell.category == "nut"}
    assert {seed: cell.stamp["drawn"] for seed, cell in found.items()} == {
        0: ["nut/train/good/000.png"],
        2: ["nut/train/good/002.png"],
    }
    assert all("drawn" not in cell.stamp for cell in plan(project.toy).cells if cell.shots is None)


def test_the_keys_of_cells_follow_what_is_drawn(project):
    project.variants = {"tenth": {**PIXELS, "coreset_fraction": 0.1}}
    project.dataset["studies"] = {"few": study(["tenth"], shots=[1, 2, 3])}
    nested = {cell.file: cell for cell in plan(project.toy).cells}
    project.dataset["draw"] = "blocks"
    blocks = {cell.file: cell for cell in plan(project.toy).cells}
    assert {file for file, cell in nested.items() if cell.key == blocks[file].key} == {
        file for file, cell in nested.items() if cell.drawn == blocks[file].drawn
    }
    assert any(cell.drawn != blocks[file].drawn for file, cell in nested.items())


# Bad input


def test_blocks_above_what_there_is_are_all_refused(project):
    project.variants = {"tenth": PIXELS}
    project.dataset |= {"draw": "blocks"}
    project.dataset["studies"] = {"few": study(["tenth"], [0, 2], shots=[1, 2]), "fine": study(["tenth"], shots=[3])}
    text = message(plan, project.toy)
    where = "datasets.toy.studies.few.shots: seed 2 takes images 5 to 6"
    for category in ("bolt", "nut"):
        assert f"{where}, but {category} has 3 nominal training images" in text
    assert text.count("  - ") == 2
    assert text.count("Remedy") == 1


def test_shots_above_what_there_is_are_all_refused(project):
    project.variants = {"tenth": PIXELS}
    project.dataset["studies"] = {"few": study(["tenth"], shots=[3, 4, 40])}
    text = message(plan, project.toy)
    for shots in (4, 40):
        for category in ("bolt", "nut"):
            assert f"datasets.toy.studies.few.shots: {shots}, but {category} has 3 nominal training images" in text
    assert text.count("  - ") == 4


# Rotations


def test_images_are_turned_one_after_the_other():
    given = records("a", "b")
    assert [(r.image.name, r.rotation) for r in rotated(given, (0, 45))] == [
        ("a", 0),
        ("a", 45),
        ("b", 0),
        ("b", 45),
    ]
    assert rotated(given, ()) == given


def test_only_images_that_are_learned_from_turned_are_turned():
    learned = [((0, 90), (4, 1)), ((0, 90), (2,)), ((45,), None), ((), (0,))]
    assert rotated_rows(learned, 6) == {(0, 90): (1, 2, 4), (45,): (0, 1, 2, 3, 4, 5)}


@pytest.fixture
def turning(project):
    project.variants = {
        "as-is": {**PIXELS, "coreset_fraction": 1},
        "turned": {**PIXELS, "coreset_fraction": 1, "rotations": [0, 30, 90]},
        "gaussian": {"method": "padim", **PIXELS, "dimensions": 3, "rotations": [30]},
    }
    few = study(["as-is", "turned", "gaussian"], [0, 1], shots=[1, 2], categories=["nut"])
    project.dataset |= {"variants": ["turned"], "seeds": [0], "studies": {"few": few}}
    project.execution["engine"] = "local"
    return project


def expected(project, cell):
    """What the method says that is fitted to the turned images, one by one."""
    manifest, preprocessing = project.toy.manifest(), cell.preprocessing
    nominal = manifest.records(cell.category, "train")
    learned = [nominal[row] for row in cell.drawn or range(len(nominal))]
    turned = [replace(record, rotation=degrees) for record in learned for degrees in cell.rotations or (0,)]
    train, test = (
        torch.stack([image_tensor(read_image(record), preprocessing) for record in some])
        for some in (turned, manifest.records(cell.category, "test"))
    )
    return detector(cell.config, seed=cell.seed).fit(train).predict(test), len(turned)


def test_a_cell_learns_from_turned_images_and_tests_images_as_they_are(turning):
    turning.score()
    for cell in plan(turning.toy).cells:
        result = RawResult.read(turning.root / "reports/scores/toy" / cell.file)
        prediction, images = expected(turning, cell)
        np.testing.assert_allclose(result.scores, prediction.scores, rtol=1e-4, atol=1e-5, err_msg=cell.file)
        np.testing.assert_allclose(result.distances, prediction.distances, rtol=1e-3, atol=1e-4, err_msg=cell.file)
        assert result.stamp["nominal_images"] == images
        assert result.stamp.get("rotations") == (list(cell.rotations) or None)


def test_turned_images_run_through_a_network_once_and_only_those_that_are_drawn(turning, monkeypatch):
    looked_at, original = [], feature_cache.Batches

    def batches(given, *arguments, **options):
        looked_at.append(sorted((record.category, record.split, record.rotation) for record in given))
        return original(given, *arguments, **options)

    monkeypatch.setattr(feature_cache, "Batches", batches)
    turning.dataset["variants"] = ["as-is"]
    turning.dataset["studies"]["few"]["shots"] = [1]
    turning.score()
    drawn = {cell.drawn for cell in plan(turning.toy).cells if cell.rotations}
    assert drawn == {(1,), (2,)} or len(drawn) == 1  # whichever the two seeds draw
    of_nut = [
        [degrees for _, split, degrees in found if split == "train"] for found in looked_at if found[0][0] == "nut"
    ]
    assert sorted(of_nut) == sorted([[0] * 3, sorted([0, 30, 90] * len(drawn)), [30] * len(drawn)])


def test_turned_images_are_no_conditions_of_the_paper(turning):
    ours, theirs = (conditions_of(turning.toy, name, categories=["nut"], metric="pro") for name in ("turned", "as-is"))
    assert differences(ours, theirs) == ("rotations differ: 0.0 and 30.0 and 90.0, not none",)


def test_patches_of_turned_images_are_not_shown(turning):
    turning.score()
    text = message(Category.read, turning.toy, "nut", "turned")
    assert "variant 'turned' keeps no patches of training images that could be shown" in text
    assert "no rotations" in text


def test_a_system_that_is_timed_learns_from_turned_images(turning):
    systems, _ = inference_times.fit_systems(turning.toy, study="few")
    banks = {name: len(system.detector.memory_bank) for name, system in systems.items() if name != "gaussian"}
    assert banks["turned"] == 3 * banks["as-is"]
