"""The stand-ins of the paper's datasets, with few images of each kind."""

from pathlib import Path

import pytest

from patchcore_suite.datasets import synthetic
from patchcore_suite.datasets.synthetic import mstc, mtd, mvtec

COUNTS = [
    (mvtec, "TRAIN", 2),
    (mvtec, "TEST_GOOD", 1),
    (mvtec, "TEST_DEFECT", 1),
    (mtd, "FREE", 7),
    (mtd, "DEFECTIVE", 2),
    (mstc, "TRAIN_FRAMES", 6),
    (mstc, "TEST_FRAMES", 24),
]


def draw(dataset: str, root: Path) -> Path:
    """Draw a stand-in, shortened; the files it has are those of the whole one."""
    with pytest.MonkeyPatch.context() as short:
        for module, name, count in COUNTS:
            short.setattr(module, name, count)
        synthetic.generate(dataset, root)
    return root
