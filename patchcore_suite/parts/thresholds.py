"""From which score up a part is called anomalous, and what speaks for that very score."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from patchcore_core.common.errors import InputError
from patchcore_suite.metrics.decisions import f1_optimum
from patchcore_suite.run.percentiles import percentile_interval

REPLICATES = 1000  # resamples


@dataclass(frozen=True)
class Threshold:
    """A score from which up an image is called anomalous.

    Attributes:
        value: the score.
        rule: what chose it, in words.
        rate: the share of good images, at most, that it takes for anomalous on average; None where nothing is promised.
        low, high: 95 % bootstrap interval of the value over the images that it was chosen by; None likewise.

    Raises:
        InputError: a value that is NaN or infinite.
    """

    value: float
    rule: str
    rate: float | None = None
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):  # no score reaches it, or every one does
            raise InputError(f"a threshold of {self.value} is no score", remedy="give a number")


def false_alarm_threshold(nominal_scores: ArrayLike, rate: float, *, seed: int = 0) -> Threshold:
    """The lowest threshold that good images pass but for a share `rate`, from scores of good images alone.

    As conformal prediction has it (Vovk et al. 2005): of n + 1 scores that may as well come in another order, the last
    one exceeds the k-th smallest of the others with a chance of at most 1 - k / (n + 1). The threshold lies just above
    the k-th smallest, k = ceil((n + 1) (1 - rate)). Few images promise little: with n of them no threshold promises
    less than 1 / (n + 1), which is then the rate that is given. Scores without an image's own patches come from a bank
    that lacks one image of n, and so are a little higher than those of new images: the threshold is on the safe side.

    Args:
        nominal_scores: (n,) of good images, each scored as if it had not been there when the model was fitted.
        rate: of false alarms, in (0, 1).

    Raises:
        InputError: there are no scores, one is not finite, or the rate is out of range.
    """
    scores = np.sort(_finite(nominal_scores))
    if not 0 < rate < 1:
        raise InputError(
            f"a rate of false alarms of {rate} must lie between 0 and 1", remedy="0.01 is one in a hundred"
        )
    n = len(scores)
    promised = max(rate, 1 / (n + 1))
    # Products such as 100 x (1 - 0.01) are whole numbers but for rounding.
    k = min(n, math.ceil(round((n + 1) * (1 - promised), 9)))
    drawn = np.random.default_rng(seed).integers(n, size=(REPLICATES, n))
    low, high = percentile_interval(np.sort(scores[drawn], axis=1)[:, k - 1])
    rule = f"{_percent(promised)} of good images taken for anomalous, from {n} good images"
    if promised > rate:
        rule += f" (as few as {_percent(rate)} takes {math.ceil(1 / rate) - 1})"
    return Threshold(_just_above(scores[k - 1]), rule, promised, low, high)


def f1_threshold(labels: ArrayLike, scores: ArrayLike) -> Threshold:
    """The threshold with the best F1 score on images that are known to be good (0) or defective (1)."""
    found = f1_optimum(labels, scores)
    missed, alarms = found.false_negatives, found.false_positives
    return Threshold(found.threshold, f"best F1 score, {found.f1:.3f}: {missed} missed, {alarms} false alarms")


def cost_threshold(labels: ArrayLike, scores: ArrayLike, *, miss: float, false_alarm: float = 1.0) -> Threshold:
    """The threshold that costs least on images that are known to be good (0) or defective (1).

    Args:
        labels, scores: (n,).
        miss: what a defect that is not found costs.
        false_alarm: what a good part costs that is called anomalous.

    Returns:
        of equally cheap thresholds the highest.

    Raises:
        InputError: a cost is negative or no number, or both are 0.
        ValueError: as `decisions.f1_optimum`.
    """
    check_costs(miss, false_alarm)
    f1_optimum(labels, scores)  # refuses what cannot be compared
    truth, scores = np.asarray(labels, dtype=bool), np.asarray(scores)
    values = np.append(np.unique(scores), _just_above(scores.max()))  # the last one calls nothing anomalous
    missed = np.searchsorted(np.sort(scores[truth]), values, side="left")
    alarms = (~truth).sum() - np.searchsorted(np.sort(scores[~truth]), values, side="left")
    costs = miss * missed + false_alarm * alarms
    best = int(np.flatnonzero(costs == costs.min())[-1])
    rule = f"least cost, {costs[best]:g} with {miss:g} a miss and {false_alarm:g} a false alarm"
    return Threshold(float(values[best]), f"{rule}: {missed[best]} missed, {alarms[best]} false alarms")


def check_costs(miss: float, false_alarm: float = 1.0) -> None:
    """Refuse costs of a miss and of a false alarm that nothing can be weighed by.

    Raises:
        InputError: as of `cost_threshold`.
    """
    if not (math.isfinite(miss + false_alarm) and min(miss, false_alarm) >= 0 and miss + false_alarm > 0):
        raise InputError(
            f"costs of {miss} a miss and {false_alarm} a false alarm must be 0 or more, and one of them above 0",
            remedy="say how many false alarms a missed defect is worth: 10, for example",
        )


def share_below(score: float, nominal_scores: ArrayLike) -> float:
    """The share of good images (n,) that score lower: how unusual a score is, from 0 to 1."""
    return float((_finite(nominal_scores) < score).mean())


def _finite(scores: ArrayLike) -> NDArray[np.float32]:
    found = np.asarray(scores, dtype=np.float32)
    if found.ndim != 1 or not found.size or not np.isfinite(found).all():
        raise InputError(f"scores {found.shape} of good images must be one or more finite numbers")
    return found


def _just_above(score: float) -> float:
    """The next number that a score can be."""
    return float(np.nextafter(np.float32(score), np.float32(np.inf)))


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
