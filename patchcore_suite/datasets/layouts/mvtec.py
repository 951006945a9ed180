"""The layout of MVTec AD, which serves for your own parts as well.

    CATEGORY/train/good/*   CATEGORY/test/{good,DEFECT}/*   CATEGORY/ground_truth/DEFECT/STEM_mask.*

Masks are optional, and a defect has all of its masks or none. A folder that would pass for something else than it is,
such as test/Good for a defect or masks/ for nothing, is a problem.
"""

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.alike import plain, sounds_nominal
from patchcore_suite.datasets.by_folder import for_test, nominal
from patchcore_suite.datasets.layout import Layout
from patchcore_suite.datasets.listing import IMAGE_SUFFIXES, Scan, files, folders, visible, walk
from patchcore_suite.datasets.records import NOMINAL
from patchcore_suite.datasets.spec import DatasetSpec

TRUTH = "ground_truth"
SPLITS = ("train", "test", TRUTH)
# What others call the folder of masks, as `plain` writes it.
TRUTH_ELSEWHERE = ("groundtruth", "gt", "mask", "masks", "label", "labels", "annotation", "annotations", "segmentation")
DEFECTS_LIKE_IT = ("label", "labels")  # of these, which may as well be what is defective
# What others call a mask that lies beside its image.
MASK_OF = re.compile(rf"(?P<image>.+?)[\s_.-]*({'|'.join(TRUTH_ELSEWHERE)}|ground[\s_-]truth)", re.IGNORECASE)


def categories(root: Path, spec: DatasetSpec) -> list[str]:
    """The categories in `root`, which may itself be the only one."""
    return list(_category_folders(root))


def scan(root: Path, chosen: Collection[str], spec: DatasetSpec) -> Scan:
    """List the images of the chosen categories; masks are matched to them by name, never by position."""
    found = _category_folders(root)
    records, problems = [], _masks_beside(root, found)
    for category, folder in found.items():
        if category not in chosen:
            continue
        tests = for_test(folder / "test", folder / TRUTH, category)
        records += [*nominal(folder / "train" / NOMINAL, category), *tests.records]
        problems += [*_misplaced(folder), *tests.problems]
    return Scan(records, problems)


def unused(inside: PurePosixPath, spec: DatasetSpec) -> str:
    """Why a file belongs to no record, by where it lies."""
    parts = inside.parts if inside.parts[0] in SPLITS else inside.parts[1:]
    if not parts or parts[0] not in SPLITS:
        return "in none of a category's folders train, test and ground_truth"
    if parts[:2] == ("train", NOMINAL) or parts[0] != "train":
        return "in a folder within a folder of images" if len(parts) > 3 else "not in a folder of its kind of images"
    return "in train, but not in train/good"


def _misplaced(category: Path) -> Iterator[str]:
    """What would be taken for something else than it is, or would be lost."""
    truth, kinds = category / TRUTH, folders(category / "test")
    yield from _masks_among(files(category / "train" / NOMINAL))
    for split in SPLITS:
        for child in folders(category / split):
            if child.name != NOMINAL and sounds_nominal(child.name):
                yield f"not the folder of nominal images, which is called {NOMINAL}: {child}"
    defects = {child.name for child in kinds} - {NOMINAL}
    for child in folders(category):
        like = plain(child.name) in TRUTH_ELSEWHERE or defects & {grandchild.name for grandchild in folders(child)}
        if child.name not in SPLITS and like and _has_images(child):
            yield f"masks lie in {TRUTH}/DEFECT, not in {child}"
    for mask in files(truth):
        yield f"mask in no folder of a defect: {mask}"
    for defect in folders(truth):
        if nested := [child for child in folders(defect) if _has_images(child)]:
            yield f"several masks an image (join them into one, STEM_mask.png): {len(nested)}, such as {nested[0]}"
    for defect in kinds:
        if _called_truth(defect) and not (files(defect) and plain(defect.name) in DEFECTS_LIKE_IT):
            yield f"masks lie in {TRUTH}/DEFECT, not in {defect}"
        yield from _masks_in_disguise(defect, truth / defect.name)


def _masks_beside(root: Path, found: dict[str, Path]) -> list[str]:
    """Folders of masks beside those of the categories."""
    beside = [] if root in found.values() else folders(root)
    return [
        f"masks lie in CATEGORY/{TRUTH}/DEFECT, not in {folder}"
        for folder in beside
        if folder.name not in found and _called_truth(folder)
    ]


def _called_truth(folder: Path) -> bool:
    return plain(folder.name) in TRUTH_ELSEWHERE and _has_images(folder)


def _masks_in_disguise(defect: Path, truth: Path) -> Iterator[str]:
    """Masks of a kind that is not read, and masks that lie among the images, where these have no others."""
    images = files(defect)
    stems = {image.stem for image in images}
    for path in visible(truth):
        other = os.path.isfile(path) and path.suffix.lower() not in IMAGE_SUFFIXES
        if other and path.stem.removesuffix("_mask") in stems:
            yield f"mask of a kind that is not read: {path}"
    if not files(truth):
        yield from _masks_among(images)


def _masks_among(images: list[Path]) -> Iterator[str]:
    stems = {image.stem for image in images}
    for image in images:
        named = MASK_OF.fullmatch(image.stem)
        if named and named["image"] in stems:
            yield f"mask among images: {image}"


def _has_images(folder: Path) -> bool:
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in walk(folder))


def _category_folders(root: Path) -> dict[str, Path]:
    """The folder of each category.

    Raises:
        InputError: one is called as its own folders are.
    """
    if words := [root / split for split in SPLITS[:2] if (root / split / "train" / NOMINAL).is_dir()]:
        raise InputError("no category can be called train or test", offenders=words, remedy="rename these folders")
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
    unused=unused,
    homepage="https://www.mvtec.com/company/research/datasets/mvtec-ad",
    general=True,
)
