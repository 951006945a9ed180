"""From raw results to metrics, without any inference: a corrected metric costs seconds."""

import argparse
from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from patchcore_core import metrics
from patchcore_core.config import PatchCoreConfig
from patchcore_core.datasets.images import Preprocessing, mask_array, read_mask
from patchcore_core.datasets.manifest import Manifest
from patchcore_core.datasets.records import Record
from patchcore_core.errors import InputError, exit_on_input_error
from patchcore_core.files import write_json, write_text
from patchcore_core.params import Params, load_params
from patchcore_core.progress import progress_bar
from patchcore_core.results import RawResult, ScoreIndex
from patchcore_core.scoring import anomaly_maps

COLUMNS = ["dataset", "category", "variant", "seed", "metric", "value"]
DIGITS = 6  # of the metrics' files; a table shows fewer


def evaluate_dataset(name: str, params: Params, *, show_progress: bool = True) -> pd.DataFrame:
    """Every metric of every raw result of a dataset, in long form.

    Returns:
        one row a category, variant, seed and metric; `value` is empty where a metric is not available.
    """
    params.dataset(name)  # an unknown name is an error here, not a missing file later
    folder = params.path(f"reports/scores/{name}")
    index = ScoreIndex.read(folder)
    manifest = Manifest.read(params.path(f"data/{name}/manifest.json"), base=params.root)
    preprocessing = Preprocessing(**index.preprocessing)
    rows = []
    with progress_bar(len(index.cells), f"{name}: metrics", unit="cell", show=show_progress) as bar:
        for category in manifest.categories:
            manifest.check_unchanged(category)
            records = manifest.records(category, "test")
            masks = ground_truth(records, preprocessing)
            for cell, result in index.results(folder, category=category):
                if result.stamp["images_sha256"] != manifest.digest(category):
                    raise InputError(
                        f"{cell['file']} was computed from other images than {name}/{category} has now",
                        remedy=f"run `dvc repro score@{name}`",
                    )
                for metric, value in evaluate(result, records, masks).items():
                    rows.append([name, category, cell["variant"], cell["seed"], metric, value])
                bar.update(1)
    return pd.DataFrame(rows, columns=COLUMNS)


def ground_truth(records: list[Record], preprocessing: Preprocessing) -> NDArray[np.bool_] | None:
    """Masks (n, H, W) of test images at the size that they are scored at; None if an anomalous image has none."""
    if any(record.label and record.mask is None for record in records):
        return None
    return np.stack([mask_array(read_mask(record), preprocessing) for record in records])


def evaluate(
    result: RawResult, records: list[Record], masks: NDArray[np.bool_] | None
) -> Mapping[str, float | int | None]:
    """The metrics of one raw result; those that need masks are None where there are none.

    Args:
        records: the n test images, in the result's order.
        masks: (n, H, W).
    """
    labels = np.array([record.label for record in records])
    f1 = metrics.f1_optimum(labels, result.scores)
    values = {
        "image_auroc": metrics.image_auroc(labels, result.scores),
        "image_auroc_reweighted": metrics.image_auroc(labels, result.reweighted_scores),
        "f1": f1.f1,
        "threshold": f1.threshold,
        "false_positives": f1.false_positives,
        "false_negatives": f1.false_negatives,
        "test_images": len(labels),
        "memory_bank": len(result.coreset_indices),
        "pixel_auroc": None,
        "pro": None,
        "defects_cropped_away": None,
    }
    if masks is None:
        return values
    config = PatchCoreConfig.from_mapping(result.stamp["config"], where="the result's config")
    distances = torch.from_numpy(result.distances)
    maps = anomaly_maps(distances, masks.shape[1:], sigma=config.smoothing_sigma).numpy()
    cropped_away = int((labels.astype(bool) & ~masks.any(axis=(1, 2))).sum())
    values["defects_cropped_away"] = cropped_away
    return values | (metrics.pixel_metrics(masks, maps) if masks.any() else {})


def summarise(rows: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """Means over categories, then over seeds, by variant and metric: what `dvc metrics show` prints."""
    ranked = ["image_auroc", "image_auroc_reweighted", "pixel_auroc", "pro"]
    chosen = rows[rows["metric"].isin(ranked)]
    by_seed = chosen.groupby(["variant", "metric", "seed"])["value"].agg(lambda values: values.mean(skipna=False))
    means = by_seed.groupby(["variant", "metric"]).mean()
    return {
        variant: {
            metric: None if pd.isna(value) else round(float(value), DIGITS) for (_, metric), value in of_variant.items()
        }
        for variant, of_variant in means.groupby(level="variant")
    }


def main() -> None:
    """Write reports/metrics/NAME.csv (all rows) and NAME.json (means)."""
    parser = argparse.ArgumentParser(prog="python -m patchcore_core.evaluation", description=__doc__)
    parser.add_argument("dataset", help="its name in params.yaml")
    name = parser.parse_args().dataset
    params = load_params()
    rows = evaluate_dataset(name, params)
    write_text(params.path(f"reports/metrics/{name}.csv"), rows.round(DIGITS).to_csv(index=False, lineterminator="\n"))
    write_json(params.path(f"reports/metrics/{name}.json"), summarise(rows))


if __name__ == "__main__":
    with exit_on_input_error():
        main()
