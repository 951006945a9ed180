"""Greedy selection that leaves a number of farthest rows out, so fast that it serves for whole datasets.

Gaps only fall, and so does the gap of each further pick: a gap that was computed earlier is an upper bound, and rows
that are nearer than the next pick need no comparison with the picks since. Between two rounds all that counts is told
by the rows that are farther than a bound a little below the last pick's gap.
"""

import numpy as np
import torch
from torch import Generator, Tensor

from patchcore_core.common.progress import progress_bar
from patchcore_core.fast.nearest_picks import MOST_ROWS
from patchcore_core.fast.products import GROUP, block_rows, half_distance_factors, in_blocks, shifted, smallest
from patchcore_core.fast.threads import steps_alone
from patchcore_suite.baselines.patch_banks import principal_components

LOWER = 0.9  # times the squared gap of the next pick: down to there rows are kept up to date in one round
LEADING = 0.9  # share of the variance in the dimensions that tell which rows a pick may come nearer to
SAMPLED = 8192  # rows that these dimensions are taken from; any would do, only slower


@steps_alone()
def trimmed_coreset(
    features: Tensor, size: int, *, outliers: int, generator: Generator | None = None, progress: bool = False
) -> Tensor:
    """Pick the row that is farthest from those picked, but for `outliers` rows, again and again.

    The picks are those of a plain loop in double precision, and depend neither on blocks nor on threads. Rows whose
    squared gaps agree to within its rounding, 2e-15 d times the largest squared norm about the mean, are equally far.

    Args:
        features: (n, d), finite.
        size: how many to pick, at most n - outliers.
        outliers: how many rows may be farther than a pick; which they are may change from pick to pick.
        generator: draws the first pick.

    Returns:
        (size,) distinct row indices, in order of selection; of equally far rows the first is picked.
    """
    gaps = TrimmedGaps(features, outliers)
    picks = [int(torch.randint(len(features), (), generator=generator))]
    with progress_bar(size, "trimmed coreset", unit="pick", show=progress) as bar:
        while len(picks) < size:
            fresh = gaps.next_picks(picks, size - len(picks))
            picks += fresh
            bar.update(len(fresh))
    return torch.tensor(picks, device=features.device)


class TrimmedGaps:
    """Squared distances of rows (n, d) to the picks, or upper bounds of these where they do not count."""

    def __init__(self, features: Tensor, outliers: int) -> None:
        n, d = features.shape
        sample = features[:: -(-n // SAMPLED)].double()
        self._features, self._outliers, self._centre = features, outliers, sample.mean(dim=0)
        self._half_norms = self._centre.new_empty(n)
        in_blocks(n, MOST_ROWS, self._fill_norms, features)
        self._rounding = 16 * d * torch.finfo(torch.float64).eps * float(self._half_norms.max())
        sample = sample - self._centre
        self._basis = principal_components(sample.T @ sample, LEADING)[1]
        self._gaps = torch.full_like(self._half_norms, torch.inf)  # -inf marks a pick
        self._compared = torch.zeros(n, dtype=torch.long, device=features.device)  # with how many picks
        self._next = 0.0  # that the gap of the next pick is not below

    def next_picks(self, picks: list[int], most: int) -> list[int]:
        """The rows that follow `picks`, up to so many: at least one."""
        gaps, fresh = self._gaps, list[int]()
        gaps[picks[-1]] = -torch.inf
        bound = LOWER * self._next - 2 * self._rounding
        self._compare((gaps >= bound).nonzero()[:, 0], picks)
        bound = max(bound, LOWER * self._of_next(gaps[gaps >= bound]) - 2 * self._rounding)
        rows = (gaps >= bound).nonzero()[:, 0]
        near = Near(shifted(self._features[rows], self._centre)[:, :-1], self._half_norms[rows], self._basis)
        found = gaps[rows]
        while True:
            self._next = self._of_next(found)
            if len(fresh) == most or self._next < bound + self._rounding:
                break
            best = int(((found - self._next).abs() <= self._rounding).nonzero()[0])
            fresh.append(int(rows[best]))
            near.lower(found, best, self._rounding)
            found[best] = -torch.inf
        gaps[rows] = found
        self._compared[rows] = len(picks) + len(fresh)
        self._next = max(self._next, 0.0)
        return fresh

    def _of_next(self, gaps: Tensor) -> float:
        """The largest gap but for the outliers; -inf where there are no more."""
        if len(gaps) <= self._outliers:
            return -torch.inf
        place = len(gaps) - 1 - self._outliers
        return float(np.partition(gaps.cpu().numpy(), place)[place])

    def _compare(self, rows: Tensor, picks: list[int]) -> None:
        """Bring the gaps of rows up to date, those together that have about as many picks to be compared with."""
        compared = self._compared[rows]
        order = compared.argsort(stable=True)
        rows, compared = rows[order], compared[order]
        rows = rows[compared < len(picks)]
        factors = half_distance_factors(self._features[picks], self._centre).T

        def update(block: slice) -> None:
            some, first = rows[block], int(compared[block.start]) // GROUP * GROUP  # `smallest` looks at whole groups
            products = shifted(self._features[some], self._centre) @ factors[:, first:]
            squared = 2 * (smallest(products)[0] + self._half_norms[some])
            self._gaps[some] = self._gaps[some].minimum(squared.clamp_min(0))

        in_blocks(len(rows), min(MOST_ROWS, block_rows(len(picks), rows.device)), update, self._features)
        self._compared[rows] = len(picks)

    def _fill_norms(self, of: slice) -> None:
        self._half_norms[of] = (self._features[of] - self._centre).square_().sum(dim=1) / 2


class Near:
    """Centred rows (m, d) with half their squared norms, of which few are near a pick.

    The distance in some dimensions of an orthonormal basis (d, k) is at most the whole distance.
    """

    def __init__(self, rows: Tensor, half_norms: Tensor, basis: Tensor) -> None:
        self._rows, self._half_norms = rows.contiguous(), half_norms
        self._leading = self._rows @ basis
        self._of_leading = self._leading.square().sum(dim=1) / 2

    def lower(self, gaps: Tensor, pick: int, rounding: float) -> None:
        """Let squared gaps (m,) know of a pick among the rows."""
        least = self._of_leading - self._leading @ self._leading[pick] + self._of_leading[pick]
        near = (2 * least <= gaps + rounding).nonzero()[:, 0]
        apart = self._half_norms[near] - self._rows[near] @ self._rows[pick] + self._half_norms[pick]
        gaps[near] = gaps[near].minimum((2 * apart).clamp_min_(0))
