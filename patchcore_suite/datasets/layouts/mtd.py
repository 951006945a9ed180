"""The layout of the Magnetic Tile Defects dataset: MT_*/Imgs/NAME.jpg with its mask NAME.png; MT_Free is nominal."""

from pathlib import Path

import numpy as np

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.listing import Scan, files, folders, match_masks
from patchcore_suite.datasets.records import NOMINAL, Record

CATEGORY = "mtd"
IMAGES, MASKS = (".jpg", ".jpeg"), (".png",)


def categories(root: Path) -> list[str]:
    """The only category of this layout, if `root` has the layout."""
    return [CATEGORY] if (root / "MT_Free" / "Imgs").is_dir() else []


def scan(root: Path, *, seed: int, held_out: float, train_list: str | Path | None) -> Scan:
    """List the images; all defective ones are for test, and so is a part of the defect-free ones.

    Args:
        seed, held_out: this share of the defect-free images is drawn for test, unless there is a `train_list`.
        train_list: a text file with the names of the training images, one a line.
    """
    records, problems = [], []
    for folder in folders(root):
        if not folder.name.startswith("MT_"):
            continue
        images = files(folder / "Imgs", IMAGES)
        masks, unmatched = match_masks(images, files(folder / "Imgs", MASKS))
        problems += unmatched
        defect, training = folder.name.removeprefix("MT_").lower(), set()
        if folder.name == "MT_Free":
            defect, names = NOMINAL, [image.name for image in images]
            training = read_train_list(train_list) if train_list else draw_training(names, seed=seed, held_out=held_out)
            problems += [f"in the training list, not in {folder}: {name}" for name in sorted(training - set(names))]
        for image in images:
            split = "train" if image.name in training else "test"
            records.append(Record(image, CATEGORY, split, int(defect != NOMINAL), defect, masks.get(image)))
    return Scan(records, problems)


def draw_training(names: list[str], *, seed: int, held_out: float) -> set[str]:
    """Draw the training images: all but round(held_out * n) of the sorted names."""
    drawn = np.random.Generator(np.random.PCG64(seed)).permutation(len(names))
    held = set(drawn[: round(held_out * len(names))])
    return {name for index, name in enumerate(sorted(names)) if index not in held}


def read_train_list(path: str | Path) -> set[str]:
    """Read the names of the training images, one a line; folders before a name are ignored.

    Raises:
        InputError: the file cannot be read, or is empty.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the training list {path}: {error}", remedy="correct train_list") from None
    names = {line.strip().replace("\\", "/").rsplit("/", 1)[-1] for line in lines if line.strip()}
    if not names:
        raise InputError(f"the training list {path} is empty", remedy="name one training image on each line")
    return names
