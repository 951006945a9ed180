"""Bootstrap intervals of the image AUROC: how far it could lie elsewhere, had other test images been taken.

Percentile intervals. Test images are drawn with replacement, nominal and anomalous ones apart, so that every resample
has as many of each as the test set. They say nothing of other training images, and nothing of seeds. Where no pair of
images is in the wrong order, AUROC is 1 in every resample, and the interval is (1, 1): too narrow, as a percentile
interval is near the limit.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from patchcore_core.metrics.images import truth_values
from patchcore_suite.run.percentiles import percentile_interval

COUNTS_AT_ONCE = 2**22  # bounds the memory: 32 MiB an array of 64 bits


def bootstrap_auroc(
    labels: ArrayLike, scores: ArrayLike, *, replicates: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Interval of the image AUROC of one category.

    Args:
        labels: (n,) 0 nominal, 1 anomalous.
        scores: (n,) anomaly scores, or (seeds, n): the interval of the mean over seeds, all of them on the same
            resampled images.
        replicates: resamples.
        level: share of the resamples between the two ends, in (0, 1).
        seed: of the draws.

    Returns:
        both ends; NaN where a class has fewer than two images, which leaves nothing to draw from.

    Raises:
        ValueError: shapes differ, a label is not 0 or 1, a score is not finite, or an option is out of range.
    """
    return bootstrap_mean_auroc([(labels, scores)], replicates=replicates, level=level, seed=seed)


def bootstrap_mean_auroc(
    categories: Sequence[tuple[ArrayLike, ArrayLike]],
    *,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of the mean over categories, each resampled by itself.

    Args:
        categories: labels and scores of each, as `bootstrap_auroc` takes them; all with as many seeds.
        replicates: resamples.
        level: share of the resamples between the two ends, in (0, 1).
        seed: of the draws.

    Returns:
        both ends; NaN where a category has fewer than two images of a class.

    Raises:
        ValueError: as `bootstrap_auroc`, or there are no categories.
    """
    if not categories:
        raise ValueError("there are no categories to take the mean over")
    if not 0 < level < 1:
        raise ValueError(f"level={level} must lie in (0, 1)")
    drawn = [
        auroc_replicates(labels, scores, replicates=replicates, seed=seed, category=number)
        for number, (labels, scores) in enumerate(categories)
    ]
    return percentile_interval(np.sum(drawn, axis=0) / len(drawn), level=level)


def auroc_replicates(
    labels: ArrayLike, scores: ArrayLike, *, replicates: int = 1000, seed: int = 0, category: int = 0
) -> NDArray[np.float64]:
    """Image AUROC of resampled test images of one category, for `percentile_interval`.

    The images that are drawn depend on nothing but `labels`, `replicates`, `seed` and `category`: replicates of two
    results can be subtracted one from another.

    Args:
        labels, scores: as `bootstrap_auroc` takes them; of several seeds the mean is taken.
        replicates: resamples.
        seed: of the draws.
        category: its number, so that categories are drawn apart.

    Returns:
        (replicates,); NaN where a class has fewer than two images.

    Raises:
        ValueError: as `bootstrap_auroc`.
    """
    if replicates < 1:
        raise ValueError(f"replicates={replicates} must be at least 1")
    labels, scores = _labels_and_scores(labels, scores)
    if min(labels.sum(), (~labels).sum()) < 2:
        return np.full(replicates, np.nan)
    values, generator = np.zeros(replicates), np.random.default_rng([seed, category])
    at_once = max(1, COUNTS_AT_ONCE // len(labels))
    for start in range(0, replicates, at_once):
        part = values[start : start + at_once]
        counts = stratified_counts(labels, len(part), generator)
        part[:] = np.mean([resampled_auroc(labels, of_seed, counts) for of_seed in scores], axis=0)
    return values


def stratified_counts(labels: NDArray[np.bool_], replicates: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """How often each image is drawn in each resample, (replicates, n): as many of each class as there are."""
    counts = np.zeros((replicates, len(labels)), dtype=np.int64)
    for members in (np.flatnonzero(~labels), np.flatnonzero(labels)):
        drawn = generator.integers(len(members), size=(replicates, len(members)))
        flat = drawn + len(members) * np.arange(replicates)[:, None]
        counts[:, members] = np.bincount(flat.ravel(), minlength=drawn.size).reshape(drawn.shape)
    return counts


def resampled_auroc(
    labels: NDArray[np.bool_], scores: NDArray[np.floating], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """AUROC of each resample, exactly, ties counting one half: (replicates,).

    An anomalous image beats the nominal draws below it, and half of those that it is tied with; cumulative sums over
    the sorted nominal images count them, for one sort in all.

    Args:
        labels: (n,) True where anomalous.
        scores: (n,).
        counts: (replicates, n) how often each image is drawn; in no resample may a class be absent.
    """
    order = np.argsort(scores[~labels], kind="stable")
    nominal = scores[~labels][order]
    drawn = np.zeros((len(counts), len(nominal) + 1), dtype=np.int64)
    np.cumsum(counts[:, ~labels][:, order], axis=1, out=drawn[:, 1:])  # of the lowest 0, 1, 2, ... nominal images
    below = drawn[:, np.searchsorted(nominal, scores[labels], side="left")]
    not_above = drawn[:, np.searchsorted(nominal, scores[labels], side="right")]
    anomalous = counts[:, labels]
    wins = (anomalous * (below + not_above)).sum(axis=1) / 2
    return wins / (drawn[:, -1] * anomalous.sum(axis=1))


def _labels_and_scores(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
    """Labels (n,) as truth values, scores (seeds, n)."""
    labels, scores = np.asarray(labels), np.asarray(scores)
    if labels.ndim != 1 or scores.ndim not in (1, 2) or scores.shape[-1] != len(labels) or not scores.size:
        raise ValueError(f"labels {labels.shape} must be (n,), scores {scores.shape} (n,) or (seeds, n)")
    labels = truth_values(labels, "labels")
    if not np.isfinite(scores).all():
        raise ValueError("scores hold NaN or infinite values")
    return labels, np.atleast_2d(scores)
