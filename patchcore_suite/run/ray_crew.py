"""The workers of Ray: who is where, what each does, and what becomes of it when one dies."""

import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import atomic_path
from patchcore_suite.run.cells import Plan
from patchcore_suite.run.groups import Group
from patchcore_suite.run.ray_cluster import Node, pinned
from patchcore_suite.run.ray_worker import ASIDE, Files, RayWorker
from patchcore_suite.run.schedule import Place, Schedule, Task
from patchcore_suite.settings.problems import one_line

LOOK = 0.5  # seconds between two looks at what is finished
STARTS = 3  # of a worker, without one that succeeds
SEEN = 60  # seconds until a file that was written elsewhere shows on a shared file system
TOLD = 60  # seconds without a worker, after which that is said
TIDY = 5  # seconds for the folders of workers that do not see the store


@dataclass(eq=False)
class Slot:
    """Room for a worker on a machine.

    Attributes:
        apart: whether it does not see the store.
        actor: the worker that is there, as Ray knows it.
        idle: whether it waits for work.
        starts: since the last one that succeeded.
        taking: whether it has been asked for what it finished.
    """

    node: Node
    apart: bool
    actor: Any = None
    idle: bool = False
    starts: int = 0
    taking: bool = False


class Crew:
    """The workers, and what they have been asked for.

    Args:
        ray: connected to a cluster.
        schedule: of their work.
        options: what each worker has, in Ray's words.
        looked: called at least twice a second.
    """

    def __init__(
        self, ray: ModuleType, schedule: Schedule, options: Mapping[str, float], looked: Callable[[], None]
    ) -> None:
        self._ray, self._schedule, self._looked = ray, schedule, looked
        self._run, self._work = secrets.token_hex(4), ray.put(schedule.work)
        self._kind = ray.remote(concurrency_groups={ASIDE: 1}, max_restarts=0, **options)(RayWorker)
        self._threads = int(options["num_cpus"])
        self._slots: list[Slot] = []
        self._reasons: list[str] = []  # why slots are no more
        self._beginning: dict[Any, Slot] = {}
        self._working: dict[Any, Slot] = {}
        self._taking: dict[Any, Slot] = {}

    def run(self, slots: Sequence[Slot]) -> None:
        """Hand out all that waits, and take back what is finished.

        Raises:
            InputError: no worker is left.
        """
        self._slots = [*slots]
        told = time.monotonic() + TOLD
        while self._schedule.waiting or self._working or self._taking:
            self._hand_out()
            if time.monotonic() > told and len(self._beginning) == len(self._slots):
                print(f"note: no worker of {len(self._slots)} has begun: is the Ray cluster busy?", file=sys.stderr)
                told = float("inf")
            awaited = [*self._beginning, *self._working, *self._taking]
            done, _ = self._ray.wait(awaited, timeout=LOOK)
            for reference in done:
                self._receive(reference)
            self._looked()

    def dismiss(self) -> None:
        """End all workers, and delete what those kept that do not see the store; another run deletes what is left."""
        with suppress(Exception):  # a cluster that is gone has ended them
            actors = {slot.actor: slot for slot in self._slots if slot.actor is not None}
            last = {slot.node: actor for actor, slot in actors.items() if slot.apart}  # of each machine
            for actor in actors:
                if actor not in last.values():
                    self._ray.kill(actor)
            tidied = [actor.tidy.remote() for actor in last.values()]
            if tidied:
                self._ray.wait(tidied, num_returns=len(tidied), timeout=TIDY)
            for actor in last.values():
                self._ray.kill(actor)

    def _folder(self, slot: Slot) -> str | None:
        return f"{self._run}-{slot.node.id[:8]}" if slot.apart else None

    def _hand_out(self) -> None:
        """Start workers where there is none, give work to those that wait, and ask for what was finished meanwhile."""
        for slot in self._slots:
            if slot.actor is None:
                slot.starts += 1
                there = self._kind.options(scheduling_strategy=pinned(self._ray, slot.node))
                slot.actor = there.remote(self._work, self._threads, self._folder(slot))
                self._beginning[slot.actor.begin.remote()] = slot
            elif slot.idle:
                place = Place(slot.node.id, self._folder(slot) or "the store")
                if (begun := self._schedule.next(place)) is not None:
                    reference = self._asked(slot, begun.task)
                    self._schedule.begin(reference, begun)
                    self._working[reference], slot.idle = slot, False
            elif slot.apart and not slot.taking and slot in self._working.values():
                self._taking[slot.actor.take.remote()], slot.taking = slot, True

    def _asked(self, slot: Slot, task: Task) -> Any:
        if isinstance(task, Group):
            return slot.actor.compute.remote(task)
        return slot.actor.make.remote(task, *self._schedule.asks(task))

    def _receive(self, reference: Any) -> None:
        """Take what a worker answers, or note that it has failed or died."""
        errors = self._ray.exceptions
        try:
            answer, error = self._ray.get(reference), None
        except errors.RayTaskError as failed:
            answer, error = None, failed.cause if isinstance(failed.cause, InputError) else failed
        except errors.RayError as died:
            self._bury(reference, died)
            return
        if (slot := self._taking.pop(reference, None)) is not None:
            slot.taking = False
            if error is not None:
                self._schedule.unexpected.append(error)
            else:
                self._keep(answer)
        elif (slot := self._beginning.pop(reference, None)) is not None:
            slot.idle, slot.starts = error is None, 0
            if error is not None:
                self._leave(slot, one_line(error) if isinstance(error, InputError) else str(error))
        else:
            self._end_work(reference, answer, error)

    def _end_work(self, reference: Any, answer: Any, error: BaseException | None) -> None:
        slot = self._working.pop(reference)
        task = self._schedule.running[reference].task
        if error is not None and slot.apart:
            with suppress(self._ray.exceptions.RayError):  # what it finished before is kept
                self._keep(self._ray.get(slot.actor.take.remote()))
        if isinstance(error, InputError) and (folder := self._folder(slot)) and folder in str(error):
            self._schedule.put_back(reference)  # only this machine cannot do it, for want of room
            self._leave(slot, one_line(error))
            return
        slot.idle = True
        if error is None and isinstance(task, Group):
            self._keep(answer)
            if not slot.apart:
                error = _unseen(task, self._schedule.work, slot.node)
        if error is not None:
            self._schedule.fail(reference, error)
        else:
            self._schedule.finish(reference, None if isinstance(task, Group) else answer)

    def _keep(self, files: Files) -> None:
        """Write what came back into the store."""
        for name, content in files:
            with atomic_path(self._schedule.work.store / name) as temporary:
                temporary.write_bytes(content)

    def _bury(self, reference: Any, died: BaseException) -> None:
        """A worker has died: its work waits again, and another one takes its place."""
        for awaited in (self._taking, self._beginning, self._working):
            if (slot := awaited.pop(reference, None)) is not None:
                break
        if reference in self._schedule.running:
            self._schedule.lose(reference)
        if awaited is self._taking:
            slot.taking = False
            return
        slot.actor, slot.idle = None, False
        if slot.starts >= STARTS:
            self._leave(slot, f"workers die there: {' '.join(str(died).split())[:300]}")

    def _leave(self, slot: Slot, why: str) -> None:
        """Start no more workers in a place.

        Raises:
            InputError: none is left.
        """
        self._slots.remove(slot)
        last = slot.node not in [other.node for other in self._slots]
        if slot.apart and last and slot.actor is not None:
            slot.actor.tidy.remote()
        self._reasons.append(f"{slot.node.name}: {why}")
        if not self._slots:
            raise InputError(
                "no worker of the Ray cluster is left; what was finished is kept",
                offenders=list(dict.fromkeys(self._reasons)),
                remedy="repair these machines, or start others, and run it again",
            )
        if last:
            del self._schedule.free[slot.node.id]


def _unseen(group: Group, work: Plan, node: Node) -> InputError | None:
    """What is wrong where results that a worker wrote do not show here; file systems may take their time."""
    until = time.monotonic() + SEEN
    while not all(work.path(cell).is_file() for cell in group.cells):
        if time.monotonic() > until:
            return InputError(
                f"results that {node.name} wrote do not show in {work.store}",
                remedy="set execution.ray.send_results to true in params.yaml",
            )
        time.sleep(LOOK)
        os.listdir(work.store)  # lets network file systems look again
    return None
