"""What machines made of the same small set of cells, kept in records.json, and how far this one is from them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from patchcore_core.common.errors import InputError
from patchcore_suite.run.rounding import WITHIN
from patchcore_suite.run.sealed import read_sealed, write_sealed

FILE = Path(__file__).with_suffix(".json")
SCHEMA = 1
SCORES_WITHIN = 1.1e-5  # by which an image's score may move, relative to its size; docs/guarantees.md states it
REMEDY = "git checkout the file in a clone; or install the package again"


@dataclass(frozen=True)
class Cell:
    """What came out for one variant on one category.

    Attributes:
        picks: SHA-256 of the first picks of the memory bank, sorted, by their number, the last one of all; {} without.
        order: SHA-256 of all picks in their order; "" without.
        scores: of the test images, with all digits of float32.
        distances: SHA-256 of all patch scores; "" without them.
        metrics: shares, by name.
    """

    picks: Mapping[str, str]
    order: str
    scores: tuple[float, ...]
    distances: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Record:
    """What a machine made of the set.

    Attributes:
        processor, instructions: its name, and up to which torch uses its instructions, such as "AVX2".
        device, gpu: "cpu" and None, or "cuda" and its name.
        system: operating system, architecture, Python.
        versions: of the libraries.
        images, weights: SHA-256 by category and by backbone.
        cells: by CATEGORY/VARIANT.
    """

    processor: str
    instructions: str
    device: str
    gpu: str | None
    system: str
    versions: Mapping[str, str]
    images: Mapping[str, str]
    weights: Mapping[str, str]
    cells: Mapping[str, Cell]

    @property
    def machine(self) -> tuple[str, str, str]:
        """What tells one record from another: what computes, on which device, with which torch."""
        return self.gpu or f"{self.processor} with {self.instructions}", self.device, self.versions["torch"]

    def __str__(self) -> str:
        name, device, torch = self.machine
        return f"{name} ({device}), torch {torch}"

    @classmethod
    def of(cls, described: Mapping[str, object]) -> "Record":
        """A record that was read."""
        cells = {name: Cell(**cell | {"scores": tuple(cell["scores"])}) for name, cell in described["cells"].items()}
        return cls(**described | {"cells": cells})


@dataclass(frozen=True)
class Moved:
    """How far a cell is from the same one on another machine.

    Attributes:
        same: whether all is equal to the last digit.
        scores: largest change of an image's score, relative to its size; NaN where their numbers differ.
        picks: among how many first picks there are others; None where all are the same.
        swapped: whether the same picks come in another order: of two that are as far, to the last digit, any is first.
        ranked: whether the images come in the same order.
        metrics: change of each, of those that either has; NaN where one has it alone.
    """

    same: bool
    scores: float
    picks: int | None
    swapped: bool
    ranked: bool
    metrics: Mapping[str, float]

    @property
    def outside(self) -> list[str]:
        """What is not as it is promised, a phrase each."""
        phrases = []
        if self.picks is not None:
            phrases.append(f"other picks among the first {self.picks:,}")
        if not self.scores <= SCORES_WITHIN:
            phrases.append(f"scores move by {self.scores:.1e} of their size, where {SCORES_WITHIN:.1e} is promised")
        if not self.ranked:
            phrases.append("another order of images")
        far = {name: change for name, change in self.metrics.items() if not abs(change) <= WITHIN}
        phrases += [f"{name} moves by {change:+.1e}, where {WITHIN:.0e} is promised" for name, change in far.items()]
        return phrases


def moved(ours: Cell, theirs: Cell) -> Moved:
    """Compare a cell with the same one on another machine."""
    change, ranked = float("nan"), False
    if len(ours.scores) == len(theirs.scores):
        change = relative_change(np.array(ours.scores), np.array(theirs.scores))
        ranked = np.array_equal(np.argsort(ours.scores, kind="stable"), np.argsort(theirs.scores, kind="stable"))
    other = [int(count) for count in {**ours.picks, **theirs.picks} if ours.picks.get(count) != theirs.picks.get(count)]
    names = dict.fromkeys([*ours.metrics, *theirs.metrics])
    nothing = float("nan")
    return Moved(
        same=ours == theirs,
        scores=change,
        picks=min(other) if other else None,
        swapped=not other and ours.order != theirs.order,
        ranked=ranked,
        metrics={name: ours.metrics.get(name, nothing) - theirs.metrics.get(name, nothing) for name in names},
    )


def relative_change(one: np.ndarray, other: np.ndarray) -> float:
    """Largest change of a value, relative to the larger of the two."""
    size = np.maximum(np.abs(one), np.abs(other)).astype(np.float64)
    return float((np.abs(one.astype(np.float64) - other) / np.where(size, size, 1)).max())


def incomparable(ours: Record, theirs: Record) -> list[str]:
    """Why two records are of different things, a phrase each; nothing where they can be compared."""
    phrases = []
    for what in ("images", "weights"):
        one, other = getattr(ours, what), getattr(theirs, what)
        differing = [name for name in {**one, **other} if one.get(name) != other.get(name)]
        phrases += [f"other {what}: {name}" for name in differing]
    if set(ours.cells) != set(theirs.cells):
        phrases.append(f"other cells: {', '.join(sorted(set(ours.cells) ^ set(theirs.cells)))}")
    return phrases


def compare(ours: Record, theirs: Record) -> dict[str, Moved]:
    """Each cell that both have, beside the other machine's."""
    return {name: moved(cell, theirs.cells[name]) for name, cell in ours.cells.items() if name in theirs.cells}


def nearest_first(ours: Record, records: Sequence[Record]) -> list[Record]:
    """Records in the order in which they are worth comparing with: the same device, then processor, then torch."""
    return sorted(
        records,
        key=lambda other: (
            other.device != ours.device,
            *(one != same for one, same in zip(ours.machine, other.machine, strict=True)),
        ),
    )


def read_records(path: Path = FILE) -> list[Record]:
    """All records that are kept.

    Raises:
        InputError: the file is missing, damaged or of another version.
    """
    try:
        described = read_sealed(path)
        if described["schema"] != SCHEMA:
            raise ValueError("it was written by another version")
        return [Record.of(one) for one in described["records"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} holds no records: {error}", remedy=REMEDY) from None


def add_record(ours: Record, path: Path = FILE) -> list[Record]:
    """Keep a record in place of one of the same machine; those of other images, weights or cells are dropped.

    Returns:
        those that were dropped.

    Raises:
        InputError: the file does not lie in a clone of the project.
    """
    if not (path.parents[2] / "pyproject.toml").is_file():
        raise InputError(
            f"records are kept in a clone of the project, and {path} is part of an installation",
            remedy="clone the project and run `make record WRITE=1` there; or pass on what --json prints",
        )
    before = [one for one in read_records(path) if one.machine != ours.machine] if path.exists() else []
    dropped = [one for one in before if incomparable(ours, one)]
    kept = sorted([*(one for one in before if one not in dropped), ours], key=lambda one: one.machine)
    write_sealed(path, {"schema": SCHEMA, "records": [asdict(one) for one in kept]})
    return dropped
