"""A command and every process that it starts, in whatever session, and their end at once."""

import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

# Of Linux's prctl: a signal for this process when its parent dies; descendants whose parent has died become ours, and
# can be found and waited for.
SET_PARENT_DEATH_SIGNAL, SET_CHILD_SUBREAPER = 1, 36
LIBC = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Let processes that lose their parent become children of this one."""
    LIBC.prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_with_parent() -> None:
    """Let this process be killed as soon as its parent is no more, however that ended."""
    LIBC.prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


class Command:
    """A command that runs, with all that it has started; none of it outlives the block of a `with`.

    Args:
        words: program and arguments.
        cwd: its working directory.
        log: gets all that it says.
        environment: of it.
        spared: processes of ours that are none of its, with all that they start.
    """

    def __init__(
        self, words: Sequence[str], *, cwd: Path, log: Path, environment: Mapping[str, str], spared: Sequence[int] = ()
    ) -> None:
        self._spared = spared
        with log.open("ab") as said:
            self._process = psutil.Popen(
                words,
                cwd=cwd,
                env=environment,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def ended(self) -> bool:
        return self._process.poll() is not None

    def wait(self) -> int:
        """Its exit status, once it has ended; what it left running is ended too."""
        status = self._process.wait()
        self.kill()
        return status

    def stage(self) -> str | None:
        """The stage of DVC that runs; None between two."""
        for process in self._descendants():
            try:
                if found := process.environ().get("DVC_STAGE"):
                    return found.split("@")[0]
            except psutil.Error:  # it has ended meanwhile
                continue
        return None

    def kill(self) -> int:
        """End its process group and every process that it started, by SIGKILL; how many there were."""
        killed = set()
        while alive := [process for process in self._descendants() if _runs(process)]:
            if not self.ended():
                os.killpg(self._process.pid, signal.SIGKILL)
            for process in alive:
                killed.add(process.pid)
                with suppress(psutil.Error):  # it has ended meanwhile
                    process.kill()
            psutil.wait_procs(alive, timeout=5)
        self._process.poll()
        _reap()
        return len(killed)

    def _descendants(self) -> list[psutil.Process]:
        spared = [psutil.Process(pid) for pid in self._spared if psutil.pid_exists(pid)]
        others = {*spared, *(below for process in spared for below in process.children(recursive=True))}
        return [process for process in psutil.Process().children(recursive=True) if process not in others]


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:  # it has ended meanwhile
        return False


def _reap() -> None:
    """Take note of the end of adopted processes, so that their time counts as that of children."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
