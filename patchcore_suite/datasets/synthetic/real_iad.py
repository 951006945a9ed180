"""The stand-in for Real-IAD: a part seen by two cameras, with a list in JSON of what is for training and for test."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from numpy import ndarray

from patchcore_suite.datasets.synthetic import parts
from patchcore_suite.datasets.synthetic.parts import Photograph, write_lines
from patchcore_suite.datasets.synthetic.writers import write_jpeg, write_png

CATEGORY = "capsule"
CODES = {"crack": "HS", "dent": "AK"}  # of defects
CAMERAS, DATE = 2, "20231031120000"


def jobs(seed: int) -> Iterator[Callable[[Path], None]]:
    """What writes the stand-in below a root."""
    found = parts.photographs(CATEGORY, tuple(CODES))
    yield from parts.jobs(found, _write, seed)
    value: dict[str, object] = {"meta": {"prefix": f"{CATEGORY}/", "normal_class": "OK"}}
    for split in ("train", "test"):
        value[split] = [_item(one) for one in found if one.split == split]
    text = json.dumps(value, indent=1)
    yield lambda root: write_lines(root / "realiad_jsons" / f"{CATEGORY}.json", [text])


def _item(one: Photograph) -> dict[str, str | None]:
    image, mask = _paths(one)
    kind = "OK" if one.nominal else CODES[one.defect]
    return {"category": CATEGORY, "anomaly_class": kind, "image_path": image, "mask_path": mask}


def _paths(one: Photograph) -> tuple[str, str | None]:
    """Where an image and its mask lie in the folder of the category."""
    sample = one.index // CAMERAS + 100 * (one.split == "test")
    kind = "OK" if one.nominal else "NG"
    folder = f"{kind}/S{sample:04}" if one.nominal else f"{kind}/{CODES[one.defect]}/S{sample:04}"
    name = f"{folder}/{CATEGORY}_{sample:04}_{kind}_C{one.index % CAMERAS + 1}_{DATE}"
    return f"{name}.jpg", None if one.nominal else f"{name}_mask.png"


def _write(root: Path, one: Photograph, image: ndarray, mask: ndarray) -> None:
    folder = root / "realiad_1024" / CATEGORY
    image_path, mask_path = _paths(one)
    write_jpeg(folder / image_path, image)
    if mask_path:
        write_png(folder / mask_path, mask)
