"""Few nominal images: which ones a cell learns from, and how they are turned."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from patchcore_core.common.errors import InputError
from patchcore_core.detector import generator
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.datasets.records import Record
from patchcore_suite.settings.project import ProjectDataset
from patchcore_suite.settings.studies import BLOCKS, Study


def drawn_together(
    categories: Sequence[Sequence[Record]], shots: int | None, seed: int, draw: str
) -> tuple[int, ...] | None:
    """`drawn_rows` of several categories whose nominal images stand one after the other: `shots` of each."""
    drawn, before = [], 0
    for records in categories:
        drawn += [before + row for row in drawn_rows(records, shots, seed, draw) or ()]
        before += len(records)
    return None if shots is None else tuple(drawn)


def drawn_rows(records: Sequence[Record], shots: int | None, seed: int, draw: str) -> tuple[int, ...] | None:
    """Rows of the nominal training images that a cell learns from, ascending; None for all.

    Args:
        records: all of them.
        shots: how many are drawn.
        draw: "nested", see `shot_rows`; "blocks", of Damm et al. (2024): seed s takes those from s * shots on, in the
            order of their files' names.
    """
    if shots is None:
        return None
    if draw == BLOCKS:
        order = sorted(range(len(records)), key=lambda row: _place(records[row]))
        return tuple(sorted(order[seed * shots : (seed + 1) * shots]))
    return tuple(shot_rows(len(records), shots, seed).tolist())


def shot_rows(nominal: int, shots: int | None, seed: int) -> Tensor:
    """Rows of so many nominal images that a seed draws, ascending; all without a number of shots.

    The draws of one seed are nested: 5 shots are the 2 shots and three images more, so that curves over shots differ
    by what was added.
    """
    if shots is None:
        return torch.arange(nominal)
    return torch.randperm(nominal, generator=generator(seed, "shots"))[:shots].sort().values


def rotated(records: Iterable[Record], rotations: Sequence[float]) -> list[Record]:
    """Each image turned by each of some degrees, one after the other; without any, the images as they are."""
    return [replace(record, rotation=degrees) for record in records for degrees in rotations or (0.0,)]


def learned_records(dataset: ProjectDataset, manifest: Manifest, category: str, variant: str) -> list[Record]:
    """The nominal images that a model learns which scores images of a category, turned as the variant has them."""
    scope = None if dataset.settings.protocol.together else category
    return rotated(manifest.records(scope, "train"), dataset.rotations(variant))


def rotated_rows(
    learned: Iterable[tuple[tuple[float, ...], tuple[int, ...] | None]], nominal: int
) -> dict[tuple[float, ...], tuple[int, ...]]:
    """Rows of the nominal images that cells need turned, ascending, by rotations.

    Args:
        learned: of each cell its rotations, and what `drawn_rows` gives.
        nominal: how many there are.
    """
    rows: dict[tuple[float, ...], set[int]] = {}
    for rotations, drawn in learned:
        if rotations:
            rows.setdefault(rotations, set()).update(range(nominal) if drawn is None else drawn)
    return {rotations: tuple(sorted(found)) for rotations, found in rows.items()}


def image_names(manifest: Manifest, records: Iterable[Record]) -> list[str]:
    """Paths of images in their dataset's folder, as they are written down; of a video with the frame."""
    return [
        record.image.relative_to(manifest.root).as_posix() + ("" if record.frame is None else f"#{record.frame}")
        for record in records
    ]


def check_together(dataset: ProjectDataset, manifest: Manifest, variants: Iterable[str]) -> None:
    """Refuse to learn all categories together where there is one, or where their images come out in several sizes.

    Raises:
        InputError: it is so.
    """
    if not dataset.settings.protocol.together:
        return
    where = f"datasets.{dataset.name}.together"
    if len(manifest.categories) == 1:
        raise InputError(
            f"{where}=true, but there is one category only: {manifest.categories[0]}", remedy="set it to false"
        )
    for preprocessing in dict.fromkeys(map(dataset.preprocessing, variants)):
        sizes = {name: preprocessing.size(manifest.entries[name][0].size) for name in manifest.categories}
        if len(set(sizes.values())) > 1:
            raise InputError(
                f"{where}=true, but images come out in several sizes after resize={preprocessing.resize}",
                offenders=[f"{name}: {height} x {width}" for name, (height, width) in sizes.items()],
                remedy="give resize as [height, width], or add a crop",
            )


def check_shots(dataset: ProjectDataset, manifest: Manifest) -> None:
    """Refuse studies that ask for more nominal images than one of their categories has.

    Raises:
        InputError: there are such studies; each is listed with every number that is too large, and the images that
            there are.
    """
    problems = []
    for name, study in dataset.studies.items():
        where, nominal = f"datasets.{dataset.name}.studies.{name}.shots", _nominal(study, dataset, manifest)
        for shots in (shots for shots in study.shots if shots is not None):
            last, asked = shots, str(shots)
            if dataset.settings.protocol.draw == BLOCKS:
                last = (max(study.seeds) + 1) * shots
                asked = f"seed {max(study.seeds)} takes images {last - shots + 1} to {last}"
            problems += [
                f"{where}: {asked}, but {category} has {there} nominal training images"
                for category, there in nominal.items()
                if last > there
            ]
    if problems:
        raise InputError(
            f"studies ask for more nominal images than {dataset.name} has",
            offenders=problems,
            remedy="give fewer shots or smaller seeds, or leave categories out, in params.yaml",
        )


def _nominal(study: Study, dataset: ProjectDataset, manifest: Manifest) -> dict[str, int]:
    """Nominal training images of each category that a study learns."""
    chosen = [category for category in study.chosen(manifest.categories) if category in manifest.categories]
    chosen = manifest.categories if dataset.settings.protocol.together else chosen
    return {category: len(manifest.records(category, "train")) for category in chosen}


def _place(record: Record) -> tuple[str, int]:
    return record.image.as_posix(), record.frame or 0
