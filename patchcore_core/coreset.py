"""Which patch features the memory bank keeps: Eq. 5 and Algorithm 1 of Roth et al. (2022)."""

import torch
from torch import Generator, Tensor

from patchcore_core.common.errors import InputError
from patchcore_core.fast.products import block_rows, in_blocks
from patchcore_core.fast.rounds import Rounds
from patchcore_core.fast.threads import steps_alone
from patchcore_core.patches import Rows, whole


def coreset_size(n: int, fraction: float) -> int:
    """Number of rows that a fraction of `n` keeps: rounded down, as in the authors' code, but at least one."""
    return max(1, int(n * fraction))


def random_coreset(features: Rows, size: int, *, generator: Generator | None = None) -> Tensor:
    """Keep uniformly drawn rows: the baseline that the greedy coreset is compared with.

    Args:
        features: (n, d).
        size: how many to keep, 1 <= size <= n.

    Returns:
        (size,) distinct row indices.

    Raises:
        InputError: `size` is outside 1..n.
    """
    check_features(features, size)
    return torch.randperm(len(features), generator=generator)[:size].to(features.device)


def random_projection(features: Rows, dimension: int, *, generator: Generator | None = None) -> Tensor:
    """Bring features to fewer dimensions with distances nearly kept (Johnson-Lindenstrauss): psi of Algorithm 1.

    Args:
        features: (n, d).
        dimension: d*. Features of no more dimensions than that are returned as they are.

    Returns:
        (n, min(d, d*)) projected features.
    """
    d = features.shape[1]
    if d <= dimension:
        return whole(features)
    projection = torch.randn(d, dimension, generator=generator, dtype=torch.float32) / dimension**0.5
    precision = torch.promote_types(features.dtype, torch.float32)  # half precision is for storage
    projection = projection.to(features.device, precision)
    projected = torch.empty(len(features), dimension, dtype=features.dtype, device=features.device)
    size = block_rows(d, features.device)
    in_blocks(len(features), size, lambda of: projected[of].copy_(features[of].to(precision) @ projection), features)
    return projected


@steps_alone()
def greedy_coreset(
    features: Tensor,
    size: int,
    *,
    start: int | None = None,
    gaps: Tensor | None = None,
    generator: Generator | None = None,
    progress: bool = False,
) -> Tensor:
    """Keep the patch features that leave no other one far away.

    Greedy answer to the minimax problem of Roth et al. (2022), Eq. 5: each pick is the row farthest from those
    picked before; of equally far ones, the first. At most twice the optimal covering radius (Gonzalez 1985).

    The picks are those of the sequential algorithm in double precision, found many at a time: see `fast.rounds`. After
    1024 picks, rows whose gaps agree to within single precision may come in another order.

    Args:
        features: (n, d) patch features, randomly projected or not.
        size: how many to keep, 1 <= size <= n.
        start: the first pick; drawn with `generator` when None. The rest is deterministic.
        gaps: (n,) distances within which the rows count as covered from the outset, in place of a first pick: the
            row with the largest is then picked first, of equals the first one.
        progress: show a progress bar.

    Returns:
        (size,) distinct row indices, in order of selection.

    Raises:
        InputError: `size`, `start` or `gaps` is out of range, both of the latter are given, or features are not finite.
    """
    check_features(features, size)
    n = len(features)
    if gaps is not None:
        _check_gaps(gaps, n, start)
        start = int(gaps.argmax())
    elif start is None:
        start = int(torch.randint(n, (), generator=generator))
    if not 0 <= start < n:
        raise InputError(f"start={start} must be a row in 0..{n - 1}")

    outset = None if gaps is None else gaps.double().square()  # hold whatever is picked; in double, what decides
    return Rounds(features, outset).pick(start, size, progress=progress)


def covering_radius(features: Tensor, coreset_indices: Tensor) -> float:
    """Largest distance from any row (n, d) to its nearest kept row: the objective of Eq. 5; in double precision."""
    rounds = Rounds(features, outset=None)
    rounds.add(coreset_indices)
    return rounds.radius()


def check_features(features: Rows, size: int) -> None:
    """Refuse features (n, d) of which `size` rows cannot be chosen: too few, or not finite."""
    n = len(features)
    if not 1 <= size <= n:
        raise InputError(f"size={size} must lie in 1..{n}, the number of patch features")
    # In blocks: to look at all at once would take twice the memory of the features.
    rows = block_rows(features.shape[1], features.device)
    bad = sum(_not_finite(features[start : start + rows]) for start in range(0, n, rows))
    if bad:
        raise InputError(f"{bad} of {n} patch features hold NaN or infinite values", remedy="check images and network")


def _not_finite(rows: Tensor) -> int:
    """How many rows hold NaN or infinities."""
    if torch.isfinite(rows.sum(dtype=torch.promote_types(rows.dtype, torch.float32))):
        return 0  # a sum tells at once; only a sum that overflows tells nothing
    return int((~torch.isfinite(rows)).any(dim=1).sum())


def _check_gaps(gaps: Tensor, n: int, start: int | None) -> None:
    """Refuse gaps that are not one distance a row, and a first pick beside them."""
    if start is not None:
        raise InputError(f"start={start} cannot be given together with gaps, which decide the first pick")
    if tuple(gaps.shape) != (n,):
        raise InputError(f"gaps {tuple(gaps.shape)} must be ({n},), one distance a patch feature")
    if not (gaps >= 0).all():  # also refuses NaN
        raise InputError(f"{int((~(gaps >= 0)).sum())} of {n} gaps are negative or NaN", remedy="give distances")
