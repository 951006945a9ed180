"""The stand-in for VisA: two objects; masks have a value for each defect, and a list says what is for training."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy import ndarray

from patchcore_suite.datasets.synthetic import parts
from patchcore_suite.datasets.synthetic.parts import Photograph, write_lines
from patchcore_suite.datasets.synthetic.writers import write_jpeg, write_png

DEFECTS = {"capsule": ("crack", "squeeze"), "board": ("bent_pin", "misplaced")}


def jobs(seed: int) -> Iterator[Callable[[Path], None]]:
    """What writes the stand-in below a root."""
    split = ["object,split,label,image,mask"]
    for part, defects in DEFECTS.items():
        found = parts.photographs(part, defects)
        yield from parts.jobs(found, _write, seed)
        names = ["image,label,mask"]
        for one in found:
            image, mask = _paths(one)
            split.append(f"{part},{one.split},{'normal' if one.nominal else 'anomaly'},{image},{mask}")
            names.append(f"{image},{'normal' if one.nominal else one.defect},{mask}")
        yield lambda root, part=part, names=names: write_lines(root / part / "image_anno.csv", names)
    yield lambda root: write_lines(root / "split_csv" / "1cls.csv", split)


def _paths(one: Photograph) -> tuple[str, str]:
    """Where an image lies, and its mask: "" for a nominal one, which has none."""
    data = f"{one.part}/Data"
    if one.nominal:
        return f"{data}/Images/Normal/{one.index + parts.TRAIN * (one.split == 'test'):04}.JPG", ""
    number = one.index + parts.DEFECTIVE * (one.defect in DEFECTS[one.part][1:])
    return f"{data}/Images/Anomaly/{number:03}.JPG", f"{data}/Masks/Anomaly/{number:03}.png"


def _write(root: Path, one: Photograph, image: ndarray, mask: ndarray) -> None:
    image_path, mask_path = _paths(one)
    write_jpeg(root / image_path, image)
    if mask_path:
        write_png(root / mask_path, (mask > 0).astype(np.uint8) * (1 + DEFECTS[one.part].index(one.defect)))
