"""Progress bars that can be read in a terminal, in a log and while papermill runs."""

import os
import sys
from typing import NoReturn

from tqdm import tqdm

RUNNER_VARIABLE = "PATCHCORE_RUNNER"  # set by the notebook runner in the kernel that it starts
LOG_INTERVAL = 15  # seconds between two updates where nobody is watching a terminal
LONG = 5  # seconds from which a step of many is worth a bar of its own


def progress_bar(
    total: int, description: str, *, unit: str = "it", show: bool = True, wait: float = 0
) -> "tqdm[NoReturn]":
    """A tqdm bar on standard error, shown once `wait` seconds have passed; one below another is removed at its end.

    In a kernel of the notebook runner it goes to the terminal: executed notebooks hold no moment of their making.
    """
    file = sys.__stderr__ if RUNNER_VARIABLE in os.environ else sys.stderr
    watched = file is not None and file.isatty()
    return tqdm(
        total=total,
        desc=description,
        unit=unit,
        file=file,
        disable=not show,
        delay=wait,
        leave=None,
        ascii=not watched,
        dynamic_ncols=watched,
        mininterval=0.2 if watched else LOG_INTERVAL,
    )
