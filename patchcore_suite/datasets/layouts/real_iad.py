"""The layout of Real-IAD: images in IMAGES/CATEGORY/, divided as LISTS/CATEGORY.json says.

realiad_1024/CATEGORY/{OK,NG/DEFECT}/SNNNN/CATEGORY_NNNN_{OK,NG}_CN_*.jpg, masks beside them as *.png
realiad_jsons/CATEGORY.json: meta.normal_class; train and test: anomaly_class, image_path, mask_path or null
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.layout import Layout
from patchcore_suite.datasets.listed import SPLITS, Row, records_of
from patchcore_suite.datasets.listing import Scan, files
from patchcore_suite.datasets.records import NOMINAL
from patchcore_suite.datasets.spec import DatasetSpec, is_path


@dataclass(frozen=True, kw_only=True)
class Spec(DatasetSpec):
    """Which of its sizes and divisions is meant.

    Attributes:
        images: the folder of images, by their size.
        lists: the folder of JSON lists: realiad_jsons of all views, realiad_jsons_sv of one.
    """

    images: str = "realiad_1024"
    lists: str = "realiad_jsons"

    def _rules(self) -> dict[str, tuple[object, str]]:
        return super()._rules() | {
            name: (is_path(getattr(self, name)), "a folder in the source") for name in ("images", "lists")
        }


def categories(root: Path, spec: Spec) -> list[str]:
    """The categories that have a list."""
    return [file.stem for file in files(_lists(root, spec), [".json"])]


def scan(root: Path, chosen: Collection[str], spec: Spec) -> Scan:
    """List the images of the chosen categories, as their lists divide them."""
    records, problems = [], []
    if not (root / spec.images).is_dir():
        raise InputError(f"no folder {root / spec.images}", remedy="set `images` to the folder of images that is there")
    for category in chosen:
        path = _lists(root, spec) / f"{category}.json"
        found = records_of(root / spec.images / category, _rows(path, category), [category])
        records += found.records
        problems += found.problems
    return Scan(records, problems)


def _lists(root: Path, spec: Spec) -> Path:
    """The folder of lists; unpacked by some programs, the archive lies in a folder of its own name."""
    nested = root / spec.lists / Path(spec.lists).name
    return nested if nested.is_dir() else root / spec.lists


def _rows(path: Path, category: str) -> Iterator[Row]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        good = value.get("meta", {}).get("normal_class", "OK")
        for split in SPLITS:
            for number, item in enumerate(value[split]):
                kind, mask = item["anomaly_class"], item.get("mask_path") or ""
                defect = NOMINAL if kind == good else str(kind)
                yield Row(f"{path.name}, {split} {number}", category, split, defect, str(item["image_path"]), str(mask))
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"cannot read the list {path}: {what}", remedy="fetch it again") from None


def unused(inside: PurePosixPath, spec: Spec) -> str:
    """Why a file belongs to no record, by where it lies; lists are read with the images."""
    if inside.is_relative_to(spec.lists):
        return ""
    return "not in the lists" if inside.is_relative_to(spec.images) else "of another size or division"


LAYOUT = Layout(
    pattern="realiad_1024/CATEGORY/**/*.jpg, realiad_jsons/CATEGORY.json",
    holds="realiad_1024/ and realiad_jsons/",
    categories=categories,
    scan=scan,
    unused=unused,
    reads=(*Layout.reads, ".json"),
    spec=Spec,
    division=lambda spec: {"images": spec.images, "lists": spec.lists},
    homepage="https://realiad4ad.github.io/Real-IAD/",
)
