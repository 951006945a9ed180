"""Anomalous images among the training images, as they are where nobody looked at every image."""

import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from patchcore_suite.datasets.listing import Scan
from patchcore_suite.datasets.records import Record
from patchcore_suite.datasets.spec import DatasetSpec


def division(spec: DatasetSpec) -> dict[str, object]:
    """What the draw depends on; nothing where there is none."""
    return {"noise": spec.noise, "noise_seed": spec.seed} if spec.noise else {}


def remarks(records: Sequence[Record]) -> list[str]:
    """A sentence for each category with anomalous images among its training images."""
    train = [record for record in records if record.split == "train"]
    labels = {category: [r.label for r in train if r.category == category] for category in {r.category for r in train}}
    return [
        f"{category}: {sum(found)} of {len(found)} training images are anomalous, as `noise` asks for"
        for category, found in sorted(labels.items())
        if any(found)
    ]


def with_noise(records: Sequence[Record], spec: DatasetSpec) -> Scan:
    """Move round(noise * n) of the n anomalous test images of each category among its training images.

    The draw follows from the seed and the category's name; with a larger share the same images and more are moved.

    Returns:
        the records in their order, and a line for each category of whose anomalous images none is left for test, or
        none is moved, since the share is less than half an image.
    """
    if not spec.noise:
        return Scan(list(records), [])
    moved, problems = set(), []
    for category in dict.fromkeys(record.category for record in records):
        given = [r for r in records if r.category == category and r.label and r.split == "test"]
        given.sort(key=lambda record: (record.image.as_posix(), record.frame or 0))
        draw = np.random.Generator(np.random.PCG64([spec.seed, zlib.crc32(category.encode())]))
        drawn = draw.permutation(len(given))[: round(spec.noise * len(given))]
        if given and len(drawn) in (0, len(given)):
            what = "leaves" if len(drawn) else "moves"
            problems.append(f"noise={spec.noise} {what} none of {len(given)} anomalous test images: {category}")
        moved |= {given[index] for index in drawn}
    return Scan([replace(r, split="train") if r in moved else r for r in records], problems)
