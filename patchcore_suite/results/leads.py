"""How far one is ahead of another in a metric, over seeds and over test images: two intervals of one difference."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from patchcore_suite.results.quantities import Interval
from patchcore_suite.run.percentiles import percentile_interval

LEVEL = 0.95
BySeed = Mapping[int, NDArray[np.float64]]  # (replicates,) on resampled test images, the same ones for all seeds
Resamples = Mapping[str, Mapping[str, BySeed]]  # by variant and metric


class Lead(NamedTuple):
    """How far one is ahead of another in a metric: the mean of differences seed by seed, as fractions.

    Attributes:
        mean: of the one's values less the other's.
        interval: of Student's t over the seeds; NaN for one seed, which says nothing of others.
        seeds: that both have.
        images: bootstrap interval of the same mean over test images, both tested on the same draws; None where it was
            not asked for.
    """

    mean: float
    interval: Interval
    seeds: int
    images: Interval | None = None

    @property
    def decided(self) -> bool:
        """Whether every interval leaves no doubt of the sign, and all agree on it."""
        intervals = [one for one in (self.interval, self.images) if one is not None]
        return all(one.low > 0 for one in intervals) or all(one.high < 0 for one in intervals)


def ahead(first: pd.Series, second: pd.Series, drawn: tuple[BySeed, BySeed] | None = None) -> Lead | None:
    """How far the first values are ahead of the second, both by seed; None where no seed has both.

    Args:
        drawn: replicates of both (see `run.resamples`); without those of a seed there is no interval over images.
    """
    apart = (first - second).dropna()
    if apart.empty:
        return None
    count, half = len(apart), math.nan
    if count > 1:
        half = float(stdtrit(count - 1, (1 + LEVEL) / 2)) * apart.std(ddof=1) / math.sqrt(count)
    mean = float(apart.mean())
    interval = Interval(mean - half, mean + half, form="+.1f")
    return Lead(mean, interval, count, None if drawn is None else _over_images(list(apart.index), *drawn))


def _over_images(seeds: list[int], first: BySeed, second: BySeed) -> Interval | None:
    """The interval of the mean over seeds of differences on the same drawn images."""
    if not all(seed in first and seed in second for seed in seeds):
        return None
    apart = np.mean([first[seed] - second[seed] for seed in seeds], axis=0)
    return Interval(*percentile_interval(apart, level=LEVEL), form="+.1f")
