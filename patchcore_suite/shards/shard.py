"""One shard: some of all rows, how far each is from the picks, and what it answers in a round."""

from functools import partial

import torch
from torch import Tensor

from patchcore_core.fast.lower_bounds import DEAREST, Screen
from patchcore_core.fast.products import WORTH_WHILE, bfloat16_pays, block_rows
from patchcore_core.fast.rounds import Candidates, farthest
from patchcore_core.patches import Rows
from patchcore_suite.shards.lazy import LazyGaps

GAP_BYTES = 16  # a row, in single precision: its gap, its pick, how many it met, its norm


class Shard:
    """The rows of one shard under their numbers among all rows.

    What it is asked are its methods; what they take and give are tensors and numbers, so that any carrier will do.

    Args:
        rows: (n, d); they are not held if they lie on disk.
        first: number of the first of them; the others follow it.
        memory: bytes that gaps and screening may take; None for as many as they need.
    """

    def __init__(self, rows: Rows, first: int, memory: float | None = None) -> None:
        self._rows, self._first, self._memory = rows, first, memory
        self._outset: Tensor | None = None
        self._state: LazyGaps | None = None

    def summary(self) -> tuple[int, int, torch.dtype, int]:
        """How many rows there are, of how many dimensions, of what kind, and how many are not finite."""
        n, d = self._rows.shape
        size = block_rows(d, self._rows.device)
        bad = 0
        for start in range(0, n, size):
            bad += int((~torch.isfinite(self._rows[start : start + size])).any(dim=1).sum())
        return n, d, self._rows.dtype, bad

    def sample(self, step: int) -> Tensor:
        """Rows whose number is a multiple of `step`."""
        return self._rows[-self._first % step :: step].clone()

    def rows_of(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Of some numbers (k,): which of them are rows of this shard, as positions, and those rows."""
        mine = self._mine(numbers)
        return mine, self._rows[numbers[mine] - self._first]

    def begin(self, centre: Tensor, precision: torch.dtype) -> float:
        """Start without a pick, about a centre (d,); what a squared gap may lose to rounding.

        Gaps from the outset that are known by now hold.
        """
        n, d = self._rows.shape
        self._state = None  # room is given back before more is asked for
        dearest = DEAREST
        if self._memory is not None:  # a screening has fewer columns than it may cost, each of 2 or 4 bytes
            fast = bfloat16_pays(self._rows.device)
            column = n * d * (2 * WORTH_WHILE if fast else 4)
            dearest = min(DEAREST, max(0.0, self._memory - GAP_BYTES * n) / max(1, column))
        screening = partial(Screen, dearest=dearest)
        self._state = LazyGaps(self._rows, outset=self._outset, precision=precision, centre=centre, screening=screening)
        return self._state.rounding

    def agree(self, rounding: float) -> None:
        """Count with the rounding of the shard that has the largest."""
        self._gaps.rounding = rounding

    def cover(self, gaps: Tensor) -> tuple[float, int]:
        """Take rows for covered within gaps (n,) from the outset; the largest, and the first row that has it."""
        self._outset = gaps.double().square()
        best = int(gaps.argmax())
        return float(gaps[best]), best + self._first

    def cover_by_anchors(self, anchors: Tensor) -> tuple[float, int]:
        """The same, within their mean distance to anchors (k, d): see `coreset.anchor_gaps`."""
        gaps, size = [], block_rows(self._rows.shape[1], self._rows.device)
        for start in range(0, len(self._rows), size):
            rows = self._rows[start : start + size]
            gaps.append(torch.cdist(rows, anchors, compute_mode="donot_use_mm_for_euclid_dist").mean(dim=1))
        return self.cover(torch.cat(gaps))

    def next_round(self, rows: Tensor, numbers: Tensor, most: int) -> tuple[Candidates, float]:
        """Let the gaps know of new picks (b, d); the rows that are then farthest, and the largest squared gap."""
        state = self._gaps
        state.remember(rows)
        state.squared[numbers[self._mine(numbers)] - self._first] = -1
        found = self.farthest(most)
        return found, float(state.squared.max())

    def farthest(self, most: int, above: float | None = None) -> Candidates:
        """As of `Rounds`, among the rows of this shard."""
        state = self._gaps
        if above is None:
            state.settle(most + 1)
        else:
            state.settle_above(max(above, 0.0))
        found = farthest(state, most, above, state.picks)
        return found._replace(rows=found.rows + self._first)

    def left(self, most: int) -> Tensor:
        """Numbers of the first rows that are not picked."""
        return (self._gaps.squared >= 0).nonzero()[:most, 0] + self._first

    def _mine(self, numbers: Tensor) -> Tensor:
        return ((numbers >= self._first) & (numbers < self._first + len(self._rows))).nonzero()[:, 0]

    @property
    def _gaps(self) -> LazyGaps:
        assert self._state is not None, "a shard begins before it is asked for rows"
        return self._state
