"""Gaps that are computed only of rows that may be among the farthest: most rows never meet most picks."""

import torch
from torch import Tensor

from patchcore_core.fast.nearest_picks import Gaps

PICKS_AT_ONCE = 512  # in one product; rows that are near enough to some of them need not meet the others
AHEAD = 4  # times as many rows are brought up to date at first as are wanted
MOST = 0.5  # of the rows, from which on all are compared, one after the other


class LazyGaps(Gaps):
    """The same, where picks are remembered, and rows compared with them when they may be among the farthest.

    A gap only shrinks, so that one from before is an upper bound: once the k largest are up to date, no other row is
    farther. `settle` and `settle_above` say of which rows `squared` and `nearest` are those of `Gaps`; of the others
    `squared` are such bounds.

    Attributes:
        picks: rows of all picks (l, d), by their numbers in `nearest`.
    """

    def __init__(self, *given, **options) -> None:
        super().__init__(*given, **options)
        n, d = self.features.shape
        self.picks = torch.empty(0, d, dtype=self.features.dtype)
        self._met = torch.zeros(n, dtype=torch.int32)  # how many of the picks each row was compared with

    def remember(self, picks: Tensor) -> None:
        """Let the gaps know of new picks (b, d), whoever holds them; they are numbered on."""
        self.picks = torch.cat([self.picks, picks])

    def settle(self, count: int) -> None:
        """Bring the `count` rows up to date that are farthest; no other row is farther than the last of them."""
        n, looked, floor = len(self.squared), AHEAD * count, 0.0
        while True:
            if looked >= MOST * n:
                self._meet(None, floor)
            values, rows = self.squared.topk(min(looked, n))
            late = (self._met[rows] < len(self.picks)) & (values >= 0)  # -1 marks a pick
            if not late[:count].any():
                return
            self._meet(rows[late].sort().values, floor)
            settled = values[~late]
            floor = max(floor, float(settled[count - 1])) if len(settled) >= count else floor
            looked *= 2

    def settle_above(self, least: float) -> None:
        """Bring all rows up to date whose squared gap is at least so large."""
        self._meet((self.squared >= least).nonzero()[:, 0], least)

    def _meet(self, rows: Tensor | None, floor: float) -> None:
        """Compare rows (m,), or all, with picks that they have not met, as long as their squared gap is not below."""
        met = self._met if rows is None else self._met[rows]
        first = int(met.min()) if len(met) else len(self.picks)
        for start in range(first - first % PICKS_AT_ONCE, len(self.picks), PICKS_AT_ONCE):
            end = min(start + PICKS_AT_ONCE, len(self.picks))
            part = slice(None) if rows is None else rows
            late = (self._met[part] < end) & (self.squared[part] >= floor)
            if rows is None and bool(late.all()):
                some = None  # all rows in their order, without a list of them
            else:
                some = late.nonzero()[:, 0] if rows is None else rows[late]
            if some is None or len(some):
                self._compare(self.picks[start:end], torch.arange(start, end), some)
                self._met[slice(None) if some is None else some] = end
