import math
from itertools import product

import numpy as np
import pandas as pd
import pytest

from patchcore_suite.results.quantities import Interval
from patchcore_suite.results.standings import (
    COSTS,
    FRONTIER,
    frontier,
    intervals_table,
    ranked_table,
    ranks,
    standings,
)

NAN = math.nan
INTERVALS = {"a": Interval(0.90, 0.99), "b": Interval(0.85, 0.95), "c": Interval(0.70, 0.80), "d": Interval(0.60, 0.70)}


def rows(values):
    """Metrics in long form, of (method, metric, seed, value) in one category."""
    frame = pd.DataFrame(values, columns=["variant", "metric", "seed", "value"])
    return frame.assign(category="bolt", shots=None)


@pytest.fixture
def found():
    given = [
        ("slow", "image_auroc", 0, 0.9),
        ("slow", "image_auroc", 1, 0.8),
        ("fast", "image_auroc", 0, 0.7),
        ("slow", "pro", 0, 0.5),
        ("slow", "memory_bank", 0, 1234),
    ]
    intervals = {
        "image_auroc": {"slow": Interval(0.8, 0.9), "fast": Interval(0.6, 0.75), "control": Interval(0.4, 0.5)},
        "pro": {"slow": Interval(0.4, 0.6)},
    }
    costs = pd.DataFrame({"seconds": {"slow": 2.0, "fast": 0.1, "gone": 5.0}, "megabytes": {"slow": 1130.4}})
    return standings(rows(given), intervals, costs)


def test_methods_whose_intervals_overlap_share_ranks():
    # c and d touch at 0.70, and so are not told apart.
    assert ranks(INTERVALS) == {"a": (1, 2), "b": (1, 2), "c": (3, 4), "d": (3, 4)}


def test_lower_may_be_better():
    assert ranks({"a": Interval(0.1, 0.2), "b": Interval(0.3, 0.4)}, higher=False) == {"a": (1, 1), "b": (2, 2)}


def test_a_method_without_an_interval_has_no_rank_and_counts_in_none():
    assert ranks({"a": Interval(0.1, 0.2), "b": Interval(NAN, NAN)}) == {"a": (1, 1)}


def test_ranks_hold_the_order_of_any_values_within_the_intervals():
    drawn = np.random.default_rng(0).random((5, 2))
    intervals = {str(number): Interval(*sorted(ends)) for number, ends in enumerate(drawn)}
    places = {name: set() for name in intervals}
    for values in product(*((of.low, of.high) for of in intervals.values())):
        for name, value in zip(intervals, values, strict=True):
            places[name].add(1 + sum(other > value for other in values))
    assert ranks(intervals) == {name: (min(of), max(of)) for name, of in places.items()}


def test_the_frontier_holds_what_nothing_equals_for_less():
    costs = {"a": 1, "b": 2, "c": 3, "d": 3, "e": 3, "f": NAN, "g": 9}
    values = {"a": 0.5, "b": 0.5, "c": 0.8, "d": 0.8, "e": 0.7, "f": 0.99, "g": NAN}
    assert frontier(costs, values) == ["a", "c", "d"]
    assert frontier(costs, values, higher=False) == ["a"]


def test_controls_count_in_no_rank(found):
    assert ranked_table(found)["rank by image AUROC"].tolist() == ["1", "2"]


def test_a_row_has_values_ranks_and_costs(found):
    slow, fast = ranked_table(found).map(str).to_dict("records")
    assert slow == {
        "variant": "slow",
        "image AUROC": "85.0 ± 7.1",
        "rank by image AUROC": "1",
        COSTS["seconds"]: "2",
        COSTS["megabytes"]: "1,130",
        FRONTIER: "time, size",
        "PRO": "50.0",
        "rank by PRO": "1",
        "rows of the bank": "1,234",
    }
    assert fast[COSTS["megabytes"]] == fast["PRO"] == "not available"
    assert (fast[FRONTIER], fast["rank by PRO"], fast["rows of the bank"]) == ("time", "-", "-")


def test_intervals_stand_in_a_table_of_their_own(found):
    assert intervals_table(found).map(str).to_dict("list") == {
        "variant": ["slow", "fast"],
        "image AUROC": ["80.0 to 90.0", "60.0 to 75.0"],
        "PRO": ["40.0 to 60.0", "not available"],
    }
