"""Kills the pipeline again and again, lets it go on, and compares what it wrote with an undisturbed run.

    PYTHONPATH=tests python -m faults.kills [--kills 100] [--seconds 0] [--seed 0] [--a-life 10]

Each time a stage is chosen, the run goes on until that stage runs, and at a random moment of it everything that the run
has started is ended by SIGKILL: DVC, the stage, its kernel, the processes that compute. A life is a series of kills and
one undisturbed end, after which every file must be as it would be without them.
"""

import argparse
import random
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faults.processes import Command, adopt_orphans
from faults.small_project import STAGES, digests, dvc_outputs, make_small_project, surroundings

KILLS_A_LIFE = 10
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

    def table(self) -> str:
        """The counts, a line each."""
        total = sum(self.kills.values())
        lines = [("kills", total), *((f"  in {stage}", self.kills[stage]) for stage in WEIGHTS)]
        lines += [("processes ended", self.processes), ("moments missed", self.missed), ("lives", self.lives)]
        lines += [("kills that were resumed", self.resumed), ("kills with equal bytes", self.equal)]
        return "\n".join(f"{name:<26}{count:>6}" for name, count in lines)


class Torture:
    """An undisturbed run, and runs that are killed.

    Args:
        folder: for the projects.
        seed: of the moments.
    """

    def __init__(self, folder: Path, *, seed: int = 0) -> None:
        self.counts, self._folder, self._random = Counts(), folder, random.Random(seed)
        self._bare = make_small_project(folder / "bare")
        undisturbed = Path(shutil.copytree(self._bare, folder / "undisturbed", symlinks=True))
        self.seconds: Counter = Counter()  # that each stage took
        status = self._undisturbed(undisturbed)
        if status:
            raise RuntimeError(f"the undisturbed run failed: {self._log(undisturbed).read_text(errors='replace')}")
        self.expected, self.outputs = digests(undisturbed), dvc_outputs(undisturbed)

    def _undisturbed(self, root: Path) -> int:
        """Run everything, and note how long each stage takes."""
        running = self._start(root)
        since = time.monotonic()
        while not running.ended():
            stage = running.stage() or BETWEEN
            now = time.monotonic()
            self._took(stage, now - since)
            since = now
            time.sleep(POLL)
        return running.wait()

    def _took(self, stage: str, seconds: float) -> None:
        self.seconds[stage] += seconds

    def live(self, kills: int) -> None:
        """Kill a fresh run some times, let it end, and compare."""
        root = Path(shutil.copytree(self._bare, self._folder / f"life-{self.counts.lives}", symlinks=True))
        chosen = [*STAGES][:kills] if not self.counts.lives else []  # each once, then by chance
        chosen += self._random.choices(list(WEIGHTS), list(WEIGHTS.values()), k=kills - len(chosen))
        done = sum(self._kill(root, stage) for stage in sorted(chosen, key=list(WEIGHTS).index))
        running = self._start(root)
        status = running.wait()
        self.counts.lives += 1
        problems = [f"exit status {status}"] if status else differences(self.expected, digests(root), self.outputs)
        self.counts.resumed += done * (status == 0)
        self.counts.equal += done * (not problems)
        if problems:
            self.counts.problems += [f"{root}: {problem}" for problem in problems]
        else:
            shutil.rmtree(root)

    def _kill(self, root: Path, stage: str) -> bool:
        """Start a run, and kill it in a stage, or where that has passed, in a later one; whether it still ran then."""
        running, wanted = self._start(root), stage
        while not running.ended() and not _reached(running.stage(), wanted):
            time.sleep(POLL)
        time.sleep(self._random.random() * min(self.seconds[wanted], 60))
        found = running.stage() or BETWEEN
        if running.ended():
            running.wait()
            self.counts.missed += 1
            return False
        self.counts.processes += running.kill()
        self.counts.kills[found] += 1
        return True

    def _start(self, root: Path) -> Command:
        return Command(REPRO, cwd=root, log=self._log(root), environment=surroundings(root))

    def _log(self, root: Path) -> Path:
        return root.with_suffix(".log")


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


def processor_seconds() -> float:
    """Processor time of all processes that have been waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def torture(folder: Path, *, kills: int, seconds: float = 0, seed: int = 0, a_life: int = KILLS_A_LIFE) -> Counts:
    """Kill the pipeline, in lives of some kills each.

    Args:
        kills: how many.
        seconds: of processor time after which no further life begins; 0 for no limit.
    """
    adopt_orphans()
    began, run = processor_seconds(), Torture(folder, seed=seed)
    counts = run.counts
    while (done := sum(counts.kills.values())) < kills:
        run.live(min(a_life, kills - done))
        used = processor_seconds() - began
        print(f"life {counts.lives}: {sum(counts.kills.values())} kills, {used:.0f} s of processor time", flush=True)
        if counts.problems or (seconds and used >= seconds):
            break
    print(counts.table())
    if (done := sum(counts.kills.values())) < kills:
        print(f"{done} of {kills} kills fitted into {seconds:.0f} s of processor time; `make torture` does them all")
    return counts


def main() -> None:
    """Command line; exit code 1 where a run did not end as without kills."""
    parser = argparse.ArgumentParser(prog="python -m faults.kills", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=0, help="of processor time; 0 for no limit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--a-life", type=int, default=KILLS_A_LIFE, help="kills before a run may end")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="patchcore-torture-"))
    counts = torture(folder, kills=given.kills, seconds=given.seconds, seed=given.seed, a_life=given.a_life)
    if counts.problems:
        sys.exit("\n".join(["ERROR: not as without kills; the projects are kept:", *counts.problems]))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
