"""Tables inside the report: how each cell is set, and where it leads."""

from collections.abc import Mapping
from dataclasses import dataclass

from patchcore_core.report_results import Links
from patchcore_core.report_verdicts import badges
from patchcore_core.tables import Table, column_kind

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
