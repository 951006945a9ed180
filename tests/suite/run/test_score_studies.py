"""What studies add to a run: shots, sizes of images, other methods, networks of the caller's."""

import shutil
from functools import cache

import numpy as np
import pytest
import torch
from conftest import ToyProject
from small_networks import SmallPyramid

from patchcore_core import InputError, PatchCore
from patchcore_core.backbones import load_backbone
from patchcore_suite.baselines.config import METHODS, EnsembleConfig
from patchcore_suite.baselines.ensemble import Ensemble
from patchcore_suite.baselines.registry import detector
from patchcore_suite.datasets.images import Batches
from patchcore_suite.run import descriptions, groups
from patchcore_suite.run.cells import plan
from patchcore_suite.run.controls import CEILING
from patchcore_suite.run.evaluate import evaluate_dataset
from patchcore_suite.run.few_shot import shot_rows
from patchcore_suite.run.raw_results import ScoreIndex
from patchcore_suite.run.score import score_dataset
from patchcore_suite.settings.project import Project

FOLDER = "reports/scores/toy"


def results(project, **chosen):
    """Raw results by (category, variant, shots, seed)."""
    folder = project.root / FOLDER
    found = ScoreIndex.read(folder).results(folder, **chosen)
    return {(cell["category"], cell["variant"], cell["shots"], cell["seed"]): result for cell, result in found}


def images(project, category, variant, split):
    """Images as a variant has them prepared, in one batch."""
    params = project.params
    records = plan(Project(params).dataset("toy")).manifest.records(category, split)
    return next(Batches(records, params.preprocessing("toy", variant), len(records)))


@cache
def backbone(name, hierarchies):
    return load_backbone(name, hierarchies)


def model_of(config, *, seed=0):
    """The method of a configuration, with networks that are built once for all tests."""
    networks = [backbone(member.backbone, member.map_hierarchies) for member in config.members]
    if isinstance(config, EnsembleConfig):
        return Ensemble(config, networks=networks, seed=seed)
    return detector(config, network=networks[0], seed=seed)


def close(result, prediction):
    for name in ("scores", "distances", "reweighted_scores"):
        expected = getattr(prediction, name)
        assert (expected is None) == (getattr(result, name) is None), name
        if expected is not None:
            np.testing.assert_allclose(getattr(result, name), expected, rtol=2e-4, atol=1e-5, err_msg=name)


# Few nominal images


@pytest.mark.parametrize("seed", [0, 1, 17])
def test_the_shots_of_a_seed_are_nested_and_ascending(seed):
    drawn = {shots: shot_rows(20, shots, seed).tolist() for shots in (1, 2, 5, 10, 20)}
    for fewer, more in ((1, 2), (2, 5), (5, 10), (10, 20)):
        assert set(drawn[fewer]) < set(drawn[more])
    for shots, rows in drawn.items():
        assert len(rows) == len(set(rows)) == shots
        assert rows == sorted(rows)
    assert drawn[20] == list(range(20))


def test_shots_are_drawn_with_the_seed_and_with_nothing_else():
    torch.manual_seed(3)
    first = shot_rows(50, 5, 0).tolist()
    torch.manual_seed(4)
    assert shot_rows(50, 5, 0).tolist() == first
    assert len({tuple(shot_rows(50, 5, seed).tolist()) for seed in range(10)}) == 10


def test_every_nominal_image_is_drawn_alike():
    counts = np.bincount(np.concatenate([shot_rows(6, 2, seed).numpy() for seed in range(600)]), minlength=6)
    assert counts.sum() == 1200
    assert np.abs(counts - 200).max() < 5 * (600 * 1 / 3 * 2 / 3) ** 0.5


def test_without_shots_all_nominal_images_are_taken():
    assert shot_rows(7, None, 3).tolist() == list(range(7))


@pytest.fixture
def low_shot(project):
    project.variants["spade"] = {"method": "spade"}
    study = {"variants": ["tenth", "spade"], "seeds": [0, 5], "shots": [1, 2, 3], "categories": ["nut"]}
    project.dataset |= {"variants": ["tenth"], "seeds": [0], "studies": {"low_shot": study}}
    return project


def test_a_cell_of_few_shots_learns_from_the_images_that_its_seed_draws(low_shot):
    low_shot.score()
    found = results(low_shot)
    train, test = (images(low_shot, "nut", "tenth", split) for split in ("train", "test"))
    for shots in (1, 2, 3):
        for seed in (0, 5):
            for variant in ("tenth", "spade"):
                result = found["nut", variant, shots, seed]
                model = model_of(low_shot.params.config("toy", variant), seed=seed)
                close(result, model.fit(train[shot_rows(3, shots, seed)]).predict(test))
                assert (result.stamp["shots"], result.stamp["seed"]) == (shots, seed)
                assert result.stamp["nominal_images"] == shots
    assert found["nut", "tenth", 2, 0].stamp["memory_bank"][0] == int(0.1 * 2 * 64)


def test_all_shots_say_what_all_images_say(low_shot):
    low_shot.score()
    found = results(low_shot)
    every, drawn = found["nut", "tenth", None, 0], found["nut", "tenth", 3, 0]
    assert np.array_equal(every.distances, drawn.distances)
    assert np.array_equal(every.coreset_indices, drawn.coreset_indices)


def test_shots_lie_in_folders_of_their_own_and_the_index_tells_them(low_shot):
    index = low_shot.score()
    of_shots = [cell for cell in index.cells if cell["shots"] is not None]
    assert len(of_shots) == 2 * 2 * 3
    for cell in of_shots:
        assert cell["file"] == f"nut/{cell['variant']}/shots-{cell['shots']}/seed-{cell['seed']}.safetensors"
        assert (low_shot.root / FOLDER / cell["file"]).is_file()


def test_few_shots_run_no_image_through_the_network_twice(low_shot, monkeypatch):
    seen, original = [], descriptions._described
    monkeypatch.setattr(descriptions, "_described", lambda *given, **named: seen.append(1) or original(*given, **named))
    low_shot.score()
    assert len(seen) == 2 * (1 + 2)  # train and test: of bolt PatchCore's alone; of nut PatchCore's and SPADE's


# Covering radius


def test_a_covering_radius_is_the_largest_distance_from_a_nominal_patch_to_the_bank(project):
    project.variants["all"] = {"coreset_fraction": 1}
    project.variants["spade"] = {"method": "spade"}
    study = {"variants": ["tenth", "all", "spade"], "seeds": [0], "covering_radius": True, "categories": ["bolt"]}
    project.dataset |= {"variants": ["tenth"], "studies": {"radius": study}}
    project.score()
    found = results(project)
    train = images(project, "bolt", "tenth", "train")
    model = PatchCore(project.params.config("toy", "tenth")).fit(train)
    expected = torch.cdist(model.describe_images(train)[0].flatten(0, 2), model.memory_bank).amin(dim=1).max()
    assert found["bolt", "tenth", None, 0].stamp["covering_radius"] == pytest.approx(float(expected), rel=1e-3)
    assert found["bolt", "all", None, 0].stamp["covering_radius"] == 0
    for key in (("bolt", "tenth", None, 1), ("nut", "tenth", None, 0), ("bolt", "spade", None, 0)):
        assert "covering_radius" not in found[key].stamp


# Sizes of images


def test_a_variant_is_run_on_images_as_it_has_them_prepared(project):
    project.variants = {
        "plain": {"coreset_fraction": 0.1},
        "wide": {"coreset_fraction": 0.1, "resize": [48, 96]},
        "cropped": {"coreset_fraction": 0.1, "crop": [32, 40]},
        "shorter": {"coreset_fraction": 0.1, "resize": 40},
        "masks": {"coreset_fraction": 0.1, "masks": "bilinear"},
    }
    project.dataset["seeds"] = [0]
    project.score()
    found = results(project, category="nut")
    sizes = {"plain": (64, 64), "wide": (48, 96), "cropped": (32, 40), "shorter": (40, 53), "masks": (64, 64)}
    for variant, size in sizes.items():
        result = found["nut", variant, None, 0]
        train, test = (images(project, "nut", variant, split) for split in ("train", "test"))
        assert tuple(test.shape[-2:]) == tuple(result.stamp["image_size"]) == size
        close(result, model_of(project.params.config("toy", variant)).fit(train).predict(test))
    plain, masks = found["nut", "plain", None, 0], found["nut", "masks", None, 0]
    assert np.array_equal(plain.distances, masks.distances)
    assert plain.stamp["preprocessing"]["masks"] != masks.stamp["preprocessing"]["masks"]


def test_masks_of_another_rule_cost_no_run_through_the_network(scored, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a network was built")

    monkeypatch.setattr("patchcore_suite.run.feature_cache.load_backbone", refuse)
    scored.variants["tenth"]["masks"] = "bilinear"
    assert len(plan(scored.toy).pending()) == 4
    scored.score()


# Other methods


@pytest.fixture(scope="module")
def every_method(scored_once, tmp_path_factory):
    """The toy project with a variant of each method, and an ensemble."""
    project = ToyProject(shutil.copytree(scored_once.root, tmp_path_factory.mktemp("methods") / "project"))
    project.variants |= {method: {"method": method} for method in METHODS}
    project.variants["padim"]["dimensions"] = 20
    project.variants |= {
        "coarse": {"coreset_fraction": 0.1, "stride": 1, "neighbourhood_size": 1},
        "ensemble": {"method": "ensemble", "models": ["tenth", "coarse"]},
    }
    project.dataset |= {"variants": [*METHODS, "ensemble"], "seeds": [0, 1]}
    project.score()
    return project


@pytest.mark.parametrize("method", [*METHODS, "ensemble"])
def test_the_result_of_a_method_is_what_it_says_of_the_test_images(every_method, method):
    config = every_method.params.config("toy", method)
    train, test = (images(every_method, "nut", method, split) for split in ("train", "test"))
    found = results(every_method, category="nut", variant=method)
    assert sorted(seed for *_, seed in found) == ([0, 1] if config.seeded else [0])
    for (*_, seed), result in found.items():
        close(result, model_of(config, seed=seed).fit(train).predict(test))
        assert result.stamp["method"] == method
        assert result.stamp["config"] == config.to_dict() or result.stamp["config"] == _as_json(config.to_dict())
        assert (result.indices is None) == (method != "patchcore")


def _as_json(value):
    return {key: list(item) if isinstance(item, tuple) else item for key, item in value.items()}


def test_every_method_is_evaluated(every_method):
    rows = evaluate_dataset(every_method.toy, show_progress=False).metrics
    table = rows[(rows["seed"] == 0) & (rows["category"] == "nut")].pivot(
        index="variant", columns="metric", values="value"
    )
    assert set(table.index) == {*METHODS, "ensemble", CEILING}
    methods = table.drop(index=CEILING)
    assert methods[["image_auroc", "f1", "test_images"]].notna().all(axis=None)
    of_images = {"mahalanobis", "nearest_images"}
    for metric in ("pixel_auroc", "pro", "pro_per_image"):
        assert set(methods.index[methods[metric].isna()]) == of_images
        assert methods[metric].dropna().between(0, 1).all()
    for metric in ("image_auroc_reweighted", "memory_bank", "bank_utilisation"):
        assert set(methods.index[methods[metric].notna()]) == {"patchcore"}


def test_variants_that_differ_in_the_method_alone_do_not_share_what_they_keep_of_images(every_method):
    found = results(every_method, category="nut")
    scores = [tuple(found["nut", method, None, 0].scores.tolist()) for method in METHODS]
    assert len(set(scores)) == len(METHODS)


# Networks of the caller's


class Twice(SmallPyramid):
    """Another network than its parent: its maps are twice as large."""

    def forward(self, images):
        return [2 * fmap for fmap in super().forward(images)]


@pytest.fixture
def mine(project):
    project.variants = {
        "mine": {"backbone": "mine", "hierarchies": [2, 3], "coreset_fraction": 0.1},
        "spade": {"method": "spade", "backbone": "mine", "hierarchies": [2], "pooled_hierarchy": 3},
        "named": {"coreset_fraction": 0.1},
    }
    project.dataset["seeds"] = [0, 1]
    return project


def network(**options):
    return SmallPyramid((2, 3), **options)


def test_a_network_given_to_the_benchmark_scores_as_the_one_given_to_the_method(mine):
    mine.score(networks={"mine": network()})
    found = results(mine)
    for category in ("bolt", "nut"):
        train, test = (images_of(mine, category, split) for split in ("train", "test"))
        for variant, seed in (("mine", 0), ("mine", 1), ("spade", 0)):
            model = detector(mine.params.config("toy", variant), network=network(), seed=seed)
            close(found[category, variant, None, seed], model.fit(train).predict(test))


def images_of(project, category, split):
    params = project.params
    records = plan(Project(params).dataset("toy"), networks={"mine": network()}).manifest.records(category, split)
    return next(Batches(records, params.dataset("toy").preprocessing, len(records)))


def test_a_second_run_with_an_equal_network_computes_nothing(mine, monkeypatch):
    mine.score(networks={"mine": network()})

    def refuse(*arguments, **options):
        raise AssertionError("computed again")

    monkeypatch.setattr(groups, "_run_model", refuse)
    monkeypatch.setattr("patchcore_suite.run.feature_cache.feature_maps", refuse)
    mine.score(networks={"mine": network()})


@pytest.mark.parametrize("other", [network(seed=1), Twice((2, 3))], ids=["weights", "forward"])
def test_another_network_of_the_same_name_recomputes_its_cells_and_no_others(mine, other):
    mine.score(networks={"mine": network()})
    before = results(mine)
    pending = plan(mine.toy, networks={"mine": other}).pending()
    assert {cell.variant for cell in pending} == {"mine", "spade"}
    mine.score(networks={"mine": other})
    for key, result in results(mine).items():
        assert np.array_equal(result.scores, before[key].scores) == (key[1] == "named")


@pytest.mark.parametrize("hierarchies", [(2,), (1, 2, 3)])
def test_a_network_with_another_number_of_maps_is_refused(mine, hierarchies):
    with pytest.raises(InputError, match=f"network 'mine' returned {len(hierarchies)} feature maps"):
        score_dataset(mine.toy, networks={"mine": SmallPyramid(hierarchies)}, show_progress=False)


def test_a_network_may_stand_for_a_backbone_whose_weights_are_missing(project):
    project.variants = {"wide": {"backbone": "wide_resnet50_2", "coreset_fraction": 0.1}}
    assert project.score().weights_missing
    index = project.score(networks={"wide_resnet50_2": network()})
    assert index.weights_missing == ()
    assert {cell["variant"] for cell in index.cells} == {"wide"}
