import numpy as np
import pytest
import torch

from patchcore_core import metrics
from patchcore_core.scoring import anomaly_maps
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.run.evaluate import evaluate_dataset
from patchcore_suite.run.image_intervals import stratified_counts
from patchcore_suite.run.percentiles import percentile_interval
from patchcore_suite.run.pixel_intervals import PIXEL_METRICS, pixel_replicates, pixel_statistics
from patchcore_suite.run.raw_results import RawResult, ScoreIndex
from patchcore_suite.run.resamples import CellName, cell_replicates
from patchcore_suite.run.result_metrics import ground_truth


def pixel_rows(project):
    return evaluate_dataset(project.toy, show_progress=False).intervals.query("metric != 'image_auroc'")


@pytest.fixture
def write_results(project):
    """Write results of variants, by category and seed, as the score stage does; distances None: image scores only."""

    def write(of_variants, scores=None):
        folder, cells = project.root / "reports/scores/toy", []
        manifest = project.toy.manifest()
        stamp = {
            "preprocessing": {"resize": [64, 64], "crop": None},
            "config": {"smoothing_sigma": 2},
            "method": "patchcore",
            "key": "a",
        }
        for (variant, category, seed), distances in of_variants.items():
            images = len(manifest.records(category, "test"))
            path = folder / category / f"{variant}-{seed}.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            about = stamp | {"images_sha256": manifest.digest(category)}
            given = np.zeros(images, dtype=np.float32) if scores is None else scores[variant, category, seed]
            RawResult(scores=given, stamp=about, distances=distances).write(path)
            about = {"category": category, "variant": variant, "shots": None, "seed": seed}
            cells.append(about | {"file": str(path.relative_to(folder)), "key": "a"})
        ScoreIndex("toy", False, "folder", tuple(cells), ()).write(folder)
        return manifest

    return write


def test_rows_of_pixel_metrics_are_those_of_the_maps(project, write_results):
    cells = [(variant, category, 0) for variant in ("tenth", "all") for category in ("bolt", "nut")]
    distances = {cell: np.random.default_rng(n).random((4, 8, 8), dtype=np.float32) for n, cell in enumerate(cells)}
    distances["all", "nut", 0] = None  # image scores only
    distances["tenth", "nut", 1] = np.random.default_rng(9).random((4, 8, 8), dtype=np.float32)
    manifest = write_results(distances | {("stride-2", "bolt", 0): distances[cells[0]]})  # of a study
    rows = pixel_rows(project)

    drawn = {}
    for number, category in enumerate(("bolt", "nut")):
        records = manifest.records(category, "test")
        masks = ground_truth(records, Preprocessing(resize=(64, 64)))
        of_seeds = [
            pixel_statistics(masks, anomaly_maps(torch.from_numpy(distances[cell]), (64, 64), sigma=2).numpy())
            for cell in distances
            if cell[:2] == ("tenth", category)
        ]
        drawn[category] = pixel_replicates([record.label for record in records], of_seeds, category=number)
    drawn["mean"] = {metric: (drawn["bolt"][metric] + drawn["nut"][metric]) / 2 for metric in PIXEL_METRICS}
    found = {(row.variant, row.metric, row.category): (row.low, row.high) for row in rows.itertuples()}
    for category, of_metric in drawn.items():
        for metric, values in of_metric.items():
            assert found["tenth", metric, category] == pytest.approx(percentile_interval(values))
    # The other variant has maps in one category only: no mean. A variant that only a study asks for has no rows.
    assert {(row.variant, row.category) for row in rows.itertuples() if row.variant != "tenth"} == {("all", "bolt")}
    assert len(rows) == 9 + 3


def test_a_dataset_without_any_maps_has_no_rows_of_pixel_metrics(project, write_results):
    write_results({("all", "bolt", 0): None})
    rows = pixel_rows(project)
    assert rows.empty
    assert rows["low"].dtype == rows["high"].dtype == float  # else rows that are put above them are never rounded


def test_replicates_are_the_metrics_of_the_same_drawn_images_for_all_results(project, write_results):
    cells = [("tenth", "bolt", 0), ("all", "bolt", 0), ("all", "nut", 1), ("tenth", "nut", 0)]
    distances = {cell: np.random.default_rng(n).random((4, 8, 8), dtype=np.float32) for n, cell in enumerate(cells)}
    distances["all", "nut", 1] = None  # image scores only
    scores = {cell: np.random.default_rng(9 + n).random(4, dtype=np.float32) for n, cell in enumerate(cells)}
    manifest = write_results(distances, scores)
    left_out = CellName("nut", "tenth", None, 0)
    found = cell_replicates(project.toy, ["image_auroc", "pro"], wanted=lambda cell: cell != left_out)
    assert {cell: list(of) for cell, of in found.items()} == {
        ("bolt", "tenth", None, 0): ["image_auroc", "pro"],
        ("bolt", "all", None, 0): ["image_auroc", "pro"],
        ("nut", "all", None, 1): ["image_auroc"],
    }
    for (category, variant, _, seed), values in found.items():
        records = manifest.records(category, "test")
        labels, masks = np.array([one.label for one in records]), ground_truth(records, Preprocessing(resize=(64, 64)))
        counts = stratified_counts(labels.astype(bool), 1000, np.random.default_rng([0, category == "nut"]))[:20]
        for number, drawn in enumerate(np.repeat(np.arange(4), of_images) for of_images in counts):
            own = scores[variant, category, seed][drawn]
            assert values["image_auroc"][number] == pytest.approx(metrics.image_auroc(labels[drawn], own))
            if "pro" in values:
                maps = anomaly_maps(torch.from_numpy(distances[variant, category, seed]), (64, 64), sigma=2).numpy()
                assert values["pro"][number] == pytest.approx(metrics.pro(masks[drawn], maps[drawn]), abs=1e-3)
