"""Names that images bring along, kept apart from the suite's own words and from the formulas of spreadsheets.

A category is called as its folder is; it may be called `mean`, or `=1+1`.
"""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

MEAN, ALL = "mean", "all"  # of all categories: the rows that tables and intervals have beside those of the categories
INDEX = "index.json"  # beside the folders of the categories of a dataset, among its raw results
_WORD = re.compile(rf"({MEAN}|{ALL}|{re.escape(INDEX)})( \(category\))*", re.IGNORECASE)
_FORMULA = re.compile("'*[=+\\-@\\t\\r\\n＝＋－＠]")
_NUMBER = re.compile(r"-|[-+][\d.,]+(e[-+]?\d+)?( ± [\d.,]+)?( \(unverified\))?")


def shown(category: str) -> str:
    """What a category is called beside the suite's words: as its folder, "mean (category)" where it is one of them."""
    return f"{category} (category)" if _WORD.fullmatch(category) else category


def in_csv(text: str) -> str:
    """A text as a cell of CSV, which no spreadsheet takes for a formula: an apostrophe before what begins like one.

    Numbers, with their spread, and a single - stay as they are.
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def csv_text(frame: "pd.DataFrame") -> str:
    """A frame as CSV, each of its texts as `in_csv` makes it."""
    safe = frame.map(lambda cell: in_csv(cell) if isinstance(cell, str) else cell)
    return safe.to_csv(index=False, lineterminator="\n")


def from_csv(cell: str) -> str:
    """The text of a cell that `in_csv` made."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
