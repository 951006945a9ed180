"""What lies in a folder, in an order that does not depend on the machine."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import sha256_file, sha256_json
from patchcore_suite.datasets.alike import composed
from patchcore_suite.datasets.records import Record

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif", ".tga"),
    *(".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm"),
)


class Scan(NamedTuple):
    """The records of a folder, and one line for each thing that is wrong with its files."""

    records: list[Record]
    problems: list[str]


def visible(folder: Path) -> list[Path]:
    """What a folder holds, by name, without hidden entries; nothing if there is no such folder."""
    if not folder.is_dir():
        return []
    return [folder / entry.name for entry in _entries(folder) if not is_hidden(folder / entry.name)]


def is_hidden(path: Path) -> bool:
    """Whether a file or folder is one that programs leave behind, such as .DS_Store."""
    return path.name.startswith(".")


def walk(root: Path) -> Iterator[Path]:
    """All that lies in a folder and in its folders, by name: what is no folder, and hidden folders, without a look in.

    Links are followed, but not to a folder that one is in already.
    """
    waiting = [(root, (os.path.realpath(root),))]
    while waiting:
        folder, around = waiting.pop()
        below = []
        for entry in _entries(folder):
            child = folder / entry.name
            real = ""
            if os.path.isdir(child) and not is_hidden(child):  # a link may lead to itself, or where one may not look
                real = os.path.realpath(child) if entry.is_symlink() else os.path.join(around[-1], entry.name)
            if real and real not in around:
                below.append((child, (*around, real)))
            else:
                yield child
        waiting += reversed(below)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What a folder holds, by name.

    Raises:
        InputError: one may not look into it.
    """
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"cannot look into {folder}: {error.strerror}", remedy="change who may read it") from None


def unusable(root: Path) -> list[str]:
    """A line for each link in a folder that leads nowhere, or where one may not look, and each name not in UTF-8."""
    problems = []
    for path in walk(root):
        if path.is_symlink() and not os.path.exists(path):
            problems.append(f"link that leads nowhere: {path} -> {path.readlink()}")
        problems += not_utf8(path)
    return problems


def not_utf8(path: Path) -> list[str]:
    """A line for a path whose name is not UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        return [f"name that is not UTF-8 (rename it): {shown}"]
    return []


def folders(folder: Path) -> list[Path]:
    """The visible folders in a folder, by name."""
    return [child for child in visible(folder) if os.path.isdir(child)]


def files(folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> list[Path]:
    """The visible files in a folder that end in one of `suffixes`, in upper or lower case, by name."""
    return [child for child in visible(folder) if child.suffix.lower() in suffixes and os.path.isfile(child)]


def match_masks(images: Sequence[Path], masks: Sequence[Path]) -> tuple[dict[Path, Path], list[str]]:
    """Give each image the mask that is called STEM_mask or STEM, wherever it stands in the list.

    Returns:
        the masks of the images that have one, and a line for each mask that belongs to no image or to several.
    """
    by_stem = {composed(mask.stem): mask for mask in masks}
    matched, of_mask = {}, defaultdict(list)
    for image in images:
        stem = composed(image.stem)
        mask = by_stem.get(f"{stem}_mask") or by_stem.get(stem)
        if mask:
            matched[image] = mask
            of_mask[mask].append(image.name)
    problems = [f"mask matches no image: {mask}" for mask in masks if mask not in of_mask]
    return matched, problems + [
        f"mask matches several images: {mask}: {', '.join(names)}" for mask, names in of_mask.items() if len(names) > 1
    ]


def mask_files(mask: Path | None) -> list[Path]:
    """The files of a mask: itself, or those in a folder, which mark an image together."""
    if mask is None:
        return []
    return files(mask) if mask.is_dir() else [mask]


def sha256_content(path: Path) -> str:
    """SHA-256 of a file; of a folder, as some masks are, that of the names and bytes of its images."""
    if not path.is_dir():
        return sha256_file(path)
    return sha256_json([[file.name, sha256_file(file)] for file in files(path)])


def content_checksum(folder: Path, pattern: str) -> str:
    """SHA-256 of the names and bytes of the files in a folder that match a glob pattern."""
    found = [file for file in folder.glob(pattern) if file.is_file()]
    return sha256_json(sorted([file.relative_to(folder).as_posix(), sha256_file(file)] for file in found))
