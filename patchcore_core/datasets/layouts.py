"""Which layout a folder has, and the records in it."""

from dataclasses import dataclass
from pathlib import Path

from patchcore_core.datasets import mstc, mtd, mvtec
from patchcore_core.datasets.listing import Scan
from patchcore_core.errors import InputError

LAYOUTS = {"mvtec": mvtec, "mtd": mtd, "mstc": mstc}
PATTERNS = [
    "mvtec: CATEGORY/train/good/*, CATEGORY/test/{good,DEFECT}/*, CATEGORY/ground_truth/DEFECT/STEM_mask.*",
    "mtd: MT_Free/Imgs/*.jpg and MT_DEFECT/Imgs/*.jpg, each with its mask *.png",
    "mstc: training/videos/SS_CCC.avi, testing/frames/SS_CCCC/*.jpg, testing/test_{frame,pixel}_mask/SS_CCCC.npy",
]


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """Where a dataset comes from and how it is split.

    Attributes:
        source: "synthetic", "download", or the path of a folder, which is used in place.
        layout: "mvtec", "mtd" or "mstc".
        categories: the ones to use; None takes all that are there.
        seed: of the synthetic images, and of the draw of `held_out`.
        held_out: MTD: share of the defect-free images that is kept for test.
        train_list: MTD: a text file with the names of the training images, in place of the draw.
        every: mSTC: one frame in so many is taken.

    Raises:
        InputError: one or more values are out of range; all of them are listed.
    """

    source: str
    layout: str
    categories: tuple[str, ...] | None = None
    seed: int = 0
    held_out: float = 0.2
    train_list: str | None = None
    every: int = 5

    def __post_init__(self) -> None:
        if isinstance(self.categories, list):  # YAML gives lists
            object.__setattr__(self, "categories", tuple(self.categories))
        names = self.categories
        rules = {
            "source": (isinstance(self.source, str) and self.source, "'synthetic', 'download', or a folder's path"),
            "layout": (self.layout in list(LAYOUTS), f"one of {', '.join(LAYOUTS)}"),
            "categories": (names is None or _are_names(names), "null for all, or a list of (quoted) names"),
            "seed": (_is_int(self.seed) and self.seed >= 0, "a whole number of 0 or more"),
            "held_out": (isinstance(self.held_out, float) and 0 < self.held_out < 1, "a number between 0 and 1"),
            "train_list": (self.train_list is None or _are_names([self.train_list]), "null, or a file's path"),
            "every": (_is_int(self.every) and self.every >= 1, "a whole number of 1 or more"),
        }
        wrong = [
            f"{name}={getattr(self, name)!r} must be {wanted}" for name, (fits, wanted) in rules.items() if not fits
        ]
        if wrong:
            raise InputError("the dataset cannot be used as described", offenders=wrong, remedy="correct these values")


def recognise(root: Path) -> str:
    """Name the layout of the folder `root`.

    Raises:
        InputError: `root` does not exist, or has none of the known layouts.
    """
    if not root.is_dir():
        raise InputError(
            f"the dataset folder {root} does not exist",
            remedy="correct the path, or set the source to 'synthetic'; data/README.md says where each dataset is had",
        )
    for name, layout in LAYOUTS.items():
        if layout.categories(root):
            return name
    raise InputError(
        f"the folder {root} has none of the known layouts",
        offenders=PATTERNS,
        remedy="give the folder that directly holds what one of these patterns begins with; see data/README.md",
    )


def scan(root: Path, spec: DatasetSpec) -> Scan:
    """List the records of the folder `root` as `spec` divides them, without opening an image.

    Raises:
        InputError: the folder is missing or has another layout, or categories that `spec` names are not there.
    """
    found = recognise(root)
    present = LAYOUTS[spec.layout].categories(root)
    if not present:
        raise InputError(f"the folder {root} has the layout {found!r}, not {spec.layout!r}", remedy="correct layout")
    chosen = sorted(present if spec.categories is None else spec.categories)
    if absent := [category for category in chosen if category not in present]:
        raise InputError(
            f"no such categories in {root}", offenders=absent, remedy=f"those present are {', '.join(present)}"
        )
    match spec.layout:
        case "mvtec":
            records, problems = mvtec.scan(root, chosen)
        case "mtd":
            records, problems = mtd.scan(root, seed=spec.seed, held_out=spec.held_out, train_list=spec.train_list)
        case "mstc":
            records, problems = mstc.scan(root, chosen, every=spec.every)
    trained = {record.category for record in records if record.split == "train"}
    untrained = [f"category without training images: {category}" for category in chosen if category not in trained]
    return Scan(records, untrained + problems)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_names(values: object) -> bool:
    return isinstance(values, (list, tuple)) and bool(values) and all(isinstance(v, str) and v for v in values)
