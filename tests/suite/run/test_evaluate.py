import json
import re
import shutil
import sys
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ToyProject
from sklearn.metrics import roc_auc_score
from toy_folders import mvtec_folder

from patchcore_core import InputError, PatchCore, PatchCoreConfig, metrics
from patchcore_core.metrics import Regions
from patchcore_core.scoring import anomaly_maps
from patchcore_suite.baselines.config import SpadeConfig
from patchcore_suite.datasets.images import Batches, mask_array, read_mask
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.figures import score_histograms
from patchcore_suite.metrics.decisions import f1_optimum
from patchcore_suite.metrics.overlap import pro_per_image
from patchcore_suite.report.links import Links
from patchcore_suite.results.examples import DatasetResults
from patchcore_suite.results.quantities import known as known_cell
from patchcore_suite.results.study_metrics import by_category, misclassified, read_intervals, read_metrics
from patchcore_suite.run import evaluate
from patchcore_suite.run import result_metrics as of_results
from patchcore_suite.run.controls import CEILING
from patchcore_suite.run.evaluate import COLUMNS, evaluate_dataset, headline, main, summarise
from patchcore_suite.run.image_intervals import bootstrap_auroc, bootstrap_mean_auroc
from patchcore_suite.run.metric_registry import wanted
from patchcore_suite.run.raw_results import RawResult, ScoreIndex
from patchcore_suite.run.result_metrics import Judged, ceiling, ground_truth, maps_of, result_metrics
from patchcore_suite.settings.project import Project

MEASURED = [metric.name for metric in wanted(())]  # of every dataset


def result_of(distances, *, stamp=None, **config):
    distances = np.asarray(distances, dtype=np.float32)
    scores = distances.reshape(len(distances), -1).max(axis=1)
    return RawResult(
        scores=scores,
        reweighted_scores=-scores,
        distances=distances,
        indices=np.zeros(distances.shape, dtype=np.int32),
        coreset_indices=np.arange(5, dtype=np.int32),
        stamp={"config": PatchCoreConfig(**config).to_dict(), "memory_bank": [5, 2]} | (stamp or {}),
    )


def write_metrics(project, monkeypatch):
    """What `python -m patchcore_suite.run.evaluate toy` does in the project's folder."""
    monkeypatch.chdir(project.params.root)
    monkeypatch.setattr(sys, "argv", ["evaluation", "toy"])
    main()


def table(rows, *, shots=None):
    """Metrics in long form of rows without shots."""
    return pd.DataFrame([[*row[:3], shots, *row[3:]] for row in rows], columns=COLUMNS).astype({"shots": "Int64"})


# One result


def measured(result, labels, regions):
    """The metrics of a result, with its maps where there can be any."""
    mapped = result.distances is not None and regions is not None and regions.masks.any()
    maps = maps_of(result, regions.masks.shape[1:]) if mapped else None
    return result_metrics(Judged(result, np.array(labels), regions, maps))


def test_four_images_of_four_patches_by_hand():
    # Without smoothing and at the grid's own size, a map is the patch distances.
    # Image scores 1, 3, 2, 4 of labels 0, 0, 1, 1: three of four pairs are in order.
    distances = [[[1, 0], [0, 0]], [[3, 0], [0, 0]], [[0, 2], [0, 0]], [[0, 0], [4, 0]]]
    masks = np.zeros((4, 2, 2), dtype=bool)
    masks[2, 0, 1] = masks[3, 1, 0] = True
    found = measured(result_of(distances, smoothing_sigma=0), [0, 0, 1, 1], Regions.label(masks))
    assert found["image_auroc"] == 0.75
    assert found["image_auroc_reweighted"] == 0.25  # here they are the scores' negatives
    # From 2 up, both anomalous images are called and one nominal one; from 4 up, one anomalous image alone.
    assert (found["f1"], found["threshold"]) == (0.8, 2)
    assert (found["false_positives"], found["false_negatives"]) == (1, 0)
    assert (found["test_images"], found["memory_bank"]) == (4, 5)
    assert found["bank_utilisation"] == 0.2  # all patches are nearest to the first of five rows
    assert found["covering_radius"] is None  # not measured
    # Anomalous pixels 2 and 4; nominal ones 1, 3 and twelve zeros. Of 28 pairs one is in the wrong order.
    assert found["pixel_auroc"] == pytest.approx(27 / 28)
    # Half of the overlap at once, all of it from the pixel of 3 on: a false-positive rate of 1/14.
    assert found["pro"] == pytest.approx((0.5 / 14 + (0.3 - 1 / 14)) / 0.3)
    # Of the third image nothing lies above its defect, nor of the fourth.
    assert found["pro_per_image"] == pytest.approx(1)
    assert found["defects_cropped_away"] == 0
    assert list(found) == MEASURED


def test_maps_are_made_with_the_sigma_of_the_results_config():
    distances = np.random.default_rng(0).random((4, 4, 4))
    masks = np.zeros((4, 32, 32), dtype=bool)
    masks[2:, 8:20, 8:20] = True
    sharp, smooth = (
        measured(result_of(distances, smoothing_sigma=sigma), [0, 0, 1, 1], Regions.label(masks)) for sigma in (0, 4)
    )
    assert sharp["pixel_auroc"] != smooth["pixel_auroc"]
    assert sharp["image_auroc"] == smooth["image_auroc"]


def test_maps_are_made_with_the_upsampling_of_the_results_config():
    distances = np.random.default_rng(0).random((4, 4, 4)).astype(np.float32)
    for upsampling in ("bilinear", "nearest"):
        result = result_of(distances, smoothing_sigma=2, upsampling=upsampling)
        expected = anomaly_maps(torch.from_numpy(distances), (32, 48), sigma=2, upsampling=upsampling)
        assert np.array_equal(maps_of(result, (32, 48)), expected)


def test_the_maps_of_a_method_whose_config_names_no_upsampling_are_bilinear():
    distances = np.random.default_rng(0).random((2, 4, 4)).astype(np.float32)
    result = result_of(distances, stamp={"config": SpadeConfig(smoothing_sigma=2).to_dict()})
    expected = anomaly_maps(torch.from_numpy(distances), (32, 32), sigma=2)
    assert np.array_equal(maps_of(result, (32, 32)), expected)


def test_a_covering_radius_that_was_measured_is_a_metric():
    found = measured(result_of([[[1]], [[2]]], stamp={"covering_radius": 1.5}), [0, 1], None)
    assert found["covering_radius"] == 1.5


def test_a_result_of_image_scores_alone_has_image_metrics_alone():
    scores = np.array([1, 3, 2, 4], dtype=np.float32)
    masks = np.zeros((4, 8, 8), dtype=bool)
    masks[2:, :4, :4] = True
    found = measured(RawResult(scores=scores, stamp={"config": {}}), [0, 0, 1, 1], Regions.label(masks))
    assert list(found) == MEASURED
    assert (found["image_auroc"], found["f1"], found["defects_cropped_away"]) == (0.75, 0.8, 0)
    absent = {"image_auroc_reweighted", "memory_bank", "bank_utilisation", "covering_radius"}
    absent |= {"pixel_auroc", "pro", "pro_per_image"}
    assert {name for name, value in found.items() if value is None} == absent


def test_without_masks_pixel_metrics_are_not_available_and_never_zero():
    found = measured(result_of([[[1]], [[2]]]), [0, 1], None)
    assert list(found) == MEASURED
    pixel = ["pixel_auroc", "pro", "pro_per_image", "defects_cropped_away"]
    assert [name for name, value in found.items() if value is None] == ["covering_radius", *pixel]
    assert found["image_auroc"] == 1


def test_a_defect_outside_of_the_crop_is_counted():
    masks = np.zeros((3, 2, 2), dtype=bool)
    masks[2, 0, 0] = True
    found = measured(result_of(np.arange(12).reshape(3, 2, 2), smoothing_sigma=0), [0, 1, 1], Regions.label(masks))
    assert found["defects_cropped_away"] == 1
    assert found["pixel_auroc"] == pytest.approx(8 / 11)  # 8 is above 0..7; 9, 10, 11 are above it


def test_when_every_defect_lies_outside_of_the_crop_pixel_metrics_are_not_available():
    found = measured(result_of([[[1]], [[2]], [[3]]]), [0, 1, 1], Regions.label(np.zeros((3, 8, 8))))
    assert (found["pixel_auroc"], found["pro"], found["pro_per_image"]) == (None, None, None)
    assert found["defects_cropped_away"] == 2
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
    rows = evaluate_dataset(Project(params).dataset("toy"), show_progress=False).metrics
    manifest = Manifest.read(scored.root / "data/toy/manifest.json", base=scored.root)
    preprocessing = params.dataset("toy").preprocessing
    for category in ("bolt", "nut"):
        train, test = (manifest.records(category, split) for split in ("train", "test"))
        model = PatchCore(params.config("toy", "tenth"), seed=1).fit(Batches(train, preprocessing, 4))
        prediction = model.predict(Batches(test, preprocessing, 4))
        labels = [record.label for record in test]
        masks = np.stack([mask_array(read_mask(record), preprocessing) for record in test])
        expected = {
            "image_auroc": roc_auc_score(labels, prediction.scores),
            "image_auroc_reweighted": roc_auc_score(labels, prediction.reweighted_scores),
            "pixel_auroc": roc_auc_score(masks.ravel(), prediction.maps.numpy().ravel()),
            "pro": metrics.pro(masks, prediction.maps.numpy()),
            "pro_per_image": pro_per_image(masks, prediction.maps.numpy()),
            "bank_utilisation": len(prediction.indices.unique()) / 19,
            "threshold": f1_optimum(labels, prediction.scores.numpy()).threshold,
            "test_images": 4,
            "memory_bank": 19,
        }
        chosen = rows[(rows["category"] == category) & (rows["variant"] == "tenth") & (rows["seed"] == 1)]
        found = dict(zip(chosen["metric"], chosen["value"], strict=True))
        assert list(found) == MEASURED
        for metric, value in expected.items():
            assert found[metric] == pytest.approx(value, abs=1e-4), metric


def test_every_cell_has_every_metric_once(scored):
    rows = evaluate_dataset(scored.toy, show_progress=False).metrics
    assert list(rows.columns) == ["dataset", "category", "variant", "shots", "seed", "metric", "value"]
    of_cells, of_ceiling = rows[rows["variant"] != CEILING], rows[rows["variant"] == CEILING]
    assert len(of_cells) == 2 * 2 * 2 * len(MEASURED)
    assert not rows.duplicated(["category", "variant", "shots", "seed", "metric"]).any()
    assert set(rows["dataset"]) == {"toy"}
    assert set(of_cells.loc[of_cells["value"].isna(), "metric"]) == {"covering_radius"}
    assert rows["shots"].isna().all()
    assert of_ceiling[["category", "seed", "metric"]].to_numpy().tolist() == [
        [category, 0, metric] for category in ("bolt", "nut") for metric in ("pixel_auroc", "pro")
    ]


def test_an_unknown_dataset_is_refused_with_the_known_ones(scored):
    with pytest.raises(InputError, match=r"dataset 'tyo' is not in params.yaml\nRemedy: known: toy"):
        evaluate_dataset(Project(scored.params).dataset("tyo"), show_progress=False)


def test_no_network_is_run(scored, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("called")

    monkeypatch.setattr(PatchCore, "predict_described", refuse)
    monkeypatch.setattr("patchcore_core.backbones.load_backbone", refuse)
    shutil.rmtree(scored.root / ".cache")
    assert len(evaluate_dataset(scored.toy, show_progress=False).metrics)


def test_a_category_without_masks_has_image_metrics_and_empty_pixel_metrics(project, monkeypatch):
    shutil.rmtree(project.root / "images" / "nut" / "ground_truth")
    project.prepare()
    project.variants = {"tenth": project.variants["tenth"]}
    project.dataset["seeds"] = [0]
    project.score()
    write_metrics(project, monkeypatch)

    lines = (project.root / "reports/metrics/toy.csv").read_text().splitlines()
    for metric in ("pixel_auroc", "pro", "pro_per_image", "defects_cropped_away"):
        assert f"toy,nut,tenth,,0,{metric}," in lines
    empty = [line for line in lines if line.startswith("toy,bolt") and line.endswith(",")]
    assert empty == ["toy,bolt,tenth,,0,covering_radius,"]  # not asked for
    assert [line for line in lines if re.match(r"toy,nut,tenth,,0,image_auroc,[01]\.", line)]
    assert not [line for line in lines if line.startswith(f"toy,nut,{CEILING}")]
    assert [line for line in lines if line.startswith(f"toy,bolt,{CEILING}")]
    means = json.loads((project.root / "reports/metrics/toy.json").read_text())
    assert means["tenth"]["pixel_auroc"] is None  # a mean of some categories is not the mean over categories
    assert means["tenth"]["pro"] is None
    assert means["tenth"]["image_auroc"] is not None


def test_a_category_without_nominal_test_images_keeps_its_pixel_metrics(project, monkeypatch):
    shutil.rmtree(project.root / "images/bolt/test/good")
    project.variants = {"all": {"coreset_fraction": 1, "backbone": "pixels", "hierarchies": [1]}}
    project.prepare().score()
    write_metrics(project, monkeypatch)
    rows = read_metrics(project.toy)
    bolt = rows[(rows["category"] == "bolt") & (rows["variant"] == "all")]
    known = bolt.groupby("metric")["value"].agg(lambda values: values.notna().all())
    of_images = {name for name in MEASURED if name.startswith(("image_auroc", "f1", "threshold", "false_"))}
    assert {name for name in MEASURED if not known[name]} == of_images | {"covering_radius"}
    table = by_category(rows, "image_auroc").set_index("category")["all"].map(str)
    assert (table["bolt"], table["mean"]) == ("not available", "not available")
    assert table["nut"] != "not available"
    assert by_category(rows, "pixel_auroc").set_index("category")["all"].map(known_cell).all()
    assert str(misclassified(rows)["all"]) == "not available"
    assert str(read_intervals(project.toy, metric="image_auroc")["all"]) == "not available"
    summary = json.loads(project.toy.summary.read_text())["all"]
    assert summary["image_auroc"] is None
    assert summary["pixel_auroc"] > 0
    results = DatasetResults.read(project.toy, "all")
    assert [len(examples) for examples in results.examples(4).values()] == [2, 4]
    with warnings.catch_warnings(action="error"):
        score_histograms(results.scores())


@pytest.fixture
def called_as_words(project):
    """Three categories: one as every mean is called, one as the index of raw results, one as a formula begins."""
    names = {"bolt": "mean", "nut": "index.json"}
    for old, new in names.items():
        (project.root / "images" / old).rename(project.root / "images" / new)
    mvtec_folder(project.root / "images", "=1+1")
    project.dataset |= {"seeds": [0]}
    project.variants = {"all": {"coreset_fraction": 1, "backbone": "pixels", "hierarchies": [1]}}
    return project.prepare()


def test_no_name_of_a_category_is_taken_for_a_word_of_the_suite(called_as_words, monkeypatch):
    called_as_words.score()
    write_metrics(called_as_words, monkeypatch)
    toy = called_as_words.toy
    rows = read_metrics(toy)
    assert set(rows["category"]) == {"mean", "index.json", "=1+1"}
    auroc = rows[rows["metric"] == "image_auroc"].set_index("category")["value"]
    table = by_category(rows, "image_auroc").set_index("category")["all"]
    assert table.index.tolist() == ["=1+1", "index.json (category)", "mean (category)", "mean"]
    assert table["mean (category)"].value == auroc["mean"]
    assert table["mean"].value == pytest.approx(auroc.mean())

    intervals = pd.read_csv(toy.intervals)
    of_images = intervals[intervals["metric"] == "image_auroc"]["category"].tolist()
    assert of_images == ["'=1+1", "index.json (category)", "mean (category)", "mean"]
    own, whole = (read_intervals(toy, metric="image_auroc", category=name) for name in ("mean (category)", "mean"))
    assert own.keys() == whole.keys() == {"all"}
    assert read_intervals(toy, metric="image_auroc", category="=1+1").keys() == {"all"}
    assert (toy.scores / "index.json").is_file()
    assert (toy.scores / "index.json (category)/all/seed-0.safetensors").is_file()
    links = Links(toy.project)
    assert links.files("toy", "all", "mean (category)") == "scores/toy/mean%20%28category%29/all"
    assert links.files("toy", "all", "mean") == ""


def test_the_files_of_metrics_are_the_same_each_time(scored, monkeypatch):
    write_metrics(scored, monkeypatch)
    folder = scored.root / "reports" / "metrics"
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(first) == {"toy.csv", "toy.json", "toy_intervals.csv", "toy_evaluated.json"}
    shutil.rmtree(folder)
    write_metrics(scored, monkeypatch)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    written = pd.read_csv(folder / "toy.csv")
    computed = evaluate_dataset(scored.toy, show_progress=False).metrics
    assert np.allclose(written["value"], computed["value"], atol=5e-7, equal_nan=True)
    assert list(written["metric"]) == list(computed["metric"])


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_text(path.read_text().replace(",1.0\n", ",0.9\n", 1)),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:200]),
        lambda path: path.write_bytes(b"\xff" * 50),
    ],
    ids=["a number", "empty", "truncated", "no text"],
)
@pytest.mark.parametrize("known", [True, False])
def test_metrics_that_are_not_what_was_computed_are_refused_and_computed_anew(scored, monkeypatch, harm, known):
    monkeypatch.setattr(evaluate, "check_controls", lambda *arguments: None)
    evaluate.write_metrics(scored.toy)
    path, before = scored.toy.metrics, scored.toy.metrics.read_bytes()
    harm(path)
    assert path.read_bytes() != before
    if not known:  # as in a fresh copy of the project: what can be seen is told
        scored.toy.evaluated.unlink()
    if known or path.read_bytes()[:1] != b"d":
        with pytest.raises(
            InputError, match=r"metrics .*(changed|damaged)[\s\S]*\nRemedy: run `dvc repro evaluate@toy`"
        ):
            read_metrics(scored.toy)
    evaluate.write_metrics(scored.toy)
    assert path.read_bytes() == before
    assert len(read_metrics(scored.toy))


def test_metrics_of_another_dataset_are_refused(scored, monkeypatch):
    monkeypatch.setattr(evaluate, "check_controls", lambda *arguments: None)
    evaluate.write_metrics(scored.toy)
    scored.toy.evaluated.unlink()
    scored.toy.metrics.write_text(scored.toy.metrics.read_text().replace("toy,", "other,"))
    with pytest.raises(InputError, match=r"toy\.csv are those of other\nRemedy: run `dvc repro evaluate@toy`"):
        read_metrics(scored.toy)


def test_a_result_that_was_exchanged_is_taken_out_of_the_store(scored, capsys):
    folder, before = scored.toy.scores, evaluate.evaluate_dataset(scored.toy, show_progress=False)
    shutil.copyfile(folder / "bolt/all/seed-0.safetensors", folder / "bolt/tenth/seed-0.safetensors")
    (folder / "nut/tenth/seed-1.safetensors").write_bytes(b"half")
    after = evaluate.evaluate_dataset(scored.toy, show_progress=False)
    pd.testing.assert_frame_equal(before.metrics, after.metrics)
    assert capsys.readouterr().err.count("it is copied again out of") == 2


def test_images_that_were_exchanged_after_scoring_are_noticed(scored):
    for path in (scored.root / "images/nut/ground_truth/scratch").iterdir():
        path.write_bytes((scored.root / "images/bolt/ground_truth/scratch" / path.name).read_bytes())
    scored.prepare()
    with pytest.raises(InputError, match="computed from other images than toy/nut has now"):
        evaluate_dataset(scored.toy, show_progress=False)


# Variants that prepare images in their own way, shots, other methods


@pytest.fixture(scope="module")
def mixed_once(scored_once, tmp_path_factory):
    """The toy project with three sizes of images, with shots, and with a method of image scores alone."""
    root = shutil.copytree(scored_once.root, tmp_path_factory.mktemp("mixed") / "project")
    scored = ToyProject(root)
    scored.variants |= {
        "small": {"coreset_fraction": 0.1, "resize": [48, 64]},
        "cropped": {"coreset_fraction": 0.1, "resize": [64, 64], "crop": 40},
        "shrunk": {"coreset_fraction": 0.1, "masks": "bilinear"},
        "near": {"method": "nearest_images"},
    }
    studies = {
        "sizes": {"variants": ["small", "cropped", "shrunk"], "seeds": [0], "categories": ["nut"]},
        "shots": {"variants": ["tenth"], "seeds": [0, 5], "shots": [1, 2, None], "categories": ["nut"]},
    }
    scored.dataset |= {"studies": studies, "variants": ["tenth", "all", "near"]}
    scored.score()
    return scored


@pytest.fixture
def mixed(mixed_once, tmp_path):
    """A copy of that project, to be changed by the test."""
    project = ToyProject(shutil.copytree(mixed_once.root, tmp_path / "project"))
    project.variants, project.dataset = dict(mixed_once.variants), dict(mixed_once.dataset)
    return project


def test_variants_are_evaluated_at_the_size_that_they_prepare_images_at(mixed):
    rows = evaluate_dataset(mixed.toy, show_progress=False).metrics
    params, manifest = mixed.params, Manifest.read(mixed.root / "data/toy/manifest.json", base=mixed.root)
    train, test = (manifest.records("nut", split) for split in ("train", "test"))
    for variant, size in (("small", (48, 64)), ("cropped", (40, 40)), ("shrunk", (64, 64))):
        preprocessing = params.preprocessing("toy", variant)
        model = PatchCore(params.config("toy", variant)).fit(Batches(train, preprocessing, 4))
        maps = model.predict(Batches(test, preprocessing, 4)).maps.numpy()
        masks = ground_truth(test, preprocessing)
        assert maps.shape[1:] == masks.shape[1:] == size
        chosen = rows[(rows["variant"] == variant) & (rows["metric"] == "pixel_auroc")]
        expected = roc_auc_score(masks.ravel(), maps.ravel())
        assert chosen["value"].to_numpy() == pytest.approx([expected], abs=1e-4)


def test_the_rule_for_masks_of_a_variant_changes_its_pixel_metrics_alone(mixed):
    # The defect's border lies between two rows of pixels: bilinear masks lose one.
    nut = evaluate_dataset(mixed.toy, show_progress=False).metrics.query("category == 'nut' and seed == 0")
    nut = nut[nut["shots"].isna()]
    nearest, bilinear = (nut[nut["variant"] == name].set_index("metric")["value"] for name in ("tenth", "shrunk"))
    assert nearest["image_auroc"] == bilinear["image_auroc"]
    assert nearest["pixel_auroc"] != bilinear["pixel_auroc"]


def test_shots_have_rows_of_their_own(mixed):
    rows = evaluate_dataset(mixed.toy, show_progress=False).metrics
    of_tenth = rows[(rows["variant"] == "tenth") & (rows["metric"] == "image_auroc") & (rows["category"] == "nut")]
    found = sorted(
        (-1 if pd.isna(shots) else int(shots), int(seed)) for shots, seed in of_tenth[["shots", "seed"]].to_numpy()
    )
    assert found == [(-1, 0), (-1, 1), (-1, 5), (1, 0), (1, 5), (2, 0), (2, 5)]
    assert rows["shots"].dtype == "Int64"


def test_means_and_intervals_are_of_all_images_and_of_the_main_studys_seeds(mixed):
    rows = evaluate_dataset(mixed.toy, show_progress=False).metrics
    without = rows[rows["shots"].isna()]
    assert summarise(rows) == summarise(without)

    folder = mixed.root / "reports/scores/toy"
    manifest = Manifest.read(mixed.root / "data/toy/manifest.json", base=mixed.root)
    found = evaluate_dataset(mixed.toy, show_progress=False).intervals.query("metric == 'image_auroc'")
    found = found.set_index(["category", "variant"])[["low", "high"]]
    assert set(found.index) == {(c, v) for c in ("bolt", "nut", "mean") for v in ("tenth", "all", "near")}
    drawn = {}
    for category in ("bolt", "nut"):
        scores = {
            cell["seed"]: result.scores
            for cell, result in ScoreIndex.read(folder).results(folder, category=category, variant="tenth")
            if cell["shots"] is None
        }
        labels = np.array([record.label for record in manifest.records(category, "test")])
        drawn[category] = labels, np.stack([scores[0], scores[1]])
        assert tuple(found.loc[category, "tenth"]) == bootstrap_auroc(*drawn[category])
    assert tuple(found.loc["mean", "tenth"]) == bootstrap_mean_auroc([drawn["bolt"], drawn["nut"]])


def test_intervals_of_pixel_metrics_are_of_the_main_studys_cells(mixed):
    found = evaluate_dataset(mixed.toy, show_progress=False).intervals.query("metric != 'image_auroc'")
    assert set(found["variant"]) == {"tenth", "all"}  # the third has no maps
    assert set(found["category"]) == {"bolt", "nut", "mean"}
    before = found
    del mixed.dataset["studies"]
    found = evaluate_dataset(mixed.toy, show_progress=False).intervals.query("metric != 'image_auroc'")
    pd.testing.assert_frame_equal(found, before)


# The ceiling


def test_the_ceiling_of_a_defect_on_the_grid_of_patches_is_lost_to_smoothing_alone():
    masks = np.zeros((2, 64, 64), dtype=bool)
    masks[1, 16:48, 16:48] = True  # whole patches of 8 x 8 pixels
    found = ceiling(Regions.label(masks))
    assert found.keys() == {"pixel_auroc", "pro"}
    assert 0.99 < found["pixel_auroc"] < 1
    assert 0.9 < found["pro"] < 1


def test_the_ceiling_by_hand(monkeypatch):
    # Four patches; the defect is the upper left quarter of one, so that all its 64 pixels score 1/4.
    monkeypatch.setattr(
        of_results, "anomaly_maps", lambda cells, size: anomaly_maps(cells, size, sigma=0, upsampling="nearest")
    )
    masks = np.zeros((1, 16, 16), dtype=bool)
    masks[0, :4, :4] = True
    pairs_won = 192 + 48 / 2  # of 240 nominal pixels, 48 share the defect's patch
    assert ceiling(Regions.label(masks))["pixel_auroc"] == pytest.approx(pairs_won / 240)


def test_images_whose_sides_are_no_multiples_of_the_stride_have_a_ceiling():
    masks = np.zeros((1, 50, 67), dtype=bool)
    masks[0, 40:, 60:] = True
    assert ceiling(Regions.label(masks))["pixel_auroc"] > 0.9


def test_a_dataset_has_its_ceiling_at_its_own_size(mixed):
    rows = evaluate_dataset(mixed.toy, show_progress=False).metrics
    records = Manifest.read(mixed.root / "data/toy/manifest.json", base=mixed.root).records("nut", "test")
    expected = ceiling(Regions.label(ground_truth(records, mixed.params.dataset("toy").preprocessing)))
    chosen = rows[(rows["variant"] == CEILING) & (rows["category"] == "nut")]
    assert dict(zip(chosen["metric"], chosen["value"], strict=True)) == pytest.approx(expected)


# What stops the run


def test_a_control_out_of_range_leaves_no_metrics(scored, monkeypatch):
    monkeypatch.setattr("patchcore_suite.run.controls.LOWEST_CEILING", 1.01)
    with pytest.raises(InputError, match="controls of toy are out of range"):
        write_metrics(scored, monkeypatch)
    assert not (scored.root / "reports/metrics").exists()


# Means


def test_means_over_categories_and_then_over_seeds_by_hand():
    values = {("bolt", 0): 0.5, ("nut", 0): 0.7, ("bolt", 1): 0.9, ("nut", 1): 0.9}
    rows = [["toy", category, "one", seed, "image_auroc", value] for (category, seed), value in values.items()]
    rows += [["toy", "bolt", "one", 0, "threshold", 17.0], ["toy", "bolt", "two", 0, "pro", 1 / 3]]
    found = summarise(table(rows))
    assert found == {"one": {"image_auroc": 0.75}, "two": {"pro": 0.333333}}


def test_the_metrics_that_dvc_shows_are_those_of_patchcore_in_the_main_study(project):
    project.variants |= {"other": {"stride": 2}, "spade": {"method": "spade"}}
    project.dataset |= {
        "variants": ["tenth", "spade"],
        "seeds": [0],
        "studies": {"more": {"variants": ["other"], "seeds": [7]}},
    }
    rows = [["toy", "bolt", variant, seed, "pro", 0.5] for variant in project.variants for seed in (0, 7)]
    found = headline(table(rows), project.toy)
    assert list(zip(found["variant"], found["seed"], strict=True)) == [("tenth", 0)]
    project.dataset["variants"] = ["spade"]
    assert set(headline(table(rows), project.toy)["variant"]) == {"spade"}


def test_a_mean_with_a_metric_that_is_not_available_is_not_available():
    rows = [["toy", category, "one", 0, "pro", value] for category, value in (("bolt", 0.5), ("nut", None))]
    assert summarise(table(rows)) == {"one": {"pro": None}}
    rows = [["toy", category, "one", 0, "pro", None] for category in ("bolt", "nut")]
    assert summarise(table(rows)) == {"one": {"pro": None}}
