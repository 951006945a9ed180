"""The layout of MVTec AD 2, of which the public test images have masks.

    CATEGORY/train/good/*   CATEGORY/validation/good/*   CATEGORY/test_public/{good,bad}/NNN_LIGHT.png
    CATEGORY/test_public/ground_truth/bad/NNN_LIGHT_mask.png
    CATEGORY/test_private/NNN_regular.png   CATEGORY/test_private_mixed/NNN_mixed.png

The truth of the private ones is with the server of its owner: `datasets.submission` packs what it judges.
"""

from collections.abc import Collection
from pathlib import Path, PurePosixPath

from patchcore_suite.datasets.by_folder import for_test, nominal
from patchcore_suite.datasets.layout import Layout
from patchcore_suite.datasets.listing import Scan, folders
from patchcore_suite.datasets.spec import DatasetSpec

PUBLIC = "test_public"
VALIDATION = "validation/good"
PRIVATE = {"test_private": "regular", "test_private_mixed": "mixed"}  # folder, and how names of its images end


def categories(root: Path, spec: DatasetSpec) -> list[str]:
    """The categories in `root`."""
    return [folder.name for folder in folders(root) if (folder / PUBLIC).is_dir()]


def scan(root: Path, chosen: Collection[str], spec: DatasetSpec) -> Scan:
    """List the training images and the public test images of the chosen categories."""
    records, problems = [], []
    for category in chosen:
        folder = root / category
        tests = for_test(folder / PUBLIC, folder / PUBLIC / "ground_truth", category)
        records += [*nominal(folder / "train" / "good", category), *tests.records]
        problems += tests.problems
    return Scan(records, problems)


def unused(inside: PurePosixPath, spec: DatasetSpec) -> str:
    """Why a file belongs to no record, by where it lies."""
    if inside.match(f"*/{VALIDATION}/*"):
        return "an image for validation, by which the threshold of a submission is chosen"
    if any(inside.match(f"*/{folder}/*") for folder in PRIVATE):
        return "a private test image, whose truth is not published"
    return "not where the layout has images and masks"


LAYOUT = Layout(
    pattern="CATEGORY/train/good/*, CATEGORY/test_public/{good,bad}/*, "
    "CATEGORY/test_public/ground_truth/bad/STEM_mask.png",
    holds="its 8 categories",
    categories=categories,
    scan=scan,
    unused=unused,
    homepage="https://www.mvtec.com/company/research/datasets/mvtec-ad-2",
)
