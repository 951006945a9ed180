"""Folders of any names, which params.yaml says the meaning of.

    good: [ok, gut]          folders of nominal images, divided by `held_out`
    defects: [ng, kratzer]   folders of anomalous images, each a defect
    mask_folder: masks/{defect}

They lie in the source, or in each of its folders, which are categories then.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.held_out import HeldOutSpec, division, draw_training
from patchcore_suite.datasets.layout import Layout
from patchcore_suite.datasets.listing import Scan, files, folders, match_masks
from patchcore_suite.datasets.records import NOMINAL, Record
from patchcore_suite.datasets.spec import are_names

DEFECT = "{defect}"


@dataclass(frozen=True, kw_only=True)
class Spec(HeldOutSpec):
    """What the folders of a source, or of each category in it, are called.

    Attributes:
        good: folders of nominal images, divided by `held_out`.
        defects: folders of anomalous images, each of which is a defect.
        mask_folder: of the masks, each called like its image, with or without _mask; "{defect}" stands for the folder
            of a defect where each has its own. null: there are none.
    """

    good: tuple[str, ...] = ("ok",)
    defects: tuple[str, ...] = ("ng",)
    mask_folder: str | None = None

    def __post_init__(self) -> None:
        for name in ("good", "defects"):
            if isinstance(getattr(self, name), list):  # YAML gives lists
                object.__setattr__(self, name, tuple(getattr(self, name)))
        super().__post_init__()

    def _rules(self) -> dict[str, tuple[object, str]]:
        good, defects, masks = self.good, self.defects, self.mask_folder
        lists = are_names(good) and are_names(defects)
        twice = lists and len({*good, *defects}) < len(good) + len(defects)
        inside = all(map(_is_inside, (*good, *defects))) if lists else True
        return super()._rules() | {
            "good": (are_names(good) and inside and not twice, "a list of different folders in the source"),
            "defects": (
                are_names(defects) and NOMINAL not in defects,
                f"a list of folders in the source, none of them called {NOMINAL}",
            ),
            "mask_folder": (
                masks is None or (are_names([masks]) and _is_inside(masks)),
                "null, or a folder in the source",
            ),
        }


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and path.parts != ()


def categories(root: Path, spec: Spec) -> list[str]:
    """The source itself where a folder of nominal images lies in it, else those of its folders that have one.

    Raises:
        InputError: folders are named that lie nowhere; all are listed.
    """
    found = _category_folders(root, spec)
    places = list(found.values()) or [root, *folders(root)]
    masks = [] if spec.mask_folder is None else [spec.mask_folder.replace(DEFECT, defect) for defect in spec.defects]
    named = dict.fromkeys([*spec.good, *spec.defects, *masks])
    absent = [name for name in named if not any((folder / name).is_dir() for folder in places)]
    if absent or not found:
        there = {child.name for folder in places for child in folders(folder)}
        raise InputError(
            f"folders of {root} that are named are not there",
            offenders=absent or spec.good,
            remedy=f"correct good, defects or mask_folder; there are {', '.join(sorted(there)) or 'no folders'}",
        )
    return list(found)


def scan(root: Path, chosen: Collection[str], spec: Spec) -> Scan:
    """List the images of the chosen categories."""
    records, problems = [], []
    for category, folder in _category_folders(root, spec).items():
        if category in chosen:
            records += _nominal(folder, category, spec)
            tests = _anomalous(folder, category, spec)
            records += tests.records
            problems += tests.problems
            problems += [f"no image in the folder {empty}" for empty in _empty(folder, spec)]
    return Scan(records, problems)


def _category_folders(root: Path, spec: Spec) -> dict[str, Path]:
    if any((root / name).is_dir() for name in spec.good):
        return {root.resolve().name: root}
    return {child.name: child for child in folders(root) if any((child / name).is_dir() for name in spec.good)}


def _nominal(folder: Path, category: str, spec: Spec) -> Iterator[Record]:
    images = {f"{name}/{image.name}": image for name in spec.good for image in files(folder / name)}
    training = draw_training(images, seed=spec.seed, held_out=spec.held_out)
    for name, image in images.items():
        yield Record(image, category, "train" if name in training else "test", 0, NOMINAL)


def _anomalous(folder: Path, category: str, spec: Spec) -> Scan:
    """Anomalous images, with their masks: of a folder of masks that defects share, or of one each."""
    by_truth: dict[Path | None, list[tuple[str, Path]]] = {}
    for defect in spec.defects:
        truth = None if spec.mask_folder is None else folder / spec.mask_folder.replace(DEFECT, defect)
        by_truth.setdefault(truth, []).extend((defect, image) for image in files(folder / defect))
    records, problems = [], []
    for truth, images in by_truth.items():
        masks, unmatched = match_masks([image for _, image in images], [] if truth is None else files(truth))
        problems += unmatched
        records += [Record(image, category, "test", 1, defect, masks.get(image)) for defect, image in images]
    return Scan(records, problems)


def _empty(folder: Path, spec: Spec) -> list[Path]:
    named = [folder / name for name in (*spec.good, *spec.defects)]
    return [path for path in named if path.is_dir() and not files(path)]


def unused(inside: PurePosixPath, spec: Spec) -> str:
    """Why a file belongs to no record, by where it lies."""
    return "in no folder that good, defects or mask_folder name"


LAYOUT = Layout(
    pattern="GOOD/*, DEFECT/*, masks in MASK_FOLDER/STEM.*, as `good`, `defects` and `mask_folder` name them",
    holds="the folders that `good` and `defects` name",
    categories=categories,
    scan=scan,
    unused=unused,
    spec=Spec,
    division=lambda spec: {
        **division(spec),
        "good": [*spec.good],
        "defects": [*spec.defects],
        "mask_folder": spec.mask_folder,
    },
    described=True,
)
