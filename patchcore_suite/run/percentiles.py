"""The interval between two percentiles of bootstrap replicates, of whatever metric they are."""

import numpy as np
from numpy.typing import ArrayLike


def percentile_interval(replicates: ArrayLike, *, level: float = 0.95) -> tuple[float, float]:
    """Both ends of the middle of the replicates; those that are NaN are left out.

    Args:
        replicates: (r,).
        level: share of the replicates between the two ends, in (0, 1).

    Returns:
        both ends; NaN where no replicate is a number.

    Raises:
        ValueError: `level` is out of range.
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level} must lie in (0, 1)")
    replicates = np.asarray(replicates)
    numbers = replicates[~np.isnan(replicates)]
    if not numbers.size:
        return float("nan"), float("nan")
    low, high = np.quantile(numbers, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
