"""The stand-in for MPDD: a metal part, in the layout of MVTec AD."""

from collections.abc import Callable, Iterator
from pathlib import Path

from numpy import ndarray

from patchcore_suite.datasets.synthetic import parts
from patchcore_suite.datasets.synthetic.parts import Photograph
from patchcore_suite.datasets.synthetic.writers import write_png

NAMES = {"gear": "metal_plate", "board": "connector"}  # what stands in for which part
DEFECTS = {"gear": ("scratch", "rust"), "board": ("missing_part",)}


def jobs(seed: int) -> Iterator[Callable[[Path], None]]:
    """What writes the stand-in below a root."""
    for part, defects in DEFECTS.items():
        yield from parts.jobs(parts.photographs(part, defects), _write, seed)


def _write(root: Path, one: Photograph, image: ndarray, mask: ndarray) -> None:
    folder = root / NAMES[one.part]
    write_png(folder / one.split / one.defect / f"{one.index:03}.png", image)
    if not one.nominal:
        write_png(folder / "ground_truth" / one.defect / f"{one.index:03}_mask.png", mask)
