"""Cells (dataset x category x variant x shots x seed) become files of raw results; none is computed twice."""

import shutil
import sys
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import NoReturn

import torch
from tqdm import tqdm

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import atomic_path, write_json
from patchcore_core.common.free_memory import free_bytes
from patchcore_core.common.progress import progress_bar
from patchcore_suite.run.asked_metrics import check_asked
from patchcore_suite.run.cells import Cell, Plan, plan
from patchcore_suite.run.engines import compute_in_processes
from patchcore_suite.run.feature_cache import FeatureCache
from patchcore_suite.run.fixed_order import one_thread
from patchcore_suite.run.groups import compute, groups
from patchcore_suite.run.kept_memory import ROOMY, give_back
from patchcore_suite.run.leftovers import remove_leftovers
from patchcore_suite.run.own_networks import Network, project_networks
from patchcore_suite.run.raw_results import ScoreIndex
from patchcore_suite.run.ray_cluster import check_installed
from patchcore_suite.run.ray_engine import compute_on_ray
from patchcore_suite.run.room import check_room, memory_budget, processes_with_room
from patchcore_suite.run.sealed import read_sealed, sealed
from patchcore_suite.settings.execution import Execution
from patchcore_suite.settings.project import ProjectDataset
from patchcore_suite.shards.room import PREFIX

CELLS_A_GROUP = 6  # where several processes share the work


def score_dataset(
    dataset: ProjectDataset, *, networks: Mapping[str, Network] | None = None, show_progress: bool = True
) -> Plan:
    """Compute every raw result of a dataset that is not in the cell store yet; one that is finished is never lost.

    Args:
        networks: modules that map images in [0, 1] to lists of feature maps, finest first; a variant whose
            `backbone` is one of their names uses it, as those of the file that `execution.networks` names.

    Raises:
        InputError: the dataset is not prepared, its files have changed, they do not suit a variant or a metric that is
            asked for, or there is no room for what would be computed.
    """
    device = torch.device(dataset.execution.device)
    engine = "local" if networks else dataset.execution.engine  # these are in this process alone
    if engine == "ray":
        check_installed()
    elif device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"execution.device={device} in params.yaml, but no GPU can be used here", remedy="set it to cpu"
        )
    work = plan(dataset, networks=networks)
    check_asked(dataset, work.manifest)
    own = {**project_networks(dataset.project, expected=work.networks_sha256).modules, **(networks or {})}
    remove_leftovers(work.store, ".*")
    remove_leftovers(dataset.project.rows, f"{PREFIX}*")
    pending = work.pending()
    work, count = _arranged(pending, work, engine, own=own)
    with progress_bar(len(work.cells), f"{dataset.name}: results", unit="cell", show=show_progress) as bar:
        bar.update(len(work.cells) - len(pending))
        if engine == "ray" or count > 1:
            _compute_at_once(pending, work, None if engine == "ray" else count, bar)
        else:
            cache = FeatureCache(dataset.project.features, dataset.execution, own)
            with one_thread(dataset.execution):
                _compute_here(pending, work, cache, bar)
    return work


def _arranged(pending: Sequence[Cell], work: Plan, engine: str, *, own: Container[str]) -> tuple[Plan, int]:
    """The plan with the memory that it may take, and how many processes of this machine compute it; `check_room`."""
    execution = work.dataset.execution
    if execution.device != "cpu":
        return work, 1
    work = replace(work, memory=memory_budget(execution))
    if engine == "ray":
        return work, 1
    of, count = groups(pending, work), 1
    if engine == "processes" and (most := min(_processes(execution), len(pending))) > 1:
        count = processes_with_room(of, work, most)
    check_room(of, work, own=own)
    free = min(work.memory, free_bytes())
    work = replace(work, memory=free if count > 1 else work.memory, keeps=free >= count * ROOMY)
    if not work.keeps:
        give_back(from_now_on=True)
    return work, count


def _processes(execution: Execution) -> int:
    """How many processes compute at once: one for each thread that there would be, unless params.yaml says another."""
    return execution.processes or torch.get_num_threads()


def _compute_here(pending: Sequence[Cell], work: Plan, cache: FeatureCache, bar: "tqdm[NoReturn]") -> None:
    """Compute cells in this process, one after the other."""
    for scope, of_scope in groupby(groups(pending, work), key=lambda group: group.scope):
        for category in work.manifest.categories if scope is None else [scope]:
            work.manifest.check_unchanged(category)
        for group in of_scope:
            for _ in compute(group, work, cache, show_progress=not bar.disable):
                bar.update(1)


def _compute_at_once(pending: Sequence[Cell], work: Plan, count: int | None, bar: "tqdm[NoReturn]") -> None:
    """Compute cells in `count` processes, or None: by Ray; the bar counts the results that lie in the store."""
    missing = {cell.key: cell for cell in pending}

    def count_finished() -> None:
        finished = [key for key, cell in missing.items() if work.path(cell).is_file()]
        for key in finished:
            del missing[key]
        bar.update(len(finished))

    together = groups(pending, work, largest=CELLS_A_GROUP)
    if count is None:
        if together:
            compute_on_ray(together, work, looked=count_finished)
    else:
        for category in work.read_by(pending):
            work.manifest.check_unchanged(category)
        shown = not bar.disable
        compute_in_processes(together, work, min(count, len(together)), looked=count_finished, show_progress=shown)
    count_finished()


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
        with atomic_path(folder / cell.file) as temporary:
            shutil.copyfile(work.path(cell), temporary)
        if timing := _timing(work.path(cell).with_suffix(".json"), cell):
            timings[cell.file] = sealed(timing)
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


def _timing(path: Path, cell: Cell) -> dict[str, object] | None:
    """How long a cell took; None, with a word, where that is lost."""
    try:
        timing = read_sealed(path)
        if timing.get("key") == cell.key:
            return timing
        problem = "it is of something else"
    except (OSError, ValueError) as error:
        problem = str(error)
    print(f"how long {cell.file} took is lost: {path}: {problem}", file=sys.stderr)
    return None
