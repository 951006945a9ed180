"""Which photographs of a folder are good, which are defective, and which are not used."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.inspection import Finding, depths, inspect, mixed_depths, shallow_colours
from patchcore_suite.datasets.layouts import LAYOUTS, spec_type
from patchcore_suite.datasets.layouts.mvtec import MASK_OF
from patchcore_suite.datasets.leftovers import unused_files
from patchcore_suite.datasets.listing import IMAGE_SUFFIXES, files, folders, is_hidden, not_utf8, unusable, walk
from patchcore_suite.datasets.records import NOMINAL, Entry, Record
from patchcore_suite.datasets.spec import DatasetSpec
from patchcore_suite.datasets.videos import VIDEO_SUFFIXES
from patchcore_suite.parts.describing import LEAST_SIDE
from patchcore_suite.parts.following import Follow

PARTS = "parts"  # the category of all of them
ALL_GOOD = "."


@dataclass(frozen=True)
class Photographs:
    """Photographs of one kind of part.

    Attributes:
        root: their folder.
        good: those that a model is fitted to.
        tested: those that it can be tested with, good and defective.
        bits: how many are filled of the 16 of a file of 16 bits.
        unused: why a file is not used, by its path in the folder.
        remarks: what is worth knowing, one sentence each.
    """

    root: Path
    good: tuple[Entry, ...]
    tested: tuple[Entry, ...]
    bits: int = 16
    unused: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def look_at(
    folder: str | Path,
    *,
    good: str | None = None,
    layout: str | None = None,
    category: str | None = None,
    follow: Follow | None = None,
) -> Photographs:
    """Open every photograph of a folder.

    The folder holds good images, and no folders; or folders of which one, called `good`, holds good images and each
    other one a kind of defect; or it is a category in MVTec AD's layout, with masks where there are some.

    Args:
        good: what the folder of good images is called beside those of defects, such as "ok"; "." says that all images
            are good, however deep they lie.
        layout: how the images lie instead: as the module of this name in `datasets.layouts` reads them.
        category: which of the layout's categories is meant, where the folder has several.
        follow: is told how many are done, and may end it by raising; by default a bar is drawn.

    Raises:
        InputError: there is no such folder, no image, or files that cannot be used; all are listed.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise InputError(f"no such folder: {root}", remedy="name a folder of images")
    if layout is None and category is None:
        records, unused, problems = _records(root, good)
    else:
        records, unused, problems = _laid_out(root, "mvtec" if layout is None else layout, category, good)
    told = None if follow is None else partial(follow, "look at images")
    findings = inspect(records, "look at images", follow=told)
    problems += unusable(root) + [finding.problem for finding in findings if finding.problem]
    problems += shallow_colours([finding for finding in findings if finding.entry])
    problems += _too_small(findings)
    if problems:
        raise InputError(
            f"images of {root} cannot be used as they are", offenders=sorted(problems), remedy="repair or remove these"
        )
    bits = depths(findings).get(PARTS, 16)
    entries = [replace(f.entry, record=replace(f.entry.record, bits=bits)) for f in findings if f.entry]
    fitted = tuple(entry for entry in entries if entry.record.split == "train")
    tested = tuple(entry for entry in entries if entry.record.split == "test")
    if not fitted and not tested:
        raise InputError(
            f"{root} holds no image",
            offenders=_first(unused),
            remedy=f"kinds that are read: {' '.join(IMAGE_SUFFIXES)}",
        )
    return Photographs(root, fitted, tested, bits, unused, tuple(_remarks(fitted, tested, findings)))


def named(paths: Sequence[str | Path]) -> list[Path]:
    """Image files that were named, and those at any depth of folders that were named, in order and each once.

    Raises:
        InputError: a path or a link leads nowhere, a folder holds no image, or a name is not UTF-8; all are listed.
    """
    found, problems = [], []
    for path in map(Path, paths):
        given = path.expanduser()
        if given.is_dir():
            there = [file for file in walk(given) if _is_image(file)]
            found += there
            problems += [*unusable(given), *([] if there else [f"no image in the folder {given}"])]
        elif given.is_file():
            found.append(given)
            problems += not_utf8(given)
        else:
            problems.append(f"no such file or folder: {given}")
    if problems:
        raise InputError("not all images can be had", offenders=problems, remedy="correct these paths")
    return list(dict.fromkeys(found))


def passed_over(folders: Sequence[Path]) -> dict[str, str]:
    """Why each file of folders that were named is not among the images that `named` gives, by its path."""
    roots = [path.expanduser() for path in folders if path.expanduser().is_dir()]
    images = [path for root in roots for path in walk(root) if _is_image(path)]
    return {str(root / path): why for root in roots for path, why in _others(root, images).items()}


def _records(root: Path, good: str | None) -> tuple[list[Record], dict[str, str], list[str]]:
    """Records, why files are not used, and what is wrong, by how the folder is made."""
    as_mvtec = DatasetSpec(source=str(root), layout="mvtec")
    if good is None and LAYOUTS["mvtec"].categories(root, as_mvtec) == [root.resolve().name]:
        return _laid_out(root, "mvtec", None, None)
    if good is None and (root / NOMINAL).is_dir():
        good = NOMINAL
    if good not in (None, ALL_GOOD):
        return _by_folder(root, good)
    images = [path for path in walk(root) if _is_image(path)]
    deeper = sorted({path.relative_to(root).parts[0] for path in images if path.parent != root})
    if deeper and good is None:
        raise InputError(
            f"which images of {root} are good cannot be told: it has folders of images",
            offenders=deeper,
            remedy="say which one holds the good ones (--good NAME), or that all are good (--good .)",
        )
    return _records_of(images), _others(root, images), list(_masks_among(images))


def _laid_out(
    root: Path, name: str, category: str | None, good: str | None
) -> tuple[list[Record], dict[str, str], list[str]]:
    """Records of one category of a layout, why files are not used, and what is wrong."""
    if good is not None:
        raise InputError(f"the layout {name} says which images are good", remedy="leave out --good, or --layout")
    spec = spec_type(name)(source=str(root), layout=name, categories=None if category is None else (category,))
    present = LAYOUTS[name].categories(root, spec)
    if category is None and len(present) > 1:
        raise InputError(
            f"{root} has several categories, and a model is of one", offenders=present, remedy="say which: --category"
        )
    if not present or category not in (None, *present):
        raise InputError(
            f"{root} has no {'category ' + category if present else 'images'} in the layout {name}",
            offenders=present,
            remedy=f"it looks like this: {LAYOUTS[name].pattern}",
        )
    records, problems = LAYOUTS[name].scan(root, present if category is None else [category], spec)
    if videos := {str(record.image) for record in records if record.image.suffix.lower() in VIDEO_SUFFIXES}:
        raise InputError("a model is fitted to images, not to videos", offenders=sorted(videos), remedy="save frames")
    return [replace(record, category=PARTS) for record in records], unused_files(root, spec, records), list(problems)


def _records_of(images: Sequence[Path]) -> list[Record]:
    return [Record(path, PARTS, "train", 0, NOMINAL) for path in images]


def _masks_among(images: Sequence[Path]) -> Iterator[str]:
    """What may be a mask among images: it would be learnt as a good part."""
    by_stem: dict[Path, list[Path]] = defaultdict(list)
    named_so = {(image.parent, image.stem) for image in images}
    for image in images:
        by_stem[image.with_suffix("")].append(image)
        of = MASK_OF.fullmatch(image.stem)
        if of and (image.parent, of["image"]) in named_so:
            yield f"mask among images: {image}"
    for alike in by_stem.values():
        if len(alike) > 1:
            yield f"of one name, so that one may be the mask of the other: {', '.join(map(str, alike))}"


def _by_folder(root: Path, good: str) -> tuple[list[Record], dict[str, str], list[str]]:
    there = [folder.name for folder in folders(root)]
    if good not in there:
        choice = f"name one of its folders: {', '.join(there)}" if there else "good=. takes all its images"
        raise InputError(f"{root} has no folder {good!r} of good images", remedy=choice)
    records = []
    for name in there:
        split, label, defect = ("train", 0, NOMINAL) if name == good else ("test", 1, name)
        records += [Record(image, PARTS, split, label, defect) for image in files(root / name)]
    images = [record.image for record in records]
    return records, _others(root, images), list(_masks_among(images))


def _is_image(path: Path) -> bool:
    return os.path.isfile(path) and path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(path)


def _others(root: Path, used: Sequence[Path]) -> dict[str, str]:
    """Why each file that is not used is not."""
    reasons, taken = {}, set(used)
    for path in walk(root):
        if path not in taken:
            reasons[path.relative_to(root).as_posix()] = _why_unused(path)
    return reasons


def _why_unused(path: Path) -> str:
    if is_hidden(path):
        return "hidden"
    if not os.path.isfile(path):
        return "no file"
    return "in no folder of a kind" if path.suffix.lower() in IMAGE_SUFFIXES else "no image of a kind that is read"


def _remarks(fitted: Sequence[Entry], tested: Sequence[Entry], findings: Sequence[Finding]) -> list[str]:
    first: dict[str, Entry] = {}
    twice = 0
    for entry in fitted:
        twice += entry.image_sha256 in first
        first.setdefault(entry.image_sha256, entry)
    both = sum(entry.image_sha256 in first for entry in tested)
    sizes = {entry.size for entry in (*fitted, *tested)}
    said = [f"{twice} good images are there twice"] if twice else []
    said += [f"{both} test images are among the good ones that a model is fitted to"] if both else []
    said += [f"images have {len(sizes)} sizes, from {min(sizes)} to {max(sizes)}"] if len(sizes) > 1 else []
    return said + mixed_depths(findings) + sorted({remark for finding in findings for remark in finding.remarks})


def _too_small(findings: Sequence[Finding]) -> list[str]:
    """A line for each image that shows nothing: enlarged, it would be learnt as a part, or count as one."""
    entries = [finding.entry for finding in findings if finding.entry]
    return [
        f"unsuitable image: {one.record.image}: {one.size[0]} x {one.size[1]} pixels, and {LEAST_SIDE} are the least"
        for one in entries
        if min(one.size) < LEAST_SIDE
    ]


def _first(unused: dict[str, str], most: int = 5) -> list[str]:
    return [f"{path}: {reason}" for path, reason in list(unused.items())[:most]]
