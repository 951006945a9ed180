"""One model of all categories, with which each of them is tested."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_folders import save_image

from patchcore_core import InputError
from patchcore_suite.baselines.registry import detector
from patchcore_suite.datasets.images import Batches
from patchcore_suite.explore.categories import Category
from patchcore_suite.paper.conditions import conditions_of, differences
from patchcore_suite.preflight.requirements import check
from patchcore_suite.run import groups, inference_times
from patchcore_suite.run.cells import plan
from patchcore_suite.run.evaluate import evaluate_dataset
from patchcore_suite.run.few_shot import drawn_together, rotated
from patchcore_suite.run.raw_results import RawResult

PIXELS = {"backbone": "pixels", "hierarchies": [1, 2]}


@pytest.fixture
def together(project):
    project.variants = {
        "whole": {**PIXELS, "coreset_fraction": 1},
        "turned": {**PIXELS, "coreset_fraction": 0.1, "rotations": [0, 90]},
        "spade": {"method": "spade", **PIXELS, "pooled_hierarchy": 2},
    }
    few = {"variants": ["whole", "turned"], "seeds": [0, 1], "shots": [1, 2]}
    project.dataset |= {"together": True, "seeds": [0], "studies": {"few": few}}
    project.execution["engine"] = "local"
    return project


def images(project, records, variant):
    return next(Batches(records, project.toy.preprocessing(variant), len(records)))


def result_of(project, cell):
    return RawResult.read(project.root / "reports/scores/toy" / cell.file)


def message(act, *arguments):
    with pytest.raises(InputError) as caught:
        act(*arguments)
    return str(caught.value)


def test_the_memory_bank_is_that_of_all_categories_one_after_the_other(together):
    together.score()
    manifest = together.toy.manifest()
    nominal = [record for name in ("bolt", "nut") for record in manifest.records(name, "train")]
    for cell in plan(together.toy).cells:
        learned = [nominal[row] for row in cell.drawn or range(len(nominal))]
        model = detector(cell.config, seed=cell.seed)
        model.fit(images(together, rotated(learned, cell.rotations), cell.variant))
        expected = model.predict(images(together, manifest.records(cell.category, "test"), cell.variant))
        found = result_of(together, cell)
        np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4, atol=1e-5, err_msg=cell.file)
        np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-3, atol=1e-4, err_msg=cell.file)
        assert found.stamp["nominal_images"] == len(learned) * (len(cell.rotations) or 1)


def test_a_bank_of_all_categories_is_no_farther_than_that_of_one(together):
    together.score()
    shared = {cell.file: result_of(together, cell) for cell in plan(together.toy).cells if cell.variant == "whole"}
    del together.dataset["together"]
    together.score()
    nearer = 0
    for cell in plan(together.toy).cells:
        if cell.variant == "whole" and cell.shots is None:
            own = result_of(together, cell).distances
            assert (shared[cell.file].distances <= own + 1e-4).all()
            nearer += (shared[cell.file].distances < own - 1e-4).sum()
    assert nearer > 0


def test_a_model_is_fitted_once_for_all_categories(together, monkeypatch):
    fitted, original = [], groups._fitted

    def counted(model, *given):
        fitted.append(model.config)
        return original(model, *given)

    monkeypatch.setattr(groups, "_fitted", counted)
    together.score()
    cells = plan(together.toy).cells
    assert len(cells) == 2 * len(fitted) == 2 * (3 + 2 * 2 * 2)


def test_groups_in_parts_keep_the_categories_of_a_model(together):
    work = plan(together.toy)
    for group in groups.groups(work.cells, work, largest=2):
        models = [(cell.variant, cell.shots, cell.seed) for cell in group.cells]
        assert all(models.count(model) == 2 for model in models)
        assert len(set(models)) <= 2


def test_shots_are_of_each_category():
    records = [[None] * 4, [None] * 6]
    drawn = drawn_together(records, 2, 0, "nested")
    assert [row < 4 for row in drawn] == [True, True, False, False]
    assert drawn_together(records, None, 0, "nested") is None


def test_the_key_of_a_cell_depends_on_the_images_of_all_categories(together):
    before = {cell.file: cell.key for cell in plan(together.toy).cells if cell.category == "bolt"}
    save_image(together.root / "images/nut/train/good/000.png", seed=77)
    together.prepare()
    after = {cell.file: cell.key for cell in plan(together.toy).cells if cell.category == "bolt"}
    assert not set(before.values()) & set(after.values())
    del together.dataset["together"]
    assert not set(after.values()) & {cell.key for cell in plan(together.toy).cells}


def test_images_of_another_category_that_changed_stop_the_run(together):
    save_image(together.root / "images/nut/train/good/000.png", seed=78)
    assert "files of toy/nut are not those of its manifest" in message(together.score)


def test_each_category_has_its_metrics(together):
    together.score()
    rows = evaluate_dataset(together.toy, show_progress=False).metrics
    assert set(rows.loc[rows["variant"] == "whole", "category"]) == {"bolt", "nut"}


def test_one_category_is_nothing_to_learn_together(together):
    manifest = together.toy.manifest()
    replace(manifest, entries={"nut": manifest.entries["nut"]}).write(together.toy.manifest_file)
    assert "datasets.toy.together=true, but there is one category only: nut" in message(plan, together.toy)


def test_categories_of_several_sizes_are_not_learned_together(together):
    for path in (together.root / "images/nut").rglob("*.png"):
        path.unlink()
    for folder, names in {"train/good": "012", "test/good": "01", "test/scratch": "01"}.items():
        for number, name in enumerate(names):
            save_image(together.root / f"images/nut/{folder}/00{name}.png", seed=number, size=(24, 48))
    together.prepare()
    together.dataset["resize"] = 64
    text = message(plan, together.toy)
    assert "datasets.toy.together=true, but images come out in several sizes after resize=64" in text
    assert "nut: 64 x 128" in text


def test_preflight_counts_what_all_categories_give(together):
    found = check(together.toy)
    assert found.problems == []
    assert {needs.category: needs.bank for needs in found.needs} == dict.fromkeys(("bolt", "nut"), (6 * 256, 6))


def test_models_of_all_categories_are_told_apart(together):
    together.score()
    assert "keeps no patches of training images that could be shown" in message(
        Category.read, together.toy, "nut", "whole"
    )
    ours = conditions_of(together.toy, "whole", categories=["nut"], metric="pro")
    del together.dataset["together"]
    theirs = conditions_of(together.toy, "whole", categories=["nut"], metric="pro")
    assert differences(ours, theirs) == ("together differs: True, not none",)


def test_a_system_that_is_timed_has_the_bank_of_all_categories(together):
    systems, _ = inference_times.fit_systems(together.toy, study="few")
    bank = systems["whole"].detector.memory_bank
    assert isinstance(bank, torch.Tensor)
    assert len(bank) == 6 * 256
