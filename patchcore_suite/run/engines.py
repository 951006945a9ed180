"""Groups of cells in several processes at once; raw results do not depend on who computes them."""

import io
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING

import cv2
import faiss
import torch
from tqdm import tqdm

from patchcore_core.common.errors import InputError
from patchcore_core.common.free_memory import free_bytes
from patchcore_suite.baselines.costs import Shape
from patchcore_suite.baselines.work import BASE_BYTES
from patchcore_suite.run.cells import Plan
from patchcore_suite.run.feature_cache import FeatureCache, MapsOf
from patchcore_suite.run.groups import Group, compute
from patchcore_suite.run.room import group_bytes
from patchcore_suite.settings.problems import one_line

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

TRIES = 2  # of a group whose process died
LOOK = 0.5  # seconds between two looks at what is finished

Task = Group | MapsOf


def compute_in_processes(
    groups: Sequence[Group], work: Plan, count: int, *, looked: Callable[[], None], show_progress: bool = False
) -> None:
    """Compute groups in `count` processes, each with an equal share of the threads.

    Feature maps are made before the groups that read them, each once. What runs at once takes less than the free memory
    by estimate. A group that fails does not stop the others; one whose process dies is tried again, with fewer at once.

    Args:
        looked: called whenever files may have been finished, at least twice a second.
        show_progress: of what takes long within a cell, each process in a line of its own below the first one.

    Raises:
        InputError: groups failed; all that is wrong is listed, and what was finished is in the store.
    """
    schedule = _Schedule(list(groups), work, free=free_bytes())
    while schedule.waiting:
        with _pool(work, count, show_progress) as pool:
            try:
                _run(schedule, pool, count, looked)
            except BrokenProcessPool:
                schedule.give_back()
                count = max(1, count // 2)
    if schedule.unexpected:
        raise schedule.unexpected[0]
    if schedule.problems:
        raise InputError(
            f"cells of {work.dataset.name} failed; all others are finished and kept",
            offenders=list(dict.fromkeys(f"{category}: {one_line(error)}" for category, error in schedule.problems)),
            remedy="correct that, and run it again: what was finished is not computed again",
        )


@dataclass
class _Schedule:
    """What waits, what runs, and what became of it."""

    waiting: list[Group]
    work: Plan
    free: float  # bytes, before anything ran
    made: dict[MapsOf, dict[int, Shape]] = field(default_factory=dict)  # shapes (c, h, w) of maps, by hierarchy
    running: dict[Future, tuple[Task, float]] = field(default_factory=dict)  # and the bytes that it takes
    tries: dict[Task, int] = field(default_factory=dict)
    problems: list[tuple[str, InputError]] = field(default_factory=list)  # with their categories
    unexpected: list[BaseException] = field(default_factory=list)

    def next(self) -> tuple[Task, float] | None:
        """What can begin now: the first group whose maps are made, else the first maps that a group waits for.

        None where there is nothing, or no room beside what runs.
        """
        room = self.free - sum(needed for _, needed in self.running.values())
        begun = {task for task, _ in self.running.values()}
        for group in self.waiting:
            if all(of in self.made for of in group.maps):
                needed = self._bytes(group)
                if needed <= room or not self.running:
                    return group, needed
        if room >= BASE_BYTES or not self.running:
            for of in (of for group in self.waiting for of in group.maps):
                if of not in self.made and of not in begun:
                    return of, BASE_BYTES
        return None

    def _bytes(self, group: Group) -> float:
        maps = [
            [self.made[of][j] for j in member.map_hierarchies]
            for member, of in zip(group.cells[0].config.members, group.maps, strict=True)
        ]
        return group_bytes(group, self.work, maps)

    def give_up(self, task: Task, error: BaseException) -> None:
        """Leave out a group, or all that wait for maps, and remember why."""
        lost = [task] if isinstance(task, Group) else [group for group in self.waiting if task in group.maps]
        self.waiting = [group for group in self.waiting if group not in lost]
        if isinstance(error, InputError):
            self.problems += [(group.category, error) for group in lost]
        else:
            self.unexpected.append(error)

    def give_back(self) -> None:
        """Processes have died: what ran waits again, but for what has been tried often enough."""
        for task, _ in self.running.values():
            if isinstance(task, Group):
                self.waiting.insert(0, task)
            self.tries[task] = self.tries.get(task, 0) + 1
            if self.tries[task] >= TRIES:
                died = f"{_described(task)}: the process that computed it died, most often for want of memory"
                self.give_up(task, InputError(died, remedy="use smaller images or a machine with more memory"))
        self.running.clear()


def _run(schedule: _Schedule, pool: ProcessPoolExecutor, count: int, looked: Callable[[], None]) -> None:
    """Hand out all that waits, and take back what is finished."""
    while schedule.waiting or schedule.running:
        while len(schedule.running) < count and (found := schedule.next()) is not None:
            task, needed = found
            schedule.running[_submit(task, schedule, pool)] = task, needed
        finished, _ = wait(schedule.running, timeout=LOOK, return_when=FIRST_COMPLETED)
        looked()
        for future in finished:
            if isinstance(error := future.exception(), BrokenProcessPool):
                raise error
            task, _ = schedule.running.pop(future)
            if error is not None:
                schedule.give_up(task, error)
            elif isinstance(task, MapsOf):
                schedule.made[task] = future.result()


def _submit(task: Task, schedule: _Schedule, pool: ProcessPoolExecutor) -> Future:
    """Hand out a group, or maps that one waits for."""
    with _without_main():
        if isinstance(task, Group):
            schedule.waiting.remove(task)
            return pool.submit(_compute, task)
        group = next(group for group in schedule.waiting if task in group.maps)
        return pool.submit(_make, task, group.category, group.hierarchies[group.maps.index(task)])


def _described(task: Task) -> str:
    if isinstance(task, Group):
        return ", ".join(dict.fromkeys(cell.variant for cell in task.cells))
    return f"feature maps of {task.backbone}"


@contextmanager
def _without_main() -> Iterator[None]:
    """Let processes that start now not run the caller's script again, as they would to find its functions."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _pool(work: Plan, count: int, show_progress: bool) -> Iterator[ProcessPoolExecutor]:
    """Processes that end with the block, at once where it is left by an error or an interrupt."""
    before = set(multiprocessing.active_children())
    threads = max(1, torch.get_num_threads() // count)
    context = multiprocessing.get_context("spawn")  # a fork would inherit locks of threads
    lines = context.Value("i", 0) if show_progress else None
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(work, threads, lines))
    try:
        yield pool
        pool.shutdown()
    finally:
        for process in set(multiprocessing.active_children()) - before:
            process.kill()
        pool.shutdown(wait=False, cancel_futures=True)


# In the processes: what `_begin` has set.
_work: Plan
_cache: FeatureCache
_lines_above: list[tqdm]


def _begin(work: Plan, threads: int, lines: "Synchronized[int] | None") -> None:
    global _work, _cache, _lines_above
    _work, _cache = work, FeatureCache(work.dataset.project.features, work.dataset.execution, {})
    _lines_above = [] if lines is None else list(_hold_lines(lines))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who handed out the work ends its processes
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    cv2.setNumThreads(threads)


def _end_with(parent: int) -> None:
    """A parent that is killed cannot end its processes: they look for it."""
    while os.getppid() == parent:
        time.sleep(LOOK)
    os._exit(1)


def _hold_lines(lines: "Synchronized[int]") -> Iterator[tqdm]:
    """Bars that show nothing, and keep those of this process off the lines of the bar of all cells and of others."""
    with lines.get_lock():
        lines.value += 1
        mine = lines.value
    for _ in range(mine):
        yield tqdm(file=io.StringIO())


def _make(of: MapsOf, category: str, hierarchies: Sequence[int]) -> dict[int, Shape]:
    """Make feature maps, and say of which shapes (c, h, w) they are."""
    with _whole_errors():
        maps = _cache.maps(of, _work.manifest.records(category), hierarchies, description=None)
    return {j: tuple(array.shape[1:]) for j, array in zip(hierarchies, maps, strict=True)}


def _compute(group: Group) -> None:
    with _whole_errors():
        for _ in compute(group, _work, _cache, show_progress=bool(_lines_above)):
            pass


@contextmanager
def _whole_errors() -> Iterator[None]:
    """Errors reach the other process as `InputError`: not every kind of them can be pickled."""
    try:
        yield
    except InputError as error:
        raise InputError(error.problem, offenders=error.offenders, remedy=error.remedy) from None
