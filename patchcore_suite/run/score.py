"""Cells (dataset x category x variant x shots x seed) become files of raw results; none is computed twice."""

import json
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import sha256_json, write_json
from patchcore_core.common.progress import progress_bar
from patchcore_core.detector import Detector, generator, put_together
from patchcore_core.neighbours import Index
from patchcore_suite.baselines.registry import detector
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.run.cells import Cell, Network, Plan, plan
from patchcore_suite.run.environment import commit, machine, peak_memory
from patchcore_suite.run.feature_cache import FeatureCache, MapsOf
from patchcore_suite.run.raw_results import RawResult, ScoreIndex
from patchcore_suite.settings.project import Project, ProjectDataset

SEARCHED_AT_ONCE = 2**16  # patches, for the covering radius


def score_dataset(
    dataset: ProjectDataset, *, networks: Mapping[str, Network] | None = None, show_progress: bool = True
) -> Plan:
    """Compute every raw result of a dataset that is not in the cell store yet; one that is finished is never lost.

    Args:
        networks: modules that map images in [0, 1] to lists of feature maps, finest first; a variant whose
            `backbone` is one of their names uses it.

    Raises:
        InputError: the dataset is not prepared, its files have changed, or they do not suit a variant.
    """
    device = torch.device(dataset.execution.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"execution.device={device} in params.yaml, but no GPU can be used here", remedy="set it to cpu"
        )
    work = plan(dataset, networks=networks)
    pending = work.pending()
    cache = FeatureCache(dataset.project.cache / "features", dataset.execution, networks or {})
    with progress_bar(len(work.cells), f"{dataset.name}: results", unit="cell", show=show_progress) as bar:
        bar.update(len(work.cells) - len(pending))
        for category, of_category in groupby(pending, key=lambda cell: cell.category):
            work.manifest.check_unchanged(category)
            for _ in _run_category(list(of_category), work, cache, show_progress=show_progress):
                bar.update(1)
    return work


def collect(work: Plan) -> ScoreIndex:
    """Copy a dataset's results out of the store into reports/scores/NAME, with an index, and their times beside it.

    Raises:
        InputError: a result is not there yet.
    """
    if pending := work.pending():
        raise InputError(
            f"results of {work.dataset.name} are not computed yet",
            offenders=[cell.file for cell in pending],
            remedy=f"run `dvc repro score@{work.dataset.name}`",
        )
    folder = work.dataset.scores
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
                "shots": cell.shots,
                "seed": cell.seed,
                "file": cell.file,
                "key": cell.key,
            }
        )
    index = ScoreIndex(
        dataset=work.dataset.name,
        synthetic=work.manifest.synthetic,
        source=work.manifest.source,
        cells=tuple(described),
        weights_missing=tuple({"variant": name, "remedy": text} for name, text in work.weights_missing.items()),
    )
    index.write(folder)
    # Times differ from run to run: no stage of the pipeline depends on this file.
    write_json(work.dataset.timings, timings)
    return index


def shot_rows(nominal: int, shots: int | None, seed: int) -> Tensor:
    """Rows of the nominal training images that a cell learns from, ascending; drawn with its seed.

    The draws of one seed are nested: 5 shots are the 2 shots and three images more, so that curves over shots differ
    by what was added.
    """
    if shots is None:
        return torch.arange(nominal)
    return torch.randperm(nominal, generator=generator(seed, "shots"))[:shots].sort().values


def _run_category(cells: Sequence[Cell], work: Plan, cache: FeatureCache, *, show_progress: bool) -> Iterator[Cell]:
    """Compute the results of one category; cells that describe images alike share the descriptions."""
    category, project = cells[0].category, work.dataset.project
    records = work.manifest.records(category)
    splits = [[row for row, record in enumerate(records) if record.split == split] for split in ("train", "test")]
    hierarchies = _hierarchies(cells)
    for _, group in groupby(sorted(cells, key=_description), key=_description):
        alike = list(group)
        started = time.perf_counter()
        first = alike[0]
        size = first.preprocessing.size(work.manifest.entries[category][0].size)
        nominal: list[Tensor] = []
        test: list[Tensor] = []
        for member, weights in zip(first.config.members, first.stamp["weights"], strict=True):
            maps = cache.maps(
                MapsOf(
                    images_sha256=work.manifest.digest(category),
                    preprocessing=first.preprocessing,
                    backbone=member.backbone,
                    weights_sha256=weights["sha256"],
                ),
                records,
                member.map_hierarchies,
                wanted_later=hierarchies[first.preprocessing, member.backbone],
                description=f"{work.dataset.name}/{category}: {member.backbone}" if show_progress else None,
            )
            model = detector(member, seed=first.seed, device=project.execution.device)
            for described, rows in zip((nominal, test), splits, strict=True):
                described += put_together(
                    _describe(maps, rows, model, project.execution.batch_size),
                    count=len(rows),
                    device=model.device,
                    where=f" of {work.dataset.name}/{category}",
                )
        shared_seconds = time.perf_counter() - started
        for cell in alike:
            rows = shot_rows(len(nominal[0]), cell.shots, cell.seed)
            chosen = nominal if cell.shots is None else [part[rows] for part in nominal]
            _run_cell(cell, chosen, test, size, shared_seconds, project, work.path(cell))
            yield cell


def _hierarchies(cells: Sequence[Cell]) -> dict[tuple[Preprocessing, str], set[int]]:
    """All hierarchies that cells need of a backbone's maps of images that are prepared alike."""
    found: dict[tuple[Preprocessing, str], set[int]] = defaultdict(set)
    for cell in cells:
        for member in cell.config.members:
            found[cell.preprocessing, member.backbone].update(member.map_hierarchies)
    return found


def _description(cell: Cell) -> str:
    """What is kept of images within a category; cells that agree in it share it."""
    return sha256_json([cell.stamp["preprocessing"], [m.description(cell.seed) for m in cell.config.members]])


def _describe(maps: Sequence[np.ndarray], rows: Sequence[int], model: Detector, step: int) -> Iterator[list[Tensor]]:
    """What a method keeps of some images of a category, (n, ...) each, in batches of `step` images."""
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        yield model.describe([torch.from_numpy(part[some]).to(model.device) for part in maps])


def _run_cell(
    cell: Cell,
    nominal: Sequence[Tensor],
    test: Sequence[Tensor],
    size: tuple[int, int],
    shared_seconds: float,
    project: Project,
    path: Path,
) -> None:
    started = time.perf_counter()
    model = detector(cell.config, seed=cell.seed, device=project.execution.device).fit_described(nominal)
    fitted = time.perf_counter()
    prediction = model.predict_described(test, size)
    predicted = time.perf_counter()
    measured = {"image_size": list(size), "nominal_images": len(nominal[0]), "key": cell.key}
    bank, kept = getattr(model, "memory_bank", None), getattr(model, "coreset_indices", None)
    if bank is not None:
        measured["memory_bank"] = list(bank.shape)
    if bank is not None and cell.covering_radius:
        measured["covering_radius"] = _covering_radius(nominal[0].flatten(0, 2), bank, kept)
    result = RawResult(
        scores=prediction.scores.cpu().numpy(),
        distances=_array(prediction.distances, np.float32),
        reweighted_scores=_array(prediction.reweighted_scores, np.float32),
        indices=_array(prediction.indices, np.int32),
        coreset_indices=_array(kept, np.int32),
        stamp=cell.stamp | measured,
    )
    timing = {
        "features_s": round(shared_seconds, 3),  # shared by the cells with the same descriptions
        "coreset_s": round(fitted - started, 3),
        "scoring_s": round(predicted - fitted, 3),
        "peak_memory_bytes": peak_memory(),  # of the process so far
        "weights_origin": cell.weights_origin,
        "commit": commit(project.root),
        "machine": machine(),
    }
    write_json(path.with_suffix(".json"), timing)
    result.write(path)


def _covering_radius(rows: Tensor, bank: Tensor, kept: Tensor | None) -> float:
    """Largest distance from any row (n, d) to the bank; those that it keeps are at none, and need no search."""
    apart = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    if kept is not None:
        apart[kept] = False
    if not apart.any():
        return 0.0
    index = Index(bank)
    return max(float(index.nearest(rows[some])[0].max()) for some in apart.nonzero()[:, 0].split(SEARCHED_AT_ONCE))


def _array(values: Tensor | None, kind: type) -> np.ndarray | None:
    return None if values is None else values.cpu().numpy().astype(kind)
