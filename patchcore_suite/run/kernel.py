"""The kernel that runs notebooks: of this Python, in surroundings that hold nothing of the user's.

A kernel that is called `python3` somewhere may be another environment's, and what IPython, Jupyter, matplotlib and
Python read at their start (profiles, startup files, settings, variables) changes what a notebook computes or shows.
"""

import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from patchcore_suite.run.leftovers import locked, remove_leftovers

# What the process runs: IPython's kernel, which reads no settings and runs no startup files of this machine either.
START = """
import sys
if not sys.path[0]:
    del sys.path[0]  # the working directory, while libraries are loaded; IPython puts it back
from IPython.core import application
from ipykernel.kernelapp import IPKernelApp
for folders in (application.ENV_CONFIG_DIRS, application.SYSTEM_CONFIG_DIRS):
    folders.clear()
IPKernelApp.launch_instance()
"""
OWN = KernelSpec(
    argv=[sys.executable, "-c", START, "-f", "{connection_file}"], display_name="Python 3", language="python"
)
# Settings of a person for work of their own, by the beginnings of their names; the second tuple by whole ones.
PERSONAL = ("IPYTHON", "JUPYTER", "MPLBACKEND", "MATPLOTLIBRC")
PERSONAL_OF_PYTHON = ("PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONWARNINGS", "PYTHONBREAKPOINT", "PYTHONDEVMODE")
PREFIX = ".patchcore-kernel-"  # of temporary folders
WARNINGS = "ignore:IProgress not found"  # no bar is meant for the notebook


class OwnKernelManager(AsyncKernelManager):
    """Starts this Python's own kernel, whatever kernels of its name there are; its files lie in a folder of its own."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        remove_leftovers(Path(gettempdir()), f"{PREFIX}*")
        self._in_use = ExitStack()
        self._folder = _own_folder(self._in_use)
        self.connection_file = str(self._folder / "connection.json")

    @property
    def kernel_spec(self) -> KernelSpec:
        """How the kernel is started."""
        return OWN

    async def start_kernel(self, **kwargs: object) -> None:
        """Start it without what is personal in the environment."""
        own = {"IPYTHONDIR": str(self._folder / "ipython"), "PYTHONWARNINGS": WARNINGS}
        await super()._async_start_kernel(**kwargs | {"env": impersonal(os.environ) | own})

    async def cleanup_resources(self, restart: bool = False) -> None:
        """Remove its files, once it has ended."""
        await super()._async_cleanup_resources(restart=restart)
        if not restart:
            self._in_use.close()


def _own_folder(in_use: ExitStack) -> Path:
    """A temporary folder, until `in_use` ends; as long as this process lives, no other takes it for a dead one's."""
    while True:
        folder = Path(in_use.enter_context(TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)))
        with suppress(FileNotFoundError):  # another process looked for leftovers before there was a lock
            in_use.enter_context(locked(folder))
            if folder.is_dir():
                return folder


def impersonal(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without a person's settings of IPython, Jupyter, matplotlib's display and Python's start."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(PERSONAL) and name not in PERSONAL_OF_PYTHON
    }
