"""Progress bars that can be read in a terminal, in a log and while papermill runs."""

import os
import sys
from typing import NoReturn

from tqdm import tqdm

RUNNER_VARIABLE = "PATCHCORE_RUNNER"  # set by the notebook runner in the kernel that it starts
LOG_INTERVAL = 15  # seconds between two updates where nobody is watching a terminal


def progress_bar(total: int, description: str, *, unit: str = "it", show: bool = True) -> "tqdm[NoReturn]":
    """A tqdm bar on standard error.

    In a kernel started by the notebook runner, the bar goes to the terminal instead of into the notebook, so that
    executed notebooks hold no moment of their making.
    """
    file = sys.__stderr__ if RUNNER_VARIABLE in os.environ else sys.stderr
    watched = file is not None and file.isatty()
    return tqdm(
        total=total,
        desc=description,
        unit=unit,
        file=file,
        disable=not show,
        ascii=not watched,
        dynamic_ncols=watched,
        mininterval=0.2 if watched else LOG_INTERVAL,
    )
