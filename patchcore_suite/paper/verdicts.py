"""Whether a number of the paper is reproduced.

- *reproduced*: ours and the printed one differ by at most 0.5 percentage points;
- *near*: by at most 1.5 points;
- *not reproduced*: by more.

Noise that explains the difference doubles both limits, and no more, so that a wide interval cannot make everything
reproduced. It explains one of at most twice the spread over seeds (the paper's own spread, where printed, is added
in squares), and one whose published number lies in the bootstrap interval of ours. Where twice the spread is more than
the wider of the doubled limits, a difference within it says nothing, and there is no verdict on it.

There is no verdict either on synthetic images, on those of a dataset that is none of the paper's or lacks some of its
images, on a mean over other categories than the published one, on a single draw whose spread is not known, without a
published number, or on a number that is no share.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from patchcore_suite.paper.conditions import CATEGORIES_DIFFER, UNLIKE_IMAGES
from patchcore_suite.paper.published import Published
from patchcore_suite.results.formats import NOT_AVAILABLE

REPRODUCED, NEAR, NOT_REPRODUCED, NO_VERDICT = "reproduced", "near", "not reproduced", "no verdict"
NO_NUMBER = "no published number"  # a reason, as are these
ONE_DRAW = "one seed: what another changes is not known"
WITHIN_SPREAD = "difference within twice the spread"
REPRODUCED_WITHIN, NEAR_WITHIN = 0.005, 0.015  # of a difference between fractions
NOISE_FACTOR = 2  # on both limits, and on the spread


@dataclass(frozen=True)
class Verdict:
    """What a number of ours is worth beside a published one.

    Attributes:
        name: `REPRODUCED`, `NEAR`, `NOT_REPRODUCED` or `NO_VERDICT`.
        difference: ours minus theirs, as a fraction; None where there is nothing to subtract.
        reasons: why there is no verdict, or all that makes it more than a comparison of equals.
    """

    name: str
    difference: float | None
    reasons: tuple[str, ...] = ()


def verdict(
    ours: float,
    published: Published | None,
    *,
    spread: float | None = None,
    interval: tuple[float, float] | None = None,
    reasons: Iterable[str] = (),
) -> Verdict:
    """Whether a number of the paper is reproduced; the module's first lines define it.

    Args:
        ours: a fraction, the mean over seeds; NaN where it is not available.
        published: the number that it is compared with; None if there is none.
        spread: standard deviation over seeds; None where nothing is drawn, NaN where it is not known.
        interval: bootstrap interval of ours, as fractions.
        reasons: what `differences` found; unlike images or categories among them rule a verdict out.
    """
    reasons = tuple(reasons)
    for reason in reasons:
        if reason in UNLIKE_IMAGES or reason.startswith(CATEGORIES_DIFFER):
            return Verdict(NO_VERDICT, None, (reason,))
    if published is None:
        return Verdict(NO_VERDICT, None, (NO_NUMBER,))
    if math.isnan(ours):
        return Verdict(NO_VERDICT, None, (NOT_AVAILABLE,))
    if published.unit != "%":
        return Verdict(NO_VERDICT, None, (f"not a share but {published.unit}",))

    reasons += {"=": (), "<": ("published as an upper bound",), "~": ("published as approximate",)}[published.relation]
    reasons += () if published.verified else ("rests on an unverified number",)
    difference = round(
        float(ours) - published.value, 6
    )  # the digits of the metrics' files: 99.0 - 98.5 is 0.5, not more
    gap = max(difference, 0) if published.relation == "<" else abs(difference)
    if spread is not None and math.isnan(spread):
        return Verdict(NO_VERDICT, difference, (*reasons, ONE_DRAW))
    reach = round(NOISE_FACTOR * math.hypot(spread or 0, published.std or 0), 6)
    if gap <= reach and reach > NOISE_FACTOR * NEAR_WITHIN:
        return Verdict(NO_VERDICT, difference, (*reasons, WITHIN_SPREAD))
    noise = _noise(gap, published, reach, interval)
    for name, limit in ((REPRODUCED, REPRODUCED_WITHIN), (NEAR, NEAR_WITHIN)):
        if gap <= limit:
            return Verdict(name, difference, reasons)
        if noise and gap <= NOISE_FACTOR * limit:
            return Verdict(name, difference, (*reasons, noise))
    return Verdict(NOT_REPRODUCED, difference, reasons)


def _noise(gap: float, published: Published, reach: float, interval: tuple[float, float] | None) -> str:
    """What explains a difference of this size, or an empty text."""
    if gap <= reach:
        return WITHIN_SPREAD
    if interval is not None and interval[0] <= published.value <= interval[1]:
        return "published number within the interval"
    return ""
