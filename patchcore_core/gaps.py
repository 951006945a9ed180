"""How far each row is from the rows picked so far: what the greedy coreset keeps up to date."""

import torch
from torch import Tensor

from patchcore_core.products import BLOCK_VALUES, bfloat16_pays, in_blocks, smallest

PICKS_AT_ONCE = 1024  # in one product
FEWEST_TO_SCREEN = 64  # picks, for which a screening costs less than it saves
MOST_TO_SCREEN = 0.6  # share of a block's rows that pass, above which the next blocks are not screened
UNIT = 2.0**-8  # the largest relative error of rounding to bfloat16


class Gaps:
    """The squared distance of each row to the nearest pick, and which pick that is.

    Distances are computed as |x - c|^2 = 2 (|x|^2/2 + |c|^2/2 - x c), about the mean of the features, where norms
    are small and lose least to rounding. Blocks of rows are centred when they are used: beside the features there are
    three numbers a row, and one block.

    A pick changes the gaps of few rows. Where the processor multiplies bfloat16 much faster, a block is screened
    first: a product in bfloat16 of slightly longer vectors is a lower bound of each distance, whatever is rounded,
    and only rows that a bound lets come nearer are multiplied in full precision. The gaps are the same.

    Args:
        features: (n, d), in any floating-point type; they are not changed.
        outset: (n,) squared gaps that hold whatever is picked, in double precision.
        precision: in which distances are computed; single, or that of the features if it is double.

    Attributes:
        squared: (n,) squared gaps; -1 marks a pick.
        nearest: (n,) row of the nearest pick; -1 where the outset is nearer.
        rounding: what a squared gap may lose to rounding.
    """

    def __init__(
        self, features: Tensor, *, outset: Tensor | None = None, precision: torch.dtype = torch.float32
    ) -> None:
        self.features, self.outset = features, outset
        self.precision = torch.promote_types(precision, features.dtype)
        n, d = features.shape
        self._block = max(1, BLOCK_VALUES // d)
        parts = features.split(self._block)
        self._mean = (sum(part.sum(dim=0, dtype=torch.float64) for part in parts) / n).to(self.precision)
        self._half_norms = torch.cat([self._centred(part).square().sum(dim=1) / 2 for part in parts])
        self.rounding = 32 * torch.finfo(self.precision).eps * float(self._half_norms.max())
        self.squared = features.new_full((n,), torch.inf, dtype=self.precision)
        if outset is not None:
            self.squared = outset.to(self.precision)
        self.nearest = torch.full((n,), -1, dtype=torch.int32, device=features.device)
        self._screens = self.precision == torch.float32 and bfloat16_pays(features.device)

    def add(self, picks: Tensor) -> None:
        """Let the gaps know of new picks (b,), rows of the features."""
        for some in picks.split(PICKS_AT_ONCE):
            self._add(some)
        self.squared[picks] = -1

    def exact(self, rows: Tensor) -> Tensor:
        """Squared gaps of some rows (k,) to their nearest pick in double precision, by differences."""
        nearest = self.nearest[rows].long()
        gaps = (self.features[rows].double() - self.features[nearest].double()).square().sum(dim=1)
        if self.outset is None:
            return gaps
        return gaps.masked_fill(nearest < 0, torch.inf).minimum(self.outset[rows])

    def _centred(self, rows: Tensor) -> Tensor:
        return rows.to(self.precision) - self._mean

    def _add(self, picks: Tensor) -> None:
        centres, offsets, owners = self._centred(self.features[picks]), self._half_norms[picks], picks.int()
        bounds = _bounds(centres, offsets) if self._screens and len(picks) >= FEWEST_TO_SCREEN else None
        passing = 0.0

        def update(block: slice) -> None:
            nonlocal passing
            x, half_norms, gaps = self._centred(self.features[block]), self._half_norms[block], self.squared[block]
            nearest = self.nearest[block]
            chosen = None
            if bounds is not None and passing <= MOST_TO_SCREEN:
                low = 2 * (_lower_products(x, half_norms, bounds) + half_norms) - self.rounding
                chosen = (low < gaps).nonzero()[:, 0]
                passing = len(chosen) / len(x)
                x, half_norms, gaps, nearest = x[chosen], half_norms[chosen], gaps[chosen], nearest[chosen]
            values, columns = smallest(torch.addmm(offsets, x, centres.T, alpha=-1))
            found = (2 * (values + half_norms)).clamp_min_(0)
            nearer = found < gaps
            gaps, nearest = torch.where(nearer, found, gaps), torch.where(nearer, owners[columns], nearest)
            rows = block if chosen is None else chosen + block.start
            self.squared[rows], self.nearest[rows] = gaps, nearest

        in_blocks(len(self.features), max(1, BLOCK_VALUES // max(len(picks), centres.shape[1])), update)


def _bounds(centres: Tensor, offsets: Tensor) -> Tensor:
    """Picks as columns (d + 3, b) of a bfloat16 product that is a lower bound of |c|^2/2 - x c.

    By Cauchy-Schwarz, rounding x and c moves x c by at most (2 u + u^2) |x| |c|: a column subtracts a little more.
    Half the squared norm, made a little smaller, stands in two columns, its upper and its lower digits.
    """
    margin = 2.1 * UNIT * centres.norm(dim=1)
    smaller = offsets * (1 - 2.0**-14)
    upper = smaller.bfloat16()
    columns = [-centres, -margin[:, None], upper[:, None], (smaller - upper)[:, None]]
    return torch.cat([part.bfloat16() for part in columns], dim=1).T


def _lower_products(x: Tensor, half_norms: Tensor, bounds: Tensor) -> Tensor:
    """(n,) lower bounds of the smallest |c|^2/2 - x c of each row."""
    n, d = x.shape
    rows = x.new_ones(n, d + 3, dtype=torch.bfloat16)
    rows[:, :d] = x
    rows[:, d] = (2 * half_norms).sqrt()
    low = (rows @ bounds).amin(dim=1).to(x)
    return low - 1.01 * UNIT * low.abs()  # the product itself is rounded
