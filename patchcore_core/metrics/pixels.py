"""What anomaly maps are worth: pixel AUROC and PRO, with ties counted as they should be.

Each costs one sort of the pixels, O(n log n), and holds a sorted copy of the nominal ones and, for each anomalous one,
some 60 bytes: at most `MEMORY_FACTOR` times the size of float32 maps of which a tenth is anomalous.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import label as label_regions

from patchcore_core.metrics.images import checked, truth_values

EIGHT_CONNECTED = np.ones((3, 3), dtype=bool)
MEMORY_FACTOR = 3
PART = 2**21  # pixels that are worth a thread
MAX_FPR = 0.3  # limit of the integral of PRO

Result = TypeVar("Result")


@dataclass(frozen=True)
class Regions:
    """Ground-truth masks with their 8-connected regions, labelled once for all maps that are compared with them.

    Attributes:
        masks: (n, H, W), True where anomalous.
        numbers: for each anomalous pixel, in the order of `masks`, the number of its region in its image, from 1.
        shares: for each of them, one over the size of its region.
    """

    masks: NDArray[np.bool_]
    numbers: NDArray[np.int32]
    shares: NDArray[np.float64]

    @classmethod
    def label(cls, masks: ArrayLike) -> "Regions":
        """Find the regions of masks (n, H, W); a ValueError if they are none, or hold something else than 0 and 1."""
        masks = np.asarray(masks)
        if masks.ndim != 3:
            raise ValueError(f"masks {masks.shape} must be (n, H, W)")
        masks = truth_values(masks, "masks")
        numbers, shares = [np.empty(0, np.int32)], [np.empty(0)]
        for mask in masks[masks.any(axis=(1, 2))]:
            labelled, _ = label_regions(mask, structure=EIGHT_CONNECTED)
            of_pixels = labelled[mask].astype(np.int32, copy=False)
            numbers.append(of_pixels)
            shares.append(1 / np.bincount(of_pixels)[of_pixels])
        return cls(masks, np.concatenate(numbers), np.concatenate(shares))

    def of_images(self) -> list[slice]:
        """Where the anomalous pixels of each image stand in `numbers` and `shares`."""
        ends = np.cumsum(self.masks.sum(axis=(1, 2)))
        return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def pixel_auroc(masks: ArrayLike | Regions, maps: ArrayLike) -> float:
    """Image AUROC's definition over all pixels of all test images, nominal images included.

    Args:
        masks: (n, H, W) ground truth, True where anomalous.
        maps: (n, H, W) anomaly maps.

    Raises:
        ValueError: shapes differ, a value is not finite, or one of the two classes is absent.
    """
    return curve_auroc(curve_of(*regions_and_maps(masks, maps)))


def pro(masks: ArrayLike | Regions, maps: ArrayLike, max_fpr: float = MAX_FPR) -> float:
    """Per-region overlap, averaged over false-positive rates up to `max_fpr`.

    Bergmann et al. (2021), section 5.2, as MVTec's evaluation computes it. At a threshold, PRO is the mean over all
    8-connected ground-truth regions of the share that is found; the false-positive rate is taken over all pixels
    outside any region, of all images. The curve over all thresholds is integrated to `max_fpr`, linearly between
    its points, and divided by `max_fpr`.

    Args:
        masks: (n, H, W) ground truth, True where anomalous.
        maps: (n, H, W) anomaly maps.
        max_fpr: limit of the integral, in (0, 1].

    Raises:
        ValueError: as `pixel_auroc`, or `max_fpr` is out of range.
    """
    return curve_pro(curve_of(*regions_and_maps(masks, maps)), max_fpr)


def pixel_metrics(masks: ArrayLike | Regions, maps: ArrayLike, max_fpr: float = MAX_FPR) -> dict[str, float]:
    """`pixel_auroc` and `pro` together, for one sort of the pixels instead of two."""
    found = curve_of(*regions_and_maps(masks, maps))
    return {"pixel_auroc": curve_auroc(found), "pro": curve_pro(found, max_fpr)}


def regions_and_maps(masks: ArrayLike | Regions, maps: ArrayLike) -> tuple[Regions, NDArray[np.floating]]:
    """Masks with their regions, and maps (n, H, W) that can be compared with them; ValueError as of `pixel_auroc`."""
    regions, maps = masks if isinstance(masks, Regions) else Regions.label(masks), np.asarray(maps)
    _, maps = checked(regions.masks, maps, "masks", "maps")
    return regions, maps


@dataclass(frozen=True)
class Curve:
    """All that pixel metrics need, at each of the t distinct scores of anomalous pixels, from the highest down."""

    nominal: int  # pixels
    above: NDArray[np.int64]  # (t,) nominal pixels with a higher score
    reached: NDArray[np.int64]  # (t,) those with a score as high
    pixels: NDArray[np.int64]  # (t,) anomalous pixels of this very score
    covered: NDArray[np.float64]  # (t,) mean share of the regions' pixels that score as high


def curve_of(regions: Regions, maps: NDArray[np.floating], *, parts: int | None = None) -> Curve:
    """The curve of maps (n, H, W), or of one map, from one sort of the pixels."""
    masks = regions.masks
    if parts is None:
        parts = min(os.cpu_count() or 1, len(maps), 1 + maps.size // PART)
    # Nominal pixels are most of the test set: parts of them are sorted side by side, meanwhile thresholds are found.
    with ThreadPoolExecutor(parts) if parts > 1 else nullcontext() as pool:
        sorting = _side_by_side(pool, _sorted_nominal, np.array_split(masks, parts), np.array_split(maps, parts))
        scores = maps[masks]
        order = np.argsort(-scores)
        ranked = scores[order]
        first = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
        covered = np.cumsum(np.add.reduceat(regions.shares[order], first))
        nominal = list(sorting)
        ranks = _side_by_side(pool, partial(_ranks, nominal), np.array_split(ranked[first], parts))
        above, reached = np.concatenate(list(ranks), axis=1)
    return Curve(
        nominal=masks.size - len(scores),
        above=above,
        reached=reached,
        pixels=np.diff(np.append(first, len(ranked))),
        covered=covered / covered[-1],  # all shares of a region make one: the last is the number of regions
    )


def _side_by_side(
    pool: ThreadPoolExecutor | None, work: Callable[..., Result], *parts: Sequence[NDArray[Any]]
) -> Iterator[Result]:
    """Results of work on each part, by the pool's threads if there is one."""
    return pool.map(work, *parts) if pool else map(work, *parts)


def _sorted_nominal(masks: NDArray[np.bool_], maps: NDArray[np.floating]) -> NDArray[np.floating]:
    nominal = maps[~masks]
    nominal.sort()  # in place: these are most pixels of the test set
    return nominal


def _ranks(nominal: Sequence[NDArray[np.floating]], thresholds: NDArray[np.floating]) -> NDArray[np.int64]:
    """How many scores, sorted in parts, are above and how many reach each of (t,) falling thresholds: (2, t)."""
    rising = thresholds[::-1]  # looked up in this order, they are found fast
    found = np.zeros((2, len(rising)), dtype=np.int64)
    for part in nominal:
        below = np.searchsorted(part, rising)
        found[1] += len(part) - below
        tied = np.flatnonzero(below < len(part))
        tied = tied[part[below[tied]] == rising[tied]]
        below[tied] = np.searchsorted(part, rising[tied], side="right")
        found[0] += len(part) - below
    return found[:, ::-1]


def curve_auroc(curve: Curve) -> float:
    """`pixel_auroc` of a curve: an anomalous pixel beats the nominal ones below it, and half of those as high."""
    lost = (curve.pixels * ((curve.above + curve.reached) / 2)).sum()
    return float(1 - lost / (curve.nominal * curve.pixels.sum()))


def curve_pro(curve: Curve, max_fpr: float) -> float:
    """`pro` of a curve."""
    if not 0 < max_fpr <= 1:
        raise ValueError(f"max_fpr={max_fpr} must lie in (0, 1]")
    # The curve turns only at thresholds that some region pixel has. Going down through such a threshold, the
    # nominal pixels above it come first (a level piece), then those equal to it (a straight rise).
    before = np.append(0.0, curve.covered[:-1])
    fpr = np.concatenate([[0.0], np.stack([curve.above, curve.reached], axis=1).ravel() / curve.nominal, [1.0]])
    overlap = np.concatenate([[0.0], np.stack([before, curve.covered], axis=1).ravel(), [1.0]])

    inside = fpr <= max_fpr
    end = np.interp(max_fpr, fpr, overlap)
    return float(np.trapezoid(np.append(overlap[inside], end), np.append(fpr[inside], max_fpr)) / max_fpr)
