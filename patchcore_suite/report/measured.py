"""What was measured on real images, as data that travel with the suite: `make results` alone writes them.

A dataset is measured/NAME.json, sealed, with its tables as values, its claims and what made them, and measured/NAME.csv
beside it, with each metric of each raw result; figures that are drawn of them lie there, too. No image is among them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import sha256_file, write_text
from patchcore_suite import figures
from patchcore_suite.results.publish import as_csv
from patchcore_suite.results.quantities import from_json, to_json
from patchcore_suite.results.sources import index_of
from patchcore_suite.run.raw_results import read_timings
from patchcore_suite.run.sealed import read_sealed, write_sealed
from patchcore_suite.settings.project import ProjectDataset

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "measured"  # of the project
SCHEMA = 2  # 2: what the grid has and was not measured
NOTE = "note: "  # how a line begins that says what of the images was not used, and the like
SHOWN = 12  # digits of a hash
REMEDY = "restore it from Git, or measure again: make results"


@dataclass(frozen=True)
class Drawing:
    """A figure of a table's values.

    Attributes:
        name: of its files in the folder, NAME.png and NAME.svg.
        shows: what it shows, for readers who cannot see it.
        figure: the drawing; None where it was read, and lies in its files.
    """

    name: str
    shows: str
    figure: "Figure | None" = field(default=None, compare=False)


@dataclass(frozen=True)
class Block:
    """A table with its heading, what is claimed of it, and a figure of it."""

    heading: str
    note: str
    frame: pd.DataFrame
    claims: tuple[str, ...] = ()
    drawing: Drawing | None = None


@dataclass(frozen=True)
class Measured:
    """A dataset that was measured.

    Attributes:
        name: as the grid calls it.
        order: its place among the datasets of the grid.
        title: what tables call it.
        counts: its images, a line a category, and what was noted of them.
        missing: variants that were left out for want of weights.
        pending: what the grid has besides and was not measured yet, a variant each.
        blocks: its tables.
        stamp: what made them: commits, versions, machines, hashes of images and weights.
        costs: seconds a test image and megabytes of the model, by variant; of those of the main study that were timed.
    """

    name: str
    order: int
    title: str
    counts: tuple[str, ...]
    missing: tuple[str, ...]
    pending: tuple[str, ...]
    blocks: tuple[Block, ...]
    stamp: Mapping[str, object]
    costs: Mapping[str, Sequence[float | None]] = field(default_factory=dict)

    @property
    def described(self) -> str:
        """What was measured and with what, in a line."""
        weights = ", ".join(f"{name} {sha256[:SHOWN]}" for name, (sha256, _) in self.stamp["weights"].items())
        images = ", ".join(f"{category} {sha256[:SHOWN]}" for category, sha256 in self.stamp["images"].items())
        counts = "; ".join(line.replace("`", "") for line in self.counts if not line.startswith(NOTE))
        pending = " What of the grid is not measured yet is named in docs/results.md." if self.pending else ""
        return f"{self.title}: {counts}. SHA-256 of images: {images}; of weights: {weights}.{pending}"

    def write(self, folder: Path, rows: pd.DataFrame) -> None:
        """Write both files, and the figures; `rows` has a row a metric of a raw result."""
        for drawing in (block.drawing for block in self.blocks if block.drawing and block.drawing.figure):
            figures.save(drawing.figure, folder / f"{drawing.name}.png")
        values = folder / f"{self.name}.csv"
        write_text(values, as_csv(rows))
        described = {**vars(self), "schema": SCHEMA, "values_sha256": sha256_file(values)}
        described["blocks"] = [_described(block) for block in self.blocks]
        write_sealed(folder / f"{self.name}.json", described)

    @classmethod
    def read(cls, path: Path) -> "Measured":
        """Read what `write` wrote.

        Raises:
            InputError: it is missing, damaged or of another version, or the file of values is another.
        """
        try:
            described = read_sealed(path)
            if described.pop("schema") != SCHEMA:
                raise ValueError("it was written by another version")
            if described.pop("values_sha256") != sha256_file(path.with_suffix(".csv")):
                raise ValueError(f"{path.with_suffix('.csv')} is not what was written with it")
            blocks = tuple(_read_block(block) for block in described.pop("blocks"))
            lists = {name: tuple(described.pop(name)) for name in ("counts", "missing", "pending")}
            return cls(blocks=blocks, **lists, **described)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} holds no measured results: {error}", remedy=REMEDY) from None


def read_all(folder: Path) -> list[Measured]:
    """All that was measured, in the order of the grid; nothing where there is no such folder."""
    return sorted((Measured.read(path) for path in folder.glob("*.json")), key=lambda one: (one.order, one.name))


def read_values(folder: Path, name: str) -> pd.DataFrame:
    """Each metric of each raw result of a dataset, and the means over seeds with their intervals."""
    texts = dict.fromkeys(("dataset", "category", "variant", "method", "metric", "key", "config_sha256"), str)
    empty = {column: [""] for column in ("shots", "seed", "value", "low", "high")}
    return pd.read_csv(folder / f"{name}.csv", dtype=texts, keep_default_na=False, na_values=empty)


def stamp_of(dataset: ProjectDataset) -> Mapping[str, object]:
    """What the numbers of a dataset were made with; of each only what occurs."""
    versions, weights, origins, machines, commits, images = {}, {}, {}, {}, {}, {}
    index = index_of(dataset)
    timings = read_timings(dataset.timings, index)
    for cell, result in index.results(dataset.scores):
        versions[json.dumps(result.stamp["versions"], sort_keys=True)] = result.stamp["versions"]
        images[cell["category"]] = result.stamp["images_sha256"]
        weights |= {entry["backbone"]: entry["sha256"] for entry in result.stamp["weights"]}
        timing = timings.get(cell["file"], {})
        if timing:
            machine = {name: value for name, value in timing["machine"].items() if name != "threads"}
            machines[json.dumps(machine, sort_keys=True)] = machine
            commits[timing["commit"]] = None
            if len(result.stamp["weights"]) == 1:
                origins[result.stamp["weights"][0]["backbone"]] = timing["weights_origin"]
    return {
        "commits": list(commits) or ["unknown"],
        "versions": list(versions.values()),
        "weights": {backbone: [sha256, origins.get(backbone, "")] for backbone, sha256 in sorted(weights.items())},
        "images": images,
        "machines": list(machines.values()),
    }


def _described(block: Block) -> dict[str, object]:
    cells = [[to_json(cell) for cell in row] for row in block.frame.itertuples(index=False, name=None)]
    said = {name: value for name, value in vars(block).items() if name not in ("frame", "drawing")}
    drawing = block.drawing and {"name": block.drawing.name, "shows": block.drawing.shows}
    return {**said, "drawing": drawing, "columns": [str(name) for name in block.frame], "cells": cells}


def _read_block(described: dict[str, object]) -> Block:
    columns, rows = described.pop("columns"), described.pop("cells")
    frame = pd.DataFrame([[from_json(cell) for cell in row] for row in rows], columns=columns, dtype=object)
    claims, drawing = tuple(described.pop("claims")), described.pop("drawing", None)
    return Block(frame=frame, claims=claims, drawing=drawing and Drawing(**drawing), **described)
