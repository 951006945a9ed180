"""AUPIMO (Bertoldo et al., 2024): how much of each defect is found where hardly any nominal pixel is called anomalous.

The curve of an image (PIMO) is the share of its anomalous pixels that is found, over the false-positive rate of the
pixels of nominal images, which all images share. Its area is taken over the logarithm of that rate, between two rates
so low that an inspector would bear them.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from patchcore_core.common.errors import InputError
from patchcore_core.metrics.pixels import Regions, regions_and_maps
from patchcore_suite.metrics.rates import FPR_BOUNDS, pixels_needed


def aupimo(masks: ArrayLike | Regions, maps: ArrayLike, bounds: tuple[float, float] = FPR_BOUNDS) -> float:
    """`aupimo_of_images`, averaged over the images with a defect; NaN where it has no value.

    Raises:
        ValueError: as `aupimo_of_images`.
    """
    values = aupimo_of_images(masks, maps, bounds)
    return float(values[~np.isnan(values)].mean()) if not np.isnan(values).all() else math.nan


def aupimo_of_images(
    masks: ArrayLike | Regions, maps: ArrayLike, bounds: tuple[float, float] = FPR_BOUNDS
) -> NDArray[np.float64]:
    """The area below each image's curve, divided by the logarithm of the ratio of the two rates: (n,), in [0, 1].

    What the authors' code tends to with ever more thresholds. Nothing is interpolated at the ends: the integral goes
    from the rate nearest to the lower bound that nominal pixels reach to the one nearest to the upper.

    Args:
        masks: (n, H, W) ground truth, True where anomalous. An image without a defect is nominal.
        maps: (n, H, W) anomaly maps.
        bounds: lower and upper false-positive rate, 0 < lower < upper <= 1.

    Returns:
        NaN for nominal images; and for all, where so many nominal pixels share the highest score, or the scores next
        to it, that no rate is as low as the lower bound or both bounds have one nearest rate.

    Raises:
        ValueError: as `metrics.pixel_auroc`, or bounds are out of range.
        InputError: there are no nominal images, or their pixels are too few.
    """
    lower, upper = bounds
    if not 0 < lower < upper <= 1:
        raise ValueError(f"bounds={bounds} must be two rising rates in (0, 1]")
    regions, maps = regions_and_maps(masks, maps)
    defective = regions.masks.any(axis=(1, 2))
    nominal, values = maps[~defective].ravel(), np.full(len(maps), np.nan)
    _check_pixels(nominal, bounds)
    levels, rates = _lowest_rates(nominal, bounds)
    if not _span(rates, bounds):
        return values
    first, last = (_nearest(rates, bound) for bound in bounds)
    # From one rate to the next the found share is what scores above the next level, and jumps by what scores just that.
    weights = np.append(0.0, np.cumsum(np.diff(np.log(rates[first : last + 1]))[::-1]))  # of levels from the lowest up
    rising = levels[first + 1 : last + 1][::-1]
    scores = maps[regions.masks]
    above, reached = (weights[np.searchsorted(rising, scores, side)] for side in ("left", "right"))
    pixels = regions.masks.sum(axis=(1, 2))
    image = np.repeat(np.arange(len(maps)), pixels)
    area = np.bincount(image, weights=(above + reached) / 2, minlength=len(maps))[defective]
    values[defective] = np.clip(area / pixels[defective] / math.log(upper / lower), 0, 1)
    return values


def has_value(nominal: NDArray[np.floating], bounds: tuple[float, float] = FPR_BOUNDS) -> bool:
    """Whether scores (k,) of pixels of nominal images have rates between which the area can be taken."""
    return len(nominal) >= pixels_needed(bounds) and _span(_lowest_rates(nominal, bounds)[1], bounds)


def _span(rates: NDArray[np.float64], bounds: tuple[float, float]) -> bool:
    """Whether some of the rates are as low as the lower bound, and the bounds are nearest to two different ones."""
    return bool(rates[0] <= bounds[0]) and _nearest(rates, bounds[0]) != _nearest(rates, bounds[1])


def _check_pixels(nominal: NDArray[np.floating], bounds: tuple[float, float]) -> None:
    """Raise InputError where pixels of nominal images are too few for the lower rate."""
    if len(nominal) < pixels_needed(bounds):
        found = (
            f"{len(nominal):,} pixels of nominal images are too few" if len(nominal) else "there are no nominal images"
        )
        raise InputError(
            f"{found} for a false-positive rate of {bounds[0]:g}",
            remedy=f"give nominal test images of {pixels_needed(bounds):,} pixels or more, all together",
        )


def _lowest_rates(
    nominal: NDArray[np.floating], bounds: tuple[float, float]
) -> tuple[NDArray[np.floating], NDArray[np.float64]]:
    """Falling scores (t,) of nominal pixels, and the rates that score as high, up to the first not below the upper."""
    count = min(len(nominal), math.ceil(bounds[1] * len(nominal)) + 1)
    lowest = np.partition(nominal, len(nominal) - count)[len(nominal) - count]
    levels, counts = np.unique(nominal[nominal >= lowest], return_counts=True)
    return levels[::-1], np.cumsum(counts[::-1]) / len(nominal)


def _nearest(rates: NDArray[np.float64], bound: float) -> int:
    """The place of the rate nearest to a bound; of two as near, the higher one, as in the authors' code."""
    away = np.abs(rates - bound)
    return int(np.flatnonzero(away <= away.min() * (1 + 1e-9))[-1])
