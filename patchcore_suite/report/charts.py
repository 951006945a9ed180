"""The figures of the report that can be explored: their points, from tables, and the library that draws them."""

import gzip
import re
from base64 import b64encode
from functools import cache

import pandas as pd
from plotly.offline import get_plotlyjs

from patchcore_suite.results.table import Table

METRICS = ("image AUROC", "pixel AUROC", "PRO")  # columns of a table whose rows are series
VALUE = re.compile(r"(\d[\d.]*)(?: ± (\d[\d.]*))?")
POINT_COLUMNS = ["metric", "series", "x", "value", "spread"]


def chart(table: Table, x: str, series: str | None) -> dict[str, object] | None:
    """What the page needs to draw a table: metrics with their series of points; None where there is no point.

    Args:
        x: the column along the axis.
        series: the column that names a point's series; None where each further column is one.
    """
    found = points(table, x, series)
    if found.empty:
        return None
    metrics = [
        {
            "name": metric,
            "series": [
                {"name": name, "x": list(rows["x"]), "y": list(rows["value"]), "spread": list(rows["spread"])}
                for name, rows in of_metric.groupby("series", sort=False)
            ],
        }
        for metric, of_metric in found.groupby("metric", sort=False)
    ]
    return {"title": table.title, "x": x, "numbers": series is not None, "metrics": metrics}


def points(table: Table, x: str, series: str | None) -> pd.DataFrame:
    """The numbers of a table in long form, in percent; what is no number, such as "not available", is left out.

    Returns:
        columns `POINT_COLUMNS`; x is a number where a column names the series. Of several rows of one series at one x,
        which differ in something that the chart does not show, the first counts.
    """
    frame = table.frame
    if x not in frame or (series is not None and series not in frame):
        return pd.DataFrame(columns=POINT_COLUMNS)
    of_table = table.title.rpartition(": ")[2].removesuffix(f" by {x}")  # the metric, where columns are series
    columns = frame.columns.drop(x) if series is None else [name for name in METRICS if name in frame]
    rows = []
    for row in frame.to_dict("records"):
        place = row[x] if series is None else pd.to_numeric(row[x], errors="coerce")
        for column in columns:
            number = VALUE.fullmatch(row[column])
            if number and not pd.isna(place):
                metric, name = (of_table, column) if series is None else (column, row[series])
                rows.append([metric, name, place, float(number[1]), float(number[2] or 0)])
    return pd.DataFrame(rows, columns=POINT_COLUMNS).drop_duplicates(["metric", "series", "x"], ignore_index=True)


@cache
def packed_library() -> str:
    """plotly.js, compressed and in base64: the page unpacks it when the first chart is opened."""
    return b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()
