"""What maps are worth where anomalous pixels are few: precision, overlap at few false alarms, one fixed threshold."""

import numpy as np
from numpy.typing import ArrayLike

from patchcore_core.metrics.pixels import Curve, Regions, curve_pro, regions_and_maps

LOW_FPR = 0.05  # limit of the integral of PRO, of MVTec AD 2 (Heckler-Kram et al., 2025)
DEVIATIONS = 3  # of nominal pixels from their mean, from which up MVTec AD 2 calls a pixel anomalous


def average_precision(curve: Curve) -> float:
    """Precision at each threshold, weighted by the recall that it adds: the area below the curve of both, in steps.

    Args:
        curve: of `metrics.pixels.curve_of`. Recall grows at scores of anomalous pixels only, which it has all.
    """
    found = np.cumsum(curve.pixels)
    return float((curve.pixels * (found / (found + curve.reached))).sum() / found[-1])


def f1_max(curve: Curve) -> float:
    """The best F1 score of the pixels over all thresholds: an oracle, chosen by the ground truth.

    Args:
        curve: of `metrics.pixels.curve_of`. Between its thresholds only false positives change.
    """
    found = np.cumsum(curve.pixels)
    return float((2 * found / (found + curve.reached + found[-1])).max())


def low_pro(curve: Curve) -> float:
    """PRO (see `metrics.pro`) up to a false-positive rate of 0.05."""
    return curve_pro(curve, LOW_FPR)


def seg_f1(masks: ArrayLike | Regions, maps: ArrayLike) -> float:
    """F1 score of the pixels of all images at one threshold that no anomalous image chose.

    SegF1 of MVTec AD 2 (Heckler-Kram et al., 2025): the threshold is three standard deviations above the mean of
    nominal pixels. Departs from the paper: these are of nominal test images, as there are no images for validation.

    Args:
        masks: (n, H, W) ground truth, True where anomalous. An image without a defect is nominal.
        maps: (n, H, W) anomaly maps.

    Returns:
        NaN without nominal images.

    Raises:
        ValueError: as `metrics.pixel_auroc`.
    """
    regions, maps = regions_and_maps(masks, maps)
    called = maps > nominal_threshold(regions, maps)
    found = np.count_nonzero(called & regions.masks)
    nominal = bool((~regions.masks.any(axis=(1, 2))).any())
    return 2 * found / (np.count_nonzero(called) + len(regions.numbers)) if nominal else float("nan")


def nominal_threshold(regions: Regions, maps: np.ndarray) -> float:
    """The threshold of `seg_f1`; NaN without nominal images."""
    nominal = maps[~regions.masks.any(axis=(1, 2))]
    if not nominal.size:
        return float("nan")
    return float(nominal.mean(dtype=np.float64) + DEVIATIONS * nominal.std(dtype=np.float64))
