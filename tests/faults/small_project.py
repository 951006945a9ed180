"""A project of one dataset of tiny images, all of whose stages DVC runs within seconds, and what it writes."""

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from toy_folders import mvtec_folder
from whole_project import ROOT

NAME = "toy"
STAGES = ("data", "score", "evaluate", "dataset_results", "report")
COPIED = ("patchcore_core", "patchcore_suite", "notebooks")
VARIANTS = ("patchcore-10", "random-1", "padim")
# What tells of one run and one machine, and differs between two undisturbed runs: times, and the page that shows them.
OF_A_RUN = ("reports/timings/", "reports/*.html", ".cache/cells/*.json", ".cache/dvc/*", ".dvc/*")
TEMPORARY = "temporary"  # folder, of which what the suite leaves behind counts
DVC_CONFIG = "[core]\n    analytics = false\n    check_update = false\n    no_scm = true\n"


def make_small_project(root: Path, *, engine: str = "processes", source: str = "images") -> Path:
    """Write a project: code, notebooks, images, params.yaml and a dvc.yaml with the stages of one dataset.

    Args:
        engine: that computes cells.
        source: of the dataset.
    """
    root.mkdir(parents=True)
    for name in COPIED:
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns(".*"))
    mvtec_folder(root / "images", "bolt")
    whole = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    toy = {"layout": "mvtec", "paper": None, "source": source, "resize": 64, "crop": None, "seeds": [0, 1]}
    whole["datasets"] = {NAME: toy | {"variants": list(VARIANTS)}}
    whole["variants"] = {name: whole["variants"][name] for name in VARIANTS}
    whole["tables"] = {"dataset_results": {"variant": None, "images_shown": 2}}
    whole["execution"] |= {"device": "cpu", "engine": engine, "processes": 2, "batch_size": 2, "cache_size_gb": 1}
    (root / "params.yaml").write_text(yaml.safe_dump(whole, sort_keys=False), encoding="utf-8")
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    kept = {"stages": {name: pipeline["stages"][name] for name in STAGES}}
    page = kept["stages"]["report"]  # without the points of charts, of which there are none without Tables 1 to 3
    page["outs"] = [out for out in page["outs"] if "reports/contents.json" in out]
    (root / "dvc.yaml").write_text(yaml.safe_dump(kept, sort_keys=False), encoding="utf-8")
    (root / ".dvc").mkdir()
    (root / ".dvc/config").write_text(DVC_CONFIG)
    for name in (".dvcignore", "installed"):
        shutil.copyfile(ROOT / name, root / name)
    for name in ("lists", "measured"):
        shutil.copytree(ROOT / name, root / name)
    return root


def surroundings(root: Path) -> dict[str, str]:
    """The environment of a command in the project: its own code, this Python, one thread a process."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    (root / TEMPORARY).mkdir(exist_ok=True)
    own = {"PATH": path, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "TMPDIR": str(root / TEMPORARY)}
    return os.environ | own | {"DVC_SITE_CACHE_DIR": str(root / ".cache/dvc"), "DVC_NO_ANALYTICS": "1"}


def digests(root: Path) -> dict[str, str]:
    """SHA-256 of every file that the pipeline wrote and that two runs agree in, by path; others by their names alone.

    Hidden files count too: what a dead run left is no part of an undisturbed one.
    """
    found = {}
    for path in _written(root):
        name = path.relative_to(root).as_posix()
        of_a_run = any(name.startswith(part) or path.relative_to(root).match(part) for part in OF_A_RUN)
        found[name] = "" if of_a_run else hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def dvc_outputs(root: Path) -> set[str]:
    """Paths of all that DVC holds as outputs of the stages that have run."""
    locked = yaml.safe_load((root / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    return {out["path"] for stage in locked.values() for out in stage["outs"]}


def _written(root: Path) -> Iterator[Path]:
    if (root / "dvc.lock").exists():
        yield root / "dvc.lock"
    yield from (root / TEMPORARY).glob(".patchcore-*/*")
    for folder in ("data", "reports", ".cache/cells", ".cache/features", ".cache/failed"):
        yield from sorted(path for path in (root / folder).rglob("*") if path.is_file())
