"""One project, computed by each engine in each way, with and without kills: every byte must be that of `local`.

    PYTHONPATH=tests:. python -m faults.engines [--whole] [--only NAME ...]

The small project has its own images; with --whole it is the repository with its params.yaml, the demonstration grid,
which takes as long as `make repro` for each of them. Exit code 1 where a byte differs.
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
from functools import partial
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

SEEDS = [0, 1, 2]
POLL = 0.05  # seconds between two looks
AT_WORK = (["ray::RayWorker.compute"], ["ray::RayWorker.take"])  # what Ray calls the process of a worker that computes
KINDS = {
    "raw results": (".cache/cells", "reports/scores"),
    "metrics": ("reports/metrics",),
    "tables": ("reports/tables",),
}


@dataclass(frozen=True)
class Way:
    """How a project is computed.

    Attributes:
        execution: what params.yaml says of it.
        nodes: of a cluster that is started for it; 0: none.
        harm: is done once while it runs; gets the command and the project, and says how many processes it killed.
    """

    execution: Mapping[str, object]
    nodes: int = 0
    harm: Callable[[Command, Path], int] | None = None


def kill_worker(running: Command, root: Path) -> int:
    """SIGKILL the first worker of the project that is seen at work."""
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


def kill_all(running: Command, root: Path) -> int:
    """SIGKILL all that the command has started, as soon as a cell is finished."""
    while not running.ended():
        if any((root / ".cache/cells").glob("[!.]*.safetensors")):
            return running.kill()
        time.sleep(POLL)
    return 0


RAY = {"engine": "ray", "ray": {"workers": 2}}
WAYS = {
    "local": Way({"engine": "local"}),
    "processes": Way({"engine": "processes", "processes": 2}),
    "ray": Way(RAY),
    "ray-2-nodes": Way(RAY, nodes=2),
    "ray-2-nodes-apart": Way({"engine": "ray", "ray": {"workers": 2, "send_results": True}}, nodes=2),
    "ray-worker-killed": Way(RAY, harm=kill_worker),
    "ray-apart-worker-killed": Way({"engine": "ray", "ray": {"workers": 2, "send_results": True}}, 2, kill_worker),
    "ray-driver-killed": Way(RAY, harm=kill_all),
    "ray-2-nodes-driver-killed": Way(RAY, 2, kill_all),
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
        if not name.startswith(("reports/", "dvc.lock")):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, root / name)
    (root / ".dvc/config").write_text(DVC_CONFIG)
    return root


def compute(root: Path, way: Way) -> tuple[int, int]:
    """Compute the project: exit status, and processes that were killed."""
    settings = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    with started(way.nodes, surroundings(root)) if way.nodes else nullcontext() as address:
        execution = dict(way.execution)
        if address:
            execution["ray"] = {**execution["ray"], "address": address}
        settings["execution"] |= execution
        (root / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        cluster = [process.pid for process in psutil.Process().children()]
        told = {"cwd": root, "log": root.with_suffix(".log"), "environment": surroundings(root) | SURROUNDINGS}
        start = partial(Command, REPRO, **told, spared=cluster)
        running, killed = start(), 0
        if way.harm is not None:
            killed = way.harm(running, root)
            if running.ended():
                running.wait()
                running = start()
        return running.wait(), killed


def compare(expected: Mapping[str, str], root: Path, *, maps: bool) -> Outcome:
    """What a project holds beside what `local` gave.

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


def run(folder: Path, names: list[str], *, whole: bool) -> dict[str, Outcome]:
    """Compute the project in each way, and compare."""
    outcomes: dict[str, Outcome] = {}
    bare = make_project(folder / "bare", whole=whole)
    expected: dict[str, str] = {}
    for name in dict.fromkeys(["local", *names]):
        way, root = WAYS[name], Path(shutil.copytree(bare, folder / name, symlinks=True))
        status, killed = compute(root, way)
        expected = expected or digests(root)
        sent = bool(way.execution.get("ray", {}).get("send_results"))
        outcomes[name] = compare(expected, root, maps=not sent)
        outcomes[name].killed = killed
        if status or (way.harm and not killed):
            said = root.with_suffix(".log").read_text(errors="replace")[-2000:]
            outcomes[name].problems.insert(0, f"exit status {status}, {killed} processes killed: {said}")
        line = [f"{same:>5} of {count:>4}" for count, same in outcomes[name].files.values()]
        print(f"{name:<26}{''.join(f'{part:>16}' for part in line)}{killed:>10}", flush=True)
        if not outcomes[name].problems and name != "local":
            shutil.rmtree(root)
    return outcomes


def main() -> None:
    """Command line; exit code 1 where a way gave other bytes than `local`."""
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
    print(f"{'equal to local':<26}{''.join(f'{kind:>16}' for kind in KINDS)}{'killed':>10}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="patchcore-engines-"))
    outcomes = run(folder, given.only, whole=given.whole)
    problems = [f"{name}: {problem}" for name, outcome in outcomes.items() for problem in outcome.problems]
    if problems:
        sys.exit("\n".join([f"ERROR: not as by `local`; the projects are kept in {folder}:", *problems]))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
