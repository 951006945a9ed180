import math

import pandas as pd
import pytest

from patchcore_core.config import PatchCoreConfig
from patchcore_suite.plugins import CHEAPER
from patchcore_suite.results import selection_costs
from patchcore_suite.results.quantities import Quantity


@pytest.mark.parametrize(
    ("sampler", "size", "at_once", "sent"),
    [
        ("greedy", 10, 1000, 750),
        ("two_round", 10, 250, 30),  # a part of 250; 10 rows of each of the three other parts
        ("two_round", 100, 400, 300),  # 100 rows of each of four parts
        ("two_round", 500, 1000, 750),  # parts keep everything
        ("merge_reduce", 10, 250, 30),
        ("merge_reduce", 200, 400, 600),  # two reduced parts; three merges
        ("distance_sampling", 10, math.nan, 0),
        ("random", 10, 0, 0),
        ("kmeans", 10, 1000, 750),  # as greedy: each looks at all rows
        ("greedy", 1000, 0, 0),  # nothing to select
        ("two_round", 1000, 0, 0),
    ],
)
def test_rows_at_once_and_rows_sent_by_hand(sampler, size, at_once, sent):
    config = PatchCoreConfig(sampler=sampler, shards=4)
    assert selection_costs.rows_at_once(config, 1000, size) == pytest.approx(at_once, nan_ok=True)
    assert selection_costs.rows_sent(config, 1000, size) == sent


def test_claims_are_computed_from_the_values():
    rows = [("greedy", 0.01, 0.9, 20.0), ("two_round", 0.01, 0.905, 25.0), ("two_round", 0.1, 0.9, 9.0)]
    values = pd.DataFrame(rows, columns=["sampler", "coreset_fraction", "image_auroc", "covering_radius"])
    assert selection_costs.claims(values) == [
        "At 1 %, *two_round* covers within **1.25** times the radius of *greedy*; image AUROC differs by +0.5 points."
    ]
    unmeasured = values.assign(image_auroc=float("nan"))
    assert selection_costs.claims(unmeasured) == []


def test_costs_stand_beside_their_variants_and_controls_have_none():
    costs = pd.DataFrame(
        [("one", 0, 100, 1.25), ("one", 1, 100, 1.75), ("two", 0, float("nan"), 0)],
        columns=["variant", "seed", selection_costs.AT_ONCE, selection_costs.SENT],
    )
    table = selection_costs.with_costs(pd.DataFrame({"variant": ["one", "two", "control"]}), costs)
    assert table[selection_costs.SENT].map(str).tolist() == ["1.50", "0.00", "-"]
    assert table[selection_costs.AT_ONCE].tolist() == [Quantity(100, form=".0f"), "a subset", "-"]


def test_every_cheaper_sampler_is_known():
    assert all(selection_costs.rows_at_once(PatchCoreConfig(sampler=name), 100, 5) != 0 for name in CHEAPER)
