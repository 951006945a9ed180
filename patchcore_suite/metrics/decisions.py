"""What image scores are worth to those who decide by them: the best threshold, false alarms, probabilities."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression
from scipy.special import expit

from patchcore_core.metrics.images import labels_and_scores

RECALL = 0.95
MOST_STEPS, CLOSE, TINY = 100, 1e-9, 1e-12  # of Newton's method: steps, slope an image where it ends, what adds nothing


@dataclass(frozen=True)
class F1Optimum:
    """The threshold with the best F1 score, and the images it misclassifies.

    It is fitted on the test set: an oracle, as in the paper's count of misclassified images.
    """

    threshold: float  # an image is called anomalous from this score up
    f1: float
    false_positives: int
    false_negatives: int


def f1_optimum(labels: ArrayLike, scores: ArrayLike) -> F1Optimum:
    """Find the threshold with the best F1 score; of equally good ones, the highest.

    Args:
        labels: (n,) 0 nominal, 1 anomalous.
        scores: (n,) anomaly scores.

    Raises:
        ValueError: as `metrics.image_auroc`.
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


def fpr_at_recall(labels: ArrayLike, scores: ArrayLike, recall: float = RECALL) -> float:
    """Share of nominal images that are called anomalous where a share `recall` of the anomalous ones is found.

    Args:
        labels: (n,) 0 nominal, 1 anomalous.
        scores: (n,) anomaly scores; the threshold is the highest of an anomalous image that is low enough.

    Raises:
        ValueError: as `metrics.image_auroc`.
    """
    anomalous, scores = labels_and_scores(labels, scores)
    falling = -np.sort(-scores[anomalous])
    threshold = falling[math.ceil(round(recall * len(falling), 9)) - 1]
    return float((scores[~anomalous] >= threshold).mean())


def calibration_error(labels: ArrayLike, scores: ArrayLike) -> float:
    """How far the probability that a logistic curve gives an image is from the share of anomalous ones, on average.

    Platt's curve (1999), fitted to these very images, as the threshold of the best F1 score is: an oracle. The share
    is the isotonic regression of labels on probabilities (Dimitriadis et al., 2021), so that there are no bins.

    Args:
        labels: (n,) 0 nominal, 1 anomalous.
        scores: (n,) anomaly scores.

    Raises:
        ValueError: as `metrics.image_auroc`.
    """
    anomalous, scores = labels_and_scores(labels, scores)
    return expected_calibration_error(anomalous, platt_probabilities(anomalous, scores))


def expected_calibration_error(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean distance of probabilities (n,) from the share of anomalous images at them, which may not fall."""
    distinct, place, counts = np.unique(np.asarray(probabilities), return_inverse=True, return_counts=True)
    shares = np.bincount(place, weights=np.asarray(labels, dtype=float)) / counts
    fitted = isotonic_regression(shares, weights=counts).x
    return float((np.abs(fitted - distinct) * counts).sum() / counts.sum())


def platt_probabilities(anomalous: NDArray[np.bool_], scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probability of each image (n,) by the logistic curve of the score that fits best.

    Platt (1999), section 2.2: targets are drawn in from 0 and 1, so that there is a best curve where the scores of
    both classes do not overlap, too. Newton's method, halving steps that do not help (Lin et al., 2007).
    """
    deviation = scores.std(dtype=np.float64) or 1.0
    x = (scores - scores.mean(dtype=np.float64)) / deviation
    positive = int(anomalous.sum())
    targets = np.where(anomalous, (positive + 1) / (positive + 2), 1 / (len(scores) - positive + 2))

    def loss(slope: float, level: float) -> float:
        logits = slope * x + level
        return float(np.logaddexp(0, logits).sum() - targets @ logits)

    slope, level, now = 0.0, 0.0, loss(0, 0)
    for _ in range(MOST_STEPS):
        p = expit(slope * x + level)
        wrong, weight = p - targets, p * (1 - p)
        down = np.array([wrong @ x, wrong.sum()])
        if np.abs(down).max() < CLOSE * len(scores):
            break
        mixed = weight @ x
        step = np.linalg.solve([[weight @ (x * x) + TINY, mixed], [mixed, weight.sum() + TINY]], down)
        while (then := loss(slope - step[0], level - step[1])) > now and np.abs(step).max() > TINY:
            step /= 2
        slope, level, now = slope - step[0], level - step[1], then
    return expit(slope * x + level)
