"""What a notebook hands to the report: its tables and figures, under which heading, in which order and words."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import sha256_file
from patchcore_suite import figures
from patchcore_suite.results.quantities import from_json, to_json
from patchcore_suite.results.table import Heading, Table
from patchcore_suite.run.sealed import read_sealed, write_sealed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "sections"  # in reports/
BY_HAND = ("bring_your_own",)  # notebooks that no stage runs


@dataclass(frozen=True)
class Chart:
    """What a figure that is worth exploring is drawn from: many series that hide each other, or values between lines.

    Attributes:
        table: the table of the same section that holds the points.
        x: its column along the axis.
        series: its column that names a point's series; empty where each further column is a series of its own.
        metrics: its columns that can be shown; without `series`, the one metric of all columns.
    """

    table: str
    x: str
    series: str = ""
    metrics: tuple[str, ...] = ("image AUROC", "pixel AUROC", "PRO")


@dataclass(frozen=True)
class Picture:
    """A figure of the report.

    Attributes:
        figure: the drawing; None where a section was read from its file, beside which the picture lies.
        shows: what it shows, for readers who cannot see it.
        chart: what it is drawn from, where it can be explored.
    """

    figure: "Figure | None"
    shows: str
    chart: Chart | None = None


@dataclass(frozen=True)
class Section:
    """What one notebook shows in the report.

    Attributes:
        notebook: the name of its executed page, or of the section where a command made it.
        heading: of the section.
        order: sections stand in the order of these numbers.
        tables, pictures: by the names of their files.
        measured: whether they show times, which differ from run to run: their files lie in reports/timings.
        unmeasured: what to say where there is no such part.
        by_command: whether a command made it instead of a notebook.
        files: SHA-256 of the files that were written with it, by path in reports/; of a section that was read.
    """

    notebook: str
    heading: Heading
    order: int
    tables: Mapping[str, Table] = field(default_factory=dict)
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    measured: bool = False
    unmeasured: str = ""
    by_command: bool = False
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        return f"{self.notebook}_measured.json" if self.measured else f"{self.notebook}.json"

    def folder(self, kind: str) -> str:
        """Where files of a kind, "tables" or "figures", lie in reports/."""
        return "timings" if self.measured else kind

    def write(self, reports: Path) -> None:
        """Write the files of tables and pictures, and what the report needs to know of them."""
        for name, picture in self.pictures.items():
            figures.save(picture.figure, reports / self.folder("figures") / f"{name}.png")
        for name, table in self.tables.items():
            table.write(reports / self.folder("tables"), name)
        described = {
            "notebook": self.notebook,
            "heading": asdict(self.heading),
            "order": self.order,
            "measured": self.measured,
            "unmeasured": self.unmeasured,
            "by_command": self.by_command,
            "tables": [_described_table(name, table) for name, table in self.tables.items()],
            "pictures": [
                {"name": name, "shows": picture.shows, "chart": picture.chart and asdict(picture.chart)}
                for name, picture in self.pictures.items()
            ],
        }
        paths = [f"{self.folder('tables')}/{name}.{kind}" for name in self.tables for kind in ("csv", "json", "tex")]
        paths += [f"{self.folder('figures')}/{name}.{kind}" for name in self.pictures for kind in ("png", "svg")]
        described["files"] = {path: sha256_file(reports / path) for path in paths if (reports / path).is_file()}
        write_sealed(reports / FOLDER / self.file, described)

    def check_files(self, reports: Path) -> None:
        """Compare the files of tables and pictures that are there with those that were written.

        Raises:
            InputError: some are others; all are listed.
        """
        if changed := self.changed_files(reports):
            raise InputError(
                f"files of {self.notebook} in {reports} are not those that it wrote",
                offenders=changed,
                remedy=made_again(self.notebook),
            )

    def changed_files(self, reports: Path) -> list[str]:
        """Paths in reports/ of files that are there but hold something else than was written."""
        there = {path: sha256 for path, sha256 in self.files.items() if (reports / path).is_file()}
        return [path for path, sha256 in there.items() if sha256_file(reports / path) != sha256]

    @classmethod
    def read(cls, path: Path) -> "Section":
        """Read a section that `write` described.

        Raises:
            InputError: the file holds none, a damaged or another one, or one of another version.
        """
        try:
            described = read_sealed(path)
            tables = {table.pop("name"): _read_table(table) for table in described.pop("tables")}
            pictures = {picture.pop("name"): _read_picture(picture) for picture in described.pop("pictures")}
            heading = Heading(**described.pop("heading"))
            section = cls(heading=heading, tables=tables, pictures=pictures, **described)
            if section.file != path.name:
                raise ValueError(f"it is {section.file}")
            return section
        except (OSError, ValueError, KeyError, TypeError) as error:
            stage = path.stem.removesuffix("_measured")
            raise InputError(f"{path} describes no section of the report: {error}", remedy=made_again(stage)) from None


def made_again(notebook: str, options: str = "-f -s ") -> str:
    """What to do where the files of a section are missing or not those that were written."""
    if notebook in BY_HAND:
        return f"hand them to the report again in notebooks/{notebook}.ipynb, or delete this section's file"
    return f"run `dvc repro {options}{notebook}`"


def _described_table(name: str, table: Table) -> dict[str, object]:
    return {
        "name": name,
        "title": table.title,
        "caption": table.caption,
        "synthetic": table.synthetic,
        "columns": list(table.frame),
        "cells": [[to_json(cell) for cell in row] for row in table.frame.itertuples(index=False, name=None)],
        "paper": table.paper and asdict(table.paper),
        "datasets": list(table.datasets),
    }


def _read_table(described: dict[str, object]) -> Table:
    columns, rows = described.pop("columns"), described.pop("cells")
    paper, datasets = described.pop("paper"), tuple(described.pop("datasets"))
    frame = pd.DataFrame([[from_json(cell) for cell in row] for row in rows], columns=columns, dtype=object)
    return Table(frame=frame, paper=paper and Heading(**paper), datasets=datasets, **described)


def _read_picture(described: Mapping[str, object]) -> Picture:
    chart = described["chart"]
    if chart is None:
        return Picture(None, described["shows"])
    return Picture(None, described["shows"], Chart(**chart | {"metrics": tuple(chart["metrics"])}))
