"""Tables inside the report: how each cell is set, and where it leads."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from patchcore_suite.paper import verdicts
from patchcore_suite.paper.conditions import SYNTHETIC
from patchcore_suite.report.links import Links
from patchcore_suite.results.table import Table, column_kind

NAMING = ("variant", "system")  # columns whose cells are names of variants
SUMMARY = "mean"  # the last row of a table by category


@dataclass(frozen=True)
class Column:
    """How a column of a table is set: numbers to the right, words to the left, prose in lines of its own."""

    name: str
    kind: str  # "number", "word" or "prose"


@dataclass(frozen=True)
class Cell:
    """A cell: its text, the parts of a verdict with their kinds, and the link to what it was computed from."""

    column: Column
    text: str
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
    section: str  # the key of the section that shows it
    table: Table
    links: Links

    @property
    def columns(self) -> list[Column]:
        return [Column(name, column_kind(self.table.frame[name])) for name in self.table.frame]

    @property
    def rows(self) -> list[Row]:
        columns = self.columns
        return [
            Row(
                [
                    Cell(
                        column,
                        row[column.name],
                        badges(row[column.name]) if column.name == "verdict" else [],
                        self._link(row, column.name),
                    )
                    for column in columns
                ],
                summary=row.get("category") == SUMMARY,
            )
            for row in self.table.frame.to_dict("records")
        ]

    def _link(self, row: Mapping[str, str], column: str) -> str:
        dataset = self.links.dataset(self.section, row)
        if column in NAMING:
            return self.links.variant(dataset, row[column])
        return self.links.files(dataset, column, row["category"]) if "category" in row else ""


NO_NUMBER = "no published number"  # the reason that `paper.verdict` gives
VERDICT_KINDS = {
    verdicts.REPRODUCED: "reproduced",
    verdicts.NEAR: "near",
    verdicts.NOT_REPRODUCED: "missed",
    verdicts.NO_VERDICT: "none",
}


def count_verdicts(frames: Sequence[pd.DataFrame]) -> tuple[Counter, int]:
    """How many comparisons with a number of the paper came to which verdict, and how many rest on synthetic images.

    A row may compare several metrics; each counts. Rows without a published number do not.
    """
    counts: Counter = Counter()
    synthetic = 0
    for frame in frames:
        if "verdict" not in frame:
            continue
        several = [name.removesuffix(": paper") for name in frame if name.endswith(": paper")]
        for row in frame.to_dict("records"):
            for metric in [""] if "paper" in frame else several:
                (verdict,) = _said(row["verdict"], metric, several) or [""]
                reasons = _said(row.get("reason", ""), metric, several)
                if verdict in VERDICT_KINDS and NO_NUMBER not in reasons:
                    counts[verdict] += 1
                    synthetic += SYNTHETIC in reasons
    return counts, synthetic


def badges(cell: str) -> list[tuple[str, str]]:
    """A verdict's parts with their kinds, which colour them: ("PRO: near", "near")."""
    parts = [(part, VERDICT_KINDS.get(part.rpartition(": ")[2], "")) for part in cell.split("; ")]
    return [(part, kind) for part, kind in parts if kind]


def _said(cell: str, metric: str, metrics: Sequence[str]) -> list[str]:
    """What a cell says of one metric: "PRO: near; image AUROC, pixel AUROC: reproduced", or the same of all of them."""
    found = []
    for part in cell.split("; "):
        heads, separator, text = part.partition(": ")
        named = heads.split(", ")
        if not separator or not set(named) <= set(metrics):
            found.append(part)
        elif metric in named:
            found.append(text)
    return found
