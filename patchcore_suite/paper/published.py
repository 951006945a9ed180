"""The paper's numbers, as printed: they lie in `published.csv`; those of methods that followed it in `field.csv`."""

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import MappingProxyType

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.identity import paper_categories
from patchcore_suite.datasets.spec import PAPER_NAMES
from patchcore_suite.paper.conditions import PAPER_WEIGHTS, Conditions, is_torchvision
from patchcore_suite.results.quantities import Quantity

KEYS = {name: paper for paper, name in PAPER_NAMES.items()}  # in params.yaml, of the paper's datasets
FROM_ELSEWHERE = "quoted by the paper"  # in a note
FILE = Path(__file__).with_suffix(".csv")
FIELD = FILE.with_name("field.csv")
LEADING = ("T1", "T2", "T3", "T4", "T6")  # tables that compare methods


@dataclass(frozen=True, kw_only=True)
class Published:
    """A number of the paper or of its official repository, and where it stands; the last fields as in `Conditions`.

    Or one of a method that followed: its table is then the method, or whose page prints it.
    """

    table: str  # "T1" to "T6", "S1" to "S6", "Fig. 4", "Sec. 4.4.2", ...; "official" and "official README"; "SoftPatch"
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
    noise: float | None = None
    over: int | None = None  # categories that a mean is over, where it is ours of printed ones (see `mean_over`)

    @property
    def whole(self) -> bool:
        """Whether it stands for all categories of its dataset."""
        return self.category in ("mean", "all") and self.over is None

    @property
    def categories(self) -> int:
        """How many categories it is of: those of its dataset, some of them, or one."""
        return len(paper_categories(KEYS[self.dataset])) if self.whole else self.over or 1

    @property
    def conditions(self) -> Conditions:
        """What the number was obtained under, as far as it is said."""
        shared = {item.name: getattr(self, item.name) for item in fields(Conditions) if hasattr(self, item.name)}
        return Conditions(
            images="complete",
            weights=PAPER_WEIGHTS if self.backbone and all(map(is_torchvision, self.backbone.split("+"))) else None,
            **shared,
        )

    @property
    def from_elsewhere(self) -> bool:
        """Whether the paper did not obtain it itself."""
        return FROM_ELSEWHERE in self.note

    def has(self, values: Mapping[str, object]) -> bool:
        """Whether the fields have these values."""
        return all(getattr(self, name) == value for name, value in values.items())

    @property
    def quantity(self) -> Quantity:
        """The number as a table shows it: "99.1", "84.1 ± 0.7", "< 30.0", "~99.0 (unverified)", "0.22 s"."""
        form, note = ".1f" if self.unit == "%" else "g", "" if self.verified else "unverified"
        return Quantity(self.value, self.std, self.unit, form, relation=self.relation, note=note)


SETTINGS = ("backbone", "hierarchies", "neighbourhood_size", "stride", "dimension", "coreset_fraction", "crop", "shots")


def published_numbers(
    table: str,
    *,
    metric: str,
    method: str | None = None,
    category: str = "mean",
    dataset: str | None = None,
    setting: Mapping[str, object] = MappingProxyType({}),
) -> tuple[Published, ...]:
    """The numbers of a table of the paper, in its order; None leaves a choice open.

    Args:
        setting: what else must agree, by `SETTINGS`.

    Returns:
        every number that fits; empty where the table has no such combination.

    Raises:
        InputError: the table is unknown, or it has no such metric, method or category; the nearest is named.
    """
    for name in setting:
        _known("setting", name, SETTINGS, "a published number")
    _known("table", table, (row.table for row in _read()), "the paper")
    chosen = [row for row in _read() if row.table == table]
    named = {"metric": metric, "method": method, "category": category}
    for name, wanted in named.items():
        if wanted is not None:
            _known(name, wanted, (getattr(row, name) for row in chosen), table)
    fixed = {name: value for name, value in (named | {"dataset": dataset}).items() if value is not None}
    return tuple(row for row in chosen if row.has(fixed | dict(setting)))


def mean_over(number: Published, categories: Iterable[str]) -> Published | None:
    """A mean over some categories, of the numbers that a table prints by category for the same method and settings.

    Args:
        number: the printed mean over all of them.

    Returns:
        `number` with the mean of the others, and with their table's name; None where one is not printed.
    """
    same = {name: getattr(number, name) for name in ("dataset", "method", "metric", "resize", *SETTINGS)}
    printed = {row.category: row for row in _read() if row.has(same)}
    found = [printed.get(category) for category in categories]
    if not found or None in found:
        return None
    return replace(
        number,
        table=found[0].table,
        value=round(sum(row.value for row in found) / len(found), 8),
        std=None,
        verified=all(row.verified for row in found),
        over=len(found),
    )


def leading_numbers(dataset: str) -> tuple[Published, ...]:
    """Means over a whole dataset, as the paper's main tables and methods that followed print them."""
    rows = (*(row for row in _rows(FILE) if row.table in LEADING), *_rows(FIELD))
    return tuple(row for row in rows if row.dataset == dataset and row.category == "mean")


def _read() -> tuple[Published, ...]:
    return _rows(FILE) + _rows(FIELD)


@cache
def _rows(path: Path) -> tuple[Published, ...]:
    with path.open(encoding="utf-8", newline="") as file:
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
    for name in ("coreset_fraction", "noise"):
        values[name] = float(row[name]) if row.get(name) else None
    values["verified"] = row["verified"] == "yes"
    return Published(**values)


def _known(name: str, value: str, known: Iterable[str], where: str) -> None:
    """Refuse a value that is not known, and name the nearest."""
    known = list(dict.fromkeys(known))
    if value in known:
        return
    close = get_close_matches(str(value), known, n=3, cutoff=0.5)
    raise InputError(
        f"{where} has no {name} {value!r}" + (f" (did you mean {', '.join(close)}?)" if close else ""),
        remedy=f"known here: {', '.join(known)}",
    )
