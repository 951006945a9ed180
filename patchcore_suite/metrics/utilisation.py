"""How much of the memory bank the patches of the test images are near to."""

import numpy as np
from numpy.typing import ArrayLike


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
