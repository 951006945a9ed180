"""What `make` and `patchcore bench` run: the targets of the pipeline, step by step."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from patchcore_core.common.errors import InputError
from patchcore_suite.run.surroundings import surroundings

CLONE = ("dvc.yaml", "params.yaml", "notebooks", "benchmarks")  # what only a clone has
STRIP = ("nbstripout", "--extra-keys", "metadata.language_info")
RESULTS = Path(".cache/results")
PEERS = Path(".venv-peers/bin/python")


@dataclass(frozen=True)
class Step:
    """A command, and the folder of the clone in which it runs.

    Attributes:
        command: a module after "-m", for this Python; or else a program of its environment.
        folder: relative to the clone.
    """

    command: tuple[str, ...]
    folder: Path = Path(".")


def module(name: str, *arguments: str, folder: Path = Path(".")) -> Step:
    """A module as a program."""
    return Step(("-m", name, *arguments), folder)


def pipeline(root: Path) -> list[Step]:
    """From images to the report: what params.yaml names is checked, notebooks are stripped, and DVC runs its stages."""
    notebooks = [path.relative_to(root).as_posix() for path in sorted(root.glob("notebooks/*.ipynb"))]
    return [module("patchcore_suite.run.sources"), Step((*STRIP, *notebooks)), Step(("dvc", "repro"))]


def paper(root: Path, settings: Mapping[str, str], *, go: bool) -> list[Step]:
    """The paper's grid: what it takes, or its run."""
    grid = module("patchcore_suite.preflight.grid", "grids/paper.yaml", *_set(settings), *(["--write"] if go else []))
    return [grid, *pipeline(root)] if go else [grid]


def results(root: Path, settings: Mapping[str, str], *, finished: bool = False) -> list[Step]:
    """Real images, measured in a project of their own for measured/ and docs/results.md; or what of it is finished."""
    params = (RESULTS / "params.yaml").as_posix()
    where = ("--to", str(root / "docs/results.md"), "--data", str(root / "measured"))
    return [
        module("patchcore_suite.preflight.grid", "grids/results.yaml", *_set(settings), "--write", params),
        module("patchcore_suite.report.results_page", "--finished" if finished else "--run", *where, folder=RESULTS),
    ]


def compare(file: str, given: Mapping[str, str | None]) -> list[Step]:
    """Results of other code beside ours, in the report."""
    words = options({f"--{name}": value for name, value in given.items()})
    return [module("patchcore_suite.results.compare", file, *words), module("patchcore_suite.report.page")]


def scale(mtd: str) -> list[Step]:
    """Cheaper selections, and a bank that grows, on real tiles."""
    return [module("benchmarks.scale", "--mtd", mtd), module("benchmarks.extend", "--mtd", mtd)]


def times(root: Path, *, mtd: str | None, device: str | None, quick: bool) -> list[Step]:
    """Every part of the method beside the machine's ceilings, and beside a peer where its environment is there."""
    peer = root / PEERS
    given = [
        *(["--mtd", mtd] if mtd else []),
        *(["--device", device] if device else []),
        *(["--quick"] if quick else []),
    ]
    return [module("benchmarks", *given, *(["--peer", str(peer)] if peer.is_file() else []))]


def record(*, device: str | None, as_json: bool, write: bool) -> list[Step]:
    """What this machine makes of a small fixed set of cells, beside what others did; it needs no clone."""
    words = [*options({"--device": device}), *(["--json"] if as_json else []), *(["--write"] if write else [])]
    return [module("patchcore_suite.record.command", *words)]


def options(given: Mapping[str, str | None]) -> list[str]:
    """Words of a command line for the options that have a value."""
    return [word for name, value in given.items() if value is not None for word in (name, value)]


def find_clone(folder: Path) -> Path:
    """The folder, if it is a clone of the project.

    Raises:
        InputError: it is none.
    """
    missing = [name for name in CLONE if not (folder / name).exists()]
    if missing:
        raise InputError(
            f"the pipeline runs in a clone of PatchCore Bench, and {folder} is none: it has no {', '.join(missing)}",
            remedy="change into the folder of your clone; `patchcore fit` and its like run anywhere",
        )
    return folder.resolve()


def check_under_git(root: Path) -> None:
    """Refuse a copy without .git, of which DVC says nothing that helps."""
    done = subprocess.run(["git", "rev-parse", "--git-dir"], cwd=root, capture_output=True)
    settings = [root / ".dvc" / name for name in ("config", "config.local")]
    lines = [line for path in settings if path.is_file() for line in path.read_text(encoding="utf-8").splitlines()]
    if done.returncode != 0 and not any(line.split() == ["no_scm", "=", "true"] for line in lines):
        raise InputError(
            f"DVC expects a Git repository, and {root} is none",
            remedy="git init; or, to do without Git: dvc config --local core.no_scm true",
        )


def run(steps: Sequence[Step], root: Path) -> None:
    """Run one step after the other; where one fails, end with its exit code.

    Raises:
        InputError: a program that a step needs is not installed; nothing was run.
    """
    programs = Path(sys.executable).parent
    # Stages are processes, and half a second of each would go into compiling this project's modules again.
    said = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    path = os.pathsep.join([str(programs), said.get("PATH", "")])  # DVC runs `python`, which must be this one
    variables = said | surroundings(said) | {"PATH": path}
    commands = [_found(step.command, path) for step in steps]
    for step, command in zip(steps, commands, strict=True):
        code = wait_for(command, cwd=root / step.folder, variables=variables)
        if code != 0:
            sys.exit(code if code > 0 else 128 - code)


def wait_for(command: Sequence[str], *, cwd: Path, variables: Mapping[str, str]) -> int:
    """Run a command to its end, and give its exit code; who interrupts or ends this process does so to the command."""
    process = subprocess.Popen(command, cwd=cwd, env=variables)
    # Neither raises here: an exception in the midst of waiting would lose the exit code.
    handlers = {
        signal.SIGTERM: lambda *_: process.terminate(),
        signal.SIGINT: lambda *_: None,  # the terminal told the command, too: it ends in its own way
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        return process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _found(command: Sequence[str], path: str) -> list[str]:
    """A step's command with its program in full."""
    first, *others = command
    if first == "-m":
        return [sys.executable, *command]
    program = shutil.which(first, path=path)
    if program is None:
        raise InputError(
            f"there is no program `{first}` in the environment of {sys.executable}",
            remedy="install the project there: pip install -e . in your clone",
        )
    return [program, *others]


def _set(settings: Mapping[str, str]) -> list[str]:
    return [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
