"""The stand-in for KolektorSDD2: surfaces whose masks alone say which are defective, in training images too."""

from collections.abc import Callable, Iterator
from pathlib import Path

from numpy import ndarray

from patchcore_suite.datasets.synthetic import parts
from patchcore_suite.datasets.synthetic.parts import Photograph
from patchcore_suite.datasets.synthetic.writers import write_png

FIRST = {"train": 10000, "test": 20000}  # numbers of images
OF_DEFECT = 1000  # later than those of nominal ones


def jobs(seed: int) -> Iterator[Callable[[Path], None]]:
    """What writes the stand-in below a root."""
    found = parts.photographs("wood", ("scratch",))
    yield from parts.jobs([*found, Photograph("wood", "train", "hole", 0)], _write, seed)


def _write(root: Path, one: Photograph, image: ndarray, mask: ndarray) -> None:
    number = FIRST[one.split] + one.index + OF_DEFECT * (not one.nominal)
    write_png(root / one.split / f"{number}.png", image)
    write_png(root / one.split / f"{number}_GT.png", mask)
