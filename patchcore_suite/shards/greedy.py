"""Greedy selection over shards: the picks of `coreset.greedy_coreset` on all rows in one process.

In a round each shard answers with its rows that are farthest, at most 1024, and their gaps in double precision; the
picks that are certain among all of these are made here, and their rows go to every shard. Which rows are certain, and
which of equals comes first, is decided as on one machine, by the number of a row among all, so that the picks do not
depend on how rows are divided.
"""

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from patchcore_core.common.errors import InputError
from patchcore_core.fast.lower_bounds import SAMPLED
from patchcore_core.fast.rounds import TOO_CLOSE, Candidates, Rounds
from patchcore_suite.shards.carrier import Carrier, ask, ask_each


class Selection(NamedTuple):
    """What was picked: numbers of rows (size,) in order, these rows (size, d), and what that took."""

    picks: Tensor
    rows: Tensor
    rounds: int
    sent: int  # bytes, to all shards
    received: int


def greedy_over_shards(
    carrier: Carrier,
    size: int,
    *,
    start: int | None = None,
    gaps: Tensor | None = None,
    anchors: int = 0,
    generator: Generator | None = None,
    progress: bool = False,
) -> Selection:
    """Keep the rows that leave no other one far away, of all shards together.

    Args:
        size: how many to keep, 1 <= size <= n.
        start, gaps, generator, progress: as of `coreset.greedy_coreset`.
        anchors: of so many rows, drawn with `generator`, the gaps are taken, as `first_picks.anchor_gaps` does.

    Raises:
        InputError: `size`, `start` or `gaps` is out of range, or the rows hold NaN or infinities.
    """
    rounds = OverShards(carrier, size)
    n = rounds.count
    if gaps is not None and (tuple(gaps.shape) != (n,) or not (gaps >= 0).all()):
        raise InputError(f"gaps {tuple(gaps.shape)} must be ({n},) distances, none of them negative or NaN")
    if (start is not None) + (gaps is not None) + (anchors > 0) > 1:
        raise InputError("only one of start, gaps and anchors may be given: each decides the first pick")
    if gaps is not None:
        start = _first(ask_each(carrier, "cover", [(part,) for part in gaps.split(rounds.counts)]))
    elif anchors:
        drawn = torch.randperm(n, generator=generator)[: min(anchors, n)]
        start = _first(ask(carrier, "cover_by_anchors", rows_of(carrier, drawn)))
    elif start is None:
        start = int(torch.randint(n, (), generator=generator))
    if not 0 <= start < n:
        raise InputError(f"start={start} must be a row in 0..{n - 1}")
    rounds.begin(torch.float32)
    sent, received = carrier.sent, carrier.received
    picks = rounds.pick(start, size, progress=progress)
    rows = torch.cat([rounds.kept(), rows_of(carrier, picks[len(rounds.kept()) :])])
    return Selection(picks, rows, rounds.rounds, carrier.sent - sent, carrier.received - received)


def covering_radius(carrier: Carrier, picks: Tensor) -> float:
    """Largest distance from any row to its nearest pick, as `coreset.covering_radius` finds it."""
    rounds = OverShards(carrier, 1)
    rounds.begin(torch.float32)
    rounds.add(picks)
    return rounds.radius()


def rows_of(carrier: Carrier, numbers: Tensor) -> Tensor:
    """The rows (k, d) of some numbers (k,), in their order."""
    answers = ask(carrier, "rows_of", numbers)
    places, rows = (torch.cat([answer[part] for answer in answers]) for part in (0, 1))
    return rows[places.argsort()]


class OverShards(Rounds):
    """Rounds of all shards together.

    Attributes:
        counts: rows of each shard; `count` of all.
        rounds: that were asked for.
    """

    def __init__(self, carrier: Carrier, size: int) -> None:
        self._carrier, self.rounds = carrier, 0
        summaries = ask(carrier, "summary")
        self.counts = [n for n, *_ in summaries]
        self.count = sum(self.counts)
        kinds = {(d, kind) for n, d, kind, _ in summaries}
        if len(kinds) > 1:
            raise InputError("shards hold rows of several shapes", offenders=sorted(map(str, kinds)))
        if not all(self.counts):
            raise InputError(f"shards hold {self.counts} rows: none may be empty", remedy="use fewer shards")
        if bad := sum(of for *_, of in summaries):
            hold = f"{bad} of {self.count} patch features hold NaN or infinite values"
            raise InputError(hold, remedy="check images and network")
        if not 1 <= size <= self.count:
            raise InputError(f"size={size} must lie in 1..{self.count}, the number of patch features")
        ((_, self._kind),) = kinds

    def begin(self, precision: torch.dtype) -> None:
        """Start without a pick, all shards about one centre."""
        self._precision = torch.promote_types(precision, self._kind)
        sample = torch.cat(ask(self._carrier, "sample", -(-self.count // SAMPLED)))
        self.centre = sample.to(self._precision).mean(dim=0)
        self.rounding = max(ask(self._carrier, "begin", self.centre, self._precision))
        ask(self._carrier, "agree", self.rounding)
        self._kept = sample[:0]
        self._numbers = torch.empty(0, dtype=torch.long)  # of the picks that all shards know
        self._new = self._numbers
        self._found: Candidates | None = None

    def add(self, picks: Tensor) -> None:
        """Remember new picks (b,): they go to the shards with the question which rows are farthest then."""
        self._new = picks

    def kept(self) -> Tensor:
        return self._kept

    def farthest(self, most: int, above: float | None = None) -> Candidates:
        if above is not None:
            found = _merged([Candidates(*answer) for answer in ask(self._carrier, "farthest", most, above)], most)
        else:
            found = self._next_round(most)
        self._found = found
        return found

    def _next_round(self, most: int) -> Candidates:
        self.rounds += 1
        new = self._rows_of_new()
        self._kept, self._numbers = torch.cat([self._kept, new]), torch.cat([self._numbers, self._new])
        answers = ask(self._carrier, "next_round", new, self._new, most)
        largest = max(gap for _, gap in answers)
        if self._precision != torch.float64 and largest < TOO_CLOSE * self.rounding:
            rows, numbers = self._kept, self._numbers
            self.begin(torch.float64)
            self._kept, self._numbers = rows, numbers
            answers = ask(self._carrier, "next_round", rows, numbers, most)
        self._new = self._numbers[:0]
        return _merged([Candidates(*found) for found, _ in answers], most)

    def _rows_of_new(self) -> Tensor:
        """Rows of new picks: those that were candidates are here."""
        known = self._found
        if known is not None and len(self._new) and bool(torch.isin(self._new, known.rows).all()):
            return known.features[torch.searchsorted(known.rows, self._new)]
        return rows_of(self._carrier, self._new)

    def left(self, most: int) -> Tensor:
        return torch.cat([numbers for numbers in ask(self._carrier, "left", most)])[:most]


def _first(answers: list[tuple[float, int]]) -> int:
    """The row with the largest gap, of equals the first."""
    return max(answers, key=lambda answer: (answer[0], -answer[1]))[1]


def _merged(found: list[Candidates], most: int) -> Candidates:
    """Of the candidates of all shards those that are farthest; the others bound what is no candidate.

    Equals keep their order, in which a shard's rows come before those of the next.
    """
    rows, features, gaps = (torch.cat([getattr(of, name) for of in found]) for name in ("rows", "features", "gaps"))
    order = gaps.argsort(descending=True, stable=True)
    chosen = order[:most].sort().values
    bound, tied = (max(getattr(of, name) for of in found) for name in ("bound", "tied"))
    if len(order) > most:
        tied = max(tied, float(gaps[order[most]]))
    return Candidates(rows[chosen], features[chosen], gaps[chosen], bound, tied)
