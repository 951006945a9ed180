"""One project, computed by each engine in each way, with and without kills: every byte must be that of `local`.

    PYTHONPATH=tests:. python -m faults.engines [--whole] [--only NAME ...]

The small project has its own images; with --whole it is the repository with its params.yaml, the demonstration grid,
which takes as long as `make repro` for each of them. Its tables and metrics must be those of the repository, and
raw results those of the first way that is named. Exit code 1 where a byte differs.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psutil
import yaml
from faults.kills import REPRO, differences
from faults.processes import Command, adopt_orphans
from faults.small_project import DVC_CONFIG, NAME, digests, make_small_project, surroundings
from ray_machines import SURROUNDINGS, started
from toy_folders import mvtec_folder
from whole_project import ROOT

from patchcore_core.common.files import sha256_file
from patchcore_suite.run.leftovers import free_dvc

SEEDS = [0, 1, 2]
BEFORE_HARM = {"small": 1, "whole": 100}  # finished cells
POLL = 0.05  # seconds between two looks
AT_WORK = (["ray::RayWorker.compute"], ["ray::RayWorker.take"])  # what Ray calls the process of a worker that computes
KINDS = {
    "raw results": (".cache/cells", "reports/scores"),
    "metrics": ("reports/metrics",),
    "tables": ("reports/tables", "reports/plots"),
}


@dataclass(frozen=True)
class Way:
    """How a project is computed.

    Attributes:
        execution: what params.yaml says of it.
        nodes: of a cluster that is started for it; 0: none.
        harms: are done one after the other while it runs; each gets the command, the project, and how many cells are
            finished before it, and says how many processes it killed.
        outside: whether it reaches the cluster as a client from outside, by ray://HOST:PORT.
    """

    execution: Mapping[str, object]
    nodes: int = 0
    harms: tuple[Callable[[Command, Path, int], int], ...] = ()
    outside: bool = False


def kill_worker(running: Command, root: Path, finished: int) -> int:
    """SIGKILL the first worker of the project that is seen at work once so many cells are finished."""
    wait_for_cells(running, root, finished)
    while not running.ended():
        for process in psutil.process_iter():
            try:
                if process.cmdline()[:1] in AT_WORK and process.environ().get("PYTHONPATH") == str(root):
                    process.kill()
                    return 1
            except psutil.Error:
                continue
        time.sleep(POLL)
    return 0


def kill_all(running: Command, root: Path, finished: int) -> int:
    """SIGKILL all that the command has started, as soon as so many cells are finished."""
    wait_for_cells(running, root, finished)
    return 0 if running.ended() else running.kill()


def wait_for_cells(running: Command, root: Path, count: int) -> None:
    """Wait until so many cells are in the store, or the command has ended."""
    while not running.ended() and len([*(root / ".cache/cells").glob("[!.]*.safetensors")]) < count:
        time.sleep(POLL)


RAY = {"engine": "ray", "ray": {"workers": 2}}
RAY_APART = {"engine": "ray", "ray": {"workers": 2, "send_results": True}}
WAYS = {
    "local": Way({"engine": "local"}),
    "processes": Way({"engine": "processes", "processes": 2}),
    "ray": Way(RAY),
    "ray-2-nodes": Way(RAY, nodes=2),
    "ray-2-nodes-apart": Way(RAY_APART, nodes=2),
    "ray-from-outside": Way(RAY, nodes=2, outside=True),
    "ray-from-outside-apart": Way(RAY_APART, nodes=2, outside=True),
    "ray-worker-killed": Way(RAY, harms=(kill_worker,)),
    "ray-apart-worker-killed": Way(RAY_APART, 2, (kill_worker,)),
    "ray-driver-killed": Way(RAY, harms=(kill_all,)),
    "ray-2-nodes-driver-killed": Way(RAY, 2, (kill_all,)),
    "ray-2-nodes-both-killed": Way(RAY, 2, (kill_worker, kill_all)),
}


@dataclass
class Outcome:
    """What a way gave: files of each kind, those with the bytes of `local`, processes killed, and what is wrong."""

    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    killed: int = 0
    problems: list[str] = field(default_factory=list)


def make_project(root: Path, *, whole: bool) -> Path:
    """The project that is computed, with one thread a process."""
    if not whole:
        make_small_project(root)
        mvtec_folder(root / "images", "nut")
        settings = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
        settings["datasets"][NAME]["seeds"] = SEEDS
        (root / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        return root
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        # Metrics stay, as in a clone: those that differ by rounding alone leave their file.
        if name.startswith(KINDS["metrics"]) or not name.startswith(("reports/", "dvc.lock")):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, root / name)
    (root / ".dvc/config").write_text(DVC_CONFIG)
    return root


def compute(root: Path, way: Way, *, before_harm: int) -> tuple[int, int]:
    """Compute the project: exit status, and processes that were killed once so many cells were finished."""
    settings = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    cluster = started(way.nodes, surroundings(root), outside=way.outside) if way.nodes else nullcontext()
    with cluster as address:
        execution = dict(way.execution)
        if address:
            execution["ray"] = {**execution["ray"], "address": address}
        settings["execution"] |= execution
        (root / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        machines = [process.pid for process in psutil.Process().children()]
        told = {"cwd": root, "log": root.with_suffix(".log"), "environment": surroundings(root) | SURROUNDINGS}

        def start() -> Command:
            free_dvc(root)
            return Command(REPRO, **told, spared=machines)

        running, killed = start(), 0
        for number, harm in enumerate(way.harms, 1):
            killed += harm(running, root, number * before_harm)
            if running.ended():
                running.wait()
                running = start()
        return running.wait(), killed


def compare(expected: Mapping[str, str], root: Path, *, maps: bool) -> Outcome:
    """What a project holds beside what is expected.

    Args:
        maps: whether feature maps lie in its own cache.
    """
    found = digests(root)
    pairs = [
        {name: sha for name, sha in files.items() if maps or not name.startswith(".cache/features/")}
        for files in (expected, found)
    ]
    outcome = Outcome(problems=differences(*pairs))
    for kind, folders in KINDS.items():
        names = [name for name in expected if name.startswith(folders) and expected[name]]
        outcome.files[kind] = len(names), sum(found.get(name) == expected[name] for name in names)
    return outcome


def committed() -> dict[str, str]:
    """SHA-256 of the tables, metrics and points of charts in the repository, which the whole project gives, by path."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", *KINDS["tables"], *KINDS["metrics"]],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name: sha256_file(ROOT / name) for name in listed.stdout.splitlines()}


def run(folder: Path, names: list[str], *, whole: bool) -> dict[str, Outcome]:
    """Compute the project in each way, and compare with the first one, and the whole project with the repository."""
    outcomes: dict[str, Outcome] = {}
    bare = make_project(folder / "bare", whole=whole)
    given, before_harm = (committed(), BEFORE_HARM["whole"]) if whole else ({}, BEFORE_HARM["small"])
    expected: dict[str, str] = {}
    for name in names:
        way, root = WAYS[name], Path(shutil.copytree(bare, folder / name, symlinks=True))
        status, killed = compute(root, way, before_harm=before_harm)
        expected = expected or digests(root) | given
        sent = bool(way.execution.get("ray", {}).get("send_results"))
        outcomes[name] = compare(expected, root, maps=not sent)
        outcomes[name].killed = killed
        if status or killed < len(way.harms):
            said = root.with_suffix(".log").read_text(errors="replace")[-2000:]
            outcomes[name].problems.insert(0, f"exit status {status}, {killed} processes killed: {said}")
        line = [f"{same:>5} of {count:>4}" for count, same in outcomes[name].files.values()]
        print(f"{name:<26}{''.join(f'{part:>16}' for part in line)}{killed:>10}", flush=True)
        if not outcomes[name].problems and name != names[0]:
            shutil.rmtree(root)
    return outcomes


def main() -> None:
    """Command line; exit code 1 where a way gave other bytes."""
    parser = argparse.ArgumentParser(prog="python -m faults.engines", description=__doc__.splitlines()[0])
    parser.add_argument("--whole", action="store_true", help="the demonstration grid")
    parser.add_argument(
        "--only", nargs="+", choices=list(WAYS), default=list(WAYS), metavar="NAME", help=", ".join(WAYS)
    )
    given = parser.parse_args()
    if find_spec("ray") is None:
        given.only = [name for name in given.only if not name.startswith("ray")]
        print("Ray is not installed: its ways are left out")
    adopt_orphans()
    print(f"{'equal':<26}{''.join(f'{kind:>16}' for kind in KINDS)}{'killed':>10}", flush=True)
    names = given.only if given.whole else ["local", *(name for name in given.only if name != "local")]
    folder = Path(tempfile.mkdtemp(prefix="patchcore-engines-"))
    outcomes = run(folder, names, whole=given.whole)
    problems = [f"{name}: {problem}" for name, outcome in outcomes.items() for problem in outcome.problems]
    if problems:
        sys.exit("\n".join([f"ERROR: other bytes; the projects are kept in {folder}:", *problems]))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
