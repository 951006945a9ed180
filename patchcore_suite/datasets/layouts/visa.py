"""The layout of VisA, divided as split_csv/1cls.csv says.

    split_csv/1cls.csv: object, split, label (normal or anomaly), image, mask
    OBJECT/Data/Images/{Normal,Anomaly}/*.JPG   OBJECT/Data/Masks/Anomaly/*.png   OBJECT/image_anno.csv

A mask's values are classes of defects, 1 and above. What the authors' script makes of it has the layout of MVTec AD.
"""

from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.layout import Layout
from patchcore_suite.datasets.listed import Row, read_table, records_of
from patchcore_suite.datasets.listing import Scan, folders
from patchcore_suite.datasets.records import NOMINAL
from patchcore_suite.datasets.spec import DatasetSpec

SPLIT = "split_csv/1cls.csv"
COLUMNS = ("object", "split", "label", "image", "mask")
DEFECTS = {"normal": NOMINAL, "anomaly": "anomaly"}  # by label


def categories(root: Path, spec: DatasetSpec) -> list[str]:
    """The objects in `root`."""
    return [folder.name for folder in folders(root) if (folder / "Data" / "Images").is_dir()]


def scan(root: Path, chosen: Collection[str], spec: DatasetSpec) -> Scan:
    """List the images of the chosen objects."""
    if not (root / SPLIT).is_file():
        raise InputError(
            f"no file {root / SPLIT}, which says what is for training",
            remedy="fetch it from https://github.com/amazon-science/spot-diff, or restore it from VisA's archive",
        )
    return records_of(root, _rows(root / SPLIT), chosen)


def _rows(path: Path) -> Iterator[Row]:
    for line, cells in read_table(path, COLUMNS):
        label = cells["label"]
        defect = DEFECTS.get(label, "")
        odd = "" if defect else f"label {label!r} is neither normal nor anomaly"
        yield Row(f"{SPLIT}, line {line}", cells["object"], cells["split"], defect, cells["image"], cells["mask"], odd)


def unused(inside: PurePosixPath, spec: DatasetSpec) -> str:
    """Why a file belongs to no record, by where it lies; the division is read with the images."""
    if inside == PurePosixPath(SPLIT):
        return ""
    if inside.match("split_csv/*.csv"):
        return "a division that trains with defects"
    if inside.match("*/image_anno.csv"):
        return "names of defects, of which an image may have several"
    return f"not listed in {SPLIT}" if inside.match("*/Data/*/*/*") else "not where the layout has images and masks"


LAYOUT = Layout(
    pattern="split_csv/1cls.csv, OBJECT/Data/Images/{Normal,Anomaly}/*.JPG, OBJECT/Data/Masks/Anomaly/*.png",
    holds="split_csv/ and its 12 objects",
    categories=categories,
    scan=scan,
    unused=unused,
    reads=(*Layout.reads, ".csv"),
    homepage="https://github.com/amazon-science/spot-diff",
)
