"""What stands in the cells of a table: values, which become text where they are written or shown.

A cell is a text, a `Quantity`, an `Interval` or a `Said`; `str` gives what a reader sees of each.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real

from patchcore_suite.results.formats import NOT_AVAILABLE, NOTHING, label

SHARES = ("%", "points")  # units whose values are fractions
RELATIONS = {"=": "", "<": "< ", "~": "~"}


@dataclass(frozen=True)
class Quantity:
    """A number with all that is needed to read it.

    Attributes:
        value: a fraction where the unit is one of `SHARES`, else in the unit; NaN where it is not available.
        spread: standard deviation over seeds or draws, as `value`; None for a single one.
        unit: one of `SHARES`, which a heading names, or one that stands behind the number: "s".
        form: how the number reads, as a format specification; a zero has a sign only where "z" is in it.
        spread_form: how the spread reads, if not like the number.
        relation: a key of `RELATIONS`: "<" is an upper bound, "~" approximate.
        note: what stands in brackets behind it.
    """

    value: float
    spread: float | None = None
    unit: str = ""
    form: str = ".1f"
    spread_form: str = ""
    relation: str = "="
    note: str = ""

    def __str__(self) -> str:
        if math.isnan(self.value):
            return NOT_AVAILABLE
        scale = 100 if self.unit in SHARES else 1
        number = format(scale * self.value, self.form)
        if "z" not in self.form and not number.strip("+-0."):
            number = number.lstrip("+-")
        if self.spread is not None:
            number += f" ± {scale * self.spread:{self.spread_form or self.form}}"
        unit = f" {self.unit}" if self.unit and self.unit not in SHARES else ""
        return RELATIONS[self.relation] + number + unit + (f" ({self.note})" if self.note else "")


@dataclass(frozen=True)
class Interval:
    """The ends of an interval of a share, as fractions; NaN where it is not available."""

    low: float
    high: float
    form: str = ".1f"

    def __str__(self) -> str:
        if math.isnan(self.low) or math.isnan(self.high):
            return NOT_AVAILABLE
        return f"{100 * self.low:{self.form}} to {100 * self.high:{self.form}}"


@dataclass(frozen=True)
class Said:
    """What a row says of each metric that it compares: its verdict, or what stands behind it.

    Attributes:
        metrics: headings with what is said of each; the heading is empty where a row has only one metric.
    """

    metrics: tuple[tuple[str, tuple[str, ...]], ...]

    @classmethod
    def of_one(cls, *words: str) -> "Said":
        """What is said of the only metric of a row."""
        return cls((("", words),))

    @property
    def phrases(self) -> list[tuple[str, str]]:
        """Each word with the metrics that it is said of, if these are not all: ("PRO: near", "near")."""
        said_of: dict[str, list[str]] = {}
        for heading, words in self.metrics:
            for word in words:
                said_of.setdefault(word, []).append(heading)
        return [
            (word if len(headings) == len(self.metrics) else f"{', '.join(headings)}: {word}", word)
            for word, headings in said_of.items()
        ]

    def __str__(self) -> str:
        return "; ".join(text for text, _ in self.phrases) or NOTHING


Cell = str | Quantity | Interval | Said


def known(cell: Cell) -> bool:
    """Whether a cell is a number that is available."""
    return isinstance(cell, Quantity) and not math.isnan(cell.value)


def share(fraction: float | None) -> Quantity:
    """A single share, None where it is not available."""
    return Quantity(math.nan if fraction is None else fraction, unit="%")


def difference(fraction: float) -> Quantity:
    """A difference of two shares in points: "-0.3", "0.0"."""
    return Quantity(fraction, unit="points", form="+.1f")


def step(before: float, after: float) -> Quantity:
    """What a change makes of a share, in points: "+0.3", "+0.0"."""
    return Quantity(after - before, unit="points", form="+z.1f")


def of_setting(value: object, name: str) -> Cell:
    """A setting: a number as such, anything else in words."""
    number = isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(value)
    return Quantity(value, form="g") if number else label(value, name)


def nominal_images(shots: float | None) -> Cell:
    """How many nominal images a number comes from; None or NaN: all of them."""
    return "all" if shots is None or math.isnan(shots) else Quantity(int(shots), form="d")


def short_of_all(quantity: Quantity) -> Quantity:
    """What a share in percent lacks to 100, so that both add up as they are shown; the spread is the same."""
    missing = 100 - round(100 * float(quantity.value), 1)
    return Quantity(missing / 100, quantity.spread, unit="%")


# Files


def to_json(cell: Cell) -> object:
    """A cell as JSON can hold it; `from_json` gives it back."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, Said):
        return {"said": [[heading, list(words)] for heading, words in cell.metrics]}
    given = {item.name: getattr(cell, item.name) for item in fields(cell) if getattr(cell, item.name) != item.default}
    return {name: _plain_number(value) for name, value in given.items()}


def from_json(value: object) -> Cell:
    """The cell of which `to_json` made this."""
    if isinstance(value, str):
        return value
    if "said" in value:
        return Said(tuple((heading, tuple(words)) for heading, words in value["said"]))
    return Interval(**_numbers(value, "low", "high")) if "low" in value else Quantity(**_numbers(value, "value"))


def _plain_number(value: object) -> object:
    """A number of any library as Python's own; None for NaN, which JSON does not know."""
    if isinstance(value, str):
        return value
    if isinstance(value, Integral):
        return int(value)
    return None if math.isnan(value) else float(value)


def _numbers(given: Mapping[str, object], *names: str) -> dict[str, object]:
    return dict(given) | {name: math.nan for name in names if given[name] is None}
