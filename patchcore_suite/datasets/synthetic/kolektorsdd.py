"""The stand-in for KolektorSDD: commutators of eight surfaces, one of which has a defect."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from patchcore_suite.datasets.records import NOMINAL
from patchcore_suite.datasets.synthetic import mvtec
from patchcore_suite.datasets.synthetic.writers import write_bmp, write_jpeg

COMMUTATORS, SURFACES = 6, 8


def jobs(seed: int) -> Iterator[Callable[[Path], None]]:
    """What writes the stand-in below a root, a commutator each."""
    for number in range(COMMUTATORS):
        yield partial(_write, number, seed)


def _write(number: int, seed: int, root: Path) -> None:
    folder = root / f"kos{number + 1:02}"
    for surface in range(SURFACES):
        defect = "scratch" if surface == number % SURFACES else NOMINAL
        image, mask = mvtec.picture("gear", "kolektorsdd", defect, SURFACES * number + surface, seed=seed)
        write_jpeg(folder / f"Part{surface}.jpg", image)
        write_bmp(folder / f"Part{surface}_label.bmp", np.uint8(255) * mask)
