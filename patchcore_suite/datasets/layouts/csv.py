"""Images that a CSV file in the source lists: columns path and label, and split, mask and category where they are.

A label is 0 or good (ok, normal, nominal) of a nominal image, and of an anomalous one 1 or the name of its defect.
Paths are from the source. Without the column split, nominal images are divided by `held_out`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.alike import plain, sounds_nominal, twins
from patchcore_suite.datasets.by_folder import DEFECT
from patchcore_suite.datasets.held_out import HeldOutSpec, division, draw_training
from patchcore_suite.datasets.layout import Layout
from patchcore_suite.datasets.listed import Cells, Row, read_table, records_of
from patchcore_suite.datasets.listing import Scan
from patchcore_suite.datasets.records import NOMINAL
from patchcore_suite.datasets.spec import is_path

COLUMNS, OPTIONAL = ("path", "label"), ("split", "mask", "category")
GOOD = ("0", NOMINAL, "ok", "normal", "nominal")
BAD = ("1", DEFECT, "bad", "ng", "defective", "anomaly", "anomalous")
# As `plain` writes them, labels that leave open which is meant; those of digits or signs alone are such, too.
UNCLEAR = ("nan", "na", "nn", "none", "null", "unknown", "true", "false", "yes", "no", "positive")


@dataclass(frozen=True, kw_only=True)
class Spec(HeldOutSpec):
    """Where the list is.

    Attributes:
        table: the CSV file, by its path in the source.
    """

    table: str = "labels.csv"

    def _rules(self) -> dict[str, tuple[object, str]]:
        inside = is_path(self.table) and not Path(self.table).is_absolute() and ".." not in Path(self.table).parts
        return super()._rules() | {"table": (inside, "the path of a file in the source")}


def categories(root: Path, spec: Spec) -> list[str]:
    """The categories that the list names; without such a column the source itself.

    Raises:
        InputError: it cannot be read, or names no image.
    """
    if not (table := _table(root, spec)):
        raise InputError(f"the list {root / spec.table} names no image", remedy="give it a row for each image")
    return sorted({_category(root, cells) for _, cells in table})


def scan(root: Path, chosen: Collection[str], spec: Spec) -> Scan:
    """List the images of the chosen categories."""
    found = records_of(root, _rows(root, spec), chosen)
    return Scan(found.records, [*found.problems, *_spelt_differently(root, spec)])


def _table(root: Path, spec: Spec) -> list[Cells]:
    return read_table(root / spec.table, COLUMNS, OPTIONAL)


def _category(root: Path, cells: dict[str, str]) -> str:
    return cells.get("category", root.resolve().name)


def _rows(root: Path, spec: Spec) -> Iterator[Row]:
    table = _table(root, spec)
    training = _drawn(root, table, spec)
    for line, cells in table:
        defect, category = _defect(cells["label"]), _category(root, cells)
        odd = "" if defect else f"label {cells['label']!r} is neither 0 or {NOMINAL}, nor 1 or the name of a defect"
        if not category.isprintable() or not category or "/" in category or category.startswith("."):
            odd = odd or f"category {category!r} cannot be the name of a folder of results"
        split = cells.get("split", "train" if cells["path"] in training else "test").lower()
        yield Row(f"{spec.table}, line {line}", category, split, defect, cells["path"], cells.get("mask", ""), odd)


def _drawn(root: Path, table: list[Cells], spec: Spec) -> set[str]:
    """Paths of the nominal images that are for training, drawn category by category."""
    nominal = defaultdict(set)
    for _, cells in table:
        if _defect(cells["label"]) == NOMINAL:
            nominal[_category(root, cells)].add(cells["path"])
    drawn = (draw_training(paths, seed=spec.seed, held_out=spec.held_out) for paths in nominal.values())
    return set().union(*drawn)


def _defect(label: str) -> str:
    """What a label says is wrong: `NOMINAL` if nothing is; "" where it says nothing that is understood."""
    known = dict.fromkeys(GOOD, NOMINAL) | dict.fromkeys(BAD, DEFECT)
    letters = plain(label)
    unclear = not letters or letters.isdecimal() or letters in UNCLEAR or sounds_nominal(label)
    return known.get(label.lower()) or ("" if unclear or not label.isprintable() else label)


def _spelt_differently(root: Path, spec: Spec) -> Iterator[str]:
    """Labels that would pass for one."""
    labels = {cells["label"] for _, cells in _table(root, spec) if _defect(cells["label"]) == cells["label"]}
    for same in twins(labels):
        yield f"{spec.table}: labels that differ in upper and lower case or in spelling alone: {', '.join(same)}"


def unused(inside: PurePosixPath, spec: Spec) -> str:
    """Why a file belongs to no record, by where it lies; the list is read with the images."""
    return "" if inside == PurePosixPath(spec.table) else f"not listed in {spec.table}"


LAYOUT = Layout(
    pattern="labels.csv with columns path, label (split, mask, category), as `table` names it",
    holds="the images, and the CSV file that lists them",
    categories=categories,
    scan=scan,
    unused=unused,
    reads=(*Layout.reads, ".csv"),
    spec=Spec,
    division=lambda spec: {**division(spec), "table": spec.table},
    described=True,
)
