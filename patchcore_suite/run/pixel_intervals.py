"""Pixel metrics of resampled test images, for bootstrap intervals such as `image_intervals` has.

PRO per image, a mean over images, is exact. Pixel AUROC and PRO come from a curve of at most `THRESHOLDS` points,
joined by straight lines: on the synthetic stand-ins within 0.0001 of the exact metrics of the same resample, on
simulated test sets of 20 images within 0.0004, of 8 images within 0.0011.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import methodcaller
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from patchcore_core.metrics import pixels
from patchcore_core.metrics.images import truth_values
from patchcore_suite.metrics.overlap import pro_of_images
from patchcore_suite.run.image_intervals import COUNTS_AT_ONCE, stratified_counts

THRESHOLDS = 1024  # of pixel AUROC and PRO
SORTED_AT_MOST = 2**17  # nominal pixels that the thresholds are chosen from; a threshold need not be a quantile exactly
MOST_PAIRED = 2**11  # images, of which all pairs are looked at: 32 MB; of more it would take longer, too
PIXEL_METRICS = ("pixel_auroc", "pro", "pro_per_image")


class Resampled(Protocol):
    """What pixel metrics of a resample need to know of n images: counts at thresholds."""

    metrics: ClassVar[tuple[str, ...]]
    nominal: NDArray[np.float32]
    covered: NDArray[np.float32]

    def resampled(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """The metrics of each resample, (m, replicates); `counts` (replicates, n) say how often an image is drawn."""
        ...


@dataclass(frozen=True)
class PixelStatistics:
    """All that the pixel metrics of a resample need to know of an image: a few kilobytes instead of its map.

    Thresholds fall from left to right, and everything scores at least the last one.

    Attributes:
        nominal: (n, t) how many nominal pixels of each image score at least each threshold.
        anomalous: (n, t) the same of its anomalous pixels.
        covered: (n, t) sum over its regions of the share that scores at least the threshold; at last, the number of
            its regions.
        pro: (n,) PRO of each image by itself; NaN where `overlap.pro_per_image` leaves it out.
        max_fpr: limit of the integral of PRO.
    """

    nominal: NDArray[np.float32]
    anomalous: NDArray[np.float32]
    covered: NDArray[np.float32]
    pro: NDArray[np.float64]
    max_fpr: float

    metrics: ClassVar[tuple[str, ...]] = PIXEL_METRICS

    def resampled(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Its `resampled_pixel_metrics`."""
        return resampled_pixel_metrics(self, counts)


def pixel_statistics(
    masks: ArrayLike | pixels.Regions, maps: ArrayLike, *, thresholds: int = THRESHOLDS, max_fpr: float = 0.3
) -> PixelStatistics:
    """Count once, image by image, what `pixel_replicates` then adds up for any resample.

    Where there are more distinct scores than thresholds, these are nominal scores, at false-positive rates that lie
    closer together the lower they are: there the curves are steep, and PRO looks at nothing else.

    Args:
        masks: (n, H, W) ground truth, True where anomalous.
        maps: (n, H, W) anomaly maps.
        thresholds: at most so many; at least 2.
        max_fpr: limit of the integral of PRO, in (0, 1].

    Raises:
        ValueError: as `pixels.pro`, or there are fewer than 2 `thresholds`.
    """
    if thresholds < 2:
        raise ValueError(f"thresholds={thresholds} must be at least 2")
    if not 0 < max_fpr <= 1:
        raise ValueError(f"max_fpr={max_fpr} must lie in (0, 1]")
    regions, maps = pixels.regions_and_maps(masks, maps)
    counts = counts_at(_levels(regions.masks, maps, thresholds), regions, maps)
    return PixelStatistics(*counts, pro_of_images(regions, maps, max_fpr), max_fpr)


def counts_at(
    levels: NDArray[np.floating], regions: pixels.Regions, maps: NDArray[np.floating]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """`nominal`, `anomalous` and `covered` of `PixelStatistics` at (t,) falling thresholds: (n, t) each."""
    shape = (len(maps), len(levels))
    anomalous, covered = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    both = np.zeros(shape, dtype=np.float32)
    for number, (mask, values, place) in enumerate(zip(regions.masks, maps, regions.of_images(), strict=True)):
        both[number] = _at_least(levels, values.ravel())
        scores, numbers = values[mask], regions.numbers[place]
        if not len(scores):
            continue
        anomalous[number] = _at_least(levels, scores)
        for region in range(1, numbers.max() + 1):
            found = scores[numbers == region]
            covered[number] += _at_least(levels, found) / len(found)
    return both - anomalous, anomalous, covered


def pixel_replicates(
    labels: ArrayLike,
    of_seeds: Sequence[Resampled],
    *,
    replicates: int = 1000,
    seed: int = 0,
    category: int = 0,
) -> Mapping[str, NDArray[np.float64]]:
    """Pixel metrics of resampled test images of one category, for `percentile_interval`.

    For a mean over categories, average the replicates of all of them, each with a number of its own.

    Args:
        labels: (n,) 0 nominal, 1 anomalous.
        of_seeds: one a seed: the mean over seeds is taken, all of them on the same resampled images.
        replicates: resamples.
        seed: of the draws.
        category: its number, so that categories are drawn apart.

    Returns:
        (replicates,) of each of their metrics: NaN in a resample without any defect, and in all of them where fewer
        than two images are nominal, or fewer than two show a defect.

    Raises:
        ValueError: there are no seeds, numbers of images differ, a label is not 0 or 1, or `replicates` is
            out of range.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not of_seeds or any(len(each.covered) != len(labels) for each in of_seeds):
        images = [len(each.covered) for each in of_seeds]
        raise ValueError(f"labels {labels.shape} must be (n,), and there must be statistics of n images, not {images}")
    labels = truth_values(labels, "labels")
    if replicates < 1:
        raise ValueError(f"replicates={replicates} must be at least 1")
    defective = of_seeds[0].covered[:, -1] > 0
    values = np.full((len(of_seeds[0].metrics), replicates), np.nan)
    if min((~labels).sum(), defective.sum()) >= 2:
        generator = np.random.default_rng([seed, category])
        at_once = max(1, COUNTS_AT_ONCE // max(len(labels), of_seeds[0].nominal.shape[1]))
        with ThreadPoolExecutor(min(os.cpu_count() or 1, len(of_seeds))) as pool:
            for start in range(0, replicates, at_once):
                part = values[:, start : start + at_once]
                counts = stratified_counts(labels, part.shape[1], generator)
                part[:] = np.mean(list(pool.map(methodcaller("resampled", counts), of_seeds)), axis=0)
    return dict(zip(of_seeds[0].metrics, values, strict=True))


def resampled_pixel_metrics(statistics: PixelStatistics, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The `PIXEL_METRICS` of each resample, (3, replicates): every curve is a sum over images, each as often as drawn.

    Args:
        statistics: of n images.
        counts: (replicates, n) how often each image is drawn; some nominal pixel must be.

    Returns:
        NaN where a resample has no defect, or, of PRO per image, none beside nominal pixels.
    """
    drawn = counts.astype(np.float64)
    given = ~np.isnan(statistics.pro)
    nominal, anomalous, covered = (
        np.pad(sums.astype(np.float64), ((0, 0), (1, 0)))  # curves begin at 0
        for sums in (statistics.nominal, statistics.anomalous, statistics.covered)
    )
    # Pairs of pixels in the right order, those between two thresholds counting one half.
    between, above = np.diff(nominal, axis=1), (anomalous[:, 1:] + anomalous[:, :-1]) / 2
    if len(given) <= MOST_PAIRED:  # by their two images (n, n)
        wins = ((drawn @ (between @ above.T)) * drawn).sum(axis=1)
    else:  # by threshold: whole numbers and halves, so that the sum is the same
        wins = ((drawn @ between) * (drawn @ above)).sum(axis=1)
    with np.errstate(invalid="ignore"):  # 0 / 0 in a resample without any defect
        auroc = wins / ((drawn @ nominal[:, -1]) * (drawn @ anomalous[:, -1]))
        area = area_to(statistics.max_fpr, drawn @ nominal / (drawn @ nominal[:, -1:]), drawn, covered)
        overlap = area / statistics.max_fpr / (drawn @ covered[:, -1])
        of_images = drawn[:, given] @ statistics.pro[given] / drawn[:, given].sum(axis=1)
    return np.stack([auroc, overlap, of_images])


def area_to(
    limit: float, x: NDArray[np.floating], counts: NDArray[np.floating], sums: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Area below each resample's curve from x = 0 to the limit, (replicates,): linear between its points.

    Args:
        x: (replicates, t) rising from 0 to 1.
        counts: (replicates, n).
        sums: (n, t), the curve's height being `counts @ sums`.
    """
    last = (x < limit).sum(axis=1) - 1  # the piece that reaches the limit begins here
    stop = last.max() + 2  # no curve is needed beyond
    x, y = x[:, :stop], counts @ sums[:, :stop]
    area = (np.diff(np.minimum(x, limit), axis=1) * (y[:, 1:] + y[:, :-1])).sum(axis=1) / 2
    rows = np.arange(len(x))
    (left, right), (low, high) = ((of[rows, last], of[rows, last + 1]) for of in (x, y))
    beyond = (high - low) * (right - limit) / (right - left)  # the last piece ends lower than at its right end
    return area - beyond * (limit - left) / 2


def _levels(masks: NDArray[np.bool_], maps: NDArray[np.floating], count: int) -> NDArray[np.floating]:
    """Falling thresholds, the last of them the lowest score."""
    nominal = maps[~masks]
    nominal = np.sort(nominal[:: 1 + len(nominal) // SORTED_AT_MOST])[::-1]
    if np.count_nonzero(nominal[1:] != nominal[:-1]) < count:  # to look at the others too is worth while
        scores = np.unique(maps)
        if len(scores) <= count:
            return scores[::-1]
    fpr = np.linspace(0, 1, count - 1) ** 1.5
    return np.union1d(nominal[np.rint(fpr * (len(nominal) - 1)).astype(np.int64)], maps.min())[::-1]


def _at_least(levels: NDArray[np.floating], scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """How many of the scores reach each level."""
    return len(scores) - np.searchsorted(np.sort(scores), levels, side="left")
