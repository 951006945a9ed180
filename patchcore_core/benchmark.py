"""Cells (dataset x category x variant x seed) become files of raw results; what is there is not computed again."""

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from patchcore_core.backbones import backbone_weights
from patchcore_core.config import PatchCoreConfig
from patchcore_core.datasets.images import Preprocessing
from patchcore_core.datasets.manifest import Manifest
from patchcore_core.errors import InputError
from patchcore_core.features import FEATURE_MODULES, FeatureCache
from patchcore_core.files import sha256_file, sha256_json, write_json
from patchcore_core.params import Params
from patchcore_core.patchcore import PatchCore, describe_maps
from patchcore_core.progress import progress_bar
from patchcore_core.results import RawResult, ScoreIndex
from patchcore_core.stamp import code_fingerprint, commit, machine, peak_memory, versions
from patchcore_core.weights import Weights, WeightsMissing

# The modules whose behaviour raw results depend on, besides those of the feature maps.
RESULT_MODULES = (*FEATURE_MODULES, "benchmark", "patches", "coreset", "neighbours", "scoring", "patchcore")


@dataclass(frozen=True)
class Cell:
    """One variant, with one seed, on one category; `key` is the hash of all that determines its result."""

    category: str
    variant: str
    seed: int
    config: PatchCoreConfig
    weights_origin: str  # where the file was found; no part of the key
    stamp: dict[str, object]

    @property
    def key(self) -> str:
        return sha256_json(self.stamp)

    @property
    def file(self) -> str:
        """Name of the result's file among those of its dataset."""
        return f"{self.category}/{self.variant}/seed-{self.seed}.safetensors"


@dataclass(frozen=True)
class Plan:
    """The cells of a dataset, by category, and the variants that cannot run for want of weights, with the remedy."""

    dataset: str
    manifest: Manifest
    preprocessing: Preprocessing
    cells: tuple[Cell, ...]
    weights_missing: dict[str, str]
    store: Path  # holds KEY.safetensors, the raw result of a cell, and KEY.json, its times

    def pending(self) -> list[Cell]:
        """The cells whose results are not in the store."""
        return [cell for cell in self.cells if not self.path(cell).is_file()]

    def path(self, cell: Cell) -> Path:
        """Where the store keeps a cell's raw result."""
        return self.store / f"{cell.key}.safetensors"


def score_dataset(name: str, params: Params, *, show_progress: bool = True) -> Plan:
    """Compute every raw result of a dataset that is not in the cell store yet; one that is finished is never lost.

    Raises:
        InputError: the dataset is not prepared, its files have changed, or they do not suit a variant.
    """
    device = torch.device(params.execution.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"execution.device={device} in params.yaml, but no GPU can be used here", remedy="set it to cpu"
        )
    work = plan(name, params)
    pending = work.pending()
    cache = FeatureCache(params.path(params.execution.cache_dir) / "features", params.execution)
    with progress_bar(len(work.cells), f"{name}: results", unit="cell", show=show_progress) as bar:
        bar.update(len(work.cells) - len(pending))
        for category, of_category in groupby(pending, key=lambda cell: cell.category):
            work.manifest.check_unchanged(category)
            for _ in _run_category(list(of_category), work, cache, params, show_progress=show_progress):
                bar.update(1)
    return work


def plan(name: str, params: Params) -> Plan:
    """What there is to compute for a dataset.

    Raises:
        InputError: the dataset is not prepared, or a variant names an unknown backbone.
    """
    dataset = params.dataset(name)
    manifest = Manifest.read(params.path(f"data/{name}/manifest.json"), base=params.root)
    code = code_fingerprint(RESULT_MODULES)
    found: dict[str, Weights] = {}
    weights_missing: dict[str, str] = {}
    for variant in dataset.variants:
        try:
            found[variant] = backbone_weights(params.config(name, variant).backbone, weights=params.execution.weights)
        except WeightsMissing as error:
            weights_missing[variant] = str(error)

    cells = []
    for category in manifest.categories:
        for variant, weights in found.items():
            config = params.config(name, variant)
            for seed in dataset.seeds:
                stamp = {
                    "dataset": name,
                    "source": manifest.source,
                    "synthetic": manifest.synthetic,
                    "category": category,
                    "images_sha256": manifest.digest(category),
                    "resize": dataset.preprocessing.resize,
                    "crop": dataset.preprocessing.crop,
                    "variant": variant,
                    "config": config.to_dict(),
                    "seed": seed,
                    "weights": {"backbone": config.backbone, "sha256": weights.sha256},
                    "device": torch.device(params.execution.device).type,
                    "versions": versions(),
                    "code_sha256": code,
                }
                cells.append(Cell(category, variant, seed, config, weights.origin, stamp))
    store = params.path(params.execution.cache_dir) / "cells"
    return Plan(name, manifest, dataset.preprocessing, tuple(cells), weights_missing, store)


def collect(work: Plan, params: Params) -> ScoreIndex:
    """Copy a dataset's results out of the store into reports/scores/NAME, with an index, and their times beside it.

    Raises:
        InputError: a result is not there yet.
    """
    if pending := work.pending():
        raise InputError(
            f"results of {work.dataset} are not computed yet",
            offenders=[cell.file for cell in pending],
            remedy=f"run `dvc repro score@{work.dataset}`",
        )
    folder = params.path(f"reports/scores/{work.dataset}")
    shutil.rmtree(folder, ignore_errors=True)
    described, timings = [], {}
    for cell in work.cells:
        target = folder / cell.file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(work.path(cell), target)
        timing = work.path(cell).with_suffix(".json")
        if timing.is_file():
            timings[cell.file] = json.loads(timing.read_text(encoding="utf-8"))
        described.append(
            {
                "category": cell.category,
                "variant": cell.variant,
                "seed": cell.seed,
                "file": cell.file,
                "sha256": sha256_file(target),
            }
        )
    index = ScoreIndex(
        dataset=work.dataset,
        synthetic=work.manifest.synthetic,
        source=work.manifest.source,
        preprocessing={"resize": work.preprocessing.resize, "crop": work.preprocessing.crop},
        cells=tuple(described),
        weights_missing=tuple({"variant": name, "remedy": text} for name, text in work.weights_missing.items()),
    )
    index.write(folder)
    # Times differ from run to run: no stage of the pipeline depends on this file.
    write_json(params.path(f"reports/timings/{work.dataset}.json"), timings)
    return index


def _run_category(
    cells: Sequence[Cell], work: Plan, cache: FeatureCache, params: Params, *, show_progress: bool
) -> Iterator[Cell]:
    """Compute the results of one category; cells with the same patch features share them."""
    category = cells[0].category
    records = work.manifest.records(category)
    train = torch.tensor([record.split == "train" for record in records])
    size = work.preprocessing.size(work.manifest.entries[category][0].size)
    for _, group in groupby(sorted(cells, key=_description), key=_description):
        alike = list(group)
        config = alike[0].config
        started = time.perf_counter()
        maps = cache.maps(
            records,
            work.manifest.digest(category),
            work.preprocessing,
            backbone=config.backbone,
            weights_sha256=alike[0].stamp["weights"]["sha256"],
            hierarchies=config.hierarchies,
            description=f"{work.dataset}/{category}: {config.backbone}" if show_progress else None,
        )
        features = _patch_features(maps, config, params)
        nominal, test = features[train], features[~train]
        del features
        shared_seconds = time.perf_counter() - started
        for cell in alike:
            _run_cell(cell, nominal, test, size, shared_seconds, params, work.path(cell))
            yield cell


def _description(cell: Cell) -> str:
    """What patch features depend on within a category; cells that agree in it share them."""
    config = cell.config
    return sha256_json(
        [config.backbone, config.hierarchies, config.neighbourhood_size, config.border, config.stride, config.dimension]
    )


def _patch_features(maps: Sequence[np.ndarray], config: PatchCoreConfig, params: Params) -> Tensor:
    """(n, h, w, d) patch features of all images of a category, filled batch by batch."""
    n, step = len(maps[0]), params.execution.batch_size
    features = None
    for start in range(0, n, step):
        batch = [torch.from_numpy(np.array(part[start : start + step])).to(params.execution.device) for part in maps]
        described = describe_maps(batch, config)
        if features is None:
            features = described.new_empty(n, *described.shape[1:])
        features[start : start + step] = described
    return features


def _run_cell(
    cell: Cell,
    nominal: Tensor,
    test: Tensor,
    size: tuple[int, int],
    shared_seconds: float,
    params: Params,
    path: Path,
) -> None:
    started = time.perf_counter()
    model = PatchCore(cell.config, seed=cell.seed, device=params.execution.device).fit_patches(nominal)
    fitted = time.perf_counter()
    prediction = model.predict_patches(test, size)
    predicted = time.perf_counter()
    result = RawResult(
        scores=prediction.scores.cpu().numpy(),
        reweighted_scores=prediction.reweighted_scores.cpu().numpy(),
        distances=prediction.distances.cpu().numpy(),
        indices=prediction.indices.cpu().numpy().astype(np.int32),
        coreset_indices=model.coreset_indices.cpu().numpy().astype(np.int32),
        stamp=cell.stamp | {"memory_bank": list(model.memory_bank.shape), "image_size": list(size)},
    )
    timing = {
        "features_s": round(shared_seconds, 3),  # shared by the cells with the same patch features
        "coreset_s": round(fitted - started, 3),
        "scoring_s": round(predicted - fitted, 3),
        "peak_memory_bytes": peak_memory(),  # of the process so far
        "weights_origin": cell.weights_origin,
        "commit": commit(params.root),
        "machine": machine(),
    }
    write_json(path.with_suffix(".json"), timing)
    result.write(path)
