"""A chart of methods by what they cost and what they reach, as places in a drawing that the page makes of it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from patchcore_suite.results.formats import HEADINGS
from patchcore_suite.results.standings import COSTS, Standings
from patchcore_suite.run.metric_registry import METRICS

WIDTH, HEIGHT = 460, 330
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 14, 44  # around the axes
LINE = 13  # between two labels
LOWEST = HEIGHT - BOTTOM
DOT, BESIDE, LETTER = 6, 8, 6.6  # half a point's side; from it to its name; width of a letter, about
TICKS = 5  # of the upright axis, about
STEPS = (1, 2, 5)  # of ticks


@dataclass(frozen=True)
class Name:
    """Where a name stands, whether it begins or ends there, and whether it is so far that a line leads to it."""

    x: float
    y: float
    anchor: str  # "start" or "end"
    far: bool


@dataclass(frozen=True)
class Point:
    """A method: its place, the ends of its interval, and where its name stands."""

    name: str
    x: float
    y: float
    low: float
    high: float
    label: Name
    unbeaten: bool
    said: str


@dataclass(frozen=True)
class FrontierChart:
    """A drawing of `WIDTH` x `HEIGHT`.

    Attributes:
        described: what it shows, for readers who cannot see it.
        x_name, y_name: of the axes.
        x_ticks, y_ticks: places and texts.
        points: all methods whose cost and value are known.
        line: through the unbeaten ones, as points of a polyline.
    """

    described: str
    x_name: str
    y_name: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    points: tuple[Point, ...]
    line: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def frontier_chart(found: Standings, cost: str) -> FrontierChart | None:
    """The first metric against a cost; None where fewer than two methods have both."""
    values, spent = found.values[found.first], found.costs[cost]
    known = [name for name in found.methods if spent[name] > 0 and not math.isnan(values[name].value)]
    if len(known) < 2:
        return None
    scale = 100 if METRICS[found.first].share else 1
    ends = {name: _ends(found, name) for name in known}
    y_ticks = _even_ticks(scale * min(low for low, _ in ends.values()), scale * max(high for _, high in ends.values()))
    x_ticks = _log_ticks(min(spent[known]), max(spent[known]))
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def across(value: float) -> float:
        low, high = math.log(x_ticks[0]), math.log(x_ticks[-1])
        return round(LEFT + (right - LEFT) * (math.log(value) - low) / (high - low), 1)

    def up(value: float) -> float:
        return round(bottom - (bottom - TOP) * (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]), 1)

    unbeaten = [name for name in found.frontier(cost) if name in known]
    places = {name: (across(spent[name]), up(scale * values[name].value)) for name in known}
    names = _names(places)
    points = tuple(
        Point(
            name, *places[name], up(scale * ends[name][0]), up(scale * ends[name][1]), names[name], name in unbeaten,
            f"{name}: {values[name]} at {spent[name]:.3g}",
        )
        for name in known
    )  # fmt: skip
    heading = HEADINGS.get(found.first, METRICS[found.first].heading)
    return FrontierChart(
        described=f"{heading} against {COSTS[cost]}; not beaten at the same cost: {', '.join(unbeaten)}",
        x_name=COSTS[cost],
        y_name=f"{heading}, %" if scale == 100 else heading,
        x_ticks=_apart([(across(tick), f"{tick:g}") for tick in x_ticks]),
        y_ticks=tuple((up(tick), f"{tick:g}") for tick in y_ticks),
        points=points,
        line=" ".join(f"{places[name][0]},{places[name][1]}" for name in unbeaten),
    )


def _apart(ticks: Sequence[tuple[float, str]]) -> tuple[tuple[float, str], ...]:
    """Ticks without those whose numbers would run into the last one's."""
    last = ticks[-1]
    return (*(tick for tick in ticks[:-1] if last[0] - tick[0] > LETTER * (len(last[1]) + 1 + len(tick[1]) / 2)), last)


def _ends(found: Standings, name: str) -> tuple[float, float]:
    """Of the interval; of a method without one, its value."""
    value, interval = found.values[found.first][name].value, found.intervals[found.first].get(name)
    if interval is None or math.isnan(interval.low + interval.high):
        return value, value
    return min(interval.low, value), max(interval.high, value)


def _names(places: Mapping[str, tuple[float, float]]) -> dict[str, Name]:
    """Where names stand: each as near to its point as nothing else is in the way, the points and names before it."""
    taken = [_Box(x - DOT, y - DOT, x + DOT, y + DOT) for x, y in places.values()]
    found = {}
    for name, (x, y) in sorted(places.items(), key=lambda item: item[1][::-1]):
        box, anchor = next(
            ((box, anchor) for box, anchor in _candidates(name, x, y) if box.free(taken)),
            next(_candidates(name, x, y)),
        )
        taken.append(box)
        found[name] = Name(box.right if anchor == "end" else box.left, box.bottom - 3, anchor, y + LINE < box.bottom)
    return found


@dataclass(frozen=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def free(self, others: Sequence["_Box"]) -> bool:
        """Whether it lies within the axes and on none of the others."""
        within = self.left >= LEFT and self.right <= WIDTH - RIGHT and self.top >= TOP - LINE and self.bottom <= LOWEST
        return within and all(
            self.right <= other.left or other.right <= self.left or self.bottom <= other.top or other.bottom <= self.top
            for other in others
        )


def _candidates(name: str, x: float, y: float) -> Iterator[tuple[_Box, str]]:
    """Places beside a point, the nearest first: right, left, then above and below."""
    width = LETTER * len(name)
    for shift in (0, -LINE, LINE, 2 * LINE, 3 * LINE, 4 * LINE, -2 * LINE, 5 * LINE, 6 * LINE):
        top = y - LINE / 2 + shift
        for left, anchor in ((x + BESIDE, "start"), (x - BESIDE - width, "end")):
            yield _Box(left, top, left + width, top + LINE), anchor


def _even_ticks(low: float, high: float) -> list[float]:
    """Round numbers from below the low end to above the high one."""
    rough = max(high - low, 1e-6) / TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next((power * one for one in (*STEPS, 10) if power * one >= rough), power * 10)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, ... from below the low end to above the high one; powers of ten alone where there are many."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    ticks = [one * 10.0**power for power in powers for one in STEPS]
    first = max((tick for tick in ticks if tick <= low), default=ticks[0])
    last = min((tick for tick in ticks if tick >= high and tick > first), default=ticks[-1])
    chosen = [tick for tick in ticks if first <= tick <= last]
    if len(chosen) > 7:
        inner = [tick for tick in chosen[1:-1] if round(math.log10(tick), 6).is_integer()]
        chosen = [chosen[0], *inner, chosen[-1]]
    return chosen
