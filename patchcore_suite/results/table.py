"""Tables that people read: in the report, in spreadsheets and in papers."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from patchcore_core.common.files import write_json, write_text
from patchcore_suite.datasets.names import csv_text
from patchcore_suite.results.latex import latex_table
from patchcore_suite.results.quantities import Interval, Quantity

LONG_TEXT = 40  # characters from which a column is read as prose


@dataclass(frozen=True)
class Heading:
    """A name and what stands under it: "Table 1", "image AUROC on MVTec AD"."""

    name: str
    subject: str

    def __str__(self) -> str:
        return f"{self.name}: {self.subject}" if self.subject else self.name


@dataclass(frozen=True)
class Table:
    """A table with its values; it becomes text where it is written.

    Attributes:
        title: its heading.
        caption: what is measured, on what, over how many seeds; a caption of generated images begins with SYNTHETIC.
        synthetic: whether its numbers come from generated images.
        frame: the cells (see `quantities`).
        paper: the table or figure of the paper that it stands for, if any.
        datasets: of `params.yaml`, to whose results its rows lead: one a row, or one for all of them.
    """

    title: str
    caption: str
    synthetic: bool
    frame: pd.DataFrame
    paper: Heading | None = None
    datasets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.synthetic and "SYNTHETIC" not in self.caption:
            object.__setattr__(self, "caption", f"SYNTHETIC images. {self.caption}")

    def write(self, folder: Path, name: str) -> None:
        """Write NAME.csv, NAME.json with what is said about it, and NAME.tex for a paper."""
        described = {"title": self.title, "caption": self.caption, "synthetic": self.synthetic}
        text = as_text(self.frame)
        write_text(folder / f"{name}.csv", csv_text(text))
        write_json(folder / f"{name}.json", described)
        kinds = [column_kind(self.frame[column]) for column in self.frame]
        latex = latex_table(text, kinds=kinds, caption=f"{self.title}. {self.caption}", label=f"tab:{name}")
        write_text(folder / f"{name}.tex", latex)


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """A table as it is read."""
    return frame.map(str)


def column_kind(cells: pd.Series) -> str:
    """How a column is set: a "number" to the right, a "word" to the left, "prose" in lines of its own."""
    verdicts = cells.name == "verdict"
    if not verdicts and any(len(str(cell)) >= LONG_TEXT for cell in cells):
        return "prose"
    return "number" if any(isinstance(cell, Quantity | Interval) for cell in cells) else "word"
