"""A worker of Ray: computes groups of cells on whatever machine it was put."""

import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import writing
from patchcore_suite.run.cells import Plan
from patchcore_suite.run.feature_cache import FeatureCache, MapsOf
from patchcore_suite.run.groups import Group
from patchcore_suite.run.leftovers import locked
from patchcore_suite.run.node_check import APART
from patchcore_suite.run.schedule import Shapes
from patchcore_suite.run.worker import Worker
from patchcore_suite.settings.project import Project

Files = list[tuple[str, bytes]]  # names in the store, and what the files hold
ASIDE = "aside"  # the thread of a worker that answers while another one computes


def aside(method: Callable) -> Callable:
    """Let a method of a worker be answered while another one computes.

    It notes what `ray.method` does, where Ray may be absent. Who is connected from outside of a cluster may not name
    the thread with each call.
    """
    method.__ray_concurrency_group__ = ASIDE
    return method


class RayWorker:
    """A process of Ray's that computes, and sends back what it finished if it does not see the store.

    Args:
        work: what its groups are of.
        threads: that it may have.
        apart: the name of a folder for results and feature maps, which workers of one machine share; None for a
            worker that sees the store.
    """

    def __init__(self, work: Plan, threads: int, apart: str | None) -> None:
        self._finished: deque[Path] = deque()
        self._work, self._threads, self._apart = work, threads, apart
        self._held = ExitStack()  # as long as the process lives

    def begin(self) -> None:
        """Get ready; errors of this, unlike those of `__init__`, reach who asked.

        Raises:
            InputError: the GPU that it is for cannot be used, or there is no room for the folder.
        """
        execution = self._work.dataset.execution
        if torch.device(execution.device).type == "cuda" and not torch.cuda.is_available():
            raise InputError(
                "execution.device=cuda in params.yaml, but a worker can use no GPU",
                remedy="install a driver and a build of torch with CUDA there",
            )
        if self._apart is not None:
            folder = _folder(self._apart)
            with writing(folder):
                folder.mkdir(exist_ok=True, mode=0o700)
                self._held.enter_context(locked(folder, shared=True))
            self._work = _moved(self._work, folder)
        cache = FeatureCache(self._work.dataset.project.features, execution, {})
        self._worker = Worker(self._work, cache, self._threads)

    def make(self, of: MapsOf, scope: str | None, hierarchies: Sequence[int]) -> Shapes:
        """Make feature maps."""
        return self._worker.make(of, scope, hierarchies)

    def compute(self, group: Group) -> Files:
        """Compute a group; files that nobody has taken."""
        for cell in self._worker.compute(group):
            if self._apart is not None:
                result = self._work.path(cell)
                self._finished += [result.with_suffix(".json"), result]  # in the order in which they are written
        return self.take()

    @aside
    def take(self) -> Files:
        """Files of cells that are finished, once; asked for while a group is being computed."""
        taken = []
        while self._finished:
            path = self._finished.popleft()
            taken.append((path.name, path.read_bytes()))
            path.unlink()
        return taken

    @aside
    def tidy(self) -> None:
        """Delete what this worker, and others of its machine, kept apart."""
        if self._apart is not None:
            shutil.rmtree(_folder(self._apart), ignore_errors=True)


def _moved(work: Plan, folder: Path) -> Plan:
    """A plan of which all that is kept lies in a folder."""
    params = work.dataset.project.params
    project = Project(replace(params, execution=replace(params.execution, cache_dir=str(folder))))
    return replace(work, dataset=replace(work.dataset, project=project), store=project.cells)


def _folder(name: str) -> Path:
    return Path(tempfile.gettempdir()) / f"{APART}{name}"
