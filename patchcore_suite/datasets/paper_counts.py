"""How many images the paper's datasets have: what tells them apart, and what is estimated before they are there."""

from collections.abc import Iterable
from pathlib import Path

from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.datasets.records import NOMINAL, Entry, Record
from patchcore_suite.datasets.spec import DatasetSpec

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
PAPER_COUNTS = {"mvtec-ad": MVTEC, "mtd": MTD}
MSTC_SCENES = tuple(f"{number:02}" for number in range(1, 13))  # whose numbers of frames are not published
MSTC_EVERY = 5  # frames

Counts = dict[str, int]


def counts_of(records: Iterable[Record]) -> Counts:
    """Numbers of images of a category as the paper's authors give them."""
    counts = {"training": 0, "nominal test": 0, "anomalous test": 0}
    for record in records:
        counts["training" if record.split == "train" else ("nominal test", "anomalous test")[record.label]] += 1
    return counts


def known_manifest(name: str, spec: DatasetSpec) -> Manifest | None:
    """What the manifest would count if all images of the paper's dataset were there; its files are made up.

    Returns:
        None for a dataset that is none of the paper's, and for mSTC, whose numbers of frames are not published.
    """
    if spec.paper not in PAPER_COUNTS:
        return None
    entries = {}
    for category, (train, nominal, anomalous, side) in PAPER_COUNTS[spec.paper].items():
        if spec.categories is not None and category not in spec.categories:
            continue
        kinds = [("train", 0, NOMINAL)] * train + [("test", 0, NOMINAL)] * nominal + [("test", 1, "defect")] * anomalous
        records = [Record(Path("unknown"), category, split, label, defect) for split, label, defect in kinds]
        entries[category] = tuple(Entry(record, (side, side), "", None) for record in records)
    return Manifest(
        name=name,
        layout=spec.layout,
        paper=spec.paper,
        source="folder",
        root=Path("unknown"),
        division={},
        warnings=(),
        entries=entries,
    )
