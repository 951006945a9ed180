"""The stand-in for MVTec AD 2: two categories in regular and brighter light; private test images without truth."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy import ndarray

from patchcore_suite.datasets.layouts.mvtec_ad_2 import PRIVATE
from patchcore_suite.datasets.records import NOMINAL
from patchcore_suite.datasets.synthetic import parts
from patchcore_suite.datasets.synthetic.parts import Photograph
from patchcore_suite.datasets.synthetic.writers import write_png

NAMES = {"weave": "fabric", "capsule": "vial"}  # what stands in for which category
DEFECTS = {"weave": ("cut", "float"), "capsule": ("crack",)}
BRIGHTER = 1.25  # how much, of an overexposed image


def jobs(seed: int) -> Iterator[Callable[[Path], None]]:
    """What writes the stand-in below a root."""
    for part, defects in DEFECTS.items():
        found = parts.photographs(part, defects, more=("validation", *PRIVATE))
        found += [Photograph(part, split, defects[0], parts.GOOD) for split in PRIVATE]
        yield from parts.jobs(found, _write, seed)


def _write(root: Path, one: Photograph, image: ndarray, mask: ndarray) -> None:
    folder = root / NAMES[one.part]
    if one.split in PRIVATE:
        shown = _overexposed(image) if PRIVATE[one.split] == "mixed" and one.index % 2 else image
        write_png(folder / one.split / f"{one.index:03}_{PRIVATE[one.split]}.png", shown)
    elif one.split == "test":
        number = one.index + parts.DEFECTIVE * (one.defect in DEFECTS[one.part][1:])
        for light, shown in (("regular", image), ("overexposed", _overexposed(image))):
            name = f"{number:03}_{light}"
            write_png(folder / "test_public" / ("good" if one.nominal else "bad") / f"{name}.png", shown)
            if not one.nominal:
                write_png(folder / "test_public" / "ground_truth" / "bad" / f"{name}_mask.png", mask)
    else:
        write_png(folder / one.split / NOMINAL / f"{one.index:03}_regular.png", image)


def _overexposed(image: ndarray) -> ndarray:
    return np.minimum(image * BRIGHTER, 255).astype(np.uint8)
