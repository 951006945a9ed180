"""The layout of MVTec AD, which serves for your own parts as well.

    CATEGORY/train/good/*   CATEGORY/test/{good,DEFECT}/*   CATEGORY/ground_truth/DEFECT/STEM_mask.*

Masks are optional, and a defect has all of its masks or none.
"""

from collections.abc import Collection
from pathlib import Path

from patchcore_suite.datasets.layout import Layout
from patchcore_suite.datasets.listing import Scan, files, folders, match_masks
from patchcore_suite.datasets.records import NOMINAL, Record
from patchcore_suite.datasets.spec import DatasetSpec


def categories(root: Path) -> list[str]:
    """The categories in `root`, which may itself be the only one."""
    return list(_category_folders(root))


def scan(root: Path, chosen: Collection[str], spec: DatasetSpec) -> Scan:
    """List the images of the chosen categories; masks are matched to them by name, never by position."""
    records, problems = [], []
    for category, folder in _category_folders(root).items():
        if category not in chosen:
            continue
        records += [Record(image, category, "train", 0, NOMINAL) for image in files(folder / "train" / NOMINAL)]
        truth = folder / "ground_truth"
        for defect in sorted({child.name for child in folders(folder / "test") + folders(truth)}):
            images = files(folder / "test" / defect)
            masks, unmatched = match_masks(images, files(truth / defect))
            label = int(defect != NOMINAL)
            records += [Record(image, category, "test", label, defect, masks.get(image)) for image in images]
            problems += unmatched
    return Scan(records, problems)


def _category_folders(root: Path) -> dict[str, Path]:
    if _is_category(root):
        return {root.resolve().name: root}
    return {folder.name: folder for folder in folders(root) if _is_category(folder)}


def _is_category(folder: Path) -> bool:
    return (folder / "train").is_dir() or (folder / "test").is_dir()


LAYOUT = Layout(
    pattern="CATEGORY/train/good/*, CATEGORY/test/{good,DEFECT}/*, CATEGORY/ground_truth/DEFECT/STEM_mask.*",
    holds="its 15 categories",
    categories=categories,
    scan=scan,
    homepage="https://www.mvtec.com/company/research/datasets/mvtec-ad",
)
