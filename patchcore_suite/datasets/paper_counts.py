"""How many images the paper's datasets have, for estimates where the images are not there yet."""

from pathlib import Path

from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.datasets.records import NOMINAL, Entry, Record

# MVTec AD: training images, nominal and anomalous test images, side in pixels; 3,629 and 1,725 in all.
MVTEC = {
    "bottle": (209, 20, 63, 900),
    "cable": (224, 58, 92, 1024),
    "capsule": (219, 23, 109, 1000),
    "carpet": (280, 28, 89, 1024),
    "grid": (264, 21, 57, 1024),
    "hazelnut": (391, 40, 70, 1024),
    "leather": (245, 32, 92, 1024),
    "metal_nut": (220, 22, 93, 700),
    "pill": (267, 26, 141, 800),
    "screw": (320, 41, 119, 1024),
    "tile": (230, 33, 84, 840),
    "toothbrush": (60, 12, 30, 1024),
    "transistor": (213, 60, 40, 1024),
    "wood": (247, 19, 60, 1024),
    "zipper": (240, 32, 119, 1024),
}
MTD = {"mtd": (762, 190, 392, 300)}  # 952 defect-free images, 80 % of them for training; sizes differ, 300 is typical
SIZES = {"mvtec": MVTEC, "mtd": MTD}


def known_manifest(name: str, layout: str, *, categories: tuple[str, ...] | None = None) -> Manifest | None:
    """What the manifest of the paper's dataset of this layout would count; its files are made up.

    Returns:
        None for mSTC, whose numbers of frames by scene are not published.
    """
    if layout not in SIZES:
        return None
    entries = {}
    for category, (train, nominal, anomalous, side) in SIZES[layout].items():
        if categories is not None and category not in categories:
            continue
        kinds = [("train", 0, NOMINAL)] * train + [("test", 0, NOMINAL)] * nominal + [("test", 1, "defect")] * anomalous
        records = [Record(Path("unknown"), category, split, label, defect) for split, label, defect in kinds]
        entries[category] = tuple(Entry(record, (side, side), "", None) for record in records)
    return Manifest(name, layout, "folder", Path("unknown"), {}, (), entries)
