"""Tables inside the report: how each cell is set, and where it leads."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from patchcore_suite.datasets.names import MEAN
from patchcore_suite.paper import verdicts
from patchcore_suite.paper.conditions import SYNTHETIC
from patchcore_suite.report.links import Links
from patchcore_suite.results import quantities
from patchcore_suite.results.quantities import Interval, Quantity, Said
from patchcore_suite.results.table import Table, column_kind

NAMING = ("variant", "system")  # columns whose cells are names of variants
VERDICT_KINDS = {
    verdicts.REPRODUCED: "reproduced",
    verdicts.NEAR: "near",
    verdicts.NOT_REPRODUCED: "missed",
    verdicts.NO_VERDICT: "none",
}


@dataclass(frozen=True)
class Column:
    """How a column of a table is set: numbers to the right, words to the left, prose in lines of its own."""

    name: str
    kind: str  # "number", "word" or "prose"


@dataclass(frozen=True)
class Cell:
    """A cell: its text, by which number it is sorted, a verdict's parts with their kinds, and where it leads."""

    column: Column
    text: str
    value: float | None
    badges: list[tuple[str, str]]
    link: str


@dataclass(frozen=True)
class Row:
    """A row; a summary stays below the others when they are sorted."""

    cells: list[Cell]
    summary: bool


@dataclass(frozen=True)
class Shown:
    """A table inside the page."""

    folder: str  # in reports/
    name: str
    table: Table
    links: Links
    formats: tuple[str, ...] = ("csv", "tex")  # of the files in the folder

    @property
    def columns(self) -> list[Column]:
        return [Column(name, column_kind(self.table.frame[name])) for name in self.table.frame]

    @property
    def rows(self) -> list[Row]:
        columns, rows = self.columns, self.table.frame.to_dict("records")
        return [
            Row(
                [self._cell(number, row, column) for column in columns],
                summary=row.get("category") == MEAN,
            )
            for number, row in enumerate(rows)
        ]

    def _cell(self, number: int, row: Mapping[str, quantities.Cell], column: Column) -> Cell:
        cell = row[column.name]
        return Cell(column, str(cell), number_of(cell), badges(cell), self._link(number, row, column.name))

    def _link(self, number: int, row: Mapping[str, quantities.Cell], column: str) -> str:
        """Where a cell of a row leads; empty where it leads nowhere."""
        datasets = self.table.datasets
        dataset = datasets[number if len(datasets) > 1 else 0] if datasets else None
        if column in NAMING:
            return self.links.variant(dataset, row[column])
        return self.links.files(dataset, column, row["category"]) if "category" in row else ""


def count_verdicts(frames: Sequence[pd.DataFrame]) -> tuple[Counter, int]:
    """How many comparisons with a number of the paper came to which verdict, and how many rest on synthetic images.

    A row may compare several metrics; each counts. Those without a published number do not.
    """
    counts: Counter = Counter()
    synthetic = 0
    for frame in frames:
        for row in frame.to_dict("records") if "verdict" in frame else ():
            reasons = dict(row["reason"].metrics) if "reason" in row else {}
            for metric, said in row["verdict"].metrics:
                because = reasons.get(metric, ())
                if verdicts.NO_NUMBER not in because:
                    counts.update(said)
                    synthetic += SYNTHETIC in because
    return counts, synthetic


def number_of(cell: quantities.Cell) -> float | None:
    """By which number a cell is sorted: an interval by its lower end; None for what has none."""
    value = cell.low if isinstance(cell, Interval) else cell.value if isinstance(cell, Quantity) else math.nan
    return None if math.isnan(value) else value


def badges(cell: quantities.Cell) -> list[tuple[str, str]]:
    """A verdict's parts with their kinds, which colour them: ("PRO: near", "near"); none of any other cell."""
    phrases = cell.phrases if isinstance(cell, Said) else ()
    return [(text, VERDICT_KINDS[word]) for text, word in phrases if word in VERDICT_KINDS]
