"""The metrics of one raw result, and what they are compared with: the ground truth, and how good it can get."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pkgutil import resolve_name
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from patchcore_core import metrics
from patchcore_core.metrics.pixels import MAX_FPR, Curve, curve_auroc, curve_of, curve_pro, regions_and_maps
from patchcore_core.scoring import anomaly_maps
from patchcore_suite.datasets.images import mask_array, read_mask
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import Record
from patchcore_suite.metrics import decisions
from patchcore_suite.run.metric_registry import Metric, wanted
from patchcore_suite.run.random_pixels import pixel_auroc_deviation
from patchcore_suite.run.raw_results import RawResult

CEILING_STRIDE = 8  # pixels, of hierarchy 2


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


@dataclass(frozen=True)
class Judged:
    """A raw result beside the truth: what a metric may need. What a result does not have is None.

    Attributes:
        labels: (n,) of the test images, in the result's order.
        regions: of their masks (n, H, W).
        maps: (n, H, W), see `maps_of`; None where there are no distances, no masks or no defect.
    """

    result: RawResult
    labels: NDArray[np.integer]
    regions: metrics.Regions | None
    maps: NDArray[np.float32] | None

    @property
    def kinds(self) -> NDArray[np.integer] | None:
        """The labels, if there are nominal and anomalous images to be told apart."""
        return None if self.labels.all() or not self.labels.any() else self.labels

    @property
    def scores(self) -> NDArray[np.float32]:
        """(n,) as the method gives them."""
        return self.result.scores

    @property
    def reweighted_scores(self) -> NDArray[np.float32] | None:
        """(n,) of Eq. 7."""
        return self.result.reweighted_scores

    @property
    def indices(self) -> NDArray[np.int32] | None:
        """(n, h, w) rows of the memory bank."""
        return self.result.indices

    @property
    def memory_bank(self) -> int | None:
        """How many rows it has."""
        return self.result.stamp.get("memory_bank", [None])[0]

    @property
    def covering_radius(self) -> float | None:
        """As it was measured with the result."""
        return self.result.stamp.get("covering_radius")

    @cached_property
    def optimum(self) -> decisions.F1Optimum | None:
        """Where F1 is largest."""
        return None if self.kinds is None else decisions.f1_optimum(self.labels, self.scores)

    @cached_property
    def curve(self) -> Curve | None:
        """From one sort of the pixels, what several of their metrics need."""
        return None if self.maps is None else curve_of(*regions_and_maps(self.regions, self.maps))

    @cached_property
    def pixels(self) -> SimpleNamespace | None:
        """`metrics.pixel_metrics`, by name."""
        if self.curve is None:
            return None
        return SimpleNamespace(pixel_auroc=curve_auroc(self.curve), pro=curve_pro(self.curve, MAX_FPR))


def result_metrics(judged: Judged, asked: Collection[str] = ()) -> dict[str, float | int | None]:
    """The metrics of one raw result, in the order of the registry; None where something is lacking that it needs.

    Args:
        asked: names of those that have to be asked for.
    """
    return {metric.name: _value(metric, judged) for metric in wanted(asked)}


def defects_cropped_away(labels: NDArray[np.integer], regions: metrics.Regions) -> int:
    """How many anomalous images show no defect at the size that they are scored at."""
    return int((labels.astype(bool) & ~regions.masks.any(axis=(1, 2))).sum())


def _value(metric: Metric, judged: Judged) -> float | int | None:
    given = [_attribute(judged, need) for need in metric.needs]
    if any(value is None for value in given):
        return None
    return resolve_name(metric.function)(*given) if metric.function else given[0]


def _attribute(judged: Judged, path: str) -> object:
    """What judged.a.b is; None if a is."""
    found: object = judged
    for name in path.split("."):
        found = None if found is None else getattr(found, name)
    return found


def random_deviation(result: RawResult, masks: NDArray[np.bool_]) -> float:
    """Standard deviation of the pixel AUROC that a result of random distances has with masks (n, H, W)."""
    return pixel_auroc_deviation(masks, result.distances.shape[1:], sigma=result.stamp["config"]["smoothing_sigma"])


def maps_of(result: RawResult, size: tuple[int, int]) -> NDArray[np.float32]:
    """Anomaly maps (n, H, W) of a result with distances, as its config asks for."""
    config = result.stamp["config"]
    return anomaly_maps(
        torch.from_numpy(result.distances),
        size,
        sigma=config["smoothing_sigma"],
        upsampling=config.get("upsampling", "bilinear"),
    ).numpy()
