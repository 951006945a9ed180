"""Groups of cells that describe the images of a category alike: what one process computes in one go."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import sha256_json
from patchcore_core.detector import Detector, Prediction
from patchcore_core.neighbours import Index
from patchcore_core.patches import Rows
from patchcore_suite.baselines.registry import detector
from patchcore_suite.run import streamed
from patchcore_suite.run.cells import Cell, Plan
from patchcore_suite.run.descriptions import Descriptions, Given, Splits
from patchcore_suite.run.environment import commit, machine, peak_memory
from patchcore_suite.run.feature_cache import FeatureCache, MapsOf
from patchcore_suite.run.fixed_order import images_at_once
from patchcore_suite.run.mapped_images import MapsOfCells, mapped_images
from patchcore_suite.run.model_size import model_bytes
from patchcore_suite.run.patch_rows import PatchRows
from patchcore_suite.run.raw_results import RawResult
from patchcore_suite.run.sealed import write_sealed
from patchcore_suite.shards.search import BankInParts

SEARCHED_AT_ONCE = 2**16  # patches, for the covering radius


@dataclass(frozen=True, eq=False)
class Group:
    """Cells of one category, or of all, that share the descriptions of its images.

    Attributes:
        cells: these.
        maps: of each member of their method, the feature maps that it describes.
        hierarchies: of each of those maps, all hierarchies that cells of the category need: they are made in one run
            through the network.
    """

    cells: tuple[Cell, ...]
    maps: tuple[MapsOf, ...]
    hierarchies: tuple[tuple[int, ...], ...]

    @property
    def scope(self) -> str | None:
        """The category that its cells learn; None for all of the dataset."""
        return self.cells[0].scope

    @property
    def place(self) -> str:
        """What messages call what it learns."""
        return self.scope or "all categories"

    def splits(self, work: Plan) -> Splits:
        """Which of the images that there are maps of are nominal training images, and which are tested."""
        records = mapped_images(work.manifest, self.scope, self.maps[0])
        of = ([row for row, record in enumerate(records) if record.split == split] for split in ("train", "test"))
        return Splits(*of)

    def learned(self, cell: Cell, work: Plan) -> list[int]:
        """Which of those training images a cell learns from."""
        images = len(work.manifest.records(self.scope, "train"))
        return cell.learned(self.maps[0].rows if cell.rotations else range(images))

    def tested(self, cell: Cell, work: Plan) -> list[int]:
        """Which of those test images a cell scores: those of its category."""
        records = work.manifest.records(self.scope, "test")
        return [place for place, record in enumerate(records) if record.category == cell.category]


def groups(cells: Sequence[Cell], work: Plan, *, largest: int | None = None) -> list[Group]:
    """Cells in groups, category by category.

    Args:
        largest: cells a group, or models that all categories share; a larger one is divided into equal parts, each with
            some of every variant.
    """
    found = []
    for scope, of_scope in groupby(cells, key=lambda cell: cell.scope):
        pending = list(of_scope)
        maps_of = MapsOfCells(pending, work.manifest, scope)
        needed: dict[MapsOf, set[int]] = defaultdict(set)
        for cell in pending:
            for maps, member in zip(maps_of(cell), cell.config.members, strict=True):
                needed[maps].update(member.map_hierarchies)
        alike = [list(cells) for _, cells in groupby(sorted(pending, key=_description), key=_description)]
        for together in sorted(alike, key=len, reverse=True):  # the longest first: the last ones are short
            maps = maps_of(together[0])
            hierarchies = tuple(tuple(sorted(needed[of])) for of in maps)
            models = _models(together)
            parts = 1 if largest is None else -(-len(models) // largest)
            found += [
                Group(tuple(cell for model in models[part::parts] for cell in model), maps, hierarchies)
                for part in range(parts)
            ]
    return found


def _models(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells by the model that they are tested with: one each, or those of all categories that learn together."""
    found: dict[tuple[object, ...], list[Cell]] = {}
    for cell in cells:
        found.setdefault((cell.scope, cell.variant, cell.shots, cell.seed), []).append(cell)
    return list(found.values())


def compute(group: Group, work: Plan, cache: FeatureCache, *, show_progress: bool = False) -> Iterator[Cell]:
    """Compute the results of a group, and write each into the store as soon as it is there.

    Args:
        show_progress: of feature maps, and of each memory bank whose selection takes long.

    Raises:
        InputError: memory ran out, or what the parts of the work raise.
    """
    with _shortage_told(group):
        yield from _compute(group, work, cache, show_progress=show_progress)


def _compute(group: Group, work: Plan, cache: FeatureCache, *, show_progress: bool) -> Iterator[Cell]:
    started = time.perf_counter()
    first, where = group.cells[0], f"{work.dataset.name}/{group.place}"
    maps = [
        cache.maps(
            of,
            mapped_images(work.manifest, group.scope, of),
            member.map_hierarchies,
            wanted_later=together,
            description=f"{where}: {member.backbone}" if show_progress else None,
        )
        for member, of, together in zip(first.config.members, group.maps, group.hierarchies, strict=True)
    ]
    execution, size = work.dataset.execution, _size(first, work)
    models = [detector(member, seed=first.seed, device=execution.device) for member in first.config.members]
    splits, step = group.splits(work), images_at_once(execution, size)
    descriptions = Descriptions(models, maps, splits, step=step, where=f" of {where}", budget=work.memory)
    made = {"commit": commit(work.dataset.project.root), "machine": machine()}
    took = time.perf_counter() - started
    # Cells that hold no descriptions come first, while there are none.
    for cells in sorted(_models(group.cells), key=lambda cells: descriptions.makes_anew(cells[0]), reverse=True):
        started, cell = time.perf_counter(), cells[0]
        nominal = descriptions.nominal(cell, group.learned(cell, work))
        tests = [descriptions.test(cell, group.tested(cell, work)) for cell in cells]
        took += time.perf_counter() - started
        budget = work.memory if descriptions.lies_on_disk(cell) else None
        made |= {"features_s": round(took, 3)}
        _run_model(cells, nominal, tests, work, made, budget=budget, show_progress=show_progress)
        yield from cells


@contextmanager
def _shortage_told(group: Group) -> Iterator[None]:
    """Raise InputError where memory runs out in the midst of work, whichever library finds that."""
    try:
        yield
    except (MemoryError, OSError, RuntimeError) as error:
        # Of torch's allocators that of the CPU has no error of its own.
        short = isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)
        if not short:
            raise
        raise InputError(
            f"memory ran out while {group.cells[0].variant} was computed on {group.place}",
            remedy="use smaller images or a machine with more memory; what was finished is kept",
        ) from None


def _description(cell: Cell) -> str:
    """What is kept of images within a category; cells that agree in it share it."""
    members = [member.description(cell.seed) for member in cell.config.members]
    return sha256_json([cell.stamp["preprocessing"], cell.rotations, members])


def _run_model(
    cells: Sequence[Cell],
    nominal: Given,
    tests: Sequence[Given],
    work: Plan,
    made: Mapping[str, object],
    *,
    budget: float | None,
    show_progress: bool,
) -> None:
    """Fit a method to nominal images, and write what it says of the test images of each cell."""
    started, first = time.perf_counter(), cells[0]
    device = work.dataset.execution.device
    model = detector(first.config, seed=first.seed, device=device, progress=show_progress)
    with _fitted(model, nominal, tests, work, budget) as model:
        made = {**made, "coreset_s": round(time.perf_counter() - started, 3)}
        made["model_bytes"] = model_bytes(model)  # what the fitted method keeps, beside its network
        images = nominal.grid[0] if isinstance(nominal, PatchRows) else len(nominal[0])
        measured: dict[str, object] = {"nominal_images": images}
        bank, kept = getattr(model, "memory_bank", None), getattr(model, "coreset_indices", None)
        if bank is not None:
            measured["memory_bank"] = list(bank.shape)
        if bank is not None and any(cell.covering_radius for cell in cells):
            rows = nominal if isinstance(nominal, PatchRows) else nominal[0].flatten(0, 2)
            measured["covering_radius"] = _covering_radius(rows, bank, kept)
        for cell, test in zip(cells, tests, strict=True):
            started, size = time.perf_counter(), _size(cell, work)
            prediction = _predict(model, test, size)
            made["scoring_s"] = round(time.perf_counter() - started, 3)
            _write_result(cell, prediction, kept, measured | {"image_size": list(size), "key": cell.key}, made, work)


def _write_result(
    cell: Cell,
    prediction: Prediction,
    kept: Tensor | None,
    measured: Mapping[str, object],
    made: Mapping[str, object],
    work: Plan,
) -> None:
    result = RawResult(
        scores=prediction.scores.cpu().numpy(),
        distances=_array(prediction.distances, np.float32),
        reweighted_scores=_array(prediction.reweighted_scores, np.float32),
        indices=_array(prediction.indices, np.int32),
        coreset_indices=_array(kept, np.int32),
        stamp=cell.stamp | measured,
    )
    timing = {
        **made,
        "key": cell.key,
        "peak_memory_bytes": peak_memory(),  # of the process so far
        "weights_origin": cell.weights_origin,
    }
    path = work.path(cell)
    write_sealed(path.with_suffix(".json"), timing)
    result.write(path)


def _size(cell: Cell, work: Plan) -> tuple[int, int]:
    """(H, W) that the images of a cell are brought to."""
    return cell.preprocessing.size(work.manifest.entries[cell.category][0].size)


@contextmanager
def _fitted(
    model: Detector, nominal: Given, tests: Sequence[Given], work: Plan, budget: float | None
) -> Iterator[Detector]:
    """A method fitted to nominal images, in memory, or within a budget."""
    if budget is not None:
        folder, images = work.dataset.project.rows, max(test.grid[0] for test in tests)
        with streamed.fitted(model, nominal, test=images, folder=folder, budget=budget) as found:
            yield found
        return
    if isinstance(nominal, PatchRows):
        model.fit_rows(nominal)
    else:
        model.fit_described(nominal)
    yield model


def _predict(model: Detector, test: Given, size: tuple[int, int]) -> Prediction:
    """Score test images of `size` (H, W); results keep distances, so that anomaly maps may be missing."""
    return model.predict_rows(test, test.grid) if isinstance(test, PatchRows) else model.predict_described(test, size)


def _covering_radius(rows: Rows, bank: Tensor | BankInParts, kept: Tensor | None) -> float:
    """Largest distance from any row (n, d) to the bank; those that it keeps are at none, and need no search."""
    apart = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    if kept is not None:
        apart[kept] = False
    if not apart.any():
        return 0.0
    index = Index(bank) if isinstance(bank, Tensor) else bank
    return max(float(index.nearest(rows[some])[0].max()) for some in apart.nonzero()[:, 0].split(SEARCHED_AT_ONCE))


def _array(values: Tensor | None, kind: type) -> np.ndarray | None:
    return None if values is None else values.cpu().numpy().astype(kind)
