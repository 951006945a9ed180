"""How far each row is from the rows picked so far: what the greedy coreset keeps up to date."""

from collections.abc import Callable

import torch
from torch import Tensor

from patchcore_core.fast.lower_bounds import SAMPLED, Screen
from patchcore_core.fast.products import Product, block_rows, half_distance_factors, in_blocks, shifted, smallest
from patchcore_core.patches import Rows

PICKS_AT_ONCE = 1024  # in one product
MOST_ROWS = 4096  # of a block with few picks: what is done with the rows themselves stays in the cache
FEWEST_TO_SCREEN = 64  # picks, for which a screening costs less than it saves


class Gaps:
    """The squared distance of each row to the nearest pick, and which pick that is.

    Distances are computed as |x - c|^2 = 2 (|x|^2/2 + |c|^2/2 - x c), about the mean of the features, where norms
    are small and lose least to rounding. Blocks of rows are centred when they are used: beside the features there are
    three numbers a row, one block, and on a CPU what screening needs.

    A pick changes the gaps of few rows. On a CPU only rows that a lower bound lets come nearer are multiplied in full:
    see `Screen`. The gaps are the same.

    Args:
        features: (n, d), in any floating-point type; they are not changed.
        outset: (n,) squared gaps that hold whatever is picked, in double precision.
        precision: in which distances are computed; single, or that of the features if it is double.
        centre: (d,) about which; the mean of some rows when None. Any would do.
        screening: makes the `Screen` of features and their centre.

    Attributes:
        squared: (n,) squared gaps; -1 marks a pick.
        nearest: (n,) row of the nearest pick, or the number that `add_rows` gave it; -1 where the outset is nearer.
        rounding: what a squared gap may lose to rounding.
    """

    def __init__(
        self,
        features: Rows,
        *,
        outset: Tensor | None = None,
        precision: torch.dtype = torch.float32,
        centre: Tensor | None = None,
        screening: Callable[[Rows, Tensor], Screen] = Screen,
    ) -> None:
        self.features, self.outset, self._screening = features, outset, screening
        self.precision = torch.promote_types(precision, features.dtype)
        n, d = features.shape
        few = features[:: -(-n // SAMPLED)] if centre is None else centre[None]
        self.centre = few.to(self.precision).mean(dim=0)
        norms = self._half_norms = self.centre.new_empty(n)
        size = self._block_rows(d)
        in_blocks(n, size, lambda of: norms[of].copy_((features[of] - self.centre).square_().sum(1) / 2), features)
        self.rounding = 32 * torch.finfo(self.precision).eps * float(self._half_norms.max())
        self.squared = torch.full_like(self._half_norms, torch.inf)
        if outset is not None:
            self.squared = outset.to(self.precision, copy=True)
        self.nearest = torch.full((n,), -1, dtype=torch.int32, device=features.device)
        self._screen: Screen | None = None

    def add(self, picks: Tensor) -> None:
        """Let the gaps know of new picks (b,), rows of the features."""
        self.add_rows(self.features[picks], picks)
        self.squared[picks] = -1

    def add_rows(self, rows: Tensor, numbers: Tensor) -> None:
        """Let the gaps know of new picks (b, d), whoever holds them, under the numbers (b,)."""
        for some, names in zip(torch.split(rows, PICKS_AT_ONCE), torch.split(numbers, PICKS_AT_ONCE), strict=True):
            self._compare(some, names)

    def exact(self, rows: Tensor, picks: Rows | None = None) -> Tensor:
        """Squared gaps (k,) in double precision, by differences; `nearest` are rows of `picks`, or of the features."""
        nearest = self.nearest[rows].long()
        # Pair by pair: a sum over all rows would round some of them another way, and equal rows must have equal gaps.
        ours, theirs = self.features[rows], (self.features if picks is None else picks)[nearest]
        gaps = squared_distances(ours[:, None], theirs[:, None])[:, 0, 0]
        if self.outset is None:
            return gaps
        return gaps.masked_fill(nearest < 0, torch.inf).minimum(self.outset[rows])

    def _compare(self, picks: Tensor, numbers: Tensor) -> None:
        chosen = self._passing(picks)
        factors = half_distance_factors(picks.to(self.precision), self.centre).T
        product = Product()

        def update(block: slice) -> None:
            rows = block if chosen is None else chosen[block]
            values, columns = smallest(product(shifted(self.features[rows], self.centre), factors))
            found = (2 * (values + self._half_norms[rows])).clamp_min_(0)
            gaps = self.squared[rows]
            nearer = found < gaps
            owners = numbers[columns.clamp_max_(len(picks) - 1)].int()  # the last pick stands in several columns
            self.squared[rows] = torch.where(nearer, found, gaps)
            self.nearest[rows] = torch.where(nearer, owners, self.nearest[rows])

        n = len(self.features) if chosen is None else len(chosen)
        in_blocks(n, self._block_rows(max(factors.shape)), update, self.features)

    def _passing(self, picks: Tensor) -> Tensor | None:
        """The rows that the picks (b, d) may come nearer to; None for all, where to choose does not pay."""
        if len(picks) < FEWEST_TO_SCREEN or self.precision != torch.float32 or self.features.device.type == "cuda":
            return None  # on a GPU, to choose would wait for the device
        self._screen = self._screen or self._screening(self.features, self.centre)
        return self._screen.passing(picks, self.squared, self.rounding) if self._screen.pays else None

    def _block_rows(self, values: int) -> int:
        rows = block_rows(values, self.features.device)
        return rows if self.features.device.type == "cuda" else min(rows, MOST_ROWS)


def squared_distances(rows: Tensor, picks: Tensor) -> Tensor:
    """Between each row (..., n, d) and each pick (..., l, d), in double precision and by differences."""
    return torch.cdist(rows.double(), picks.double(), compute_mode="donot_use_mm_for_euclid_dist").square()
