import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import ToyProject
from sklearn.metrics import roc_auc_score

from patchcore_core import InputError, PatchCore, PatchCoreConfig, evaluation, metrics
from patchcore_core.benchmark import collect, score_dataset
from patchcore_core.datasets import Manifest, batches, mask_array, read_mask
from patchcore_core.datasets.images import Preprocessing
from patchcore_core.datasets.records import Record
from patchcore_core.evaluation import evaluate, evaluate_dataset, ground_truth, main, summarise
from patchcore_core.results import RawResult

METRICS = {
    "image_auroc",
    "image_auroc_reweighted",
    "f1",
    "threshold",
    "false_positives",
    "false_negatives",
    "test_images",
    "memory_bank",
    "pixel_auroc",
    "pro",
    "defects_cropped_away",
}


def records_of(labels):
    return [Record(f"{i}.png", "bolt", "test", label, "dent" if label else "good") for i, label in enumerate(labels)]


def result_of(distances, **config):
    distances = np.asarray(distances, dtype=np.float32)
    scores = distances.reshape(len(distances), -1).max(axis=1)
    return RawResult(
        scores=scores,
        reweighted_scores=-scores,
        distances=distances,
        indices=np.zeros(distances.shape, dtype=np.int32),
        coreset_indices=np.arange(5, dtype=np.int32),
        stamp={"config": PatchCoreConfig(**config).to_dict()},
    )


def write_metrics(project, monkeypatch):
    """What `python -m patchcore_core.evaluation toy` does in the project's folder."""
    monkeypatch.chdir(project.params.root)
    monkeypatch.setattr(sys, "argv", ["evaluation", "toy"])
    main()


def table(rows):
    return pd.DataFrame(rows, columns=evaluation.COLUMNS)


@pytest.fixture(scope="module")
def scored_once(tmp_path_factory):
    root = tmp_path_factory.mktemp("scored") / "project"
    root.mkdir()
    project = ToyProject(root).draw()
    collect(score_dataset("toy", project.params, show_progress=False), project.params)
    return project


@pytest.fixture
def scored(scored_once, tmp_path):
    """A toy project with results: two categories, two variants, two seeds."""
    shutil.copytree(scored_once.root, tmp_path / "project")
    return ToyProject(tmp_path / "project")


# One result


def test_four_images_of_four_patches_by_hand():
    # Without smoothing and at the grid's own size, a map is the patch distances.
    # Image scores 1, 3, 2, 4 of labels 0, 0, 1, 1: three of four pairs are in order.
    distances = [[[1, 0], [0, 0]], [[3, 0], [0, 0]], [[0, 2], [0, 0]], [[0, 0], [4, 0]]]
    masks = np.zeros((4, 2, 2), dtype=bool)
    masks[2, 0, 1] = masks[3, 1, 0] = True
    found = evaluate(result_of(distances, smoothing_sigma=0), records_of([0, 0, 1, 1]), masks)
    assert found["image_auroc"] == 0.75
    assert found["image_auroc_reweighted"] == 0.25  # here they are the scores' negatives
    # From 2 up, both anomalous images are called and one nominal one; from 4 up, one anomalous image alone.
    assert (found["f1"], found["threshold"]) == (0.8, 2)
    assert (found["false_positives"], found["false_negatives"]) == (1, 0)
    assert (found["test_images"], found["memory_bank"]) == (4, 5)
    # Anomalous pixels 2 and 4; nominal ones 1, 3 and twelve zeros. Of 28 pairs one is in the wrong order.
    assert found["pixel_auroc"] == pytest.approx(27 / 28)
    # Half of the overlap at once, all of it from the pixel of 3 on: a false-positive rate of 1/14.
    assert found["pro"] == pytest.approx((0.5 / 14 + (0.3 - 1 / 14)) / 0.3)
    assert found["defects_cropped_away"] == 0
    assert found.keys() == METRICS


def test_maps_are_made_with_the_sigma_of_the_results_config():
    distances = np.random.default_rng(0).random((4, 4, 4))
    masks = np.zeros((4, 32, 32), dtype=bool)
    masks[2:, 8:20, 8:20] = True
    sharp, smooth = (
        evaluate(result_of(distances, smoothing_sigma=sigma), records_of([0, 0, 1, 1]), masks) for sigma in (0, 4)
    )
    assert sharp["pixel_auroc"] != smooth["pixel_auroc"]
    assert sharp["image_auroc"] == smooth["image_auroc"]


def test_without_masks_pixel_metrics_are_not_available_and_never_zero():
    found = evaluate(result_of([[[1]], [[2]]]), records_of([0, 1]), None)
    assert found.keys() == METRICS
    assert [name for name, value in found.items() if value is None] == ["pixel_auroc", "pro", "defects_cropped_away"]
    assert found["image_auroc"] == 1


def test_a_defect_outside_of_the_crop_is_counted():
    masks = np.zeros((3, 2, 2), dtype=bool)
    masks[2, 0, 0] = True
    found = evaluate(result_of(np.arange(12).reshape(3, 2, 2), smoothing_sigma=0), records_of([0, 1, 1]), masks)
    assert found["defects_cropped_away"] == 1
    assert found["pixel_auroc"] == pytest.approx(8 / 11)  # 8 is above 0..7; 9, 10, 11 are above it


def test_when_every_defect_lies_outside_of_the_crop_pixel_metrics_are_not_available():
    found = evaluate(result_of([[[1]], [[2]], [[3]]]), records_of([0, 1, 1]), np.zeros((3, 8, 8), dtype=bool))
    assert (found["pixel_auroc"], found["pro"], found["defects_cropped_away"]) == (None, None, 2)
    assert found["image_auroc"] == 1


# Ground truth


def test_ground_truth_is_resized_and_cropped_like_the_images(scored):
    manifest = Manifest.read(scored.root / "data/toy/manifest.json", base=scored.root)
    records = manifest.records("bolt", "test")
    masks = ground_truth(records, Preprocessing(resize=[48, 64]))
    assert masks.shape == (4, 48, 64)
    assert masks.dtype == bool
    # The nominal images come first; the defect of 4 x 4 pixels in the upper left corner is twice as large.
    assert not masks[:2].any()
    assert masks[2:, :8, :8].all()
    assert masks[2:].sum() == 2 * 64
    cropped = ground_truth(records, Preprocessing(resize=[48, 64], crop=40))
    assert cropped.shape == (4, 40, 40)
    assert not cropped.any()  # rows 4 to 43, columns 12 to 51


def test_ground_truth_is_none_when_an_anomalous_image_has_no_mask(scored):
    records = Manifest.read(scored.root / "data/toy/manifest.json", base=scored.root).records("bolt", "test")
    assert ground_truth([*records[:3], replace(records[3], mask=None)], Preprocessing(resize=64)) is None


# A dataset


def test_evaluation_gives_the_metrics_of_what_patchcore_predicts(scored):
    params = scored.params
    rows = evaluate_dataset("toy", params, show_progress=False)
    manifest = Manifest.read(scored.root / "data/toy/manifest.json", base=scored.root)
    preprocessing = params.dataset("toy").preprocessing
    for category in ("bolt", "nut"):
        train, test = (manifest.records(category, split) for split in ("train", "test"))
        model = PatchCore(params.variants["tenth"], seed=1).fit(batches(train, preprocessing, 4))
        prediction = model.predict(batches(test, preprocessing, 4))
        labels = [record.label for record in test]
        masks = np.stack([mask_array(read_mask(record), preprocessing) for record in test])
        expected = {
            "image_auroc": roc_auc_score(labels, prediction.scores),
            "image_auroc_reweighted": roc_auc_score(labels, prediction.reweighted_scores),
            "pixel_auroc": roc_auc_score(masks.ravel(), prediction.maps.numpy().ravel()),
            "pro": metrics.pro(masks, prediction.maps.numpy()),
            "threshold": metrics.f1_optimum(labels, prediction.scores.numpy()).threshold,
            "test_images": 4,
            "memory_bank": 19,
        }
        chosen = rows[(rows["category"] == category) & (rows["variant"] == "tenth") & (rows["seed"] == 1)]
        found = dict(zip(chosen["metric"], chosen["value"], strict=True))
        assert found.keys() == METRICS
        for metric, value in expected.items():
            assert found[metric] == pytest.approx(value, abs=1e-4), metric


def test_every_cell_has_every_metric_once(scored):
    rows = evaluate_dataset("toy", scored.params, show_progress=False)
    assert list(rows.columns) == ["dataset", "category", "variant", "seed", "metric", "value"]
    assert len(rows) == 2 * 2 * 2 * len(METRICS)
    assert not rows.duplicated(["category", "variant", "seed", "metric"]).any()
    assert set(rows["dataset"]) == {"toy"}
    assert rows["value"].notna().all()


def test_an_unknown_dataset_is_refused_with_the_known_ones(scored):
    with pytest.raises(InputError, match=r"dataset 'tyo' is not in params.yaml\nRemedy: known: toy"):
        evaluate_dataset("tyo", scored.params, show_progress=False)


def test_no_network_is_run(scored, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("called")

    monkeypatch.setattr(PatchCore, "predict_patches", refuse)
    monkeypatch.setattr("patchcore_core.backbones.load_backbone", refuse)
    shutil.rmtree(scored.root / ".cache")
    assert len(evaluate_dataset("toy", scored.params, show_progress=False))


def test_a_category_without_masks_has_image_metrics_and_empty_pixel_metrics(project, monkeypatch):
    shutil.rmtree(project.root / "images" / "nut" / "ground_truth")
    project.prepare()
    project.variants = {"tenth": project.variants["tenth"]}
    project.dataset["seeds"] = [0]
    collect(score_dataset("toy", project.params, show_progress=False), project.params)
    write_metrics(project, monkeypatch)

    lines = (project.root / "reports/metrics/toy.csv").read_text().splitlines()
    assert "toy,nut,tenth,0,pixel_auroc," in lines
    assert "toy,nut,tenth,0,pro," in lines
    assert not [line for line in lines if line.startswith("toy,bolt") and line.endswith(",")]
    assert [line for line in lines if line.startswith("toy,nut,tenth,0,image_auroc,0.")]
    means = json.loads((project.root / "reports/metrics/toy.json").read_text())
    assert means["tenth"]["pixel_auroc"] is None  # a mean of some categories is not the mean over categories
    assert means["tenth"]["pro"] is None
    assert means["tenth"]["image_auroc"] is not None


def test_the_files_of_metrics_are_the_same_each_time(scored, monkeypatch):
    write_metrics(scored, monkeypatch)
    folder = scored.root / "reports" / "metrics"
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(first) == {"toy.csv", "toy.json"}
    shutil.rmtree(folder)
    write_metrics(scored, monkeypatch)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    written = pd.read_csv(folder / "toy.csv")
    computed = evaluate_dataset("toy", scored.params, show_progress=False)
    assert np.allclose(written["value"], computed["value"], atol=5e-7)
    assert list(written["metric"]) == list(computed["metric"])


# Means


def test_means_over_categories_and_then_over_seeds_by_hand():
    values = {("bolt", 0): 0.5, ("nut", 0): 0.7, ("bolt", 1): 0.9, ("nut", 1): 0.9}
    rows = [["toy", category, "one", seed, "image_auroc", value] for (category, seed), value in values.items()]
    rows += [["toy", "bolt", "one", 0, "threshold", 17.0], ["toy", "bolt", "two", 0, "pro", 1 / 3]]
    found = summarise(table(rows))
    assert found == {"one": {"image_auroc": 0.75}, "two": {"pro": 0.333333}}


def test_a_mean_with_a_metric_that_is_not_available_is_not_available():
    rows = [["toy", category, "one", 0, "pro", value] for category, value in (("bolt", 0.5), ("nut", None))]
    assert summarise(table(rows)) == {"one": {"pro": None}}
    rows = [["toy", category, "one", 0, "pro", None] for category in ("bolt", "nut")]
    assert summarise(table(rows)) == {"one": {"pro": None}}
