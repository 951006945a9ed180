"""Looking at every image and mask of a dataset, to find all that is wrong before anything is computed."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from patchcore_core.common.errors import InputError
from patchcore_core.common.progress import progress_bar
from patchcore_suite.datasets import noise
from patchcore_suite.datasets.decoding import DEEP, TURNED, decode
from patchcore_suite.datasets.identity import check_identity
from patchcore_suite.datasets.images import as_rgb, foreground, map_ahead, mask_values, read_image
from patchcore_suite.datasets.layouts import LAYOUTS, scan
from patchcore_suite.datasets.leftovers import remarks as remarks_on
from patchcore_suite.datasets.leftovers import unused_files
from patchcore_suite.datasets.listing import sha256_content
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import Entry, Record
from patchcore_suite.datasets.spec import DatasetSpec
from patchcore_suite.datasets.videos import VIDEO_SUFFIXES

THREADS = 4


DEPTHS = (10, 12, 14)  # bits that cameras fill of 16
SHOWN = 5  # values of a mask in a message
MOST_DEFECTIVE = 0.5  # of an image, from which its mask is remarked on
TURNED_MASK = "images that EXIF turns or mirrors, and their masks are to lie on them as they look then (do they?)"
LEAST_KEPT = 0.5  # of an image, below which its crop is remarked on


class Finding(NamedTuple):
    """What was found of one record.

    Attributes:
        entry, problem: one of them is None.
        remarks: what is worth one.
        highest: the largest value of an image of 16 bits.
        coloured: whether it is of 16 bits, and in colours or with alpha.
    """

    entry: Entry | None
    problem: str | None
    remarks: tuple[str, ...]
    highest: int | None = None
    coloured: bool = False


def build_manifest(name: str, root: Path, spec: DatasetSpec, *, preprocessing: Preprocessing | None = None) -> Manifest:
    """Decode every image and mask of the folder `root`, and describe what is there.

    Args:
        preprocessing: how the images will be brought to size, for a remark where this keeps little of them.

    Raises:
        InputError: anything is wrong with the files or with their numbers, or they are not the dataset of the paper
            that `spec` says they are; one message lists it all.
    """
    records, problems = scan(root, spec)
    findings = inspect(records, f"{name}: check")
    problems += shortages(records) + [finding.problem for finding in findings if finding.problem]
    problems += shallow_colours(findings)
    if problems:
        raise InputError(
            f"the dataset {name} in {root} cannot be used as it is",
            offenders=sorted(problems),
            remedy="repair, add or remove these; data/README.md describes the layouts",
        )
    unused = unused_files(root, spec, records)
    said = [
        *noise.remarks(records),
        *warnings(findings, root),
        *mixed_depths(findings),
        *crop_warnings(findings, preprocessing),
        *remarks_on(unused),
    ]
    bits, entries = depths(findings), defaultdict(list)
    for category, depth in bits.items():
        said.append(f"{category}: of the 16 bits of an image {depth} are filled, and it is read as one of {depth} bits")
    for entry in (finding.entry for finding in findings):
        category = entry.record.category
        record = replace(entry.record, bits=bits.get(category, entry.record.bits))
        entries[category].append(replace(entry, record=record))
    manifest = Manifest(
        name=name,
        layout=spec.layout,
        paper=spec.paper,
        source=spec.source if spec.source in ("synthetic", "download") else "folder",
        root=root,
        division=LAYOUTS[spec.layout].division(spec) | noise.division(spec),
        warnings=tuple(said),
        entries={category: tuple(group) for category, group in entries.items()},
        unused=unused,
    )
    check_identity(manifest)
    return manifest


def inspect(
    records: Sequence[Record], description: str, *, follow: Callable[[int, int], None] | None = None
) -> list[Finding]:
    """Decode and hash every image and mask.

    Args:
        description: of the progress bar.
        follow: is told how many of how many are done, instead of a bar, and may end it by raising.
    """
    sha256 = cache(sha256_content)  # a video has many frames

    def look_at(group: list[Record]) -> list[Finding]:
        found = []
        for record in group:
            found.append(_inspect(record, sha256))
            if found[-1].problem:
                break  # the rest of a damaged video would fail alike
        return found

    files = [list(group) for _, group in groupby(records, key=lambda record: record.image)]
    findings = []
    with progress_bar(len(records), description, unit="image", show=follow is None) as bar:
        for found in map_ahead(look_at, files, THREADS):
            findings += found
            bar.update(len(found))
            if follow is not None:
                follow(len(findings), len(records))
    return findings


def shortages(records: Sequence[Record]) -> list[str]:
    """Say which test images or masks are missing without which nothing can be measured."""
    tests = [record for record in records if record.split == "test"]
    found = {(record.category, record.label) for record in tests}
    unmasked = {record.category for record in tests if record.label and record.mask is None}
    problems = []
    for category in sorted({record.category for record in records}):
        if (category, 1) not in found:
            problems.append(f"category without anomalous test images: {category}")
        elif (category, 0) not in found and category in unmasked:
            problems.append(f"category without nominal test images, and without masks for pixel metrics: {category}")
    masked = {(record.category, record.defect) for record in tests if record.mask}
    for record in tests:
        if record.label and record.mask is None and (record.category, record.defect) in masked:
            problems.append(f"mask missing, while other images of its defect have one: {record.name}")
    return problems


def warnings(findings: Sequence[Finding], root: Path) -> list[str]:
    """Say what does not prevent the use of a dataset but should be known, one sentence each."""
    training, tested_as = defaultdict(list), defaultdict(set)
    for entry in (finding.entry for finding in findings):
        if entry.record.split == "train":
            training[entry.record.category].append(entry.image_sha256)
        else:
            tested_as[entry.record.category, entry.image_sha256, entry.record.frame].add(entry.record.label)
    concerned = defaultdict(list)
    for entry, _, remarks, *_ in findings:
        record = entry.record
        for remark in remarks:
            concerned[record.category, remark].append(record)
        if record.label and record.mask is None:
            concerned[record.category, "anomalous images without a mask, so that there are no pixel metrics"].append(
                record
            )
        if record.split == "test" and entry.image_sha256 in training[record.category]:
            concerned[record.category, "test images that are training images as well"].append(record)
        if len(tested_as[record.category, entry.image_sha256, record.frame]) > 1 and record.split == "test":
            concerned[record.category, "test images that are nominal and anomalous, in equal files"].append(record)
    single = [
        f"{category}: there is one training image only" for category, files in training.items() if len(files) == 1
    ]
    tested = {finding.entry.record.category for finding in findings if finding.entry.record.split == "test"}
    nominal = {f.entry.record.category for f in findings if f.entry.record.split == "test" and not f.entry.record.label}
    single += [
        f"{category}: there are no nominal test images, so that there are no image metrics"
        for category in sorted(tested - nominal)
    ]
    return single + [
        f"{category}: {remark}: {len(found)}, for example {found[0].image.relative_to(root).as_posix()}"
        for (category, remark), found in sorted(concerned.items())
    ]


def depths(findings: Sequence[Finding]) -> dict[str, int]:
    """How many bits are filled in the images of 16 bits of each category that leaves the upper ones empty."""
    highest: dict[str, int] = {}
    for finding in findings:
        if finding.highest is not None:
            category = finding.entry.record.category
            highest[category] = max(finding.highest, highest.get(category, 0))
    filled = {category: next((bits for bits in DEPTHS if value < 2**bits), None) for category, value in highest.items()}
    return {category: bits for category, bits in filled.items() if bits}


def mixed_depths(findings: Sequence[Finding]) -> list[str]:
    """Say of which categories images of 16 bits are beside others that would be of fewer, were these not there."""
    by_category: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.entry and finding.highest:
            by_category[finding.entry.record.category].append(finding)
    said = []
    for category, found in sorted(by_category.items()):
        shallow = [finding for finding in found if finding.highest < 2 ** DEPTHS[1]]
        if shallow and max(finding.highest for finding in found) >= 2**15:
            said.append(
                f"{category}: images of 16 bits that are nearly black, of which {DEPTHS[1]} are filled at most, beside "
                f"others that fill all (are they of two cameras?): {len(shallow)}, for example "
                f"{shallow[0].entry.record.image.name}"
            )
    return said


def shallow_colours(findings: Sequence[Finding]) -> list[str]:
    """Say of which categories the colour images would be read as nearly black: Pillow leaves the upper 8 bits of 16."""
    filled = depths(findings)
    coloured = {finding.entry.record.category for finding in findings if finding.entry and finding.coloured}
    return [
        f"{category}: images of 16 bits, in colours or with alpha, of which {filled[category]} are filled: "
        "stretch them to 16, or save 8"
        for category in sorted(coloured & set(filled))
    ]


def crop_warnings(findings: Sequence[Finding], preprocessing: Preprocessing | None) -> list[str]:
    """Say of which categories a crop at the centre keeps little: the one that is set, or any square one."""
    kept: dict[str, list[float]] = defaultdict(list)
    for entry in (finding.entry for finding in findings):
        kept[entry.record.category].append(_kept(entry.size, preprocessing))
    how = "a square crop keeps"
    if preprocessing:
        how = f"resize={preprocessing.resize} and crop={preprocessing.crop} keep"
    return [
        f"{category}: {how} as little as {min(shares):.0%} of an image, and no defect outside is found: "
        f"{sum(share < LEAST_KEPT for share in shares)} (a resize of [height, width] without a crop keeps all)"
        for category, shares in sorted(kept.items())
        if min(shares) < LEAST_KEPT
    ]


def _kept(size: tuple[int, int], preprocessing: Preprocessing | None) -> float:
    """The share of an image of (height, width) `size` that is kept; of no crop all, though it be refused later."""
    if preprocessing is None:
        return min(size) / max(size)
    with suppress(InputError):
        return math.prod(preprocessing.size(size)) / math.prod(replace(preprocessing, crop=None).size(size))
    return 1.0


def _inspect(record: Record, sha256: Callable[[Path], str]) -> Finding:
    try:
        decoded = read_image(record) if record.image.suffix.lower() in VIDEO_SUFFIXES else decode(record.image)
        image = as_rgb(decoded, record)
        size = (image.height, image.width)
        remarks = _mask_remarks(record, size) if record.mask else ()
        entry = Entry(record, size, sha256(record.image), record.mask and sha256(record.mask))
        if entry.mask_sha256 == entry.image_sha256:
            raise InputError(f"mask that is its image: {record.mask}")
    except InputError as error:
        return Finding(None, error.problem, ())
    if record.mask and record.label and decoded.info.get(TURNED):
        remarks = (*remarks, TURNED_MASK)
    if decoded.mode.startswith("I;16"):
        return Finding(entry, None, remarks, int(np.max(decoded)))
    if decoded.info.get(DEEP):  # in colours or with alpha, of which the upper 8 bits are left, cut off or rounded
        return Finding(entry, None, remarks, int(np.max(image)) * 256 - 128, coloured=True)
    return Finding(entry, None, remarks)


def _mask_remarks(record: Record, size: tuple[int, int]) -> tuple[str, ...]:
    values = mask_values(record)
    if values.shape != size:
        raise InputError(f"mask of another size than its image: {record.mask}: {values.shape}, not {size}")
    levels = np.unique(values)
    if len(levels) > 1 and foreground(levels).all():
        few = ", ".join(map(str, levels[:SHOWN]))
        raise InputError(f"mask without background, which is 0: {record.mask}: values are {few}")
    shown = foreground(values)
    defective = shown.any()
    remarks = {
        "masks that mark more than half of their image (are they inverted?)": shown.mean() > MOST_DEFECTIVE,
        "anomalous images with an empty mask": record.label and not defective,
        "nominal images whose mask shows a defect (ignored)": defective and not record.label,
        "masks that are not binary (data/README.md says what counts as defect)": not np.isin(
            levels, (0, levels[-1])
        ).all(),
    }
    return tuple(remark for remark, holds in remarks.items() if holds)
