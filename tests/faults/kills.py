"""Kills the pipeline again and again, lets it go on, and compares what it wrote with an undisturbed run.

    PYTHONPATH=tests python -m faults.kills [--kills 100] [--seed 0] [--a-life 13] [--at-once 2]

Each time a stage is chosen, the run goes on until that stage runs, and at a random moment of it everything that the run
has started is ended by SIGKILL: DVC, the stage, its kernel, the processes that compute. A life is a series of kills and
one undisturbed end, after which every file must be as it would be without them. Several lives run at once.
"""

import argparse
import multiprocessing
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from multiprocessing.connection import Connection, wait
from pathlib import Path

from faults.processes import Command, adopt_orphans, end_with_parent
from faults.small_project import STAGES, digests, dvc_outputs, make_small_project, surroundings

from patchcore_suite.run.leftovers import free_dvc

KILLS_A_LIFE, AT_ONCE = 13, 2
POLL = 0.1  # seconds between two looks at which stage runs
BETWEEN = "between stages"  # DVC itself runs
WEIGHTS = {BETWEEN: 1, "data": 1, "score": 4, "evaluate": 2, "dataset_results": 3, "report": 2}
REPRO = ("dvc", "repro")


@dataclass
class Counts:
    """What became of all kills."""

    kills: Counter = field(default_factory=Counter)  # by stage
    processes: int = 0  # that were ended in all
    missed: int = 0  # moments at which nothing ran any more
    lives: int = 0
    resumed: int = 0  # kills after which the pipeline ran to its end
    equal: int = 0  # kills after which every byte was as without them
    problems: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Counts") -> "Counts":
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))
        return self

    def table(self) -> str:
        """The counts, a line each."""
        total = sum(self.kills.values())
        lines = [("kills", total), *((f"  in {stage}", self.kills[stage]) for stage in WEIGHTS)]
        lines += [("processes ended", self.processes), ("moments missed", self.missed), ("lives", self.lives)]
        lines += [("kills that were resumed", self.resumed), ("kills with equal bytes", self.equal)]
        return "\n".join(f"{name:<26}{count:>6}" for name, count in lines)


def start(root: Path) -> Command:
    """Begin, or go on with, a run of everything, as `make repro` does."""
    free_dvc(root)
    return Command(REPRO, cwd=root, log=log_of(root), environment=surroundings(root))


def log_of(root: Path) -> Path:
    """What the runs of a project say."""
    return root.with_suffix(".log")


class Undisturbed:
    """A project that nothing has run in, and what a run of it without kills takes and writes.

    Args:
        folder: for the projects.

    Attributes:
        seconds: that each stage took.
        expected, outputs: digests of all files, and which of them are DVC's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.bare = folder, make_small_project(folder / "bare")
        root = Path(shutil.copytree(self.bare, folder / "undisturbed", symlinks=True))
        self.seconds: Counter = Counter()
        status = self._run(root)
        if status:
            raise RuntimeError(f"the undisturbed run failed: {log_of(root).read_text(errors='replace')}")
        self.expected, self.outputs = digests(root), dvc_outputs(root)

    def _run(self, root: Path) -> int:
        """Run everything, and note how long each stage takes."""
        with start(root) as running:
            since = time.monotonic()
            while not running.ended():
                stage = running.stage() or BETWEEN
                now = time.monotonic()
                self.seconds[stage] += now - since
                since = now
                time.sleep(POLL)
            return running.wait()


class Life:
    """A fresh run that is killed some times, and then ends.

    Args:
        undisturbed: what it is compared with.
        number: of this life, which draws its moments with `seed`.
    """

    def __init__(self, undisturbed: Undisturbed, number: int, *, seed: int = 0) -> None:
        self._undisturbed, self._number = undisturbed, number
        self._random, self.counts = random.Random(f"{seed} {number}"), Counts(lives=1)
        self._root = Path(shutil.copytree(undisturbed.bare, undisturbed.folder / f"life-{number}", symlinks=True))

    def live(self, kills: int) -> Counts:
        """Kill the run so often, let it end, and compare."""
        chosen = [*STAGES][:kills] if not self._number else []  # each once, then by chance
        chosen += self._random.choices(list(WEIGHTS), list(WEIGHTS.values()), k=kills - len(chosen))
        done = sum(self._kill(stage) for stage in sorted(chosen, key=list(WEIGHTS).index))
        with start(self._root) as running:
            status = running.wait()
        found = digests(self._root)
        problems = (
            [f"exit status {status}"]
            if status
            else differences(self._undisturbed.expected, found, self._undisturbed.outputs)
        )
        self.counts.resumed += done * (status == 0)
        self.counts.equal += done * (not problems)
        self.counts.problems += [f"{self._root}: {problem}" for problem in problems]
        if not problems:
            shutil.rmtree(self._root)
        return self.counts

    def _kill(self, wanted: str) -> bool:
        """Kill the run in a stage, or where that has passed, in a later one; whether it still ran then."""
        with start(self._root) as running:
            while not running.ended() and not _reached(running.stage(), wanted):
                time.sleep(POLL)
            time.sleep(self._random.random() * min(self._undisturbed.seconds[wanted], 60))
            found = running.stage() or BETWEEN
            if running.ended():
                running.wait()
                self.counts.missed += 1
                return False
            self.counts.processes += running.kill()
            self.counts.kills[found] += 1
            return True


def _reached(running: str | None, wanted: str) -> bool:
    if wanted == BETWEEN:
        return True
    return running in STAGES and STAGES.index(running) >= STAGES.index(wanted)


def differences(expected: dict[str, str], found: dict[str, str], outputs: Sequence[str] | set[str] = ()) -> list[str]:
    """What differs between two runs, a line a file; outputs of DVC are named as such."""
    lines = []
    for name in sorted(expected.keys() | found.keys()):
        kind = "an output of DVC" if name in outputs else "a file"
        if name not in found:
            lines.append(f"{name}: {kind} that is missing")
        elif name not in expected:
            lines.append(f"{name}: a file that an undisturbed run does not write")
        elif expected[name] != found[name]:
            lines.append(f"{name}: {kind} with other bytes")
    return lines


def torture(folder: Path, *, kills: int, seed: int = 0, a_life: int = KILLS_A_LIFE, at_once: int = AT_ONCE) -> Counts:
    """Kill the pipeline, in lives of some kills each, until there were enough or a life did not end as it should.

    Args:
        at_once: lives that run at the same time, each in a process of its own: whatever that starts is this life's.
    """
    adopt_orphans()
    undisturbed, counts = Undisturbed(folder), Counts()
    running: dict[Connection, int] = {}  # the kills that a life still may make
    processes = []
    try:
        while True:
            while not counts.problems and len(running) < at_once:
                left = kills - sum(counts.kills.values()) - sum(running.values())
                if not left:
                    break
                process, end = _begin(undisturbed, len(processes), kills=min(a_life, left), seed=seed)
                processes.append(process)
                running[end] = min(a_life, left)
            if not running:
                return counts
            for end in wait(list(running)):
                running.pop(end)
                try:
                    counts += end.recv()
                except EOFError:
                    raise RuntimeError("a life ended without a word; its own error stands above") from None
                print(f"life {counts.lives}: {sum(counts.kills.values())} kills", flush=True)
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _begin(
    undisturbed: Undisturbed, number: int, *, kills: int, seed: int
) -> tuple[multiprocessing.Process, Connection]:
    """Begin a life in a process of its own; it sends its counts."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_live, args=(undisturbed, number, kills, seed, theirs))
    process.start()
    theirs.close()
    return process, ours


def _live(undisturbed: Undisturbed, number: int, kills: int, seed: int, end: Connection) -> None:
    end_with_parent()
    adopt_orphans()
    end.send(Life(undisturbed, number, seed=seed).live(kills))


def _stop(number: int, _: object) -> None:
    sys.exit(128 + number)


def main() -> None:
    """Command line; exit code 1 where a run did not end as without kills."""
    parser = argparse.ArgumentParser(prog="python -m faults.kills", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--a-life", type=int, default=KILLS_A_LIFE, help="kills before a run may end")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="lives at the same time")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)  # so that it ends as it does on Ctrl-C: with all that it has started
    folder = Path(tempfile.mkdtemp(prefix="patchcore-torture-"))
    try:
        counts = torture(folder, kills=given.kills, seed=given.seed, a_life=given.a_life, at_once=given.at_once)
    except (KeyboardInterrupt, SystemExit):
        shutil.rmtree(folder, ignore_errors=True)
        raise
    print(counts.table())
    if counts.problems:
        sys.exit("\n".join(["ERROR: not as without kills; the projects are kept:", *counts.problems]))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
