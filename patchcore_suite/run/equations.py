"""Equations of notebooks and documents, as browsers show them without a script or a network."""

from functools import cache
from html import escape

from math_core import LatexError, LatexToMathML


@cache
def converter() -> LatexToMathML:
    """Reads LaTeX."""
    return LatexToMathML(fancy_error=False)


def mathml(latex: str, *, block: bool = False) -> str:
    """An equation as MathML; one that cannot be converted as its LaTeX, which can still be read.

    Args:
        latex: without dollar signs around it.
        block: whether it stands on a line of its own.
    """
    one_line = latex.replace("\\\n", "\\ ")  # a backslash at the end of a line is a space
    try:
        return converter().convert_with_local_state(one_line, displaystyle=block)
    except LatexError:
        return f"<code>{escape(latex)}</code>"
