"""What layouts have in common that keep each kind of image in a folder of its own."""

from collections.abc import Callable
from pathlib import Path

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.images import foreground, mask_values
from patchcore_suite.datasets.listing import Scan, files, folders, match_masks
from patchcore_suite.datasets.records import NOMINAL, Record

DEFECT = "defect"  # what one is called where a dataset does not say more


def nominal(folder: Path, category: str, split: str = "train") -> list[Record]:
    """The images in a folder, all of them nominal."""
    return [Record(image, category, split, 0, NOMINAL) for image in files(folder)]


def for_test(
    images: Path,
    truth: Path,
    category: str,
    *,
    good: str = NOMINAL,
    masks_in: Callable[[Path], list[Path]] = files,
) -> Scan:
    """Test images, and their masks, matched by name.

    Args:
        images: holds a folder for each kind of image.
        truth: holds a folder of masks for each of these kinds; it may lie among them.
        good: what the folder of nominal images is called.
        masks_in: the masks in such a folder: files, or folders of several masks for one image.
    """
    records, problems = [], []
    kinds = {child.name for child in folders(images) if child != truth} | {child.name for child in folders(truth)}
    for kind in sorted(kinds):
        found = files(images / kind)
        masks, unmatched = match_masks(found, masks_in(truth / kind))
        problems += unmatched
        if kind == NOMINAL != good:
            problems.append(f"no defect can be called {kind}, and nominal images lie in {good}: {images / kind}")
        defect = NOMINAL if kind == good else kind
        label = int(kind != good)
        records += [Record(image, category, "test", label, defect, masks.get(image)) for image in found]
    return Scan(records, problems)


def judged_by_mask(folder: Path, ending: str, category: str, *, nominal_split: str = "test") -> Scan:
    """Images of one folder, each beside its mask STEM + `ending`, which alone says whether it is defective.

    Args:
        nominal_split: what the nominal ones are for; defective ones are for test.
    """
    records, problems = [], []
    found = files(folder)
    masks = {file.stem.removesuffix(ending): file for file in found if file.stem.endswith(ending)}
    images = [file for file in found if not file.stem.endswith(ending)]
    stems = {image.stem for image in images}
    problems += [f"mask matches no image: {mask}" for stem, mask in masks.items() if stem not in stems]
    for image in images:
        if image.stem not in masks:
            problems.append(f"no mask {image.stem}{ending}, which says whether it is defective: {image}")
            continue
        record = Record(image, category, nominal_split, 0, NOMINAL, masks[image.stem])
        try:
            shown = foreground(mask_values(record)).any()
        except InputError as error:
            problems.append(error.problem)
            continue
        records.append(Record(image, category, "test", 1, DEFECT, record.mask) if shown else record)
    return Scan(records, problems)
