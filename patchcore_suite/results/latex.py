r"""Tables that a paper can \input: each fits the page that it is printed on."""

import re
from collections.abc import Iterator, Sequence
from math import ceil

import pandas as pd

PACKAGES = "booktabs,graphicx,rotating"
ALIGNMENT = {"number": "r", "word": "l", "prose": "p{6cm}"}  # by kind of column
SPECIAL = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",  # the oldest font encoding, still the default, sets another character
    ">": "$>$",
    "[": "{[}",  # at the beginning of a row it would be taken for an option of the end of the row above it
    "*": "{*}",
    "±": r"$\pm$",
    "×": r"$\times$",
}

# Points of a page of LaTeX's article at 10 points, the narrowest that is common. On a wider one a table is set larger.
TEXT_WIDTH, TEXT_HEIGHT = 345, 550
LINE, COLUMN_GAP, PROSE_WIDTH = 12.5, 12, 171  # points of a line, between columns, of a column of prose
RULES = 30  # points that rules and the space around them take
SMALLEST = 0.6  # of the size of the text around it: what is set smaller than that goes across the page
# Points of a letter at 10 points; all others take 5.
WIDTHS = (
    dict.fromkeys("fijlrst.,:;'()[]- ", 3.3) | dict.fromkeys("ABCDEFGHKLNOPQRTUVXYZmw%=<>±×+", 7.4) | {"W": 10, "M": 9}
)


def latex_table(frame: pd.DataFrame, *, kinds: Sequence[str], caption: str, label: str) -> str:
    r"""A table as one float or several, none of them wider or higher than a page.

    It is shrunk to the width of a line where it is wider. Where its letters would become too small for that, it goes
    across the page; rows that one page cannot hold go into further floats.

    Args:
        frame: the cells, as text.
        kinds: of each column, a key of `ALIGNMENT`.
        caption: plain text.
        label: for \ref; written as it is.
    """
    headings = [broken(name, widest(frame[name])) for name in frame]
    widths = [
        PROSE_WIDTH if kind == "prose" else max(widest(frame[name]), widest(lines))
        for name, kind, lines in zip(frame, kinds, headings, strict=True)
    ]
    width = sum(widths) + COLUMN_GAP * len(widths)
    across = width * SMALLEST > TEXT_WIDTH
    wide, high = (TEXT_HEIGHT, TEXT_WIDTH) if across else (TEXT_WIDTH, TEXT_HEIGHT)
    taken = RULES + LINE * ceil(estimated_width(caption) / wide)
    line = LINE * min(1, wide / width)
    parts = list(pages(frame, kinds, int((high - taken) / line) - max(map(len, headings))))
    floats = []
    for number, rows in enumerate(parts, start=1):
        more = f" (part {number} of {len(parts)})" if len(parts) > 1 else ""
        floats.append(
            floating(
                tabular(rows, headings, kinds),
                environment="sidewaystable" if across else "table",
                caption=escape(caption + more),
                label=label if number == 1 else None,
            )
        )
    return f"% needs \\usepackage{{{PACKAGES}}}\n" + "\n".join(floats)


def floating(table: str, *, environment: str, caption: str, label: str | None) -> str:
    """A float with a table that is shrunk where it is wider than a line."""
    named = f"\\label{{{label}}}\n" if label else ""
    return (
        f"\\begin{{{environment}}}\n\\centering\n\\caption{{{caption}}}\n{named}"
        f"\\smallskip\n\\resizebox{{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}}{{!}}{{%\n{table}%\n}}\n"
        f"\\end{{{environment}}}\n"
    )


def tabular(frame: pd.DataFrame, headings: Sequence[Sequence[str]], kinds: Sequence[str]) -> str:
    """Rows below headings of one line or several."""
    heads = []
    for lines, kind in zip(headings, kinds, strict=True):
        escaped = [escape(line) for line in lines]
        side = "r" if kind == "number" else "l"
        stacked = rf"\begin{{tabular}}[b]{{@{{}}{side}@{{}}}}" + r"\\".join(escaped) + r"\end{tabular}"
        heads.append(stacked if len(lines) > 1 else escaped[0])
    rows = [" & ".join(map(escape, cells)) for cells in frame.itertuples(index=False)]
    columns = "".join(ALIGNMENT[kind] for kind in kinds)
    body = "".join(f"{row} \\\\\n" for row in rows)
    return (
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{' & '.join(heads)} \\\\\n\\midrule\n{body}\\bottomrule\n"
        "\\end{tabular}"
    )


def pages(frame: pd.DataFrame, kinds: Sequence[str], most: int) -> Iterator[pd.DataFrame]:
    """Rows that a page of `most` lines holds, and the next ones; a row of prose takes several lines."""
    prose = [name for name, kind in zip(frame, kinds, strict=True) if kind == "prose"]
    first = lines = 0
    for number, row in enumerate(frame[prose].itertuples(index=False)):
        needed = max([ceil(1.1 * estimated_width(cell) / PROSE_WIDTH) for cell in row], default=1)
        if number > first and lines + needed > most:
            yield frame.iloc[first:number]
            first, lines = number, 0
        lines += needed
    yield frame.iloc[first:]


def broken(heading: str, width: float) -> list[str]:
    """A heading in lines that are no wider than the cells below it or its longest word."""
    words = re.findall(r"\S+?(?: %\)?)?(?:-(?=\S)|\s+|$)", heading)  # a number keeps its per cent
    width = max(width, widest([word.rstrip() for word in words]))
    lines = [""]
    for word in words:
        if lines[-1] and estimated_width((lines[-1] + word).rstrip()) > width:
            lines.append("")
        lines[-1] += word
    return [line.rstrip() for line in lines]


def widest(texts: Sequence[str] | pd.Series) -> float:
    """Points of the longest text; 0 of none."""
    return max(map(estimated_width, texts), default=0)


def estimated_width(text: str) -> float:
    """Points that a text takes at 10 points in Computer Modern, by the kind of its letters."""
    return sum(WIDTHS.get(letter, 5) for letter in text)


def escape(text: str) -> str:
    """Text that LaTeX sets as it is written here."""
    return re.sub("[" + re.escape("".join(SPECIAL)) + "]", lambda found: SPECIAL[found[0]], text)
