"""What of a folder of photographs is used, what is not and why, what is there twice, and what a crop cuts away."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.images import mask_array, read_mask
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import Entry
from patchcore_suite.parts.photographs import Photographs


@dataclass(frozen=True)
class DataCheck:
    """What was found of a folder of photographs.

    Attributes:
        used: number of images by what they are used for: "good, to fit to", "good, to test with", "defect: scratch".
        masks: how many of the defective images have a mask.
        unused: why a file is not used, by its path in the folder.
        alike: files of the same bytes, each group by their paths in the folder.
        sizes: number of images by (height, width).
        remarks: what else is worth knowing.
    """

    used: Mapping[str, int]
    masks: int
    unused: Mapping[str, str]
    alike: tuple[tuple[str, ...], ...]
    sizes: Mapping[tuple[int, int], int]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Cut:
    """What is left of images once they are resized and cropped.

    Attributes:
        kept: share of the image's area, of the image of which least is kept.
        defects: share of a defect's pixels that is cut away, by its image; only of those that lose some.
    """

    kept: float
    defects: Mapping[str, float]


def check_data(found: Photographs) -> DataCheck:
    """Sum up what `look_at` found."""
    entries = (*found.good, *found.tested)
    by_content: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        by_content[entry.image_sha256].append(_path(found, entry))
    return DataCheck(
        used=Counter(map(_use, entries)),
        masks=sum(entry.record.mask is not None for entry in entries if entry.record.label),
        unused=found.unused,
        alike=tuple(tuple(paths) for paths in by_content.values() if len(paths) > 1),
        sizes=Counter(entry.size for entry in entries),
        remarks=found.remarks,
    )


def cut_by(found: Photographs, preprocessing: Preprocessing) -> Cut:
    """What a crop leaves of images and of the defects that their masks outline.

    Raises:
        InputError: the crop is larger than a resized image.
    """
    sizes = {entry.size for entry in (*found.good, *found.tested)}
    kept = min(np.prod(preprocessing.size(size)) / np.prod(preprocessing.resized(size)) for size in sizes)
    lost = {}
    if preprocessing.crop is not None:
        whole = Preprocessing(preprocessing.resize)
        for entry in found.tested:
            if entry.record.mask is not None and entry.record.label:
                mask = read_mask(entry.record)
                before, after = (int(mask_array(mask, how).sum()) for how in (whole, preprocessing))
                if after < before:
                    lost[_path(found, entry)] = 1 - after / before
    return Cut(float(kept), lost)


def without_copies(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Images, each content once: a copy that is held out is not new to a model."""
    first: dict[str, Entry] = {}
    for entry in entries:
        first.setdefault(entry.image_sha256, entry)
    return tuple(first.values())


def unseen(found: Photographs) -> tuple[Entry, ...]:
    """Images to test with, less those that a model is fitted to."""
    known = {entry.image_sha256 for entry in found.good}
    return tuple(entry for entry in found.tested if entry.image_sha256 not in known)


def refuse_few(found: Photographs, least: int, purpose: str) -> tuple[Entry, ...]:
    """The good images, each content once, if they are enough.

    Raises:
        InputError: there are fewer than `least` different ones.
    """
    good = without_copies(found.good)
    if len(good) < least:
        raise InputError(
            f"{found.root} has {len(good)} different good images", remedy=f"give at least {least}: {purpose}"
        )
    return good


def _use(entry: Entry) -> str:
    record = entry.record
    if record.label:
        return f"defect: {record.defect}"
    return "good, to fit to" if record.split == "train" else "good, to test with"


def _path(found: Photographs, entry: Entry) -> str:
    return entry.record.image.relative_to(found.root).as_posix()
