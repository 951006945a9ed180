"""The paper's numbers, as printed: they lie in `published.csv`."""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from patchcore_core.common.errors import InputError
from patchcore_suite.paper.conditions import PAPER_WEIGHTS, Conditions

CATEGORIES = {"MVTec AD": 15, "mSTC": 12, "MTD": 1}
FILE = Path(__file__).with_suffix(".csv")


@dataclass(frozen=True, kw_only=True)
class Published:
    """A number of the paper or of its official repository, and where it stands; the last fields as in `Conditions`."""

    table: str  # "T1" to "T6", "S1" to "S6", "Fig. 4", "Sec. 4.4.2", ...; "official" and "official README"
    dataset: str  # "MVTec AD", "MTD" or "mSTC"
    category: str  # "mean" over them, "all" for a count over them, or one of them
    method: str  # as the table names it
    metric: str  # "image_auroc", "pixel_auroc", "pro", these with "_error"; "pro_per_image", "misclassified", ...
    value: float  # a fraction where the unit is "%", else as printed
    std: float | None = None  # over draws, in the unit of the value
    unit: str = "%"  # or "s", "images"
    relation: str = "="  # or "<", an upper bound, or "~", approximate
    verified: bool = True  # a source states it; read off a plot or remembered, it is not
    note: str = ""  # what to know before comparing
    backbone: str | None = None
    hierarchies: tuple[int, ...] | None = None
    neighbourhood_size: int | None = None
    stride: int | None = None
    dimension: int | None = None
    coreset_fraction: float | None = None
    resize: int | tuple[int, int] | None = None
    crop: int | None = None
    shots: int | None = None

    @property
    def conditions(self) -> Conditions:
        """What the number was obtained under, as far as it is said."""
        shared = {item.name: getattr(self, item.name) for item in fields(Conditions) if hasattr(self, item.name)}
        whole = self.category in ("mean", "all")
        return Conditions(
            images="complete",
            categories=CATEGORIES[self.dataset] if whole else 1,
            weights=PAPER_WEIGHTS if self.backbone else None,
            **shared,
        )

    def text(self, digits: int = 1) -> str:
        """The number as a table shows it: "99.1", "84.1 ± 0.7", "< 30.0", "~99.0 (unverified)", "0.22 s"."""
        if self.unit == "%":
            number = f"{100 * self.value:.{digits}f}"
            number += "" if self.std is None else f" ± {100 * self.std:.{digits}f}"
        else:
            number = f"{self.value:g} {self.unit}"
        return {"=": "", "<": "< ", "~": "~"}[self.relation] + number + " (unverified)" * (not self.verified)


def published_numbers(
    table: str,
    *,
    metric: str,
    method: str | None = None,
    category: str = "mean",
    dataset: str | None = None,
    backbone: str | None = None,
    hierarchies: tuple[int, ...] | None = None,
    neighbourhood_size: int | None = None,
    stride: int | None = None,
    coreset_fraction: float | None = None,
    crop: int | None = None,
    shots: int | None = None,
) -> tuple[Published, ...]:
    """The numbers of a table of the paper, in its order; None leaves a choice open.

    Returns:
        every number that fits; empty where the table has no such combination.

    Raises:
        InputError: the table is unknown, or it has no such metric, method or category; the nearest is named.
    """
    chosen = [
        row for row in _read() if row.table == _known("table", table, (row.table for row in _read()), "the paper")
    ]
    for name, wanted in (("metric", metric), ("method", method), ("category", category)):
        if wanted is not None:
            _known(name, wanted, (getattr(row, name) for row in chosen), table)
    names = ("hierarchies", "neighbourhood_size", "stride", "coreset_fraction", "crop", "shots")
    values = (hierarchies, neighbourhood_size, stride, coreset_fraction, crop, shots)
    wanted = {"metric": metric, "method": method, "category": category, "dataset": dataset, "backbone": backbone}
    wanted |= dict(zip(names, values, strict=True))
    wanted = {name: value for name, value in wanted.items() if value is not None}
    return tuple(row for row in chosen if all(getattr(row, name) == value for name, value in wanted.items()))


@cache
def _read() -> tuple[Published, ...]:
    with FILE.open(encoding="utf-8", newline="") as file:
        return tuple(_parse(row) for row in csv.DictReader(file))


def _parse(row: dict[str, str]) -> Published:
    scale = 100 if row["unit"] == "%" else 1
    values = {name: text or None for name, text in row.items()} | {"note": row["note"]}
    for name in ("neighbourhood_size", "stride", "dimension", "crop", "shots"):
        values[name] = int(row[name]) if row[name] else None
    for name in ("hierarchies", "resize"):  # "2+3", "256" or "256x256"
        parts = tuple(int(part) for part in re.split("[+x]", row[name]) if part)
        values[name] = parts[0] if name == "resize" and len(parts) == 1 else parts or None
    for name in ("value", "std"):
        values[name] = round(float(row[name]) / scale, 8) if row[name] else None
    values["coreset_fraction"] = float(row["coreset_fraction"]) if row["coreset_fraction"] else None
    values["verified"] = row["verified"] == "yes"
    return Published(**values)


def _known(name: str, value: str, known: Iterable[str], where: str) -> str:
    known = list(dict.fromkeys(known))
    if value in known:
        return value
    close = get_close_matches(str(value), known, n=3, cutoff=0.5)
    raise InputError(
        f"{where} has no {name} {value!r}" + (f" (did you mean {', '.join(close)}?)" if close else ""),
        remedy=f"known here: {', '.join(known)}",
    )
