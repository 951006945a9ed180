"""What there is to compute: cells (dataset x category x variant x shots x seed), each named by all it depends on."""

import math
import sys
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch

from patchcore_core.backbones import Weights, WeightsMissing, backbone_weights
from patchcore_core.backbones.architectures import added_by
from patchcore_core.common import plugins
from patchcore_core.common.errors import InputError
from patchcore_core.common.files import sha256_json
from patchcore_core.config import EXACT, MethodConfig
from patchcore_core.searches import unusable
from patchcore_suite.baselines.registry import implementation
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.datasets.names import shown
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.run.environment import versions
from patchcore_suite.run.feature_cache import network_weights
from patchcore_suite.run.few_shot import (
    check_shots,
    check_together,
    drawn_together,
    image_names,
)
from patchcore_suite.run.fingerprints import code_fingerprint
from patchcore_suite.run.own_networks import Network, OwnNetworks, project_networks
from patchcore_suite.run.raw_results import RawResult
from patchcore_suite.run.suited import check_numbers, check_sizes
from patchcore_suite.settings.problems import one_line
from patchcore_suite.settings.project import ProjectDataset

SCORING = "patchcore_suite.run.groups"  # the module that computes raw results, whatever the method


@dataclass(frozen=True)
class Cell:
    """One variant, with one seed, on one category; `key` is the hash of all that determines its result."""

    category: str
    variant: str
    shots: int | None  # nominal images drawn with the seed; None for all
    seed: int
    config: MethodConfig
    preprocessing: Preprocessing
    covering_radius: bool
    weights_origin: str  # where the files were found; no part of the key
    stamp: dict[str, object]
    scope: str | None  # the category that it learns; None for all of the dataset, of which it is tested with its own
    drawn: tuple[int, ...] | None  # rows of the nominal images of its scope that it learns from; None for all
    rotations: tuple[float, ...] = ()  # degrees by which each of these is turned

    def learned(self, rows: Sequence[int]) -> list[int]:
        """Places of the images that it learns from among nominal `rows`, each of which is there once a rotation."""
        places = range(len(rows)) if self.drawn is None else [rows.index(row) for row in self.drawn]
        turns = len(self.rotations) or 1
        return [place * turns + turn for place in places for turn in range(turns)]

    def learned_of(self, nominal: int) -> int:
        """How many images it learns from, where `nominal` ones are described; turned ones are images of their own."""
        return nominal if self.drawn is None else len(self.drawn) * (len(self.rotations) or 1)

    @property
    def key(self) -> str:
        return sha256_json(self.stamp)

    @property
    def file(self) -> str:
        """Name of the result's file among those of its dataset."""
        folder = self.variant if self.shots is None else f"{self.variant}/shots-{self.shots}"
        return f"{shown(self.category)}/{folder}/seed-{self.seed}.safetensors"


@dataclass(frozen=True)
class Plan:
    """The cells of a dataset, by category, the variants that cannot run for want of weights, and what is left out."""

    dataset: ProjectDataset
    manifest: Manifest
    cells: tuple[Cell, ...]
    weights_missing: dict[str, str]
    store: Path  # holds KEY.safetensors, the raw result of a cell, and KEY.json, its times
    memory: float = math.inf  # bytes that all that is computed at once may take
    networks_sha256: str | None = None  # of the file of own networks, if one is named
    keeps: bool = True  # whether a process may keep memory that it has freed, for as long as it computes
    # Results that were read, as they were then: inode, size, time.
    _intact: dict[Path, tuple[int, int, int]] = field(default_factory=dict, compare=False, repr=False)

    def pending(self) -> list[Cell]:
        """The cells whose results are not in the store, or not as they were written; those are named.

        A result is read for that once a run, unless it was written anew.
        """
        return [cell for cell in self.cells if not self._is_there(cell)]

    def _is_there(self, cell: Cell) -> bool:
        path = self.path(cell)
        if not path.is_file():
            return False
        found = path.stat()
        state = found.st_ino, found.st_size, found.st_mtime_ns
        if self._intact.get(path) != state:
            if problem := RawResult.damage(path, cell.key):
                print(f"a result is computed again: {cell.file} ({path}): {problem}", file=sys.stderr)
                with suppress(OSError):
                    path.unlink()
                return False
            self._intact[path] = state
        return True

    def read_by(self, cells: Iterable[Cell]) -> list[str]:
        """Categories whose images cells learn or are tested with."""
        read = [self.manifest.categories if cell.scope is None else [cell.scope] for cell in cells]
        return list(dict.fromkeys(category for of_cell in read for category in of_cell))

    def path(self, cell: Cell) -> Path:
        """Where the store keeps a cell's raw result."""
        return self.store / f"{cell.key}.safetensors"


def plan(dataset: ProjectDataset, *, networks: Mapping[str, Network] | None = None, download: bool = True) -> Plan:
    """What there is to compute for a dataset: the cells of all its studies, each once.

    Args:
        networks: modules that stand for the backbones of these names.
        download: whether weights may be fetched; if not, variants whose weights are not on this machine are left out.

    Raises:
        InputError: the dataset is not prepared, or a study cannot be run on it; all that is wrong is listed.
    """
    manifest = dataset.manifest()
    own = project_networks(dataset.project)
    given = {**own.modules, **(networks or {})}
    found, weights_missing = _weights(dataset, own, networks or {}, download=download)
    wanted = wanted_cells(dataset, manifest, available=found)
    configs = {variant: dataset.config(variant) for variant in found}
    libraries = versions()
    check_sizes(dataset, manifest, found, own=given)
    protocol, cells = dataset.settings.protocol, []
    for (category, variant, shots, seed), covering_radius in wanted.items():
        config, preprocessing, rotations = configs[variant], dataset.preprocessing(variant), dataset.rotations(variant)
        scope = None if protocol.together else category
        learned = [manifest.records(name, "train") for name in ([scope] if scope else manifest.categories)]
        drawn = drawn_together(learned, shots, seed, protocol.draw)
        stamp = {
            "dataset": dataset.name,
            "source": manifest.source,
            "synthetic": manifest.synthetic,
            "category": category,
            "images_sha256": manifest.digest(category),
            "preprocessing": preprocessing.__dict__,
            "variant": variant,
            "method": config.method,
            "config": config.to_dict(),
            "shots": shots,
            "seed": seed,
            "covering_radius_wanted": covering_radius,
            "weights": [{"backbone": backbone, "sha256": weights.sha256} for backbone, weights in found[variant]],
            "device": torch.device(dataset.execution.device).type,
            "precision": dataset.execution.precision,
            "versions": libraries,
            "code_sha256": code_fingerprint(SCORING, *sorted(_modules(config, given))),
        }
        if drawn is not None:
            records = manifest.records(scope, "train")
            stamp["drawn"] = image_names(manifest, [records[row] for row in drawn])
        if protocol.together:
            stamp["together"] = {name: manifest.digest(name) for name in manifest.categories}
        if rotations:
            stamp["rotations"] = rotations
        if (file_sha256 := own.sha256_for(config)) is not None:
            stamp["networks_sha256"] = file_sha256
        origin = ", ".join(weights.origin for _, weights in found[variant])
        about = (category, variant, shots, seed, config, preprocessing, covering_radius, origin, stamp)
        cells.append(Cell(*about, scope, drawn, rotations))
    return Plan(dataset, manifest, tuple(cells), weights_missing, dataset.project.cells, networks_sha256=own.sha256)


def _modules(config: MethodConfig, given: Container[str]) -> set[str]:
    """Where the code of a method is: its configuration's, that of the class which it names, and what it adds.

    Args:
        given: backbones that modules stand for, so that none is read by its name.
    """
    kinds = {plugins.SAMPLERS: "sampler", plugins.FIRST_PICKS: "first_pick", plugins.SEARCHES: "search"}
    named = {(kind, getattr(member, field, "")) for member in config.members for kind, field in kinds.items()}
    named |= {(plugins.NETWORKS, added_by(m.backbone)) for m in config.members if m.backbone not in given}
    added = {plugins.module(kind, name) for kind, name in named if name in plugins.added(kind)}
    return {type(config).__module__, implementation(config).__module__, *added}


def _weights(
    dataset: ProjectDataset, own: OwnNetworks, networks: Mapping[str, Network], *, download: bool
) -> tuple[dict[str, list[tuple[str, Weights]]], dict[str, str]]:
    """Backbones and weights of each variant of a dataset; and the variants that lack some, with the remedy."""
    given = {**own.modules, **networks}
    looked_up: dict[str, Weights | WeightsMissing] = {name: network_weights(net) for name, net in given.items()}
    found: dict[str, list[tuple[str, Weights]]] = {}
    missing: dict[str, str] = {}
    problems = []
    for variant in dict.fromkeys(v for study in dataset.studies.values() for v in study.variants):
        try:
            for member in dataset.config(variant).members:
                backbone = member.backbone
                if problem := unusable(getattr(member, "search", EXACT[0])):
                    raise InputError(problem)
                if backbone not in networks:
                    own.check(member)
                weights = _look_up(backbone, looked_up, weights=dataset.execution.own_weights, download=download)
                found.setdefault(variant, []).append((backbone, weights))
        except WeightsMissing as error:
            found.pop(variant, None)
            missing[variant] = str(error)
        except InputError as error:
            problems.append(f"variants.{variant}: {one_line(error)}")
    if problems:
        raise InputError(
            f"variants cannot run on {dataset.name}", offenders=problems, remedy="correct them in params.yaml"
        )
    return found, missing


def _look_up(
    backbone: str, looked_up: dict[str, Weights | WeightsMissing], *, weights: str | None, download: bool
) -> Weights:
    """A backbone's weights; looked for once, since a download that fails takes its time."""
    if backbone not in looked_up:
        try:
            looked_up[backbone] = backbone_weights(backbone, weights=weights, download=download)
        except WeightsMissing as error:
            looked_up[backbone] = error
    if isinstance(looked_up[backbone], WeightsMissing):
        raise looked_up[backbone]
    return looked_up[backbone]


def wanted_cells(
    dataset: ProjectDataset, manifest: Manifest, *, available: Mapping[str, object]
) -> dict[tuple[str, str, int | None, int], bool]:
    """(category, variant, shots, seed) of every cell, category by category, and whether to measure its radius.

    Raises:
        InputError: a study names a category that is not there, asks for more nominal images than there are, or gives
            a method fewer than it can do with; or categories cannot be learned together.
    """
    studies = dataset.studies
    problems = [
        f"datasets.{dataset.name}.studies.{name}.categories: {category!r}, but there are "
        + ", ".join(manifest.categories)
        for name, study in studies.items()
        for category in study.chosen(manifest.categories)
        if category not in manifest.categories
    ]
    if problems:
        raise InputError(
            f"studies do not suit {dataset.name}", offenders=problems, remedy="correct them in params.yaml"
        )
    check_shots(dataset, manifest)
    check_together(dataset, manifest, available)
    wanted: dict[tuple[str, str, int | None, int], bool] = {}
    for category in manifest.categories:
        for study in studies.values():
            if category not in study.chosen(manifest.categories):
                continue
            for variant in study.variants:
                if variant not in available:
                    continue
                config = dataset.config(variant)
                for shots in study.shots:
                    # Without anything drawn all seeds would say the same.
                    seeds = study.seeds if config.seeded or shots is not None else study.seeds[:1]
                    for seed in seeds:
                        cell = (category, variant, shots, seed)
                        wanted[cell] = wanted.get(cell, False) or study.covering_radius
    check_numbers(dataset, manifest, wanted)
    return wanted
