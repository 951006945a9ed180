"""What lies in a folder, in an order that does not depend on the machine."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from patchcore_core.common.files import sha256_file, sha256_json
from patchcore_suite.datasets.records import Record

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


class Scan(NamedTuple):
    """The records of a folder, and one line for each thing that is wrong with its files."""

    records: list[Record]
    problems: list[str]


def visible(folder: Path) -> list[Path]:
    """What a folder holds, by name, without hidden entries; nothing if there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted((child for child in folder.iterdir() if not child.name.startswith(".")), key=lambda path: path.name)


def folders(folder: Path) -> list[Path]:
    """The visible folders in a folder, by name."""
    return [child for child in visible(folder) if child.is_dir()]


def files(folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> list[Path]:
    """The visible files in a folder that end in one of `suffixes`, in upper or lower case, by name."""
    return [child for child in visible(folder) if child.suffix.lower() in suffixes and child.is_file()]


def match_masks(images: Sequence[Path], masks: Sequence[Path]) -> tuple[dict[Path, Path], list[str]]:
    """Give each image the mask that is called STEM_mask or STEM, wherever it stands in the list.

    Returns:
        the masks of the images that have one, and a line for each mask that belongs to no image.
    """
    by_stem = {mask.stem: mask for mask in masks}
    matched = {}
    for image in images:
        mask = by_stem.get(f"{image.stem}_mask") or by_stem.get(image.stem)
        if mask:
            matched[image] = mask
    used = set(matched.values())
    return matched, [f"mask matches no image: {mask}" for mask in masks if mask not in used]


def content_checksum(folder: Path, pattern: str) -> str:
    """SHA-256 of the names and bytes of the files in a folder that match a glob pattern."""
    found = [file for file in folder.glob(pattern) if file.is_file()]
    return sha256_json(sorted([file.relative_to(folder).as_posix(), sha256_file(file)] for file in found))
