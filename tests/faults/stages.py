"""Stages of the small project, each in a process of its own that is forked from this one: nothing is imported again.

What a stage runs is what DVC would run; the code of notebooks runs without a kernel.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import chdir
from pathlib import Path
from typing import NamedTuple

from faults.small_project import NAME
from short_stand_ins import COUNTS
from whole_project import run_cells

from patchcore_core.common.errors import exit_on_input_error
from patchcore_suite.report import page
from patchcore_suite.run import evaluate, prepare

# What stages import only when they need it, which would be in each process again.
LATER = ("timm", "matplotlib.pyplot", "seaborn", "plotly", "scipy.ndimage", "sklearn.metrics", "IPython.display")
for name in (*LATER, "patchcore_suite.run.score", "patchcore_suite.figures.images", "patchcore_suite.results.examples"):
    importlib.import_module(name)

ORDER = ("data", "score", "evaluate", "dataset_results", "report")


class Ended(NamedTuple):
    """How a stage ended: its exit status, and all that it said."""

    status: int
    said: str


def run_stage(root: Path, stage: str, *, limit: Callable[[], None] | None = None) -> Ended:
    """Run one stage of the project in `root`.

    Args:
        limit: called in the process before the stage begins, to take something from it.
    """
    log = root.with_suffix(".said")
    sys.stdout.flush()
    sys.stderr.flush()
    if not (child := os.fork()):
        _become(root, stage, log, limit)
    _, status = os.waitpid(child, 0)
    return Ended(os.waitstatus_to_exitcode(status), log.read_text(errors="replace"))


def run_stages(root: Path, stages: Sequence[str] = ORDER) -> Ended:
    """Run stages until one fails; all that they said."""
    said = ""
    for stage in stages:
        status, more = run_stage(root, stage)
        said += more
        if status:
            return Ended(status, said)
    return Ended(0, said)


def _become(root: Path, stage: str, log: Path, limit: Callable[[], None] | None) -> None:
    """Be the process of a stage, and end with it."""
    status = 1
    try:
        with log.open("w") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        if limit:
            limit()
        with exit_on_input_error(), chdir(root):
            _run(root, stage)
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run(root: Path, stage: str) -> None:
    if stage in ("score", "dataset_results"):
        run_cells(root, stage, dataset=NAME)
        return
    module = {"data": prepare, "evaluate": evaluate, "report": page}[stage]
    for drawing, count, fewer in COUNTS:
        setattr(drawing, count, fewer)
    sys.argv = [stage] if module is page else [stage, NAME]
    module.main()
