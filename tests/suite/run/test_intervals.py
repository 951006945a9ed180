import numpy as np
import pytest
import torch

from patchcore_core.scoring import anomaly_maps
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.run.evaluate import evaluate_dataset
from patchcore_suite.run.image_intervals import percentile_interval
from patchcore_suite.run.pixel_intervals import PIXEL_METRICS, pixel_replicates, pixel_statistics
from patchcore_suite.run.raw_results import RawResult, ScoreIndex
from patchcore_suite.run.result_metrics import ground_truth


def pixel_rows(project):
    return evaluate_dataset(project.toy, show_progress=False).intervals.query("metric != 'image_auroc'")


@pytest.fixture
def write_results(project):
    """Write results of variants, by category and seed, as the score stage does; distances None: image scores only."""

    def write(of_variants):
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
            RawResult(scores=np.zeros(images, dtype=np.float32), stamp=about, distances=distances).write(path)
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
