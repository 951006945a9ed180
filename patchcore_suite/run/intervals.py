"""95 % bootstrap intervals over test images, of the metrics of a dataset's main study."""

import math
from collections import ChainMap
from collections.abc import Mapping, Sequence
from pkgutil import resolve_name

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchcore_core.metrics import Regions, image_auroc
from patchcore_suite.datasets.names import MEAN, shown
from patchcore_suite.run.asked_intervals import ASKED_PIXEL_METRICS, asked_statistics
from patchcore_suite.run.image_intervals import bootstrap_mean_auroc, stratified_counts
from patchcore_suite.run.metric_registry import IMAGES, METRICS, Metric, wanted
from patchcore_suite.run.percentiles import percentile_interval
from patchcore_suite.run.pixel_intervals import PIXEL_METRICS, Resampled, pixel_replicates, pixel_statistics
from patchcore_suite.settings.project import ProjectDataset

REPLICATES = 1000  # resamples
INTERVAL_COLUMNS = ["dataset", "category", "variant", "metric", "low", "high"]


class MainStudyIntervals:
    """Gathers what the intervals need while results are read, one category after the other.

    Of a map only counts are kept, and of a category only its replicates.
    """

    def __init__(self, dataset: ProjectDataset) -> None:
        self._dataset = dataset
        self._scores: dict[str, dict[str, tuple[NDArray, list[NDArray]]]] = {}  # by variant, then category
        self._statistics: dict[str, list[Sequence[Resampled]]] = {}  # of this category, by variant
        self._drawn: dict[str, dict[str, Mapping[str, NDArray]]] = {}  # by variant, then category

    def statistics(
        self, cell: Mapping[str, object], regions: Regions | None, maps: NDArray | None
    ) -> Sequence[Resampled] | None:
        """What `add` needs to know of a result's maps (n, H, W); None where there are none, or no interval is drawn."""
        if maps is None or not self._counts(cell):
            return None
        asked = set(ASKED_PIXEL_METRICS) & set(self._dataset.asked)
        return [pixel_statistics(regions, maps), *([asked_statistics(regions, maps)] if asked else [])]

    def add(
        self, cell: Mapping[str, object], labels: NDArray, scores: NDArray, statistics: Sequence[Resampled] | None
    ) -> None:
        """Take a result of the current category into account, if it belongs to the main study.

        Args:
            cell: its category, variant, shots and seed.
            labels, scores: (n,) of the test images.
            statistics: of the result, of each kind.
        """
        if not self._counts(cell):
            return
        variant = cell["variant"]
        of_category = self._scores.setdefault(variant, {}).setdefault(cell["category"], (labels, []))
        of_category[1].append(scores)
        if statistics is not None:
            self._statistics.setdefault(variant, []).append(statistics)

    def _counts(self, cell: Mapping[str, object]) -> bool:
        """Whether a cell belongs to the main study."""
        of_main = cell["variant"] in self._dataset.variants and cell["seed"] in self._dataset.seeds
        return of_main and cell["shots"] is None

    def close(self, category: str, labels: Sequence[int], *, number: int) -> None:
        """Draw the resamples of a category; its number keeps its draws apart from those of others."""
        for variant, of_seeds in self._statistics.items():
            of_kinds = [pixel_replicates(labels, kind, category=number) for kind in zip(*of_seeds, strict=True)]
            self._drawn.setdefault(variant, {})[category] = dict(ChainMap(*of_kinds))
        self._statistics = {}

    def frame(self) -> pd.DataFrame:
        """All intervals.

        Returns:
            columns dataset, category (as `names.shown`, or `names.MEAN` for the mean over all), variant, metric, low,
            high; no row where a metric is not available, nor of the mean if it is not available in some category.
        """
        rows = [[self._dataset.name, *row] for row in (*self._image_rows(), *self._pixel_rows())]
        return pd.DataFrame(rows, columns=INTERVAL_COLUMNS).astype({"low": float, "high": float})

    def _image_rows(self) -> list[list[object]]:
        rows = []
        for variant, by_category in self._scores.items():
            drawn = {category: (labels, np.stack(scores)) for category, (labels, scores) in by_category.items()}
            metrics = wanted(self._dataset.asked)
            for metric in (metric for metric in metrics if metric.interval and metric.needs == IMAGES):
                rows += [
                    [shown(category), variant, metric.name, *_interval(metric, [of])] for category, of in drawn.items()
                ]
                rows.append([MEAN, variant, metric.name, *_interval(metric, list(drawn.values()))])
        return rows

    def _pixel_rows(self) -> list[list[object]]:
        rows = []
        for variant, by_category in self._drawn.items():
            pixel = (*PIXEL_METRICS, *(name for name in ASKED_PIXEL_METRICS if name in self._dataset.asked))
            for metric in (name for name in pixel if METRICS[name].interval):
                values = {shown(category): of_metric[metric] for category, of_metric in by_category.items()}
                if len(values) == len(self._scores[variant]):
                    values[MEAN] = np.mean(list(values.values()), axis=0)
                rows += [[category, variant, metric, *percentile_interval(of)] for category, of in values.items()]
        return rows


def _interval(metric: Metric, categories: Sequence[tuple[NDArray, NDArray]]) -> tuple[float, float]:
    """The interval of an image metric's mean over categories, and over the seeds of each.

    Args:
        categories: labels (n,) and scores (seeds, n) of each.
    """
    function = resolve_name(metric.function)
    if function is image_auroc:
        return bootstrap_mean_auroc(categories)
    total = np.zeros(REPLICATES)
    for number, (labels, of_seeds) in enumerate(categories):
        anomalous = np.asarray(labels, dtype=bool)
        if min(anomalous.sum(), (~anomalous).sum()) < 2:  # nothing to draw from
            return math.nan, math.nan
        counts = stratified_counts(anomalous, REPLICATES, np.random.default_rng([0, number]))
        drawn = [np.repeat(np.arange(len(labels)), of_images) for of_images in counts]
        values = [[function(labels[images], scores[images]) for images in drawn] for scores in of_seeds]
        total += np.mean(values, axis=0)
    return percentile_interval(total / len(categories))
