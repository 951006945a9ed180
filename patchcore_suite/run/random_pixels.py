"""How far the pixel AUROC of random scores lies from one half by chance: pixels near each other share their scores."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from patchcore_suite.run.controls import rank_deviation

CELL = 4  # pixels: finer than maps are smooth


def pixel_auroc_deviation(masks: NDArray[np.bool_], grid: Sequence[int], *, sigma: float) -> float:
    """Standard deviation of the pixel AUROC of maps made of random numbers on a grid.

    A map is the grid, upsampled bilinearly and smoothed. Two of its pixels at a distance r correlate as exp(-r² / 4v),
    v being the variance of what spreads a number of the grid: sigma² of the smoothing, s²/6 of the upsampling by s.
    So n pixels are worth n² / (sum of the correlations of all pairs) independent ones, those of other images being
    independent, and the deviation is that of as many scores (`controls.rank_deviation`).

    Args:
        masks: (n, H, W), with anomalous and nominal pixels.
        grid: (h, w).
        sigma: of the smoothing, in pixels.
    """
    cells = _cells(np.asarray(masks, dtype=np.float64))
    whole = _cells(np.ones((1, *masks.shape[1:])))
    stretched = [side / count for side, count in zip(masks.shape[1:], grid, strict=True)]
    widths = [math.sqrt(2 * (sigma**2 + stretch**2 / 6)) / CELL for stretch in stretched]

    def near(parts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of the correlations of a pixel of each cell with all pixels (n, a, b) of its image."""
        return 2 * math.pi * math.prod(widths) * gaussian_filter(parts, (0, *widths), mode="constant")

    shown = cells[cells.any(axis=(1, 2))]
    near_whole, near_shown = near(whole), near(shown)
    clean = len(masks) - len(shown)
    pairs = (shown * near_shown).sum()
    nominal_pairs = ((whole - shown) * (near_whole - near_shown)).sum() + clean * (whole * near_whole).sum()
    anomalous, nominal = shown.sum(), len(masks) * whole.sum() - shown.sum()
    return rank_deviation(_worth(anomalous, pairs), _worth(nominal, nominal_pairs))


def _worth(pixels: float, pairs: float) -> float:
    """How many independent pixels so many are worth: at least one, at most all."""
    return min(max(pixels**2 / pairs, 1.0), pixels)


def _cells(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over squares of `CELL` pixels; those at the end may be smaller."""
    for axis in (1, 2):
        values = np.add.reduceat(values, range(0, values.shape[axis], CELL), axis=axis)
    return values
