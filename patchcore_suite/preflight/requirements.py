"""What a dataset and all that is to be run on it need, and everything that would fail; see `preflight`."""

import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

from patchcore_core.backbones import WeightsMissing, backbone_weights
from patchcore_core.common.errors import InputError
from patchcore_core.config import MethodConfig, PatchCoreConfig
from patchcore_suite.baselines.work import (
    BASE_BYTES,
    Shape,
    cell_work,
    described_shape,
    evaluation_bytes,
    file_bytes,
    held_bytes,
    lies_on_disk,
    memory_bank,
    result_bytes,
)
from patchcore_suite.datasets import synthetic
from patchcore_suite.datasets.inspection import build_manifest
from patchcore_suite.datasets.layouts import scan
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.datasets.paper_counts import known_manifest
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import Record
from patchcore_suite.plugins import searches
from patchcore_suite.preflight.needs import Checked, Needs, Wanted
from patchcore_suite.preflight.operations import Work
from patchcore_suite.preflight.own import shapes_of_maps
from patchcore_suite.preflight.room import check_machine
from patchcore_suite.preflight.shared import Shared
from patchcore_suite.run.asked_metrics import asked_problems
from patchcore_suite.run.cells import plan, wanted_cells
from patchcore_suite.run.few_shot import drawn_rows, rotated_rows
from patchcore_suite.run.own_networks import OwnNetworks, project_networks
from patchcore_suite.run.room import memory_budget
from patchcore_suite.settings.problems import one_line
from patchcore_suite.settings.project import Project, ProjectDataset


def check(dataset: ProjectDataset, *, known: bool = False, all_weights: bool = False) -> Checked:
    """Check a dataset of `params` and all that is to be run on it.

    Args:
        known: take the counts of the paper's dataset, for want of its images.
        all_weights: count the variants too whose weights are missing here.
    """
    checked = Checked(dataset.name, "")
    manifest = _manifest(dataset, checked, known=known)
    try:
        own = project_networks(dataset.project)
        usable = _check_variants(dataset, checked, own, all_weights=all_weights)
        if manifest is None:
            return checked
        checked.warnings += manifest.warnings
        checked.problems += map(str, asked_problems(dataset, manifest))
        wanted = wanted_cells(dataset, manifest, available=usable)
    except InputError as error:
        checked.problems.append(str(error))
        return checked
    done = _done(dataset) if not checked.problems and not known else set()
    for category in manifest.categories:
        cells = {cell: radius for cell, radius in wanted.items() if cell[0] == category}
        checked.needs.append(_needs(category, cells, done, dataset, checked, manifest=manifest, own=own))
    check_machine(dataset.project, checked)
    return checked


def _manifest(dataset: ProjectDataset, checked: Checked, *, known: bool) -> Manifest | None:
    """What the dataset holds, by the cheapest way that finds all that is wrong with it."""
    spec = dataset.spec
    if known or spec.source == "download":
        found = known_manifest(dataset.name, spec)
        checked.images = "images not here; counts are those of the paper's dataset"
        if found is None:
            checked.images = "images not here, and their numbers are not published: nothing can be estimated"
        if known:
            return found
    path = dataset.manifest_file
    try:
        if path.is_file():
            manifest = Manifest.read(path, base=dataset.project.root)
            if _is_of(manifest, dataset):
                for category in manifest.categories:
                    manifest.check_unchanged(category)
                if _lists_all(manifest, dataset):
                    checked.images = f"{'SYNTHETIC images' if manifest.synthetic else 'images'} in {manifest.root}"
                    return manifest
        if spec.source == "download":
            checked.images = f"not downloaded yet; {checked.images}"
            return found
        with chdir(dataset.project.root), tempfile.TemporaryDirectory() as folder:
            root = Path(spec.source)
            if spec.source == "synthetic":
                root = Path(folder)
                synthetic.generate(spec.layout, root, seed=spec.seed)
            manifest = build_manifest(dataset.name, root, spec, preprocessing=dataset.preprocessing())
        kind = "SYNTHETIC images, to be drawn" if spec.source == "synthetic" else f"images in {root}, not prepared yet"
        checked.images = kind
        return manifest
    except InputError as error:
        checked.images = checked.images or f"the images of {spec.source} cannot be used"
        checked.problems.append(f"{error}\n(where each dataset is had, and how it must lie: data/README.md)")
        return None


def _is_of(manifest: Manifest, dataset: ProjectDataset) -> bool:
    """Whether a manifest describes what params.yaml asks for, as far as can be told without opening an image."""
    spec = dataset.spec
    source = spec.source if spec.source in ("synthetic", "download") else "folder"
    same_root = source != "folder" or manifest.root.resolve() == dataset.project.path(spec.source).resolve()
    same_categories = spec.categories is None or sorted(spec.categories) == manifest.categories
    same = (manifest.layout, manifest.paper, manifest.source) == (spec.layout, spec.paper, source)
    return same and same_root and same_categories


def _lists_all(manifest: Manifest, dataset: ProjectDataset) -> bool:
    """Whether a manifest lists the images and masks that lie in its folder now, divided as they are."""
    with chdir(dataset.project.root):
        found = scan(manifest.root, dataset.spec).records
    listed = [replace(record, bits=16) for category in manifest.categories for record in manifest.records(category)]
    return set(found) == set(listed)


def _check_variants(dataset: ProjectDataset, checked: Checked, own: OwnNetworks, *, all_weights: bool) -> list[str]:
    """The variants that can run; what is wrong with others becomes a problem, weights that are missing a warning."""
    usable = []
    for variant in dict.fromkeys(v for study in dataset.studies.values() for v in study.variants):
        try:
            members = dataset.config(variant).members
            for member in members:
                own.check(member)
            named = [member.backbone for member in members if member.backbone not in own.modules]
            absent = {backbone: why for backbone in named if (why := _missing_weights(backbone, dataset.project))}
        except InputError as error:
            checked.problems.append(f"variants.{variant}: {one_line(error)}")
            continue
        for backbone, why in absent.items():
            checked.weights.setdefault(backbone, (why, []))[1].append(variant)
        if all_weights or not absent:
            usable.append(variant)
    return usable


def _missing_weights(backbone: str, project: Project) -> WeightsMissing | None:
    """Why a backbone's weights cannot be had on this machine, with the remedies; None if they can."""
    try:
        backbone_weights(backbone, weights=project.execution.own_weights, download=False)
    except WeightsMissing as error:
        return error
    return None


def _done(dataset: ProjectDataset) -> set[Wanted]:
    """The cells whose results are in the store."""
    try:
        work = plan(dataset, download=False)
    except InputError:  # not prepared yet
        return set()
    return {(c.category, c.variant, c.shots, c.seed) for c in work.cells if work.path(c).is_file()}


def _needs(
    category: str,
    cells: Mapping[Wanted, bool],
    done: set[Wanted],
    dataset: ProjectDataset,
    checked: Checked,
    *,
    manifest: Manifest,
    own: OwnNetworks,
) -> Needs:
    """What the cells of a category take."""
    splits = Counter(record.split for record in manifest.records(category))
    train, test = splits["train"], splits["test"]
    learned = _learned(category, dataset, manifest)
    others = sum(learned) - train  # of categories that are learned together with this one
    needs = Needs(category, train, test)
    budget = memory_budget(dataset.execution) if dataset.execution.device == "cpu" else math.inf
    images = _described_images(cells, dataset, manifest.records(category, "train"), test)
    shared = Shared(images, pixels=math.prod(manifest.entries[category][0].size), own=own)
    refused: dict[str, str] = {}  # why, by variant
    largest = 0  # pixels of an image
    for cell, radius in cells.items():
        _, variant, shots, seed = cell
        config, preprocessing = dataset.config(variant), dataset.preprocessing(variant)
        turns = len(rotations := dataset.rotations(variant)) or 1
        try:
            size = _size(category, manifest, preprocessing)
            maps = [shapes_of_maps(m.backbone, m.map_hierarchies, size, own) for m in config.members]
        except InputError as error:
            refused.setdefault(variant, f"{category}: variants.{variant}: {one_line(error)}")
            continue
        shapes = [described_shape(m, of) for m, of in zip(config.members, maps, strict=True)]
        nominal = sum(min(shots or n, n) for n in learned) * turns
        if problem := _misfit(config, shapes, nominal):
            refused.setdefault(variant, f"{category}: variants.{variant}: {problem}")
        largest = max(largest, math.prod(size))
        counts = {"described": images[rotations] + others * turns, "nominal": nominal, "test": test}
        _note_sizes(needs, config, shapes, pixels=math.prod(size), budget=budget, **counts)
        if cell in done:
            needs.done += 1
            continue
        needs.todo += 1
        work = cell_work(config, shapes, nominal=nominal, test=test, size=size, radius=radius)
        work += shared.work(config, preprocessing, maps, seed=seed, size=size, rotations=rotations)
        needs.work += work
        needs.by_variant[variant] = needs.by_variant.get(variant, Work()) + work
    needs.maps = sum(shared.extracted.values())
    kept = (needs.todo + needs.done) * (3 if dataset.asked else 1)  # what is asked for takes twice as much besides
    needs.memory = max(needs.memory, evaluation_bytes(test=test, pixels=largest, results=kept))
    checked.problems += refused.values()
    return needs


def _learned(category: str, dataset: ProjectDataset, manifest: Manifest) -> list[int]:
    """Nominal images of each category that a model of this one learns."""
    names = manifest.categories if dataset.settings.protocol.together else [category]
    return [len(manifest.records(name, "train")) for name in names]


def _described_images(
    cells: Iterable[Wanted], dataset: ProjectDataset, nominal: Sequence[Record], test: int
) -> dict[tuple[float, ...], int]:
    """How many images of a category are described, by how nominal ones are turned."""
    draw = dataset.settings.protocol.draw
    learned = (
        (dataset.rotations(variant), drawn_rows(nominal, shots, seed, draw)) for _, variant, shots, seed in cells
    )
    rows = rotated_rows(learned, len(nominal))
    return {(): len(nominal) + test} | {turns: len(turns) * len(found) + test for turns, found in rows.items()}


def _note_sizes(
    needs: Needs, config: MethodConfig, shapes: Sequence[Shape], *, pixels: int, budget: float, **counts: int
) -> None:
    nominal, test = counts["nominal"], counts["test"]
    if shapes[0][0] * shapes[0][1] > 1:
        needs.patches.add(shapes[0][0] * shapes[0][1])
    if isinstance(config, PatchCoreConfig):
        needs.bank = max(needs.bank, memory_bank(config, shapes[0], nominal))
    whole = {"pixels": pixels, "budget": budget}
    if lies_on_disk(config, shapes, **counts, **whole):
        needs.rows = max(needs.rows, file_bytes(config, shapes[0], nominal=nominal))
    needs.memory = max(needs.memory, held_bytes(config, shapes, **counts, **whole), BASE_BYTES)
    needs.results += result_bytes(config, shapes, nominal=nominal, test=test)


def _size(category: str, manifest: Manifest, preprocessing: Preprocessing) -> tuple[int, int]:
    """The size (H, W) that a category's images are brought to, which must be one."""
    sizes = Counter(preprocessing.size(size) for size in {entry.size for entry in manifest.entries[category]})
    if len(sizes) > 1:
        shown = ", ".join(f"{h} x {w}" for h, w in list(sizes)[:3])
        raise InputError(
            f"images come out in {len(sizes)} sizes ({shown}, ...) after resize={preprocessing.resize}",
            remedy="give resize as [height, width], or add a crop",
        )
    return next(iter(sizes))


def _misfit(config: object, shapes: Sequence[Shape], nominal: int) -> str:
    """What keeps a method from running on such features, or an empty text."""
    grids = {(h, w) for h, w, _ in shapes}
    if len(grids) > 1:
        shown = ", ".join(f"{h} x {w}" for h, w in sorted(grids))
        return f"the models of an ensemble see different grids: {shown}; choose hierarchies and strides that give one"
    least = {"ivf": searches.ROWS_A_CELL, "ivfpq": 256}.get(getattr(config, "search", ""), 0)
    if least and memory_bank(config, shapes[0], nominal)[0] < least:
        return f"search={config.search!r} needs at least {least} rows in the memory bank; use search: torch"
    return ""
