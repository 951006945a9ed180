"""Which group of cells a worker begins next, and what became of the others; who the workers are is the engine's."""

import tempfile
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import FULL
from patchcore_suite.baselines.costs import Shape
from patchcore_suite.baselines.work import RESTING_BYTES
from patchcore_suite.run.cells import Plan
from patchcore_suite.run.feature_cache import MapsOf
from patchcore_suite.run.groups import Group
from patchcore_suite.run.room import group_bytes, making
from patchcore_suite.settings.problems import one_line

PAGE = 4096  # bytes, of which no file on a disk has fewer
TRIES = 2  # of a group whose worker died

Task = Group | MapsOf
Shapes = dict[int, Shape]  # (c, h, w) of feature maps, by hierarchy


class Place(NamedTuple):
    """Where a worker computes: the machine whose memory it shares, and the store of feature maps that it reads."""

    machine: str
    maps: str


HERE = Place("here", "here")


class Begun(NamedTuple):
    """What a worker does, the memory that it takes, in bytes, and where."""

    task: Task
    needed: float
    place: Place


@dataclass
class Schedule:
    """What waits, what runs, and what became of it.

    Attributes:
        waiting: groups, the first one first.
        work: what they are of.
        free: bytes of each machine, before anything ran.
        tries: of a group whose worker died.
        made: shapes of the feature maps that are there, by their store.
        running: by what the engine knows it by.
        most: workers that ran at once, of each machine; they rest there, and hold their libraries.
        died: workers that each task has lost.
        problems: of groups that are left out, with their categories.
        unexpected: errors that are nothing a user gave.
        not_begun: cells that were left when the disk of the store was full.
    """

    waiting: list[Group]
    work: Plan
    free: dict[str, float]
    tries: int = TRIES
    made: dict[tuple[str, MapsOf], Shapes] = field(default_factory=dict)
    running: dict[Hashable, Begun] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)
    died: dict[Task, int] = field(default_factory=dict)
    problems: list[tuple[str, InputError]] = field(default_factory=list)
    unexpected: list[BaseException] = field(default_factory=list)
    not_begun: int = 0

    def next(self, place: Place = HERE) -> Begun | None:
        """What a worker can begin: the first group whose maps are made, else the first maps that a group waits for.

        Maps that nobody has made or makes go first, so that workers with stores of their own take different ones.
        None where there is nothing, or no room beside what runs; what has room nowhere runs alone, where most is free.
        """
        beside = [begun.needed for begun in self.running.values() if begun.place.machine == place.machine]
        resting = max(0, self.most.get(place.machine, 0) - len(beside) - 1)  # one of them begins
        room = self.free[place.machine] - sum(beside) - RESTING_BYTES * resting
        alone = not beside and self.free[place.machine] == max(self.free.values())
        for group in self.waiting:
            if all((place.maps, of) in self.made for of in group.maps):
                needed = self._bytes(group, place)
                if needed <= room or alone:
                    return Begun(group, needed, place)
        there = [*self.made, *((begun.place.maps, begun.task) for begun in self.running.values())]
        wanted = [of for group in self.waiting for of in group.maps if (place.maps, of) not in there]
        if wanted:
            of = min(wanted, key=lambda of: sum(other == of for _, other in there))
            needed = max(making(group, self.work) for group in self.waiting if of in group.maps)
            if needed <= room or alone:
                return Begun(of, needed, place)
        return None

    def begin(self, handle: Hashable, begun: Begun) -> None:
        """A worker has begun a task, which the engine knows by its handle."""
        if isinstance(begun.task, Group):
            self.waiting.remove(begun.task)
        self.running[handle] = begun
        there = sum(other.place.machine == begun.place.machine for other in self.running.values())
        self.most[begun.place.machine] = max(there, self.most.get(begun.place.machine, 0))

    def asks(self, of: MapsOf) -> tuple[str | None, Sequence[int]]:
        """Scope and hierarchies of feature maps that a group waits for."""
        group = next(group for group in self.waiting if of in group.maps)
        return group.scope, group.hierarchies[group.maps.index(of)]

    def finish(self, handle: Hashable, made: Shapes | None) -> None:
        """A worker has done what it began; the shapes are those of the maps, if it was maps."""
        begun = self.running.pop(handle)
        if made is not None:
            self.made[begun.place.maps, begun.task] = made

    def fail(self, handle: Hashable, error: BaseException) -> None:
        """What a worker began cannot be done."""
        self.give_up(self.running.pop(handle).task, error)

    def put_back(self, handle: Hashable) -> None:
        """What was begun waits again, as if it had not been."""
        task = self.running.pop(handle).task
        if isinstance(task, Group):
            self.waiting.insert(0, task)

    def give_up(self, task: Task, error: BaseException) -> None:
        """Leave out a group, or all that wait for maps, and remember why; of a full disk, all that has not begun."""
        lost = [task] if isinstance(task, Group) else [group for group in self.waiting if task in group.maps]
        self.waiting = [group for group in self.waiting if group not in lost]
        if isinstance(error, InputError):
            self.problems += [(group.place, error) for group in lost]
            if _full(self.work.store):
                self.not_begun += sum(len(group.cells) for group in self.waiting)
                self.waiting = []
        else:
            self.unexpected.append(error)

    def lose(self, handle: Hashable) -> None:
        """A worker has died: what it did waits again, unless that has been tried often enough."""
        task = self.running[handle].task
        self.put_back(handle)
        self.died[task] = self.died.get(task, 0) + 1
        if self.died[task] >= self.tries:
            died = f"{_described(task)}: the process that computed it died, most often for want of memory"
            self.give_up(task, InputError(died, remedy="use smaller images or a machine with more memory"))

    def raise_problems(self) -> None:
        """Say what was left out.

        Raises:
            InputError: groups failed; all that is wrong is listed, and what was finished is in the store.
        """
        if self.unexpected:
            raise self.unexpected[0]
        if self.problems:
            others = f"{self.not_begun} were not begun; what was finished is kept"
            raise InputError(
                f"cells of {self.work.dataset.name} failed; "
                + (others if self.not_begun else "all others are finished and kept"),
                offenders=list(dict.fromkeys(f"{category}: {one_line(error)}" for category, error in self.problems)),
                remedy="correct that, and run it again: what was finished is not computed again",
            )

    def _bytes(self, group: Group, place: Place) -> float:
        maps = [
            [self.made[place.maps, of][j] for j in member.map_hierarchies]
            for member, of in zip(group.cells[0].config.members, group.maps, strict=True)
        ]
        return group_bytes(group, self.work, maps)


def _full(folder: Path) -> bool:
    """Whether a disk has no room for anything, so that nothing could be kept of whatever were computed."""
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    try:
        with tempfile.TemporaryFile(dir=there, buffering=0) as file:
            return file.write(bytes(PAGE)) < PAGE
    except OSError as error:
        return error.errno in FULL


def _described(task: Task) -> str:
    if isinstance(task, Group):
        return ", ".join(dict.fromkeys(cell.variant for cell in task.cells))
    return f"feature maps of {task.backbone}"
