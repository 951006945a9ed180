"""Metrics that have to be asked for of resampled test images, as `pixel_intervals` has the others.

At most 1024 thresholds again, but where these metrics look: at the highest scores of nominal images for AUPIMO, at
scores of anomalous pixels for precision and recall, at low false-positive rates for PRO. SegF1 keeps the threshold of
the whole test set, and is exact.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from patchcore_core.metrics import Regions
from patchcore_core.metrics.pixels import regions_and_maps
from patchcore_suite.metrics.pimo import has_value
from patchcore_suite.metrics.rates import FPR_BOUNDS
from patchcore_suite.metrics.segmentation import LOW_FPR, nominal_threshold
from patchcore_suite.run.pixel_intervals import area_to, counts_at

HIGHEST, RECALLS, RATES = 448, 224, 350  # thresholds for AUPIMO, for precision and recall, for PRO
BEYOND = 20  # times the upper bound of AUPIMO, in case that images with the highest scores are not drawn
ASKED_PIXEL_METRICS = ("aupimo", "pixel_ap", "pixel_f1", "low_pro", "seg_f1")


@dataclass(frozen=True)
class AskedStatistics:
    """What is counted of each image at falling thresholds, the last of which everything reaches.

    Attributes:
        nominal, anomalous, covered: (n, t) as of `PixelStatistics`.
        above: (n, t) anomalous pixels that score more than each threshold.
        called: (n, 2) nominal and anomalous pixels above the threshold of SegF1.
        false_steps, true_steps: (t,) how many different scores nominal images and anomalous pixels have from each
            threshold up to the one before; at least 1.
        aupimo: whether it has a value on the whole test set.
    """

    nominal: NDArray[np.float32]
    anomalous: NDArray[np.float32]
    covered: NDArray[np.float32]
    above: NDArray[np.float32]
    called: NDArray[np.float32]
    false_steps: NDArray[np.int64]
    true_steps: NDArray[np.int64]
    aupimo: bool

    metrics: ClassVar[tuple[str, ...]] = ASKED_PIXEL_METRICS

    def resampled(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """The `ASKED_PIXEL_METRICS` of each resample, (5, replicates); NaN in one without any defect.

        What has no value on the whole test set has none in its resamples.
        """
        drawn = counts.astype(np.float64)
        false, true = (drawn @ sums.astype(np.float64) for sums in (self.nominal, self.anomalous))
        covered = np.pad(self.covered.astype(np.float64), ((0, 0), (1, 0)))
        called = drawn @ self.called.astype(np.float64)
        every = np.where(true[:, -1:] > 0, true[:, -1:], np.nan)
        with np.errstate(invalid="ignore"):  # 0 / 0 in a resample without any defect
            f1 = (2 * true / (true + false + every)).max(axis=1)
            rates = np.pad(false / false[:, -1:], ((0, 0), (1, 0)))
            low_pro = area_to(LOW_FPR, rates, drawn, covered) / LOW_FPR / (drawn @ covered[:, -1])
            seg_f1 = 2 * called[:, 1] / (called.sum(axis=1) + every[:, 0])
            return np.stack([self._aupimo(drawn), self._precision(false, true), f1, low_pro, seg_f1])

    def _aupimo(self, drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        """Its area (replicates,), the bounds met by interpolation.

        Where one score of nominal images parts two thresholds, what is found between them is what scores above it, and
        half of what scores just as much; where several do, it has grown in as many steps.
        """
        if not self.aupimo:
            return np.full(len(drawn), np.nan)
        defective = self.anomalous[:, -1] > 0
        images, pixels = drawn[:, defective], self.anomalous[defective, -1:].astype(np.float64)
        reached, above = (
            images @ (counts[defective] / pixels) / images.sum(axis=1, keepdims=True)
            for counts in (self.anomalous, self.above)
        )
        false = drawn[:, ~defective] @ self.nominal[~defective].astype(np.float64)
        logarithms = np.log(np.clip(false / false[:, -1:], *FPR_BOUNDS))
        height = reached[:, :-1] + _way(self.false_steps[1:]) * ((reached + above)[:, 1:] / 2 - reached[:, :-1])
        return (np.diff(logarithms, axis=1) * height).sum(axis=1) / np.log(FPR_BOUNDS[1] / FPR_BOUNDS[0])

    def _precision(self, false: NDArray[np.float64], true: NDArray[np.float64]) -> NDArray[np.float64]:
        """Average precision (replicates,): between two thresholds recall grows in steps, with false positives."""
        false_before, true_before = (np.pad(counts, ((0, 0), (1, 0)))[:, :-1] for counts in (false, true))
        way = _way(self.true_steps)
        found, wrong = true_before + way * (true - true_before), false_before + way * (false - false_before)
        precision = found / np.maximum(found + wrong, 1)
        return ((true - true_before) * precision).sum(axis=1) / true[:, -1]


def asked_statistics(regions: Regions, maps: NDArray[np.floating]) -> AskedStatistics:
    """Count once, image by image, what any resample adds up.

    Args:
        regions: of masks (n, H, W).
        maps: (n, H, W) anomaly maps.
    """
    regions, maps = regions_and_maps(regions, maps)
    levels = _levels(regions, maps)
    over = maps > nominal_threshold(regions, maps)
    called = np.stack([(over & kind).sum(axis=(1, 2)) for kind in (~regions.masks, regions.masks)], axis=1)
    scores, nominal = maps[regions.masks], maps[~regions.masks.any(axis=(1, 2))].ravel()
    of_images = [np.sort(scores[place]) for place in regions.of_images()]
    above = [len(own) - np.searchsorted(own, levels, side="right") for own in of_images]
    return AskedStatistics(
        *counts_at(levels, regions, maps),
        above=np.array(above, dtype=np.float32),
        called=called.astype(np.float32),
        false_steps=_steps(levels, nominal),
        true_steps=_steps(levels, scores),
        aupimo=has_value(nominal, FPR_BOUNDS),
    )


def _steps(levels: NDArray[np.floating], scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """How many different scores there are from each falling threshold (t,) up to the one before; at least 1."""
    distinct = np.unique(scores)
    return np.maximum(np.diff(len(distinct) - np.searchsorted(distinct, levels), prepend=0), 1)


def _way(steps: NDArray[np.int64]) -> NDArray[np.float64]:
    """How far between two thresholds the mean of so many even steps lies: at the end of one, midway of many."""
    return (1 + 1 / steps) / 2


def _levels(regions: Regions, maps: NDArray[np.floating]) -> NDArray[np.floating]:
    """Falling thresholds, the last of them the lowest score."""
    nominal = maps[~regions.masks.any(axis=(1, 2))].ravel()
    count = min(len(nominal), int(BEYOND * FPR_BOUNDS[1] * len(nominal)) + 2)
    highest = np.sort(np.partition(nominal, len(nominal) - count)[len(nominal) - count :])[::-1] if count else nominal
    ranks = np.unique(np.geomspace(1, count, HIGHEST).astype(np.int64)) - 1 if count else []
    others, anomalous = np.sort(maps[~regions.masks])[::-1], np.sort(maps[regions.masks])[::-1]
    rates = np.linspace(0, 1, RATES) ** 3
    chosen = [
        highest[ranks],
        others[(rates * (len(others) - 1)).astype(np.int64)],
        anomalous[np.linspace(0, len(anomalous) - 1, RECALLS).astype(np.int64)],
        [maps.min()],
    ]
    return np.unique(np.concatenate(chosen))[::-1]
