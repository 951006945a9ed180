"""Greedy picks many at a time: which of the rows that are now farthest are certain to be picked next.

Picks are simulated among the b rows that are farthest for as long as the best of them is farther than the (b+1)-th of
all; then one product updates all gaps. Single precision nominates; what decides is computed in double.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from patchcore_core.common.progress import LONG, progress_bar
from patchcore_core.fast.nearest_picks import Gaps, squared_distances
from patchcore_core.fast.products import block_rows, half_distance_factors, in_blocks, shifted

SMALLEST_ROUND, LARGEST_ROUND = 256, 1024  # candidates looked at in one round
TOO_CLOSE = 16  # squared gaps below so many times their rounding error need double precision
ALL_COMPARED = 1024  # picks, up to which candidates are compared with each that may be as near as the nearest
AT_ONCE = 2**14  # rows or pairs, whose differences are computed together


class Candidates(NamedTuple):
    """Rows (b,) that may be picked next, ascending, their features (b, d) and squared gaps (b,) in double."""

    rows: Tensor
    features: Tensor
    gaps: Tensor
    bound: float  # that the squared gap of no other row exceeds, but by rounding
    tied: float = -torch.inf  # the largest of further rows: each comes after all candidates that were as far as it


class Rounds:
    """How far rows are from the picks, round by round: of features (n, d) here, of rows elsewhere in a subclass."""

    def __init__(self, features: Tensor, outset: Tensor | None) -> None:
        self._features, self._outset, self._picks = features, outset, features.new_empty(0, dtype=torch.long)
        self._begin(torch.float32)

    def _begin(self, precision: torch.dtype) -> None:
        self._gaps = Gaps(self._features, outset=self._outset, precision=precision)
        self.centre, self.rounding = self._gaps.centre, self._gaps.rounding

    def add(self, picks: Tensor) -> None:
        """Let the gaps know of new picks (b,); in double where single precision cannot tell rows apart any more."""
        self._picks = torch.cat([self._picks, picks])
        self._gaps.add(picks)
        if self._gaps.precision != torch.float64 and float(self._gaps.squared.max()) < TOO_CLOSE * self.rounding:
            self._begin(torch.float64)
            self._gaps.add(self._picks)

    def kept(self) -> Tensor:
        """Features of all picks (l, d)."""
        return self._features[self._picks]

    def farthest(self, most: int, above: float | None = None) -> Candidates:
        return farthest(self._gaps, most, above)

    def left(self, most: int) -> Tensor:
        """The first rows that are not picked."""
        return (self._gaps.squared >= 0).nonzero()[:most, 0]

    def radius(self) -> float:
        """Largest distance from any row to its nearest pick."""
        return max([0.0, *map(float, self.farthest(SMALLEST_ROUND).gaps)]) ** 0.5

    def pick(self, start: int, size: int, *, progress: bool) -> Tensor:
        """Rows (size,), `start` and then each the farthest from those before; of equals the first."""
        picks = torch.full((size,), start, device=self.centre.device)
        count, fresh, most = 1, picks[:1], SMALLEST_ROUND
        with progress_bar(size, "greedy coreset", unit="pick", show=progress, wait=LONG) as bar:
            bar.update(1)
            while count < size:
                self.add(fresh)
                fresh = self._next(most, count, size - count)[: size - count]
                picks[count : count + len(fresh)] = fresh
                count += len(fresh)
                bar.update(len(fresh))
                factor = 2 if len(fresh) > most // 2 else 0.5 if len(fresh) < most // 8 else 1
                most = min(max(int(factor * most), SMALLEST_ROUND), LARGEST_ROUND)
        return picks

    def _next(self, most: int, count: int, wanted: int) -> Tensor:
        """Rows that come next after `count` picks."""
        found = self.farthest(most)
        chosen, top = self._certain(found, count)
        if not chosen:  # more rows are about as far as the farthest than were looked at
            found = self.farthest(2 * LARGEST_ROUND, above=top - 2 * self.rounding)
            chosen, top = self._certain(found, count)
        if top <= 0:  # every row left repeats one that is kept: the first ones follow in order
            return self.left(wanted)
        return found.rows[chosen or [int(found.gaps.argmax())]]

    def _certain(self, found: Candidates, count: int) -> tuple[list[int], float]:
        """Positions of picks among candidates while no other row can come before them; the largest gap before."""
        x, apart = found.features, found.gaps.new_empty(len(found.gaps), len(found.gaps))
        size = block_rows(len(x), x.device)
        in_blocks(len(x), size, lambda of: apart[of].copy_(squared_distances(x[of], x)), x)
        between = apart.cpu().numpy()
        initial = found.gaps.cpu().numpy()
        gaps = self._from_all(found).cpu().numpy() if count <= ALL_COMPARED else initial
        top, bound, chosen = float(gaps.max(initial=0)), max(found.bound + self.rounding, 0.0), list[int]()
        while len(chosen) < len(gaps):
            best = int(gaps.argmax())
            # Of further rows that are as far, one may come first only if this one was farther.
            if gaps[best] <= bound or gaps[best] < found.tied or gaps[best] == found.tied < initial[best]:
                break
            chosen.append(best)
            gaps = gaps.clip(max=between[best])
            gaps[best] = -1
        return chosen, top

    def _from_all(self, found: Candidates) -> Tensor:
        """Squared gaps (b,) of candidates in double: of picks as near to within rounding, single may name the wrong."""
        picks, gaps = self.kept(), found.gaps
        x = shifted(found.features.to(self.centre), self.centre)
        half = x[:, :-1].square().sum(dim=1, keepdim=True) / 2
        squared = 2 * (half + x @ half_distance_factors(picks.to(self.centre), self.centre)[: len(picks)].T)
        for pairs in torch.split((squared <= gaps[:, None] + 3 * self.rounding).nonzero(), AT_ONCE):
            exact = squared_distances(found.features[pairs[:, 0], None], picks[pairs[:, 1], None])[:, 0, 0]
            gaps = gaps.scatter_reduce(0, pairs[:, 0], exact, "amin")
        return gaps


def farthest(state: Gaps, most: int, above: float | None = None, picks: Tensor | None = None) -> Candidates:
    """The `most` rows that are farthest: in single precision, or in double of the rows `above` in single."""
    if above is None:
        values, rows = state.squared.topk(min(most + 1, len(state.squared)))
        bound = float(values[most]) if len(values) > most and values[most] >= 0 else -torch.inf
        rows = rows[:most][values[:most] >= 0].sort().values
        return Candidates(rows, state.features[rows], state.exact(rows, picks), bound)
    rows = (state.squared >= max(above, 0.0)).nonzero()[:, 0]
    gaps = torch.cat([state.exact(some, picks) for some in torch.split(rows, AT_ONCE)])
    order = gaps.argsort(descending=True, stable=True)
    tied = float(gaps[order[most]]) if len(order) > most else -torch.inf
    rows, gaps = (of[order[:most].sort().values] for of in (rows, gaps))
    others = state.squared[state.squared < above]
    bound = float(others.max()) if len(others) and others.max() >= 0 else -torch.inf
    return Candidates(rows, state.features[rows], gaps, bound, tied)
