"""From raw results to metrics, without any inference: a corrected metric costs seconds."""

import argparse
import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from patchcore_core import metrics
from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.common.files import write_json, write_text
from patchcore_core.common.progress import progress_bar
from patchcore_core.metrics import (
    PIXEL_METRICS,
    bootstrap_auroc,
    bootstrap_mean_auroc,
    percentile_interval,
    pixel_replicates,
    pixel_statistics,
)
from patchcore_core.scoring import anomaly_maps
from patchcore_suite.datasets.images import mask_array, read_mask
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import Record
from patchcore_suite.run.controls import CEILING, check_controls, is_control
from patchcore_suite.run.raw_results import RawResult, ScoreIndex
from patchcore_suite.settings.project import ProjectDataset, load_project

COLUMNS = ["dataset", "category", "variant", "shots", "seed", "metric", "value"]
CEILING_STRIDE = 8  # pixels, of hierarchy 2
INTERVAL_COLUMNS = ["dataset", "category", "variant", "metric", "low", "high"]
DIGITS = 6  # of the metrics' files; a table shows fewer


def evaluate_dataset(dataset: ProjectDataset, *, show_progress: bool = True) -> pd.DataFrame:
    """Every metric of every raw result of a dataset, in long form.

    Returns:
        one row a category, variant, seed and metric; `value` is empty where a metric is not available.
    """
    folder = dataset.scores
    index = ScoreIndex.read(folder)
    manifest = dataset.manifest()
    rows = []
    with progress_bar(len(index.cells), f"{dataset.name}: metrics", unit="cell", show=show_progress) as bar:
        for category in manifest.categories:
            manifest.check_unchanged(category)
            records = manifest.records(category, "test")
            masks: dict[Preprocessing, metrics.Regions | None] = {}
            for cell, result in index.results(folder, category=category):
                if result.stamp["images_sha256"] != manifest.digest(category):
                    raise InputError(
                        f"{cell['file']} was computed from other images than {dataset.name}/{category} has now",
                        remedy=f"run `dvc repro score@{dataset.name}`",
                    )
                preprocessing = Preprocessing(**result.stamp["preprocessing"])
                if preprocessing not in masks:
                    given = ground_truth(records, preprocessing)
                    masks[preprocessing] = None if given is None else metrics.Regions.label(given)
                values = result_metrics(result, records, masks[preprocessing])
                about = [dataset.name, category, cell["variant"], cell["shots"], cell["seed"]]
                rows += [[*about, metric, value] for metric, value in values.items()]
                bar.update(1)
            given = masks.get(dataset.preprocessing())
            if given is not None and given.masks.any():
                values = ceiling(given)
                rows += [[dataset.name, category, CEILING, None, 0, metric, value] for metric, value in values.items()]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"shots": "Int64"})


def image_metric_intervals(dataset: ProjectDataset) -> pd.DataFrame:
    """95 % bootstrap intervals over test images of the main study's image AUROC, by category and of their mean.

    Returns:
        columns dataset, category ("mean" for the mean over all), variant, metric, low, high.
    """
    folder = dataset.scores
    manifest = dataset.manifest()
    scores: dict[str, dict[str, list[NDArray]]] = {}
    for cell, result in ScoreIndex.read(folder).results(folder):
        if _in_main_study(cell, dataset):
            scores.setdefault(cell["variant"], {}).setdefault(cell["category"], []).append(result.scores)
    rows = []
    for variant, by_category in scores.items():
        drawn = []
        for category, of_seeds in by_category.items():
            labels = np.array([record.label for record in manifest.records(category, "test")])
            drawn.append((labels, np.stack(of_seeds)))
            rows.append([dataset.name, category, variant, "image_auroc", *bootstrap_auroc(*drawn[-1])])
        rows.append([dataset.name, "mean", variant, "image_auroc", *bootstrap_mean_auroc(drawn)])
    return pd.DataFrame(rows, columns=INTERVAL_COLUMNS)


def pixel_metric_intervals(dataset: ProjectDataset, *, show_progress: bool = True) -> pd.DataFrame:
    """The same of its pixel metrics, `intervals.PIXEL_METRICS`.

    Maps are computed a second time, which costs little beside their metrics. Of each, only counts are kept, and of a
    category, only its replicates.

    Returns:
        the columns of `image_intervals`; no row where a metric is not available, nor of the mean if it is not
        available in some category.
    """
    folder = dataset.scores
    manifest = dataset.manifest()
    index = ScoreIndex.read(folder)
    index = replace(index, cells=tuple(cell for cell in index.cells if _in_main_study(cell, dataset)))
    drawn: dict[str, dict[str, Mapping[str, NDArray]]] = {}  # by variant, then category
    with progress_bar(len(index.cells), f"{dataset.name}: intervals", unit="cell", show=show_progress) as bar:
        for number, category in enumerate(manifest.categories):
            records = manifest.records(category, "test")
            labels = [record.label for record in records]
            masks: dict[Preprocessing, metrics.Regions | None] = {}
            for variant in dict.fromkeys(cell["variant"] for cell in index.cells):
                of_seeds = []
                for _, result in index.results(folder, category=category, variant=variant):
                    preprocessing = Preprocessing(**result.stamp["preprocessing"])
                    if preprocessing not in masks:
                        given = ground_truth(records, preprocessing)
                        masks[preprocessing] = None if given is None else metrics.Regions.label(given)
                    given = masks[preprocessing]
                    if result.distances is not None and given is not None and given.masks.any():
                        of_seeds.append(pixel_statistics(given, maps_of(result, given.masks.shape[1:])))
                    bar.update(1)
                if of_seeds:
                    drawn.setdefault(variant, {})[category] = pixel_replicates(labels, of_seeds, category=number)
    rows = []
    for variant, by_category in drawn.items():
        for metric in PIXEL_METRICS:
            values = {category: of_metric[metric] for category, of_metric in by_category.items()}
            if len(values) == len({cell["category"] for cell in index.cells if cell["variant"] == variant}):
                values["mean"] = np.mean(list(values.values()), axis=0)
            rows += [
                [dataset.name, category, variant, metric, *percentile_interval(of)] for category, of in values.items()
            ]
    return pd.DataFrame(rows, columns=INTERVAL_COLUMNS).astype({"low": float, "high": float})


def ceiling(regions: metrics.Regions) -> Mapping[str, float]:
    """Pixel metrics (see `metrics.pixel_metrics`) of the ground truth itself, as coarse and blurred as a map is.

    A pixel's score is its mask averaged over the cells of a grid of stride 8, brought back to the image's size and
    smoothed: no method that scores such patches can be expected to do better.

    Args:
        regions: of masks (n, H, W).
    """
    height, width = regions.masks.shape[1:]
    cells = F.adaptive_avg_pool2d(
        torch.from_numpy(regions.masks).float(),
        (math.ceil(height / CEILING_STRIDE), math.ceil(width / CEILING_STRIDE)),
    )
    return metrics.pixel_metrics(regions, anomaly_maps(cells, (height, width)).numpy())


def ground_truth(records: list[Record], preprocessing: Preprocessing) -> NDArray[np.bool_] | None:
    """Masks (n, H, W) of test images at the size that they are scored at; None if an anomalous image has none."""
    if any(record.label and record.mask is None for record in records):
        return None
    return np.stack([mask_array(read_mask(record), preprocessing) for record in records])


def result_metrics(
    result: RawResult, records: list[Record], regions: metrics.Regions | None
) -> Mapping[str, float | int | None]:
    """The metrics of one raw result; those that need masks are None where there are none.

    Args:
        records: the n test images, in the result's order.
        regions: of their masks (n, H, W).
    """
    labels = np.array([record.label for record in records])
    f1 = metrics.f1_optimum(labels, result.scores)
    values = {
        "image_auroc": metrics.image_auroc(labels, result.scores),
        "image_auroc_reweighted": None,
        "f1": f1.f1,
        "threshold": f1.threshold,
        "false_positives": f1.false_positives,
        "false_negatives": f1.false_negatives,
        "test_images": len(labels),
        "memory_bank": result.stamp.get("memory_bank", [None])[0],
        "bank_utilisation": None,
        "covering_radius": result.stamp.get("covering_radius"),
        "pixel_auroc": None,
        "pro": None,
        "pro_per_image": None,
        "defects_cropped_away": None,
    }
    if result.reweighted_scores is not None:
        values["image_auroc_reweighted"] = metrics.image_auroc(labels, result.reweighted_scores)
    if result.indices is not None:
        values["bank_utilisation"] = metrics.bank_utilisation(result.indices, values["memory_bank"])
    if regions is None:
        return values
    masks = regions.masks
    values["defects_cropped_away"] = int((labels.astype(bool) & ~masks.any(axis=(1, 2))).sum())
    if result.distances is None or not masks.any():
        return values
    maps = maps_of(result, masks.shape[1:])
    return values | metrics.pixel_metrics(regions, maps) | {"pro_per_image": metrics.pro_per_image(regions, maps)}


def maps_of(result: RawResult, size: tuple[int, int]) -> NDArray[np.float32]:
    """Anomaly maps (n, H, W) of a result with distances, as its config asks for."""
    config = result.stamp["config"]
    return anomaly_maps(
        torch.from_numpy(result.distances),
        size,
        sigma=config["smoothing_sigma"],
        upsampling=config.get("upsampling", "bilinear"),
    ).numpy()


def summarise(rows: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """Means over categories, then over seeds, by variant and metric."""
    ranked = ["image_auroc", "pixel_auroc", "pro"]
    chosen = rows[rows["metric"].isin(ranked) & rows["shots"].isna()]
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


def _in_main_study(cell: Mapping[str, object], dataset: ProjectDataset) -> bool:
    return cell["shots"] is None and cell["variant"] in dataset.variants and cell["seed"] in dataset.seeds


def write_metrics(dataset: ProjectDataset) -> None:
    """Write all metrics of a dataset, their intervals, and the means that `dvc metrics show` prints.

    Raises:
        InputError: results are missing or of other images, or a control is out of range; what was there stays then.
    """
    rows, manifest = evaluate_dataset(dataset), dataset.manifest()
    labels = {
        category: np.array([record.label for record in manifest.records(category, "test")])
        for category in manifest.categories
    }
    check_controls(rows, labels, dataset)
    write_text(dataset.metrics, rows.round(DIGITS).to_csv(index=False, lineterminator="\n"))
    intervals = pd.concat([image_metric_intervals(dataset), pixel_metric_intervals(dataset)])
    text = intervals.round(DIGITS).to_csv(index=False, lineterminator="\n")
    write_text(dataset.intervals, text)
    write_json(dataset.summary, summarise(headline(rows, dataset)))


def main() -> None:
    """Write reports/metrics/NAME.csv (all rows), NAME_intervals.csv and NAME.json (means)."""
    parser = argparse.ArgumentParser(prog="python -m patchcore_suite.run.evaluate", description=__doc__)
    parser.add_argument("dataset", help="its name in params.yaml")
    write_metrics(load_project().dataset(parser.parse_args().dataset))


if __name__ == "__main__":
    with exit_on_input_error():
        main()
