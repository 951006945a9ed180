"""One shard: some of all rows, how far each is from the picks, and what it answers in a round."""

from functools import partial

import torch
from torch import Tensor

from patchcore_core.fast.lower_bounds import DEAREST, Screen
from patchcore_core.fast.nearest_picks import Gaps
from patchcore_core.fast.products import WORTH_WHILE, bfloat16_pays, block_rows
from patchcore_core.fast.rounds import Candidates, farthest
from patchcore_core.patches import Rows

GAP_BYTES = 12  # a row, in single precision: its gap, its pick, its norm
HELD = 2  # times the bytes of the rows, in which they and what screens them are held


class Shard:
    """The rows of one shard under their numbers among all rows.

    What it is asked are its methods; what they take and give are tensors on the CPU and numbers, so that any carrier
    will do, whatever device its rows lie on.

    Args:
        rows: (n, d); those that lie on disk are held only if there is much room.
        first: number of the first of them; the others follow it.
        memory: bytes that gaps, screening, and rows that lie on disk may take; None for as many as they need.
    """

    def __init__(self, rows: Rows, first: int, memory: float | None = None) -> None:
        self._rows, self._first, self._memory = rows, first, memory
        self._outset: Tensor | None = None
        self._state: Gaps | None = None
        self._picks = torch.empty(
            0, rows.shape[1], dtype=rows.dtype, device=rows.device
        )  # in the order of their numbers in the gaps

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
        return self._rows[-self._first % step :: step].to("cpu", copy=True)

    def rows_of(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Of some numbers (k,): which of them are rows of this shard, as positions, and those rows."""
        mine = self._mine(numbers)
        return mine, self._rows[(numbers[mine] - self._first).to(self._rows.device)].cpu()

    def begin(self, centre: Tensor, precision: torch.dtype) -> float:
        """Start without a pick, about a centre (d,); what a squared gap may lose to rounding.

        Gaps from the outset that are known by now hold.
        """
        self._state = None  # room is given back before more is asked for
        self._picks = self._picks[:0]
        screening, centre = partial(Screen, dearest=self._dearest()), centre.to(self._rows.device)
        self._state = Gaps(self._rows, outset=self._outset, precision=precision, centre=centre, screening=screening)
        return self._state.rounding

    def _dearest(self) -> float:
        """What a screening may cost, in times the cost of distances; rows are held from here on if there is room."""
        n, d = self._rows.shape
        held = n * d * self._rows.dtype.itemsize
        if self._memory is None:
            self._rows = self._rows[:]
            return DEAREST
        room = self._memory - GAP_BYTES * n
        if room >= HELD * held:
            self._rows = self._rows[:]
            room -= held
        column = n * d * (2 * WORTH_WHILE if bfloat16_pays(self._rows.device) else 4)  # of 2 or 4 bytes
        return min(DEAREST, max(0.0, room) / max(1, column))

    def agree(self, rounding: float) -> None:
        """Count with the rounding of the shard that has the largest."""
        self._gaps.rounding = rounding

    def cover(self, gaps: Tensor) -> tuple[float, int]:
        """Take rows for covered within gaps (n,) from the outset; the largest, and the first row that has it."""
        gaps = gaps.to(self._rows.device)
        self._outset = gaps.double().square()
        best = int(gaps.argmax())
        return float(gaps[best]), best + self._first

    def cover_by_anchors(self, anchors: Tensor) -> tuple[float, int]:
        """The same, within their mean distance to anchors (k, d): see `first_picks.anchor_gaps`."""
        gaps, size = [], block_rows(self._rows.shape[1], self._rows.device)
        precision = torch.promote_types(self._rows.dtype, torch.float32)  # distances of shorter numbers are not taken
        anchors = anchors.to(self._rows.device, precision)
        for start in range(0, len(self._rows), size):
            rows = self._rows[start : start + size].to(precision)
            gaps.append(torch.cdist(rows, anchors, compute_mode="donot_use_mm_for_euclid_dist").mean(dim=1))
        return self.cover(torch.cat(gaps))

    def next_round(self, rows: Tensor, numbers: Tensor, most: int) -> tuple[Candidates, float]:
        """Let the gaps know of new picks (b, d); the rows that are then farthest, and the largest squared gap."""
        state = self._gaps
        first, device = len(self._picks), self._rows.device
        rows = rows.to(device)
        self._picks = torch.cat([self._picks, rows])
        state.add_rows(rows, torch.arange(first, len(self._picks), device=device))
        state.squared[numbers[self._mine(numbers)] - self._first] = -1
        found = self.farthest(most)
        return found, float(state.squared.max())

    def farthest(self, most: int, above: float | None = None) -> Candidates:
        """As of `Rounds`, among the rows of this shard."""
        found = farthest(self._gaps, most, above, self._picks)
        return found._replace(rows=found.rows.cpu() + self._first, features=found.features.cpu(), gaps=found.gaps.cpu())

    def left(self, most: int) -> Tensor:
        """Numbers of the first rows that are not picked."""
        return (self._gaps.squared >= 0).nonzero()[:most, 0].cpu() + self._first

    def _mine(self, numbers: Tensor) -> Tensor:
        return ((numbers >= self._first) & (numbers < self._first + len(self._rows))).nonzero()[:, 0]

    @property
    def _gaps(self) -> Gaps:
        assert self._state is not None, "a shard begins before it is asked for rows"
        return self._state
