import gzip
import json
from base64 import b64decode

import pandas as pd
from toy_report import ABSENT, percent, plain

from patchcore_suite.report.charts import POINT_COLUMNS, drawn, packed_library, points
from patchcore_suite.results.quantities import Quantity
from patchcore_suite.results.section import Chart
from patchcore_suite.results.table import Table

BY_CATEGORY = pd.DataFrame(
    {"category": ["bolt", "mean"], "a": [percent(97.3, 0.4), ABSENT], "b": [percent(90.0), percent(88.5)]}
)
CURVES = pd.DataFrame(
    {
        "sampler": ["greedy", "greedy", "-"],
        "coreset fraction": [plain(0.01), "all", "-"],
        "image AUROC": [percent(97.3, 0.4), percent(98.0), percent(50.0)],
        "memory bank": [plain(12), plain(34), "-"],
    }
)
CATEGORIES, FRACTIONS = Chart("s3_pro", "category", metrics=("PRO",)), Chart("f5", "coreset fraction", "sampler")


def table(frame):
    return Table("Table S3: PRO by category", "", False, frame)


def test_each_column_of_a_table_by_category_is_a_series():
    assert points(table(BY_CATEGORY), CATEGORIES).to_numpy().tolist() == [
        ["PRO", "a", "bolt", 97.3, 0.4],
        ["PRO", "b", "bolt", 90.0, 0.0],
        ["PRO", "b", "mean", 88.5, 0.0],
    ]


def test_curves_have_the_metrics_of_rows_whose_place_is_a_number():
    assert points(table(CURVES), FRACTIONS).to_numpy().tolist() == [["image AUROC", "greedy", 0.01, 97.3, 0.4]]


def test_numbers_are_rounded_as_the_table_shows_them_and_bounds_are_no_points():
    cells = [
        Quantity(0.97349, 0.00449, "%"),
        Quantity(0.3, unit="%", relation="<"),
        Quantity(0.9, unit="%", note="unverified"),
    ]
    frame = pd.DataFrame({"category": ["a", "b", "c"], "ours": cells})
    assert points(table(frame), CATEGORIES).to_numpy().tolist() == [["PRO", "ours", "a", 97.3, 0.4]]


def test_of_rows_that_the_chart_cannot_tell_apart_the_first_counts():
    again = pd.concat([CURVES, CURVES[:1].assign(**{"image AUROC": [percent(1.0)]})])
    expected = points(table(CURVES), FRACTIONS)
    assert points(table(again), FRACTIONS).equals(expected)


def test_a_table_without_the_columns_has_no_points_and_no_chart():
    for frame in (pd.DataFrame({"variant": ["a"]}), BY_CATEGORY.head(0)):
        found = points(table(frame), CATEGORIES)
        assert (list(found.columns), len(found)) == (POINT_COLUMNS, 0)
        assert drawn(table(frame), CATEGORIES) is None


def test_a_chart_survives_the_way_through_json():
    found = drawn(table(BY_CATEGORY), CATEGORIES)
    assert json.loads(json.dumps(found)) == found
    assert found["metrics"] == [
        {
            "name": "PRO",
            "series": [
                {"name": "a", "x": ["bolt"], "y": [97.3], "spread": [0.4]},
                {"name": "b", "x": ["bolt", "mean"], "y": [90.0, 88.5], "spread": [0.0, 0.0]},
            ],
        }
    ]


def test_the_library_is_packed_whole_and_always_alike():
    packed = packed_library()
    assert packed == packed_library.__wrapped__()  # nothing of the hour lies in it
    assert len(packed) < 3_000_000
    assert b"plotly.js" in gzip.decompress(b64decode(packed))[:300]
