"""Which layout a folder has, and the records in it."""

from pathlib import Path

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.layouts import mstc, mtd, mvtec
from patchcore_suite.datasets.listing import Scan
from patchcore_suite.datasets.spec import DatasetSpec

LAYOUTS = {"mvtec": mvtec, "mtd": mtd, "mstc": mstc}
PATTERNS = [
    "mvtec: CATEGORY/train/good/*, CATEGORY/test/{good,DEFECT}/*, CATEGORY/ground_truth/DEFECT/STEM_mask.*",
    "mtd: MT_Free/Imgs/*.jpg and MT_DEFECT/Imgs/*.jpg, each with its mask *.png",
    "mstc: training/videos/SS_CCC.avi, testing/frames/SS_CCCC/*.jpg, testing/test_{frame,pixel}_mask/SS_CCCC.npy",
]


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
