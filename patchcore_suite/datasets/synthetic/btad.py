"""The stand-in for BTAD: two products, whose images and masks are of the kinds of file that the original has."""

from collections.abc import Callable, Iterator
from pathlib import Path

from numpy import ndarray

from patchcore_suite.datasets.synthetic import parts
from patchcore_suite.datasets.synthetic.parts import Photograph
from patchcore_suite.datasets.synthetic.writers import write_bmp, write_png

PRODUCTS = {"tile": "01", "wood": "02"}
DEFECTS = {"tile": ("chip", "crack"), "wood": ("hole", "scratch")}


def jobs(seed: int) -> Iterator[Callable[[Path], None]]:
    """What writes the stand-in below a root."""
    for part, defects in DEFECTS.items():
        yield from parts.jobs(parts.photographs(part, defects), _write, seed)


def _write(root: Path, one: Photograph, image: ndarray, mask: ndarray) -> None:
    folder = root / PRODUCTS[one.part]
    number = one.index + parts.DEFECTIVE * (one.defect in DEFECTS[one.part][1:])
    name = f"{number:04}"
    target = folder / one.split / ("ok" if one.nominal else "ko")
    if one.part == "tile":
        write_bmp(target / f"{name}.bmp", image)
    else:
        write_png(target / f"{name}.png", image)
    if not one.nominal:
        write_png(folder / "ground_truth" / "ko" / f"{name}.png", mask)
