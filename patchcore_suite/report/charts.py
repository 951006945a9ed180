"""The figures of the report that can be explored: their points, from tables, and the library that draws them."""

import gzip
from base64 import b64encode
from functools import cache

import pandas as pd
from plotly.offline import get_plotlyjs

from patchcore_suite.results.quantities import Cell, known
from patchcore_suite.results.section import Chart
from patchcore_suite.results.table import Table

POINT_COLUMNS = ["metric", "series", "x", "value", "spread"]
DIGITS = 1  # of a percentage, as tables show it


def drawn(table: Table, chart: Chart) -> dict[str, object] | None:
    """What the page needs to draw a table: metrics with their series of points; None where there is no point."""
    found = points(table, chart)
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
    return {"title": table.title, "x": chart.x, "numbers": bool(chart.series), "metrics": metrics}


def points(table: Table, chart: Chart) -> pd.DataFrame:
    """The shares of a table in long form, in percent; what is not available, and bounds, are left out.

    Returns:
        columns `POINT_COLUMNS`; x is a number where a column names the series. Of several rows of one series at one x,
        which differ in something that the chart does not show, the first counts.
    """
    frame = table.frame
    rows = []
    if chart.x in frame and (not chart.series or chart.series in frame):
        columns = [name for name in chart.metrics if name in frame] if chart.series else frame.columns.drop(chart.x)
        for row in frame.to_dict("records"):
            place = _number(row[chart.x]) if chart.series else row[chart.x]
            for column in columns:
                value = _number(row[column])
                if place is not None and value is not None:
                    named = [column, row[chart.series]] if chart.series else [chart.metrics[0], column]
                    spread = row[column].spread or 0.0
                    rows.append([*named, place, round(100 * value, DIGITS), round(100 * spread, DIGITS)])
    return pd.DataFrame(rows, columns=POINT_COLUMNS).drop_duplicates(["metric", "series", "x"], ignore_index=True)


def _number(cell: Cell) -> float | None:
    """The value of a cell that is an exact number, else None."""
    return cell.value if known(cell) and cell.relation == "=" and not cell.note else None


@cache
def packed_library() -> str:
    """plotly.js, compressed and in base64: the page unpacks it when the first chart is opened."""
    return b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()
