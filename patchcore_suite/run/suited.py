"""Whether the images that there are suit the variants that learn from them, told before anything is computed."""

from collections.abc import Container, Iterable

from patchcore_core.backbones import map_shapes
from patchcore_core.backbones.architectures import added_by
from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.settings.problems import one_line
from patchcore_suite.settings.project import ProjectDataset


def check_numbers(
    dataset: ProjectDataset, manifest: Manifest, wanted: Iterable[tuple[str, str, int | None, int]]
) -> None:
    """Refuse methods that are given fewer nominal images than they can do with.

    Args:
        wanted: (category, variant, shots, seed) of each cell.

    Raises:
        InputError: there are such; each is named with what it needs, what it is given, and where.
    """
    short: dict[tuple[str, int | None, int], dict[str, None]] = {}
    for category, variant, shots, _ in wanted:
        given = _given(dataset, manifest, category, variant, shots)
        if given < _least(dataset, variant):
            short.setdefault((variant, shots, given), {})[category] = None
    if short:
        raise InputError(
            f"variants need more nominal images than studies of {dataset.name} give them",
            offenders=[
                f"variants.{variant}: {given} of {', '.join(where)}"
                + ("" if shots is None else f" (shots: {shots})")
                + f", and it takes {_least(dataset, variant)} or more"
                for (variant, shots, given), where in short.items()
            ],
            remedy="give more shots or rotations, or leave these variants out of the study, in params.yaml",
        )


def check_sizes(
    dataset: ProjectDataset, manifest: Manifest, variants: Iterable[str], *, own: Container[str] = ()
) -> None:
    """Refuse images of sizes that a network with a grid of its own, such as a transformer, does not take.

    Args:
        own: names of backbones that modules of the user's stand for.

    Raises:
        InputError: there are such; each is named, with the nearest sizes that fit.
    """
    needed: dict[tuple[str, tuple[int, ...], tuple[int, int]], str] = {}
    for variant in variants:
        sizes = {dataset.preprocessing(variant).size(manifest.entries[name][0].size) for name in manifest.categories}
        for member in dataset.config(variant).members:
            if member.backbone not in own and added_by(member.backbone):
                needed |= {(member.backbone, member.map_hierarchies, size): variant for size in sizes}
    problems = []
    for (backbone, hierarchies, size), variant in needed.items():
        try:
            map_shapes(backbone, hierarchies, size)
        except InputError as error:
            problems.append(f"variants.{variant}: {one_line(error)}")
    if problems:
        raise InputError(
            f"networks take no images as {dataset.name} has them",
            offenders=problems,
            remedy="set resize and crop of the dataset, or of these variants, in params.yaml",
        )


def _least(dataset: ProjectDataset, variant: str) -> int:
    return getattr(dataset.config(variant), "least_images", 1)  # PatchCore's own configuration says nothing: one


def _given(dataset: ProjectDataset, manifest: Manifest, category: str, variant: str, shots: int | None) -> int:
    """How many nominal images a cell learns from, turned ones being images of their own."""
    names = manifest.categories if dataset.settings.protocol.together else [category]
    there = [len(manifest.records(name, "train")) for name in names]
    return sum(min(shots or count, count) for count in there) * (len(dataset.rotations(variant)) or 1)
