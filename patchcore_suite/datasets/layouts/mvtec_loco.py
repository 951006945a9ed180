"""The layout of MVTec LOCO AD, where several masks mark an image.

    CATEGORY/train/good/*   CATEGORY/test/{good,logical_anomalies,structural_anomalies}/STEM.png
    CATEGORY/ground_truth/{logical,structural}_anomalies/STEM/*   CATEGORY/defects_config.json

What a mask's grey value stands for, and how much of such a defect suffices, is in defects_config.json: see
`run.saturated_overlap`.
"""

from collections.abc import Collection
from pathlib import Path, PurePosixPath

from patchcore_suite.datasets.by_folder import for_test, nominal
from patchcore_suite.datasets.layout import Layout
from patchcore_suite.datasets.listing import Scan, files, folders
from patchcore_suite.datasets.spec import DatasetSpec

TRUTH = "ground_truth"
KINDS = ("logical_anomalies", "structural_anomalies")
CONFIG = "defects_config.json"


def categories(root: Path, spec: DatasetSpec) -> list[str]:
    """The categories in `root`."""
    return [folder.name for folder in folders(root) if any((folder / "test" / kind).is_dir() for kind in KINDS)]


def scan(root: Path, chosen: Collection[str], spec: DatasetSpec) -> Scan:
    """List the images of the chosen categories, each anomalous one with the folder of its masks."""
    records, problems = [], []
    for category in chosen:
        folder = root / category
        tests = for_test(folder / "test", folder / TRUTH, category, masks_in=folders)
        records += [*nominal(folder / "train" / "good", category), *tests.records]
        problems += tests.problems
        for kind in folders(folder / TRUTH):
            problems += [f"mask in no folder of an image: {mask}" for mask in files(kind)]
    return Scan(records, problems)


def unused(inside: PurePosixPath, spec: DatasetSpec) -> str:
    """Why a file belongs to no record, by where it lies."""
    if inside.match(f"*/{CONFIG}"):
        return "how much of a defect suffices, for the metric sPRO alone"
    if inside.match("*/validation/good/*"):
        return "an image for validation, which no method here needs"
    return "not where the layout has images and masks"


LAYOUT = Layout(
    pattern="CATEGORY/train/good/*, CATEGORY/test/{good,logical_anomalies,structural_anomalies}/*, "
    "CATEGORY/ground_truth/{logical,structural}_anomalies/STEM/*",
    holds="its 5 categories",
    categories=categories,
    scan=scan,
    unused=unused,
    reads=(*Layout.reads, ".json"),
    homepage="https://www.mvtec.com/company/research/datasets/mvtec-loco",
)
