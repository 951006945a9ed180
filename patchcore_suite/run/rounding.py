"""Numbers that differ by rounding alone.

Processors add up in different orders, so that the last digits of what they compute differ. A file that is kept in Git
keeps its bytes then: the same code on the same images leaves the tree as it was, on every machine.
"""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from patchcore_core.common.files import write_json, write_text
from patchcore_suite.datasets.names import csv_text

WITHIN = 1e-5  # of shares, and relative of numbers that are none: a tenth of what a table with two digits shows

NAMES = ("dataset", "category", "variant", "metric")  # columns whose cells are no numbers, though they look like some


def same_numbers(one: object, other: object) -> bool:
    """Whether two values of JSON are the same but for rounding of their numbers."""
    if isinstance(one, float) and isinstance(other, float):
        return (math.isnan(one) and math.isnan(other)) or math.isclose(one, other, rel_tol=WITHIN, abs_tol=WITHIN)
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same_numbers(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_numbers, one, other))
    return one == other


def write_frame_unless_same(path: Path, frame: pd.DataFrame, *, digits: int) -> None:
    """Write a frame as CSV with so many digits, unless what is there differs by rounding alone."""
    text = csv_text(frame.round(digits))
    if not _same(path, text, _rows):
        write_text(path, text)


def write_json_unless_same(path: Path, value: object) -> None:
    """Write a value as JSON, unless what is there differs by rounding alone."""
    if not _same(path, json.dumps(value, sort_keys=True), json.loads):
        write_json(path, value)


def _same(path: Path, text: str, read: Callable[[str], object]) -> bool:
    """Whether a file says the same as a text; one that cannot be read says nothing."""
    try:
        return same_numbers(read(path.read_text(encoding="utf-8")), read(text))
    except (OSError, ValueError, RecursionError):
        return False


def _rows(text: str) -> list[list[object]]:
    """The cells of a CSV file, row by row with its header: numbers as numbers, all else as text."""
    frame = pd.read_csv(io.StringIO(text), dtype=str, header=None, keep_default_na=False)
    names = frame.iloc[0].isin(NAMES).to_numpy()
    return [[*row[names], *map(_value, row[~names])] for row in frame.to_numpy()]


def _value(cell: str) -> object:
    try:
        return float(cell)
    except ValueError:
        return cell
