"""Photographs of parts that stand in for those of several datasets: each lays them out in its own way."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy import ndarray

from patchcore_suite.datasets.records import NOMINAL
from patchcore_suite.datasets.synthetic import mvtec

TRAIN, GOOD, DEFECTIVE = 12, 5, 4  # images of a part: for training, good ones for test, of each defect


@dataclass(frozen=True)
class Photograph:
    """One photograph of a part.

    Attributes:
        part: a category of `mvtec.CATEGORIES`.
        split: what it is for, which makes it another one.
        defect: what is wrong with the part; `NOMINAL` if nothing is.
        index: from 0, within part, split and defect.
    """

    part: str
    split: str
    defect: str
    index: int

    @property
    def nominal(self) -> bool:
        """Whether nothing is wrong."""
        return self.defect == NOMINAL


Write = Callable[[Path, Photograph, ndarray, ndarray], None]  # a photograph and its mask, of 0 and 255, below a root


def photographs(part: str, defects: Sequence[str], *, more: Sequence[str] = ()) -> list[Photograph]:
    """The photographs of a part: for training, and for test good ones and those with each defect.

    Args:
        more: other things that good ones are for; as many of each as for test.
    """
    found = [Photograph(part, "train", NOMINAL, index) for index in range(TRAIN)]
    found += [Photograph(part, split, NOMINAL, index) for split in ("test", *more) for index in range(GOOD)]
    return found + [Photograph(part, "test", defect, index) for defect in defects for index in range(DEFECTIVE)]


def jobs(found: Sequence[Photograph], write: Write, seed: int) -> Iterator[Callable[[Path], None]]:
    """What draws photographs and writes them below a root, one each."""
    for one in found:
        yield partial(_draw, one, write, seed)


def _draw(one: Photograph, write: Write, seed: int, root: Path) -> None:
    image, mask = mvtec.picture(one.part, one.split, one.defect, one.index, seed=seed)
    write(root, one, image, np.uint8(255) * mask)


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Write a list, with the same line ends everywhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(("\n".join(lines) + "\n").encode())
