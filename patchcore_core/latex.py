"""Tables for a paper: LaTeX with booktabs, from the same cells as the report."""

import re
from collections.abc import Sequence

import pandas as pd

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
