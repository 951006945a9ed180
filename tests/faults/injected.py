"""Faults of files and of the machine, each injected once, and how the stages that meet it end.

PYTHONPATH=tests python -m faults.injected
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
import yaml
from faults.kills import differences
from faults.small_project import NAME, digests, make_small_project
from faults.stages import ORDER, Ended, run_stage, run_stages

RECOMPUTED, REFUSED, SKIPPED = "recomputed, equal bytes", "refused in words", "skipped"
FAILED = "NOT AS PROMISED"
RESULTS = f"reports/scores/{NAME}/bolt/*/seed-0.safetensors"


@dataclass(frozen=True)
class Fault:
    """Something to be harmed.

    Attributes:
        name: of what is harmed, for people.
        pattern: which files these are; the first is harmed, the second is copied over it.
        stages: that run then, until one fails.
        wanted: how they are to end.
        lost: files that are missing too, so that what is harmed is asked for.
    """

    name: str
    pattern: str
    stages: tuple[str, ...]
    wanted: str
    lost: tuple[str, ...] = ()


STORE = ".cache/cells/*.safetensors"
FAULTS = (
    Fault("a cell of the store", STORE, ("score",), RECOMPUTED),
    Fault("the time of a cell", ".cache/cells/*.json", ("score",), RECOMPUTED),
    Fault("feature maps", ".cache/features/*.npy", ("score",), RECOMPUTED, lost=(STORE, ".cache/cells/*.json")),
    Fault("a raw result", RESULTS, ("evaluate",), RECOMPUTED),
    Fault("a raw result without the store", RESULTS, ("evaluate",), REFUSED, lost=(STORE,)),
    Fault("the index of raw results", f"reports/scores/{NAME}/index.json", ("evaluate",), REFUSED),
    Fault("the times in the report", f"reports/timings/{NAME}.json", ("report",), RECOMPUTED),
    Fault("the manifest", f"data/{NAME}/manifest.json", ("score",), REFUSED),
    Fault("metrics", f"reports/metrics/{NAME}.csv", ("dataset_results",), REFUSED),
    Fault("intervals", f"reports/metrics/{NAME}_intervals.csv", ("dataset_results",), REFUSED),
    Fault("a section", "reports/sections/*.json", ("report",), REFUSED),
    Fault("a table", "reports/tables/*.csv", ("report",), REFUSED),
    Fault("a figure", "reports/figures/*.png", ("report",), REFUSED),
    Fault("the record of drawn images", f"data/{NAME}/synthetic.json", ("data",), RECOMPUTED),
)


def flipped(path: Path) -> None:
    """Change one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncated(path: Path) -> None:
    """Keep the first two thirds."""
    os.truncate(path, path.stat().st_size * 2 // 3)


def exchanged(path: Path) -> None:
    """Put another file of its suffix here, the nearest one that holds something else."""
    for folder in path.parents:
        for other in sorted(folder.rglob(f"*{path.suffix}")):
            if other.read_bytes() != path.read_bytes():
                shutil.copyfile(other, path)
                return


HARMS = {"one bit flipped": flipped, "cut off": truncated, "another in its place": exchanged}


class Bench:
    """An undisturbed project, and copies of it that are harmed.

    Args:
        folder: for the projects.
    """

    def __init__(self, folder: Path) -> None:
        torch.set_num_threads(1)
        self.folder, self.number = folder, 0
        self._whole = {source: self._made(source) for source in ("images", "synthetic")}

    def _made(self, source: str) -> Path:
        root = make_small_project(self.folder / source, engine="local", source=source)
        ended = run_stages(root, ("data",) if source == "synthetic" else ORDER)
        if ended.status:
            raise RuntimeError(f"the undisturbed run failed:\n{ended.said}")
        return root

    def copy(self, source: str = "images") -> Path:
        """A copy of the undisturbed project, without its code: stages run that of this process."""
        self.number += 1
        code = shutil.ignore_patterns("patchcore_*")
        return Path(shutil.copytree(self._whole[source], self.folder / f"copy-{self.number}", ignore=code))

    def large(self) -> Path:
        """A project of images whose descriptions take 67 MiB, with the feature maps (30 MiB) that they are made of."""
        root = self.copy()
        values = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
        values["datasets"][NAME] |= {"resize": [1024, 1024], "variants": ["patchcore-10"], "seeds": [0]}
        (root / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
        ended = run_stage(root, "score")
        if ended.status:
            raise RuntimeError(f"the undisturbed run failed:\n{ended.said}")
        return root

    def inject(self, fault: Fault, harm: Callable[[Path], None]) -> tuple[str, str]:
        """Harm a copy and run its stages: how it ended, and what was wrong about that."""
        root = self.copy("synthetic" if fault.pattern.endswith("synthetic.json") else "images")
        whole = self._whole["synthetic" if fault.pattern.endswith("synthetic.json") else "images"]
        for pattern in fault.lost:
            for path in root.glob(pattern):
                path.unlink()
        target = sorted(root.glob(fault.pattern))[0]
        harm(target)
        ended = run_stages(root, fault.stages)
        problem = _refusal_problem(ended) if ended.status else _recomputed_problem(ended, whole, root)
        how = REFUSED if ended.status else RECOMPUTED
        if not problem and how != fault.wanted:
            problem = f"it was {how}, not {fault.wanted}"
        shutil.rmtree(root)
        return (FAILED, f"{problem}\n{ended.said}") if problem else (how, "")


def _refusal_problem(ended: Ended) -> str:
    """What is wrong with how a stage failed: it should be one message that names a remedy, and exit code 1."""
    if ended.status != 1 or "Traceback" in ended.said:
        return f"a traceback or exit status {ended.status}"
    errors = ended.said.count("ERROR:")
    if errors != 1 or ended.said.count("Remedy:") != 1:
        return f"{errors} errors with {ended.said.count('Remedy:')} remedies"
    return ""


def _recomputed_problem(ended: Ended, whole: Path, root: Path) -> str:
    """What is wrong with what stages wrote: every byte should be as it was, and something said."""
    changed = differences(digests(whole), digests(root))
    if changed:
        return "; ".join(changed)
    lines = [line for line in ended.said.splitlines() if any(word in line for word in TOLD)]
    return "" if len(lines) == 1 else f"{len(lines)} lines say so"


TOLD = ("again", "is lost", "left out")  # words of which each line has one that tells of damage


def machine_faults(bench: Bench) -> Iterator[tuple[str, str, str]]:
    """Faults of the machine: what is missing, how it ended, and what was wrong about that."""
    for name, limit, needed in (
        ("a full disk (limit of files)", _small_files, (".cache", "reports/scores")),
        ("too little memory for feature maps", _memory_of(16), (".cache/cells", "reports/scores")),
        ("too little memory for descriptions", _memory_of(64), (".cache/cells", "reports/scores")),
    ):
        root = bench.large() if "memory" in name else bench.copy()
        for folder in needed:
            shutil.rmtree(root / folder)
        yield name, *_judged(run_stage(root, "score", limit=limit))
    for name, folder, options in (
        ("a full disk: .cache", ".cache", "size=64k"),
        ("a full disk: reports", "reports/scores", "size=16k"),
        ("a read-only folder: .cache", ".cache", "ro"),
        ("a read-only folder: reports", "reports/scores", "ro"),
    ):
        root = bench.copy()
        shutil.rmtree(root / folder)
        (root / folder).mkdir()
        mounted = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(root / folder)]
        if os.geteuid() or subprocess.run(mounted, capture_output=True).returncode:
            yield name, SKIPPED, "a file system cannot be mounted here"
            continue
        try:
            yield name, *_judged(run_stage(root, "score"))
        finally:
            subprocess.run(["umount", str(root / folder)], check=True)


def _judged(ended: Ended) -> tuple[str, str]:
    problem = _refusal_problem(ended) if ended.status else "it went on as if nothing were amiss"
    return (FAILED, f"{problem}\n{ended.said}") if problem else (REFUSED, "")


def _small_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


def _memory_of(mebibytes: int) -> Callable[[], None]:
    """Leave a process so much memory beyond what it has."""

    def limit() -> None:
        most = psutil.Process().memory_info().vms + mebibytes * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))

    return limit


def inject_all(folder: Path) -> list[tuple[str, str, str]]:
    """Inject every fault once: what was harmed and how, how it ended, and what was wrong about that."""
    bench, found = Bench(folder), []
    for fault in FAULTS:
        for how, harm in HARMS.items():
            found.append((f"{fault.name}: {how}", *bench.inject(fault, harm)))
    return found + list(machine_faults(bench))


def table(found: list[tuple[str, str, str]]) -> str:
    """How many faults ended in which way; each skipped one and each that did not end as promised by name."""
    counts = Counter(how for _, how, _ in found)
    lines = [f"{how:<26}{counts[how]:>6}" for how in (RECOMPUTED, REFUSED, SKIPPED, FAILED)]
    lines += [f"{how}: {name}: {why}" for name, how, why in found if how in (SKIPPED, FAILED)]
    return "\n".join([f"{'faults injected':<26}{len(found):>6}", *lines])


def main() -> None:
    """Inject all faults and print counts; exit code 1 where one did not end as promised."""
    with tempfile.TemporaryDirectory(prefix="patchcore-faults-") as folder:
        found = inject_all(Path(folder))
    print(table(found))
    sys.exit(any(how == FAILED for _, how, _ in found))


if __name__ == "__main__":
    main()
