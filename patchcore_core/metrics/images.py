"""What image scores are worth: AUROC and the F1-optimal threshold, with ties counted as they should be.

And how much of the memory bank the patches of the test images are near to.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


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
    labels, scores = labels_and_scores(labels, scores)
    return _auroc(np.sort(scores[~labels]), scores[labels])


def f1_optimum(labels: ArrayLike, scores: ArrayLike) -> F1Optimum:
    """Find the threshold with the best F1 score; of equally good ones, the highest.

    Args:
        labels: (n,) 0 nominal, 1 anomalous.
        scores: (n,) anomaly scores.

    Raises:
        ValueError: as `image_auroc`.
    """
    labels, scores = labels_and_scores(labels, scores)
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


def checked(
    truth: NDArray[Any], values: NDArray[Any], truth_name: str, values_name: str
) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
    """Ground truth as truth values, and what is compared with it as floating-point numbers of the same shape.

    Raises:
        ValueError: shapes differ, a value is not finite, or one of the two classes is absent.
    """
    if truth.shape != values.shape:
        raise ValueError(f"{truth_name} {truth.shape} and {values_name} {values.shape} must have one shape")
    truth = truth_values(truth, truth_name)
    if values.dtype.kind != "f":
        values = values.astype(np.float64)  # negated below, and unsigned numbers would wrap around
    if not np.isfinite(values).all():
        raise ValueError(f"{values_name} hold NaN or infinite values")
    if truth.all() or not truth.any():
        found = "nominal" if not truth.any() else "anomalous"
        raise ValueError(f"{truth_name} are all {found}: the metric needs both nominal and anomalous ones")
    return truth, values


def truth_values(truth: NDArray[Any], name: str) -> NDArray[np.bool_]:
    """Zeros and ones as truth values.

    Raises:
        ValueError: there is something else among them.
    """
    if truth.dtype == bool:
        return truth
    if not np.isin(truth, (0, 1)).all():
        raise ValueError(f"{name} must hold 0 and 1 only")
    return truth.astype(bool)


def _auroc(nominal: NDArray[np.floating], anomalous: NDArray[np.floating]) -> float:
    """AUROC from the sorted scores of the nominal side: each anomalous score beats the nominal ones below it."""
    below = np.searchsorted(nominal, anomalous, side="left").sum(dtype=np.float64)
    not_above = np.searchsorted(nominal, anomalous, side="right").sum(dtype=np.float64)
    return float((below + not_above) / 2 / (len(nominal) * len(anomalous)))


def labels_and_scores(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
    """Labels (n,) as truth values, and scores (n,) that can be compared with them; errors as of `checked`."""
    labels, scores = np.asarray(labels), np.asarray(scores)
    if labels.ndim != 1:
        raise ValueError(f"labels {labels.shape} must be (n,)")
    return checked(labels, scores, "labels", "scores")
