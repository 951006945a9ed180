"""Where methods stand beside each other: how certain their ranks are, and which of them nothing beats at its cost."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from patchcore_suite.results import study_metrics
from patchcore_suite.results.formats import HEADINGS, NOT_AVAILABLE, NOTHING
from patchcore_suite.results.quantities import Cell, Interval, Quantity
from patchcore_suite.results.summaries import of_metric
from patchcore_suite.run.metric_registry import METRICS

COSTS = {"seconds": "seconds an image", "megabytes": "model, MB"}  # headings of columns
AT = {"seconds": "time", "megabytes": "size"}  # what stands below FRONTIER
FRONTIER = "not beaten at its"


@dataclass(frozen=True)
class Standings:
    """Methods on one dataset.

    Attributes:
        values: by metric, each method's mean over categories and seeds, and its spread over seeds.
        intervals: by metric, of the methods that have one.
        costs: columns of `COSTS` by method; NaN where they are not known.
        rows: of the memory bank, by method; of those that have one.
    """

    values: Mapping[str, Mapping[str, Quantity]]
    intervals: Mapping[str, Mapping[str, Interval]]
    costs: pd.DataFrame
    rows: Mapping[str, int]

    @property
    def first(self) -> str:
        """The metric by which methods are listed, and that costs are set against."""
        return next(iter(self.values))

    @property
    def methods(self) -> list[str]:
        """From the best to the worst in the first metric."""
        of, sign = self.values[self.first], -1 if METRICS[self.first].higher_is_better else 1
        return sorted(of, key=lambda name: (math.isnan(of[name].value), sign * of[name].value, name))

    def frontier(self, cost: str) -> list[str]:
        """The methods that no other one equals in the first metric for less, from the cheapest on."""
        of = {name: self.values[self.first][name].value for name in self.methods}
        return frontier(self.costs[cost].to_dict(), of, higher=METRICS[self.first].higher_is_better)


def standings(rows: pd.DataFrame, intervals: Mapping[str, Mapping[str, Interval]], costs: pd.DataFrame) -> Standings:
    """Methods by the metrics that have intervals.

    Args:
        rows: of these methods, from all nominal images, in long form (see `run.evaluate`).
        intervals: by metric and method.
        costs: by method, see `Standings`.
    """
    given = set(rows["metric"])
    metrics = [name for name, metric in METRICS.items() if metric.interval and name in given]
    values = {
        name: study_metrics.mean_over_categories(rows, name)
        .groupby("variant", sort=False)["value"]
        .agg(of_metric, metric=name)
        .to_dict()
        for name in metrics
    }
    banks = rows[rows["metric"] == "memory_bank"].groupby("variant")["value"].max().dropna()
    costs = costs.reindex(index=values[metrics[0]], columns=list(COSTS)).astype(float)
    of_these = {
        name: {method: ends for method, ends in intervals.get(name, {}).items() if method in values[name]}
        for name in metrics
    }
    return Standings(values, of_these, costs, banks.astype(int).to_dict())


def ranks(intervals: Mapping[str, Interval], *, higher: bool = True) -> dict[str, tuple[int, int]]:
    """The best and the worst rank that each method may have: those whose intervals overlap are not told apart.

    Args:
        intervals: by method; those that are not available have no rank, and count in none.
        higher: whether higher is better.
    """
    known = {name: of for name, of in intervals.items() if not math.isnan(of.low + of.high)}
    if not higher:
        known = {name: Interval(-of.high, -of.low) for name, of in known.items()}
    return {
        name: (
            1 + sum(other.low > of.high for other in known.values()),
            len(known) - sum(other.high < of.low for other in known.values()),
        )
        for name, of in known.items()
    }


def frontier(costs: Mapping[str, float], values: Mapping[str, float], *, higher: bool = True) -> list[str]:
    """Methods that nothing else equals or beats for the same cost or less, from the cheapest on (Pareto).

    Of several with equal cost and value all count; without a cost or a value none does.
    """
    sign = 1 if higher else -1
    known = {name: (cost, sign * values[name]) for name, cost in costs.items() if not math.isnan(cost + values[name])}
    kept = [
        name
        for name, (cost, value) in known.items()
        if not any(other[0] <= cost and other[1] >= value and other != (cost, value) for other in known.values())
    ]
    return sorted(kept, key=lambda name: (*known[name], name))


def ranked_table(found: Standings) -> pd.DataFrame:
    """One row a method: the first metric with its rank, what it costs, at which cost nothing beats it; then others."""
    places = {
        name: ranks(found.intervals[name], higher=METRICS[name].higher_is_better is not False) for name in found.values
    }
    unbeaten = {cost: found.frontier(cost) for cost in COSTS}
    rows = []
    for method in found.methods:
        by_metric: list[dict[str, Cell]] = [
            {heading: of.get(method, NOT_AVAILABLE), f"rank by {heading}": _rank(places[name].get(method))}
            for name, of in found.values.items()
            for heading in [_heading(name)]
        ]
        spent = {heading: _cost(found.costs.loc[method, cost]) for cost, heading in COSTS.items()}
        count, at = found.rows.get(method), [AT[cost] for cost in COSTS if method in unbeaten[cost]]
        row = {"variant": method, **by_metric[0], **spent, FRONTIER: ", ".join(at) or NOTHING}
        row |= {heading: cell for of in by_metric[1:] for heading, cell in of.items()}
        rows.append(row | {"rows of the bank": NOTHING if count is None else Quantity(count, form=",d")})
    return pd.DataFrame(rows)


def intervals_table(found: Standings) -> pd.DataFrame:
    """One row a method, one column the 95 % interval of a metric."""
    rows = [
        {"variant": method}
        | {_heading(name): found.intervals[name].get(method, NOT_AVAILABLE) for name in found.values}
        for method in found.methods
    ]
    return pd.DataFrame(rows)


def _cost(value: float) -> Quantity:
    return Quantity(value, form=",.0f" if value >= 1000 else ".3g")  # "1,130", not "1.13e+03"


def _rank(ends: tuple[int, int] | None) -> str:
    """A rank as a table shows it: "1", "2 to 4"."""
    if ends is None:
        return NOTHING
    best, worst = ends
    return str(best) if best == worst else f"{best} to {worst}"


def _heading(metric: str) -> str:
    return HEADINGS.get(metric, METRICS[metric].heading)
