"""Looking at every image and mask of a dataset, to find all that is wrong before anything is computed."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import sha256_file
from patchcore_core.common.progress import progress_bar
from patchcore_suite.datasets.identity import check_identity
from patchcore_suite.datasets.images import foreground, map_ahead, mask_values, read_image
from patchcore_suite.datasets.layouts import LAYOUTS, scan
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.datasets.records import Entry, Record
from patchcore_suite.datasets.spec import DatasetSpec

THREADS = 4


class Finding(NamedTuple):
    """What was found of one record: an entry or a problem, and what is worth a remark."""

    entry: Entry | None
    problem: str | None
    remarks: tuple[str, ...]


def build_manifest(name: str, root: Path, spec: DatasetSpec) -> Manifest:
    """Decode every image and mask of the folder `root`, and describe what is there.

    Raises:
        InputError: anything is wrong with the files or with their numbers, or they are not the dataset of the paper
            that `spec` says they are; one message lists it all.
    """
    records, problems = scan(root, spec)
    findings = inspect(records, f"{name}: check")
    problems += shortages(records) + [finding.problem for finding in findings if finding.problem]
    if problems:
        raise InputError(
            f"the dataset {name} in {root} cannot be used as it is",
            offenders=sorted(problems),
            remedy="repair, add or remove these; data/README.md describes the layouts",
        )
    entries = defaultdict(list)
    for finding in findings:
        entries[finding.entry.record.category].append(finding.entry)
    manifest = Manifest(
        name=name,
        layout=spec.layout,
        paper=spec.paper,
        source=spec.source if spec.source in ("synthetic", "download") else "folder",
        root=root,
        division=LAYOUTS[spec.layout].division(spec),
        warnings=tuple(warnings(findings, root)),
        entries={category: tuple(group) for category, group in entries.items()},
    )
    check_identity(manifest)
    return manifest


def inspect(records: Sequence[Record], description: str) -> list[Finding]:
    """Decode and hash every image and mask."""
    sha256 = cache(sha256_file)  # a video has many frames

    def look_at(group: list[Record]) -> list[Finding]:
        found = []
        for record in group:
            found.append(_inspect(record, sha256))
            if found[-1].problem:
                break  # the rest of a damaged video would fail alike
        return found

    files = [list(group) for _, group in groupby(records, key=lambda record: record.image)]
    findings = []
    with progress_bar(len(records), description, unit="image") as bar:
        for found in map_ahead(look_at, files, THREADS):
            findings += found
            bar.update(len(found))
    return findings


def shortages(records: Sequence[Record]) -> list[str]:
    """Say which test images or masks are missing without which nothing can be measured."""
    tests = [record for record in records if record.split == "test"]
    found = {(record.category, record.label) for record in tests}
    problems = []
    for category in sorted({record.category for record in records}):
        for label, kind in enumerate(("nominal", "anomalous")):
            if (category, label) not in found:
                problems.append(f"category without {kind} test images: {category}")
    masked = {(record.category, record.defect) for record in tests if record.mask}
    for record in tests:
        if record.label and record.mask is None and (record.category, record.defect) in masked:
            problems.append(f"mask missing, while other images of its defect have one: {record.name}")
    return problems


def warnings(findings: Sequence[Finding], root: Path) -> list[str]:
    """Say what does not prevent the use of a dataset but should be known, one sentence each."""
    training = defaultdict(list)
    for entry in (finding.entry for finding in findings):
        if entry.record.split == "train":
            training[entry.record.category].append(entry.image_sha256)
    concerned = defaultdict(list)
    for entry, _, remarks in findings:
        record = entry.record
        for remark in remarks:
            concerned[record.category, remark].append(record)
        if record.label and record.mask is None:
            concerned[record.category, "anomalous images without a mask, so that there are no pixel metrics"].append(
                record
            )
        if record.split == "test" and entry.image_sha256 in training[record.category]:
            concerned[record.category, "test images that are training images as well"].append(record)
    single = [
        f"{category}: there is one training image only" for category, files in training.items() if len(files) == 1
    ]
    return single + [
        f"{category}: {remark}: {len(found)}, for example {found[0].image.relative_to(root).as_posix()}"
        for (category, remark), found in sorted(concerned.items())
    ]


def _inspect(record: Record, sha256: Callable[[Path], str]) -> Finding:
    try:
        image = read_image(record)
        size = (image.height, image.width)
        remarks = _mask_remarks(record, size) if record.mask else ()
    except InputError as error:
        return Finding(None, error.problem, ())
    return Finding(Entry(record, size, sha256(record.image), record.mask and sha256(record.mask)), None, remarks)


def _mask_remarks(record: Record, size: tuple[int, int]) -> tuple[str, ...]:
    values = mask_values(record)
    if values.shape != size:
        raise InputError(f"mask of another size than its image: {record.mask}: {values.shape}, not {size}")
    defective = foreground(values).any()
    remarks = {
        "anomalous images with an empty mask": record.label and not defective,
        "nominal images whose mask shows a defect (ignored)": defective and not record.label,
        "masks that are not binary (data/README.md says what counts as defect)": not np.isin(
            values, (0, values.max())
        ).all(),
    }
    return tuple(remark for remark, holds in remarks.items() if holds)
