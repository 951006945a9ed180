"""What a process that computes groups for another one works with, whichever engine started it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cv2
import faiss
import torch

from patchcore_core.common.errors import InputError
from patchcore_suite.run.cells import Cell, Plan
from patchcore_suite.run.feature_cache import FeatureCache, MapsOf
from patchcore_suite.run.fixed_order import take_one_thread
from patchcore_suite.run.groups import Group, compute
from patchcore_suite.run.kept_memory import give_back, rest
from patchcore_suite.run.mapped_images import mapped_images
from patchcore_suite.run.own_networks import project_networks
from patchcore_suite.run.schedule import Shapes


class Worker:
    """A process that computes.

    Args:
        work: what its groups are of; results go to its store.
        cache: of feature maps.
        threads: that it may have beside a GPU; on a CPU it has one.
    """

    def __init__(self, work: Plan, cache: FeatureCache, threads: int = 1) -> None:
        self._work, self._cache = work, cache
        if not work.keeps:
            give_back(from_now_on=True)
        if cache.execution.device == "cpu":
            take_one_thread()
        else:
            torch.set_num_threads(threads)
            faiss.omp_set_num_threads(threads)
            cv2.setNumThreads(threads)

    def make(self, of: MapsOf, scope: str | None, hierarchies: Sequence[int]) -> Shapes:
        """Make feature maps, and say of which shapes they are."""
        with self._working():
            images = mapped_images(self._work.manifest, scope, of)
            maps = self._cache.maps(of, images, hierarchies, description=None)
        rest()
        return {j: tuple(array.shape[1:]) for j, array in zip(hierarchies, maps, strict=True)}

    def compute(self, group: Group, *, show_progress: bool = False) -> Iterator[Cell]:
        """Compute a group; each cell once its result is in the store."""
        with self._working():
            yield from compute(group, self._work, self._cache, show_progress=show_progress)
        rest()

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Own networks come from the same file as where the work was planned; they do not travel."""
        with _whole_errors():
            project, sha256 = self._work.dataset.project, self._work.networks_sha256
            self._cache.networks = project_networks(project, expected=sha256).modules
            yield


@contextmanager
def _whole_errors() -> Iterator[None]:
    """Errors reach the other process as `InputError`: not every kind of them can be pickled."""
    try:
        yield
    except InputError as error:
        raise InputError(error.problem, offenders=error.offenders, remedy=error.remedy) from None
