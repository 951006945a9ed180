"""Every file of a folder that no record uses, with the reason."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from patchcore_suite.datasets.layouts import LAYOUTS
from patchcore_suite.datasets.listing import is_hidden, mask_files, walk
from patchcore_suite.datasets.records import Record
from patchcore_suite.datasets.spec import DatasetSpec


def unused_files(root: Path, spec: DatasetSpec, records: Iterable[Record]) -> dict[str, str]:
    """Why each file of the folder `root` that no record uses is not used; none is opened.

    Returns:
        the reason by the file's path in the folder; a hidden folder counts as one file.
    """
    used = {path for record in records for path in (record.image, *mask_files(record.mask))}
    present = LAYOUTS[spec.layout].categories(root, spec)
    not_chosen = set(present) - set(present if spec.categories is None else spec.categories)
    found = {}
    for path in walk(root):
        inside = PurePosixPath(path.relative_to(root).as_posix())
        if path not in used and (reason := _reason(path, inside, spec, not_chosen)):
            found[str(inside)] = reason
    return found


def remarks(unused: dict[str, str]) -> Iterator[str]:
    """One sentence a reason, with the number of files and the first of them."""
    by_reason: dict[str, list[str]] = {}
    for file, reason in unused.items():
        by_reason.setdefault(reason, []).append(file)
    for reason, files in by_reason.items():
        yield f"not used: {reason}: {len(files)}, for example {files[0]}"


def _reason(path: Path, inside: PurePosixPath, spec: DatasetSpec, not_chosen: set[str]) -> str | None:
    if is_hidden(path):
        return "hidden"
    if os.path.isdir(path):
        return "a link to a folder that it lies in"
    if not os.path.isfile(path):
        return "neither a file nor a folder"
    if inside.parts[0] in not_chosen and len(inside.parts) > 1:
        return "of a category that is not chosen"
    layout = LAYOUTS[spec.layout]
    reason = layout.unused(inside, spec)
    return reason and (reason if path.suffix.lower() in layout.reads else "no image of a kind that is read")
