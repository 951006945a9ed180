"""From metrics in long form to the tables that people read; the only place that multiplies by 100."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import write_json, write_text

NUMBER = r"[+<~-]? ?\d[\d.]*(?:[ %]|$)"  # "97.3 ± 0.4", "< 30.0"; not "1-nn"
LONG_TEXT = 40  # characters from which a column is read as prose


@dataclass(frozen=True)
class Table:
    """A table as it appears in the report.

    Attributes:
        title: its heading.
        caption: what is measured, on what, over how many seeds; a caption of generated images begins with SYNTHETIC.
        synthetic: whether its numbers come from generated images.
        frame: the cells, as text.
    """

    title: str
    caption: str
    synthetic: bool
    frame: pd.DataFrame

    def __post_init__(self) -> None:
        if self.synthetic and "SYNTHETIC" not in self.caption:
            object.__setattr__(self, "caption", f"SYNTHETIC images. {self.caption}")

    def write(self, folder: Path, name: str) -> None:
        """Write NAME.csv, NAME.json with what is said about it, and NAME.tex for a paper."""
        described = {"title": self.title, "caption": self.caption, "synthetic": self.synthetic}
        write_text(folder / f"{name}.csv", self.frame.to_csv(index=False, lineterminator="\n"))
        write_json(folder / f"{name}.json", described)
        caption, kinds = f"{self.title}. {self.caption}", [column_kind(self.frame[column]) for column in self.frame]
        text = latex_table(self.frame, kinds=kinds, caption=caption, label=f"tab:{name}")
        write_text(folder / f"{name}.tex", text)

    @classmethod
    def read(cls, folder: Path, name: str) -> "Table":
        """Read a table that `write` wrote.

        Raises:
            InputError: there is none.
        """
        try:
            described = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
            frame = pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"there is no table {name} in {folder}: {error}", remedy=f"run `dvc repro {name}`"
            ) from None
        return cls(**described, frame=frame)


def column_kind(values: pd.Series) -> str:
    """How a column of text is set: a "number" to the right, a "word" to the left, "prose" in lines of its own."""
    if values.str.len().max() >= LONG_TEXT and values.name != "verdict":
        return "prose"
    return "number" if values.str.match(NUMBER).any() else "word"


ALIGNMENT = {"number": "r", "word": "l", "prose": "p{6cm}"}  # by kind of column
SPECIAL = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",  # the oldest font encoding, still the default, sets another character
    ">": "$>$",
    "±": r"$\pm$",
    "×": r"$\times$",
}


def latex_table(frame: pd.DataFrame, *, kinds: Sequence[str], caption: str, label: str) -> str:
    r"""A table that a paper can \input; it needs the package booktabs.

    Args:
        frame: the cells, as text.
        kinds: of each column, a key of `ALIGNMENT`.
        caption: plain text.
        label: for \ref; written as it is.
    """
    text = frame.rename(columns=escape).map(escape)
    return text.style.hide(axis="index").to_latex(
        column_format="".join(ALIGNMENT[kind] for kind in kinds),
        hrules=True,
        caption=escape(caption),
        label=label,
        position_float="centering",
    )


def escape(text: str) -> str:
    """Text that LaTeX sets as it is written here."""
    return re.sub("[" + re.escape("".join(SPECIAL)) + "]", lambda found: SPECIAL[found[0]], text)
