"""The paper's numbers, and what ours are worth beside them.

The numbers lie in `published/paper.csv`, as printed. A verdict compares one of ours with one of them:

- *reproduced*: they differ by at most 0.5 percentage points;
- *near*: by at most 1.5 points;
- *not reproduced*: by more.

Noise that explains the difference doubles both limits, and no more, so that a wide interval cannot make everything
reproduced. It explains one of at most twice the spread over seeds (the paper's own spread, where printed, is added
in squares), and one whose published number lies in the bootstrap interval of ours. There is no verdict on synthetic
images, without a published number, or on a number that is no share.
"""

import csv
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from functools import cache
from pathlib import Path

import pandas as pd

from patchcore_core.errors import InputError
from patchcore_core.tables import NOT_AVAILABLE, NOTHING, percent

REPRODUCED, NEAR, NOT_REPRODUCED, NO_VERDICT = "reproduced", "near", "not reproduced", "no verdict"
REPRODUCED_WITHIN, NEAR_WITHIN = 0.005, 0.015  # of a difference between fractions
NOISE_FACTOR = 2  # on both limits, and on the spread
IMAGES = ("complete", "reduced", "synthetic")
SYNTHETIC = "data synthetic"
PAPER_WEIGHTS = "torchvision ImageNet V1"
CATEGORIES = {"MVTec AD": 15, "mSTC": 12, "MTD": 1}


FILE = Path(__file__).parent / "published" / "paper.csv"


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What a number was obtained under. In the paper's, None means that it does not say, and is not compared."""

    images: str  # one of IMAGES; reduced: some left out
    categories: int | None  # that the number is a mean over
    backbone: str | None  # its name in the suite; those of an ensemble in alphabetical order, joined by "+"
    weights: str | None  # such as PAPER_WEIGHTS
    hierarchies: tuple[int, ...] | None = None
    neighbourhood_size: int | None = None
    stride: int | None = None
    dimension: int | None = field(default=None, metadata={"none": "native"})  # None: one mean per channel
    coreset_fraction: float | None = None
    resize: int | tuple[int, int] | None = None  # shorter side, or height and width, in pixels
    crop: int | None = None  # side in pixels
    shots: int | None = field(default=None, metadata={"none": "all"})  # nominal images a category
    metric: str | None = None  # its definition by name: `pro` is not `pro_per_image`

    def __post_init__(self) -> None:
        for item in fields(self):  # YAML and JSON give lists, which equal no tuple
            if isinstance(getattr(self, item.name), list):
                object.__setattr__(self, item.name, tuple(getattr(self, item.name)))
        if self.images not in IMAGES:  # a misspelt "synthetic" would be judged as real
            raise InputError(f"images={self.images!r} must be one of {', '.join(IMAGES)}")


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


@dataclass(frozen=True)
class Verdict:
    """What a number of ours is worth beside a published one.

    Attributes:
        name: `REPRODUCED`, `NEAR`, `NOT_REPRODUCED` or `NO_VERDICT`.
        difference: ours minus theirs, as a fraction; None where there is nothing to subtract.
        reasons: why there is no verdict, or all that makes it more than a comparison of equals.
    """

    name: str
    difference: float | None
    reasons: tuple[str, ...] = ()


def published(
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


def differences(ours: Conditions, theirs: Conditions) -> tuple[str, ...]:
    """What keeps a comparison from being one of equals, each as a short phrase; empty if nothing does."""
    found = []
    if ours.images != theirs.images:
        found.append(f"data {ours.images}")
    if theirs.categories not in (None, ours.categories):
        found.append(f"categories differ: {ours.categories} of {theirs.categories}")
    for item in fields(Conditions):
        mine, printed = getattr(ours, item.name), getattr(theirs, item.name)
        if item.name in ("images", "categories") or mine == printed:
            continue
        if item.name == "weights" and theirs.backbone not in (None, ours.backbone):
            continue  # another backbone has other weights
        if printed is not None or item.name == "shots":  # a table that names no shots uses all images
            none, verb = item.metadata.get("none", "none"), "differ" if item.name.endswith("s") else "differs"
            found.append(f"{item.name.replace('_', ' ')} {verb}: {_show(mine, none)}, not {_show(printed, none)}")
    return tuple(found)


def verdict(
    ours: float,
    published: Published | None,
    *,
    spread: float | None = None,
    interval: tuple[float, float] | None = None,
    reasons: Iterable[str] = (),
) -> Verdict:
    """Whether a number of the paper is reproduced; the module's first lines define it.

    Args:
        ours: a fraction, the mean over seeds; NaN where it is not available.
        published: the number that it is compared with; None if there is none.
        spread: standard deviation over seeds; None for one seed.
        interval: bootstrap interval of ours, as fractions.
        reasons: what `differences` found; `SYNTHETIC` among them rules a verdict out.
    """
    reasons = tuple(reasons)
    if SYNTHETIC in reasons:
        return Verdict(NO_VERDICT, None, (SYNTHETIC,))
    if published is None:
        return Verdict(NO_VERDICT, None, ("no published number",))
    if math.isnan(ours):
        return Verdict(NO_VERDICT, None, (NOT_AVAILABLE,))
    if published.unit != "%":
        return Verdict(NO_VERDICT, None, (f"not a share but {published.unit}",))

    reasons += {"=": (), "<": ("published as an upper bound",), "~": ("published as approximate",)}[published.relation]
    reasons += () if published.verified else ("rests on an unverified number",)
    difference = round(
        float(ours) - published.value, 6
    )  # the digits of the metrics' files: 99.0 - 98.5 is 0.5, not more
    gap = max(difference, 0) if published.relation == "<" else abs(difference)
    noise = _noise(gap, published, spread, interval)
    for name, limit in ((REPRODUCED, REPRODUCED_WITHIN), (NEAR, NEAR_WITHIN)):
        if gap <= limit:
            return Verdict(name, difference, reasons)
        if noise and gap <= NOISE_FACTOR * limit:
            return Verdict(name, difference, (*reasons, noise))
    return Verdict(NOT_REPRODUCED, difference, reasons)


def beside(
    values: pd.DataFrame,
    published: Mapping[str, Published],
    *,
    conditions: Mapping[str, Conditions],
    intervals: Mapping[str, tuple[float, float]] | None = None,
    quoted: Sequence[Published] = (),
    digits: int = 1,
) -> pd.DataFrame:
    """Our numbers beside the paper's, as text in percent.

    Args:
        values: columns variant, seed, value: fractions, as `tables.mean_over_categories` returns them.
        published: the number that a variant is compared with; variants without one may be absent.
        conditions: those of each variant that is compared.
        intervals: 95 % intervals, by variant.
        quoted: numbers of systems that were not run here; they get rows of their own, without a verdict.
        digits: after the point.

    Returns:
        columns variant, ours, paper, difference (in points), interval (95 %), verdict, reason.

    Raises:
        InputError: a variant that is compared has no conditions.
    """
    rows = []
    for variant, of_seeds in values.groupby("variant", sort=False)["value"]:
        theirs, interval = published.get(variant), (intervals or {}).get(variant)
        if theirs and variant not in conditions:
            raise InputError(
                f"variant {variant!r} has no conditions", remedy="say what its numbers were obtained under"
            )
        found = verdict(
            of_seeds.mean(skipna=False),
            theirs,
            spread=of_seeds.std(ddof=1) if len(of_seeds) > 1 else None,
            interval=interval,
            reasons=differences(conditions[variant], theirs.conditions) if theirs else (),
        )
        rows.append(
            {
                "variant": variant,
                "ours": percent(of_seeds, digits),
                "paper": theirs.text(digits) if theirs else NOTHING,
                "difference": _points(found.difference, digits),
                "interval (95 %)": _interval(interval, digits),
                "verdict": found.name,
                "reason": "; ".join(found.reasons) or NOTHING,
            }
        )
    for system in quoted:
        row = {"variant": system.method, "paper": system.text(digits), "reason": "quoted"}
        rows.append(row | {name: NOTHING for name in ("ours", "difference", "interval (95 %)", "verdict")})
    return pd.DataFrame(
        rows, columns=["variant", "ours", "paper", "difference", "interval (95 %)", "verdict", "reason"]
    )


def _noise(gap: float, published: Published, spread: float | None, interval: tuple[float, float] | None) -> str:
    """What explains a difference of this size, or an empty text."""
    if gap <= round(NOISE_FACTOR * math.hypot(spread or 0, published.std or 0), 6):
        return "difference within twice the spread"
    if interval is not None and interval[0] <= published.value <= interval[1]:
        return "published number within the interval"
    return ""


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


def _show(value: object, none: str) -> str:
    if value is None:
        return none
    return " and ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _points(difference: float | None, digits: int) -> str:
    if difference is None:
        return NOTHING
    points = round(100 * difference, digits)
    return f"{points:+.{digits}f}" if points else f"{0:.{digits}f}"


def _interval(interval: tuple[float, float] | None, digits: int) -> str:
    if interval is None:
        return NOTHING
    if any(math.isnan(end) for end in interval):
        return NOT_AVAILABLE
    return f"{100 * interval[0]:.{digits}f} to {100 * interval[1]:.{digits}f}"
