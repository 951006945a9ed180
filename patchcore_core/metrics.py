"""Image AUROC, pixel AUROC, PRO and the F1-optimal threshold: exact, with ties counted as they should be.

Every metric is a fraction in [0, 1]. None of them bins, samples or rescales scores, so that any strictly
increasing transformation of the scores leaves them unchanged.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import label as label_regions

EIGHT_CONNECTED = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class F1Optimum:
    """The threshold with the best F1 score, and the images it misclassifies.

    It is fitted on the test set: an oracle, as in the paper's count of misclassified images.
    """

    threshold: float  # an image is called anomalous from this score up
    f1: float
    false_positives: int
    false_negatives: int


def image_auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Probability that an anomalous image scores higher than a nominal one; ties count one half.

    Args:
        labels: (n,) 0 nominal, 1 anomalous.
        scores: (n,) anomaly scores.

    Raises:
        ValueError: shapes differ, a score is not finite, or one of the two classes is absent.
    """
    labels, scores = _labels_and_scores(labels, scores)
    return _auroc(np.sort(scores[~labels]), scores[labels])


def pixel_auroc(masks: ArrayLike, maps: ArrayLike) -> float:
    """Image AUROC's definition over all pixels of all test images, nominal images included.

    Args:
        masks: (n, H, W) ground truth, True where anomalous.
        maps: (n, H, W) anomaly maps.

    Raises:
        ValueError: shapes differ, a value is not finite, or one of the two classes is absent.
    """
    masks, maps = _masks_and_maps(masks, maps)
    return _auroc(_sorted_nominal(masks, maps), maps[masks])


def pro(masks: ArrayLike, maps: ArrayLike, max_fpr: float = 0.3) -> float:
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
    masks, maps = _masks_and_maps(masks, maps)
    return _pro(_sorted_nominal(masks, maps), masks, maps, max_fpr)


def pixel_metrics(masks: ArrayLike, maps: ArrayLike, max_fpr: float = 0.3) -> dict[str, float]:
    """`pixel_auroc` and `pro` together, for one sort of the nominal pixels instead of two."""
    masks, maps = _masks_and_maps(masks, maps)
    nominal = _sorted_nominal(masks, maps)
    return {"pixel_auroc": _auroc(nominal, maps[masks]), "pro": _pro(nominal, masks, maps, max_fpr)}


def pro_per_image(masks: ArrayLike, maps: ArrayLike, max_fpr: float = 0.3) -> float:
    """`pro` of each anomalous image by itself, averaged over these images.

    What the PRO columns of the authors' repository imply: it has no code for them, but its two columns differ by the
    share of images with a visible defect. An image's regions are compared with its own nominal pixels only, so that
    neither nominal images nor differences of level between images have a say.

    Args:
        masks: (n, H, W) ground truth, True where anomalous. An image without a defect, or with nothing but one,
            which has no false-positive rate, is left out.
        maps: (n, H, W) anomaly maps.
        max_fpr: limit of the integral, in (0, 1].

    Raises:
        ValueError: as `pro`, or no image has both nominal and anomalous pixels.
    """
    masks, maps = _masks_and_maps(masks, maps)
    both = masks.any(axis=(1, 2)) & ~masks.all(axis=(1, 2))
    if not both.any():
        raise ValueError("no image has both nominal and anomalous pixels")
    of_images = (slice(number, number + 1) for number in np.flatnonzero(both))
    return float(np.mean([_pro(_sorted_nominal(masks[i], maps[i]), masks[i], maps[i], max_fpr) for i in of_images]))


def bank_utilisation(indices: ArrayLike, bank_size: int) -> float:
    """Share of the memory bank that is the nearest neighbour of at least one test patch (Roth et al., Sec. 4.4.2).

    Args:
        indices: of any shape, the row of the bank that each test patch is nearest to.
        bank_size: rows of the bank.

    Raises:
        ValueError: there are no patches, or an index is not a whole number in 0..bank_size - 1.
    """
    indices = np.asarray(indices)
    if not indices.size or indices.dtype.kind not in "iu":
        raise ValueError(f"indices {indices.shape} of type {indices.dtype} must be one or more whole numbers")
    if indices.min() < 0 or indices.max() >= bank_size:
        raise ValueError(f"indices {indices.min()}..{indices.max()} must lie in 0..{bank_size - 1}")
    return len(np.unique(indices)) / bank_size


def f1_optimum(labels: ArrayLike, scores: ArrayLike) -> F1Optimum:
    """Find the threshold with the best F1 score; of equally good ones, the highest.

    Args:
        labels: (n,) 0 nominal, 1 anomalous.
        scores: (n,) anomaly scores.

    Raises:
        ValueError: as `image_auroc`.
    """
    labels, scores = _labels_and_scores(labels, scores)
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last_of_ties = np.append(ranked[1:] != ranked[:-1], True)  # a threshold separates distinct scores only
    found = np.cumsum(labels[order])[last_of_ties]  # true positives
    called = np.flatnonzero(last_of_ties) + 1  # images called anomalous
    f1 = 2 * found / (called + labels.sum())
    best = int(f1.argmax())
    return F1Optimum(
        threshold=float(ranked[last_of_ties][best]),
        f1=float(f1[best]),
        false_positives=int(called[best] - found[best]),
        false_negatives=int(labels.sum() - found[best]),
    )


def _auroc(nominal: NDArray, anomalous: NDArray) -> float:
    """AUROC from the sorted scores of the nominal side: each anomalous score beats the nominal ones below it."""
    wins = 0.0
    for part in np.array_split(anomalous, max(1, len(anomalous) // 2**20)):  # bounds the memory of the ranks
        below = np.searchsorted(nominal, part, side="left").sum(dtype=np.float64)
        not_above = np.searchsorted(nominal, part, side="right").sum(dtype=np.float64)
        wins += (below + not_above) / 2
    return float(wins / (len(nominal) * len(anomalous)))


def _pro(nominal: NDArray, masks: NDArray, maps: NDArray, max_fpr: float) -> float:
    if not 0 < max_fpr <= 1:
        raise ValueError(f"max_fpr={max_fpr} must lie in (0, 1]")
    scores, weights = _region_pixels(masks, maps)

    # The curve turns only at thresholds that some region pixel has. Going down through such a threshold, the
    # nominal pixels above it come first (a level piece), then those equal to it (a straight rise).
    thresholds, first = np.unique(-scores, return_index=True)
    thresholds = -thresholds  # descending
    covered = np.cumsum(np.add.reduceat(weights, first))
    above = len(nominal) - np.searchsorted(nominal, thresholds, side="right")
    reached = len(nominal) - np.searchsorted(nominal, thresholds, side="left")
    fpr = np.concatenate([[0.0], np.stack([above, reached], axis=1).ravel() / len(nominal), [1.0]])
    overlap = np.concatenate([[0.0], np.stack([np.append(0.0, covered[:-1]), covered], axis=1).ravel(), [1.0]])

    inside = fpr <= max_fpr
    end = np.interp(max_fpr, fpr, overlap)
    return float(np.trapezoid(np.append(overlap[inside], end), np.append(fpr[inside], max_fpr)) / max_fpr)


def _region_pixels(masks: NDArray, maps: NDArray) -> tuple[NDArray, NDArray]:
    """Scores of all region pixels in descending order, and what each adds to the mean overlap of all regions."""
    scores, weights, regions = [], [], 0
    for region_scores in _regions(masks, maps):
        scores.append(region_scores)
        weights.append(np.full(len(region_scores), 1 / len(region_scores)))
        regions += 1
    scores, weights = np.concatenate(scores), np.concatenate(weights) / regions
    order = np.argsort(-scores, kind="stable")
    return scores[order], weights[order]


def _regions(masks: NDArray, maps: NDArray) -> Iterator[NDArray]:
    """The map's values on each 8-connected region of each mask."""
    for mask, values in zip(masks, maps, strict=True):
        if not mask.any():
            continue
        regions, count = label_regions(mask, structure=EIGHT_CONNECTED)
        for region in range(1, count + 1):
            yield values[regions == region]


def _sorted_nominal(masks: NDArray, maps: NDArray) -> NDArray:
    nominal = maps[~masks]
    nominal.sort()  # in place: these are most pixels of the test set
    return nominal


def _labels_and_scores(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray, NDArray]:
    labels, scores = np.asarray(labels), np.asarray(scores)
    if labels.ndim != 1:
        raise ValueError(f"labels {labels.shape} must be (n,)")
    return _checked(labels, scores, "labels", "scores")


def _masks_and_maps(masks: ArrayLike, maps: ArrayLike) -> tuple[NDArray, NDArray]:
    masks, maps = np.asarray(masks), np.asarray(maps)
    if masks.ndim != 3:
        raise ValueError(f"masks {masks.shape} must be (n, H, W)")
    return _checked(masks, maps, "masks", "maps")


def _checked(truth: NDArray, values: NDArray, truth_name: str, values_name: str) -> tuple[NDArray, NDArray]:
    if truth.shape != values.shape:
        raise ValueError(f"{truth_name} {truth.shape} and {values_name} {values.shape} must have one shape")
    if truth.dtype != bool:
        if not np.isin(truth, (0, 1)).all():
            raise ValueError(f"{truth_name} must hold 0 and 1 only")
        truth = truth.astype(bool)
    if values.dtype.kind != "f":
        values = values.astype(np.float64)  # negated below, and unsigned numbers would wrap around
    if not np.isfinite(values).all():
        raise ValueError(f"{values_name} hold NaN or infinite values")
    if truth.all() or not truth.any():
        found = "nominal" if not truth.any() else "anomalous"
        raise ValueError(f"{truth_name} are all {found}: the metric needs both nominal and anomalous ones")
    return truth, values
