"""The layout of BTAD: CATEGORY/train/ok/*, CATEGORY/test/{ok,ko}/*, CATEGORY/ground_truth/ko/STEM.*"""

from collections.abc import Collection
from pathlib import Path, PurePosixPath

from patchcore_suite.datasets.by_folder import for_test, nominal
from patchcore_suite.datasets.layout import Layout
from patchcore_suite.datasets.listing import Scan, folders
from patchcore_suite.datasets.spec import DatasetSpec

GOOD = "ok"


def categories(root: Path, spec: DatasetSpec) -> list[str]:
    """The products in `root`."""
    return [folder.name for folder in folders(root) if (folder / "train" / GOOD).is_dir()]


def scan(root: Path, chosen: Collection[str], spec: DatasetSpec) -> Scan:
    """List the images of the chosen products, with their masks, which are of another kind of file in each."""
    records, problems = [], []
    for category in chosen:
        folder = root / category
        tests = for_test(folder / "test", folder / "ground_truth", category, good=GOOD)
        records += [*nominal(folder / "train" / GOOD, category), *tests.records]
        problems += tests.problems
    return Scan(records, problems)


def unused(inside: PurePosixPath, spec: DatasetSpec) -> str:
    """Why a file belongs to no record, by where it lies."""
    if inside.match("*/train/*/*"):
        return "in train, but not in train/ok"
    return "not where the layout has images and masks"


LAYOUT = Layout(
    pattern="CATEGORY/train/ok/*, CATEGORY/test/{ok,ko}/*, CATEGORY/ground_truth/ko/STEM.*",
    holds="01/, 02/ and 03/",
    categories=categories,
    scan=scan,
    unused=unused,
    homepage="https://avires.dimi.uniud.it/papers/btad/btad.zip",
)
