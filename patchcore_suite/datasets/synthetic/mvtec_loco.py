"""The stand-in for MVTec LOCO AD: boards with parts that are missing, which is logical, and scratches."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy import ndarray

from patchcore_suite.datasets.synthetic import parts
from patchcore_suite.datasets.synthetic.parts import Photograph, write_lines
from patchcore_suite.datasets.synthetic.writers import write_png

CATEGORY = "board"
KINDS = {"missing_part": "logical_anomalies", "scratch": "structural_anomalies"}
GREY = {"missing_part": 255, "scratch": 254}  # of the masks of a defect
# Pixels of a defect that suffice: of a part that is missing these many, of a scratch all.
CONFIG = [
    {"defect_name": "missing_part", "pixel_value": 255, "saturation_threshold": 60, "relative_saturation": False},
    {"defect_name": "scratch", "pixel_value": 254, "saturation_threshold": 1.0, "relative_saturation": True},
]


def jobs(seed: int) -> Iterator[Callable[[Path], None]]:
    """What writes the stand-in below a root."""
    yield from parts.jobs(parts.photographs(CATEGORY, tuple(KINDS), more=("validation",)), _write, seed)
    yield lambda root: write_lines(root / CATEGORY / "defects_config.json", [json.dumps(CONFIG, indent=2)])


def _write(root: Path, one: Photograph, image: ndarray, mask: ndarray) -> None:
    folder, name = root / CATEGORY, f"{one.index:03}"
    kind = "good" if one.nominal else KINDS[one.defect]
    write_png(folder / one.split / kind / f"{name}.png", image)
    if one.nominal:
        return
    for number, region in enumerate(_halves(mask)):
        grey = np.where(region > 0, np.uint8(GREY[one.defect]), np.uint8(0))
        write_png(folder / "ground_truth" / kind / name / f"{number:03}.png", grey)


def _halves(mask: ndarray) -> list[ndarray]:
    """A mask in two, left and right of the middle of what it marks, as if two places were defective."""
    columns = np.flatnonzero(mask.any(axis=0))
    middle = (columns[0] + columns[-1] + 1) // 2
    left = mask.copy()
    left[:, middle:] = 0
    return [part for part in (left, mask - left) if part.any()]
