"""The layout of the Magnetic Tile Defects dataset: MT_*/Imgs/NAME.jpg with its mask NAME.png; MT_Free is nominal."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import sha256_file
from patchcore_suite.datasets.held_out import HeldOutSpec, draw_training
from patchcore_suite.datasets.held_out import division as drawn
from patchcore_suite.datasets.layout import Archive, Layout
from patchcore_suite.datasets.listing import Scan, files, folders, match_masks
from patchcore_suite.datasets.records import NOMINAL, Record
from patchcore_suite.datasets.spec import DatasetSpec, are_names

CATEGORY = "mtd"
IMAGES, MASKS = (".jpg", ".jpeg"), (".png",)


@dataclass(frozen=True, kw_only=True)
class Spec(HeldOutSpec):
    """How the defect-free images are divided; all defective ones are for test.

    Attributes:
        train_list: a text file with the names of the training images, one a line, in place of the draw.
    """

    train_list: str | None = None

    def _rules(self) -> dict[str, tuple[object, str]]:
        names = self.train_list
        return super()._rules() | {"train_list": (names is None or are_names([names]), "null, or a file's path")}


def categories(root: Path, spec: DatasetSpec) -> list[str]:
    """The only category of this layout, if `root` has the layout."""
    return [CATEGORY] if (root / "MT_Free" / "Imgs").is_dir() else []


def scan(root: Path, chosen: Collection[str], spec: Spec) -> Scan:
    """List the images; all defective ones are for test, and so is a part of the defect-free ones."""
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
            training = _training(names, spec)
            problems += [f"in the training list, not in {folder}: {name}" for name in sorted(training - set(names))]
        for image in images:
            split = "train" if image.name in training else "test"
            records.append(Record(image, CATEGORY, split, int(defect != NOMINAL), defect, masks.get(image)))
    return Scan(records, problems)


def unused(inside: PurePosixPath, spec: Spec) -> str:
    """Why a file belongs to no record, by where it lies."""
    in_place = len(inside.parts) == 3 and inside.parts[0].startswith("MT_") and inside.parts[1] == "Imgs"
    return "neither JPEG, as images are, nor PNG, as masks are" if in_place else "not in a folder MT_DEFECT/Imgs"


def _training(names: list[str], spec: Spec) -> set[str]:
    if spec.train_list:
        return read_train_list(spec.train_list)
    return draw_training(names, seed=spec.seed, held_out=spec.held_out)


def read_train_list(path: str | Path) -> set[str]:
    """Read the names of the training images, one a line; folders before a name are ignored.

    Raises:
        InputError: the file cannot be read, or is empty.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the training list {path}: {error}", remedy="correct train_list") from None
    names = {line.strip().replace("\\", "/").rsplit("/", 1)[-1] for line in lines if line.strip()}
    if not names:
        raise InputError(f"the training list {path} is empty", remedy="name one training image on each line")
    return names


def division(spec: Spec) -> dict[str, object]:
    """The list of training images, by its hash, or what the draw depends on."""
    if spec.train_list:
        return {"train_list": Path(spec.train_list).name, "train_list_sha256": sha256_file(spec.train_list)}
    return drawn(spec)


LAYOUT = Layout(
    pattern="MT_Free/Imgs/*.jpg and MT_DEFECT/Imgs/*.jpg, each with its mask *.png",
    holds="MT_Free/ and MT_DEFECT/",
    categories=categories,
    scan=scan,
    unused=unused,
    spec=Spec,
    division=division,
    homepage="https://github.com/abin24/Magnetic-tile-defect-datasets.",  # the full stop belongs to the name
    archive=Archive(
        url="https://codeload.github.com/abin24/Magnetic-tile-defect-datasets."
        "/zip/cc4eb530b57b9cb7225bf76023873043ffd50655",
        files="MT_*/Imgs/*.[jp][pn]g",
        # of 1,344 images and their masks
        content_sha256="d5bd433d802886c7530f0da6b7a3299f113aa5fc6dd2471e8b2c77ac6e52bfca",
    ),
)
