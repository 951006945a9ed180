"""The layout of KolektorSDD: kosNN/PartN.jpg, each with its mask kosNN/PartN_label.bmp; kosNN is a commutator.

All with a defect are for test. Of the others, those of whole commutators are held out: photographs of one resemble
each other.
"""

from collections.abc import Collection
from pathlib import Path, PurePosixPath

from patchcore_suite.datasets.by_folder import judged_by_mask
from patchcore_suite.datasets.held_out import HeldOutSpec, division, draw_training
from patchcore_suite.datasets.layout import Layout
from patchcore_suite.datasets.listing import Scan, folders
from patchcore_suite.datasets.records import Record
from patchcore_suite.datasets.spec import DatasetSpec

CATEGORY, ENDING = "kolektorsdd", "_label"


def categories(root: Path, spec: DatasetSpec) -> list[str]:
    """The only category of this layout, if `root` has the layout."""
    return [CATEGORY] if any(_commutators(root)) else []


def scan(root: Path, chosen: Collection[str], spec: HeldOutSpec) -> Scan:
    """List the images; the masks are opened, as they alone say which ones are defective."""
    records: list[Record] = []
    problems: list[str] = []
    found = {folder.name: folder for folder in _commutators(root)}
    training = draw_training(found, seed=spec.seed, held_out=spec.held_out)
    for name, folder in found.items():
        of_one = judged_by_mask(folder, ENDING, CATEGORY, nominal_split="train" if name in training else "test")
        records += of_one.records
        problems += of_one.problems
    return Scan(records, problems)


def _commutators(root: Path) -> list[Path]:
    return [folder for folder in folders(root) if folder.name.startswith("kos")]


def unused(inside: PurePosixPath, spec: DatasetSpec) -> str:
    """Why a file belongs to no record, by where it lies."""
    return "not in a folder kosNN"


LAYOUT = Layout(
    pattern="kosNN/PartN.jpg, kosNN/PartN_label.bmp",
    holds="kos01/ to kos50/",
    categories=categories,
    scan=scan,
    unused=unused,
    spec=HeldOutSpec,
    division=division,
    homepage="https://www.vicos.si/resources/kolektorsdd/",
)
