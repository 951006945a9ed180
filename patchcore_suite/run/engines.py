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
from types import ModuleType
from typing import TYPE_CHECKING

from tqdm import tqdm

from patchcore_core.common.free_memory import free_bytes
from patchcore_suite.run.cells import Plan
from patchcore_suite.run.feature_cache import FeatureCache, MapsOf
from patchcore_suite.run.groups import Group
from patchcore_suite.run.schedule import HERE, Schedule, Shapes, Task
from patchcore_suite.run.worker import Worker

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

LOOK = 0.5  # seconds between two looks at what is finished


def compute_in_processes(
    groups: Sequence[Group], work: Plan, count: int, *, looked: Callable[[], None], show_progress: bool = False
) -> None:
    """Compute groups in `count` processes, each with one thread.

    Feature maps are made before the groups that read them, each once. What runs at once takes less than the free memory
    by estimate. A group that fails does not stop the others; one whose process dies is tried again, with fewer at once.

    Args:
        looked: called whenever files may have been finished, at least twice a second.
        show_progress: of what takes long within a cell, each process in a line of its own below the first one.

    Raises:
        InputError: groups failed; all that is wrong is listed, and what was finished is in the store.
    """
    schedule = Schedule(list(groups), work, free={HERE.machine: min(work.memory, free_bytes())})
    while schedule.waiting:
        with _pool(work, count, show_progress) as pool:
            try:
                _run(schedule, pool, count, looked)
            except BrokenProcessPool:
                for future in list(schedule.running):
                    schedule.lose(future)
                count = max(1, count // 2)
    schedule.raise_problems()


def _run(schedule: Schedule, pool: ProcessPoolExecutor, count: int, looked: Callable[[], None]) -> None:
    """Hand out all that waits, and take back what is finished."""
    while schedule.waiting or schedule.running:
        while len(schedule.running) < count and (begun := schedule.next()) is not None:
            schedule.begin(_submit(begun.task, schedule, pool), begun)
        finished, _ = wait(schedule.running, timeout=LOOK, return_when=FIRST_COMPLETED)
        looked()
        for future in finished:
            if isinstance(error := future.exception(), BrokenProcessPool):
                raise error
            if error is not None:
                schedule.fail(future, error)
            else:
                schedule.finish(future, future.result())


def _submit(task: Task, schedule: Schedule, pool: ProcessPoolExecutor) -> Future:
    """Hand out a group, or maps that one waits for."""
    with _without_main():
        if isinstance(task, Group):
            return pool.submit(_compute, task)
        return pool.submit(_make, task, *schedule.asks(task))


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
    context = multiprocessing.get_context("spawn")  # a fork would inherit locks of threads
    lines = context.Value("i", 0) if show_progress else None
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(work, lines))
    try:
        yield pool
        pool.shutdown()
    finally:
        for process in set(multiprocessing.active_children()) - before:
            process.kill()
        pool.shutdown(wait=False, cancel_futures=True)


# In the processes: what `_begin` has set.
_worker: Worker
_lines_above: list[tqdm]


def _begin(work: Plan, lines: "Synchronized[int] | None") -> None:
    global _worker, _lines_above
    _worker = Worker(work, FeatureCache(work.dataset.project.features, work.dataset.execution, {}))
    _lines_above = [] if lines is None else list(_hold_lines(lines))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who handed out the work ends its processes
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


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


def _make(of: MapsOf, scope: str | None, hierarchies: Sequence[int]) -> Shapes:
    return _worker.make(of, scope, hierarchies)


def _compute(group: Group) -> None:
    for _ in _worker.compute(group, show_progress=bool(_lines_above)):
        pass
