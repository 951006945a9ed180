"""The layout of KolektorSDD2: {train,test}/NNNNN.png, each with its mask NNNNN_GT.png.

Those of train that have a defect are for methods that learn from defects, and are left out.
"""

from collections.abc import Collection
from pathlib import Path, PurePosixPath

from patchcore_suite.datasets.by_folder import judged_by_mask
from patchcore_suite.datasets.layout import Layout
from patchcore_suite.datasets.listing import Scan, files
from patchcore_suite.datasets.spec import DatasetSpec

CATEGORY, ENDING = "kolektorsdd2", "_GT"


def categories(root: Path, spec: DatasetSpec) -> list[str]:
    """The only category of this layout, if `root` has the layout."""
    return [CATEGORY] if any(file.stem.endswith(ENDING) for file in files(root / "test")) else []


def scan(root: Path, chosen: Collection[str], spec: DatasetSpec) -> Scan:
    """List the images; the masks are opened, as they alone say which ones are defective."""
    training = judged_by_mask(root / "train", ENDING, CATEGORY, nominal_split="train")
    test = judged_by_mask(root / "test", ENDING, CATEGORY)
    fitted = [record for record in training.records if not record.label]
    return Scan([*fitted, *test.records], [*training.problems, *test.problems])


def unused(inside: PurePosixPath, spec: DatasetSpec) -> str:
    """Why a file belongs to no record, by where it lies."""
    if inside.match("train/*"):
        return "in train with a defect, which no method here is fitted to"
    return "in neither of the folders train and test"


LAYOUT = Layout(
    pattern="{train,test}/NNNNN.png, {train,test}/NNNNN_GT.png",
    holds="train/ and test/",
    categories=categories,
    scan=scan,
    unused=unused,
    homepage="https://www.vicos.si/resources/kolektorsdd2/",
)
