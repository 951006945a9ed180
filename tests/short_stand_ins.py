"""The stand-ins of all datasets, with few images of each kind."""

from pathlib import Path

import pytest

from patchcore_suite.datasets import synthetic
from patchcore_suite.datasets.synthetic import kolektorsdd, mstc, mtd, mvtec, parts, ped2

COUNTS = [
    (mvtec, "TRAIN", 2),
    (mvtec, "TEST_GOOD", 1),
    (mvtec, "TEST_DEFECT", 1),
    (mtd, "FREE", 7),
    (mtd, "DEFECTIVE", 2),
    (mstc, "TRAIN_FRAMES", 6),
    (mstc, "TEST_FRAMES", 24),
    (parts, "TRAIN", 2),
    (parts, "GOOD", 1),
    (parts, "DEFECTIVE", 1),
    (kolektorsdd, "COMMUTATORS", 2),
    (kolektorsdd, "SURFACES", 3),
    (ped2, "CLIPS", 1),
    (ped2, "TRAIN_FRAMES", 6),
    (ped2, "TEST_FRAMES", 24),
]


def draw(dataset: str, root: Path) -> Path:
    """Draw a stand-in, shortened; the files it has are those of the whole one."""
    with pytest.MonkeyPatch.context() as short:
        for module, name, count in COUNTS:
            short.setattr(module, name, count)
        synthetic.generate(dataset, root)
    return root
