"""What image scores are worth: AUROC, with ties counted as they should be."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


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


def checked(
    truth: NDArray[Any], values: NDArray[Any], truth_name: str, values_name: str
) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
    """Truth values, and what is compared with them as floating-point numbers; ValueError as of `image_auroc`."""
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
    """Zeros and ones as truth values; a ValueError if there is something else among them."""
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
