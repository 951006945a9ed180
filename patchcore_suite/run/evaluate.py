"""From raw results to metrics, without any inference: a corrected metric costs seconds."""

import argparse
import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.common.progress import progress_bar
from patchcore_core.metrics import Regions
from patchcore_core.metrics.pixels import PART
from patchcore_suite.baselines.config import RandomScoresConfig
from patchcore_suite.datasets.images import map_ahead
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.run.asked_metrics import check_asked
from patchcore_suite.run.controls import CEILING, check_controls, is_control
from patchcore_suite.run.evaluated import note_evaluated
from patchcore_suite.run.intervals import MainStudyIntervals
from patchcore_suite.run.leftovers import clear_reports
from patchcore_suite.run.metric_registry import METRICS
from patchcore_suite.run.raw_results import ScoreIndex
from patchcore_suite.run.result_metrics import (
    Judged,
    ceiling,
    ground_truth,
    maps_of,
    random_deviation,
    result_metrics,
)
from patchcore_suite.run.rounding import write_frame_unless_same, write_json_unless_same
from patchcore_suite.settings.project import ProjectDataset, load_project

COLUMNS = ["dataset", "category", "variant", "shots", "seed", "metric", "value"]
DIGITS = 6  # of the metrics' files; a table shows fewer


class Evaluation(NamedTuple):
    """What a dataset's raw results are worth.

    Attributes:
        metrics: in long form, `COLUMNS`: one row a category, variant, seed and metric; `value` is empty where a metric
            is not available.
        intervals: of the main study, see `MainStudyIntervals.frame`.
        random_pixels: standard deviation of the pixel AUROC of random scores, by category and variant.
    """

    metrics: pd.DataFrame
    intervals: pd.DataFrame
    random_pixels: Mapping[tuple[str, str], float]


def evaluate_dataset(dataset: ProjectDataset, *, show_progress: bool = True) -> Evaluation:
    """Every metric of every raw result of a dataset, each read once, and the intervals of the main study.

    Raises:
        InputError: results are missing, damaged, or of other images than there are now.
    """
    index, manifest, intervals = ScoreIndex.read(dataset.scores), dataset.manifest(), MainStudyIntervals(dataset)
    check_asked(dataset, manifest)
    rows: list[list[object]] = []
    random_pixels: dict[tuple[str, str], float] = {}

    def evaluate(found: tuple[Mapping[str, object], Judged]) -> tuple[object, ...]:
        cell, judged = found
        values = result_metrics(judged, dataset.asked)
        return cell, judged, values, intervals.statistics(cell, judged.regions, judged.maps)

    with progress_bar(len(index.cells), f"{dataset.name}: metrics", unit="cell", show=show_progress) as bar:
        for number, category in enumerate(manifest.categories):
            manifest.check_unchanged(category)
            labels = np.array([record.label for record in manifest.records(category, "test")])
            masks: dict[Preprocessing, Regions | None] = {}
            results = judged_results(dataset, manifest, index, category, masks)
            workers = at_once(dataset.preprocessing(), manifest, category)
            for cell, judged, values, statistics in map_ahead(evaluate, results, workers):
                about = [dataset.name, category, cell["variant"], cell["shots"], cell["seed"]]
                rows += [[*about, metric, value] for metric, value in values.items()]
                intervals.add(cell, labels, judged.scores, statistics)
                if judged.maps is not None and judged.result.stamp["method"] == RandomScoresConfig.method:
                    deviation = random_deviation(judged.result, judged.regions.masks)
                    random_pixels[category, cell["variant"]] = deviation
                bar.update(1)
            intervals.close(category, labels, number=number)
            given = masks.get(dataset.preprocessing())
            if given is not None and given.masks.any():
                values = ceiling(given)
                rows += [[dataset.name, category, CEILING, None, 0, metric, value] for metric, value in values.items()]
    frame = pd.DataFrame(rows, columns=COLUMNS).astype({"shots": "Int64"})
    return Evaluation(frame, intervals.frame(), random_pixels)


def judged_results(
    dataset: ProjectDataset,
    manifest: Manifest,
    index: ScoreIndex,
    category: str,
    masks: dict[Preprocessing, Regions | None],
) -> Iterator[tuple[Mapping[str, object], Judged]]:
    """The cells of a category, each with its raw result beside the truth.

    Args:
        masks: are filled with the regions of each way to prepare the images.

    Raises:
        InputError: a result is missing, damaged, or of other images than there are now.
    """
    records = manifest.records(category, "test")
    labels = np.array([record.label for record in records])
    for cell, result in index.results(dataset.scores, category=category, store=dataset.project.cells):
        if result.stamp["images_sha256"] != manifest.digest(category):
            raise InputError(
                f"{cell['file']} was computed from other images than {dataset.name}/{category} has now",
                remedy=f"run `dvc repro score@{dataset.name}`",
            )
        preprocessing = Preprocessing(**result.stamp["preprocessing"])
        if preprocessing not in masks:
            given = ground_truth(records, preprocessing)
            masks[preprocessing] = None if given is None else Regions.label(given)
        regions = masks[preprocessing]
        mapped = result.distances is not None and regions is not None and regions.masks.any()
        yield cell, Judged(result, labels, regions, maps_of(result, regions.masks.shape[1:]) if mapped else None)


def at_once(preprocessing: Preprocessing, manifest: Manifest, category: str) -> int:
    """How many results to judge side by side: none where the maps of one are enough for all cores (see `metrics`)."""
    height, width = preprocessing.size(manifest.entries[category][0].size)
    pixels = len(manifest.records(category, "test")) * height * width
    return 0 if pixels > PART else os.cpu_count() or 1


def summarise(rows: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """Means over categories, then over seeds, by variant and metric."""
    shown = [metric.name for metric in METRICS.values() if metric.summary]
    chosen = rows[rows["metric"].isin(shown) & rows["shots"].isna()]
    by_seed = chosen.groupby(["variant", "metric", "seed"])["value"].agg(lambda values: values.mean(skipna=False))
    means = by_seed.groupby(["variant", "metric"]).mean()
    return {
        variant: {
            metric: None if pd.isna(value) else round(float(value), DIGITS) for (_, metric), value in of_variant.items()
        }
        for variant, of_variant in means.groupby(level="variant")
    }


def headline(rows: pd.DataFrame, dataset: ProjectDataset) -> pd.DataFrame:
    """The rows that `dvc metrics show` prints the means of: PatchCore in the main study, so that they fit a screen.

    Controls are left out, and a main study without PatchCore is shown whole. Seeds of other studies are left out too:
    they may lack categories.
    """
    variants = [variant for variant in dataset.variants if not is_control(dataset, variant)]
    patchcore = [variant for variant in variants if dataset.config(variant).method == "patchcore"]
    return rows[rows["variant"].isin(patchcore or variants) & rows["seed"].isin(dataset.seeds)]


def write_metrics(dataset: ProjectDataset) -> None:
    """Write all metrics of a dataset, their intervals, and the means that `dvc metrics show` prints.

    Raises:
        InputError: results are missing or of other images, or a control is out of range; what was there stays then.
    """
    found, manifest = evaluate_dataset(dataset), dataset.manifest()
    labels = {
        category: np.array([record.label for record in manifest.records(category, "test")])
        for category in manifest.categories
    }
    check_controls(found.metrics, labels, dataset, found.random_pixels)
    write_frame_unless_same(dataset.metrics, found.metrics, digits=DIGITS)
    write_frame_unless_same(dataset.intervals, found.intervals, digits=DIGITS)
    write_json_unless_same(dataset.summary, summarise(headline(found.metrics, dataset)))
    note_evaluated(dataset)


def main() -> None:
    """Write reports/metrics/NAME.csv (all rows), NAME_intervals.csv and NAME.json (means)."""
    parser = argparse.ArgumentParser(prog="python -m patchcore_suite.run.evaluate", description=__doc__)
    parser.add_argument("dataset", help="its name in params.yaml")
    dataset = load_project().dataset(parser.parse_args().dataset)
    clear_reports(dataset.project)
    write_metrics(dataset)


if __name__ == "__main__":
    with exit_on_input_error():
        main()
