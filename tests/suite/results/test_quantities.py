import json
import math

import numpy as np
import pandas as pd
import pytest

from patchcore_suite.results import quantities, summaries
from patchcore_suite.results.quantities import Interval, Quantity, Said, from_json, to_json
from patchcore_suite.results.table import column_kind


def series(values):
    return pd.Series(values, dtype=float)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.970, 0.976], "97.3 ± 0.4"),  # standard deviation 0.00424
        ([0.973], "97.3"),
        ([0.0], "0.0"),
        ([np.nan], "not available"),
        ([0.9, np.nan], "not available"),
        ([], "not available"),
    ],
)
def test_a_share_has_mean_and_deviation(values, text):
    assert str(summaries.percent(series(values))) == text


@pytest.mark.parametrize(
    ("values", "text"), [([5, 5], "5 ± 0.0"), ([5, 6], "5.5 ± 0.7"), ([14], "14"), ([45.0, 45.0, 46.0], "45.3 ± 0.6")]
)
def test_a_count_is_whole_where_all_seeds_agree(values, text):
    assert str(summaries.count(series(values))) == text


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (0.9, 0.912, "+1.2"),
        (0.9, 0.9, "+0.0"),
        (0.9, 0.8999, "+0.0"),
        (0.5, 0.4, "-10.0"),
        (np.nan, 1, "not available"),
    ],
)
def test_a_step_always_has_a_sign(before, after, text):
    assert str(quantities.step(before, after)) == text


@pytest.mark.parametrize(("fraction", "text"), [(0.012, "+1.2"), (-0.005, "-0.5"), (-0.0004, "0.0"), (0.0, "0.0")])
def test_a_difference_of_nothing_has_no_sign(fraction, text):
    assert str(quantities.difference(fraction)) == text


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Quantity(0.25, unit="", form="g"), "0.25"),
        (Quantity(0.22, unit="s", form="g"), "0.22 s"),
        (Quantity(0.99, unit="%", relation="~", note="unverified"), "~99.0 (unverified)"),
        (Quantity(0.3, unit="%", relation="<"), "< 30.0"),
        (Quantity(31360, form=",.0f"), "31,360"),
        (Interval(0.9612, 0.985), "96.1 to 98.5"),
        (Interval(math.nan, 0.985), "not available"),
        (summaries.plain(series([1.0, 2.0]), 3), "1.500 ± 0.707"),
        (quantities.share(None), "not available"),
    ],
)
def test_cells_as_text(cell, text):
    assert str(cell) == text


@pytest.mark.parametrize("value", [0.966, 0.9665, 0.84149, 1.0])
def test_what_is_missing_adds_up_to_all(value):
    share = Quantity(value, 0.003, unit="%")
    missing = quantities.short_of_all(share)
    shown = [float(f"{100 * one.value:.1f}") for one in (share, missing)]
    assert sum(shown) == pytest.approx(100, abs=1e-9)
    assert missing.spread == share.spread


@pytest.mark.parametrize(
    ("metrics", "text"),
    [
        ({"": ("near",)}, "near"),
        ({"": ()}, "-"),
        ({"image AUROC": ("near",), "PRO": ("near",)}, "near"),
        ({"image AUROC": ("near",), "PRO": ("reproduced",)}, "image AUROC: near; PRO: reproduced"),
        ({"image AUROC": ("near",), "PRO": ()}, "image AUROC: near"),
        ({"image AUROC": ("a", "b"), "pixel AUROC": ("a",), "PRO": ("b", "a")}, "a; image AUROC, PRO: b"),
    ],
)
def test_what_is_said_of_some_metrics_names_them(metrics, text):
    assert str(Said(tuple(metrics.items()))) == text


def test_the_kind_of_a_column_is_that_of_its_cells():
    kinds = {
        "number": [Quantity(0.973, 0.004, "%"), "-"],
        "word": ["1-nn", "patchcore-10"],
        "prose": ["backbone differs: tf_efficientnet_lite0, not wide_resnet50_2", "-"],
    }
    assert {kind: column_kind(pd.Series(cells, dtype=object)) for kind, cells in kinds.items()} == {
        kind: kind for kind in kinds
    }
    long = Said((("image AUROC", ("not reproduced",)), ("PRO", ("no verdict",))))
    assert column_kind(pd.Series([long], name="verdict")) == "word"
    assert column_kind(pd.Series([long], name="reason")) == "prose"


@pytest.mark.parametrize(
    "cell",
    [
        "97.3",
        Quantity(0.1, 0.01, "%", ".2f", ".1f", "~", "unverified"),
        Quantity(5, form="g"),
        Quantity(np.int64(5), np.float64(0.5)),
        Interval(0.1, 0.2),
        Said((("image AUROC", ("near",)), ("PRO", ()))),
        Said.of_one(),
    ],
    ids=str,
)
def test_a_cell_survives_the_way_through_json(cell):
    found = from_json(json.loads(json.dumps(to_json(cell))))
    assert found == cell
    assert str(found) == str(cell)


def test_what_is_not_available_is_valid_json():
    for cell in (Quantity(math.nan, unit="%"), Interval(math.nan, math.nan)):
        written = json.dumps(to_json(cell), allow_nan=False)
        assert str(from_json(json.loads(written))) == "not available"
