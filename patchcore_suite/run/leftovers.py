"""What a run that was killed leaves behind: temporary files and folders that nobody will finish."""

import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from patchcore_suite.settings.project import Project

ORPHANED_AFTER = 24 * 3600  # seconds since the last write, where a file system has no locks
RANDOM = "[a-z0-9_]" * 8  # how `tempfile` ends its names


def remove_leftovers(folder: Path, *patterns: str) -> None:
    """Delete hidden files and folders in `folder` that a process which is no more was writing.

    What a live process writes is locked (see `atomic_path` and `locked`), on whatever machine or in whatever
    container it runs, and stays. What cannot be deleted stays too.
    """
    removed = 0
    for path in dict.fromkeys(path for pattern in patterns for path in folder.glob(pattern)):
        with suppress(OSError):
            if path.name.startswith(".") and not path.is_symlink():
                removed += _remove_if_dead(path)
    if removed:
        print(f"deleted what a killed run left in {folder}: {removed}", file=sys.stderr)


def clear_reports(project: Project) -> None:
    """Delete what a killed run left among all that is made for people to look at."""
    folders = [project.reports, *project.reports.glob("[!.]*/"), *project.scores.glob("[!.]*/")]
    for folder in folders:
        remove_leftovers(folder, f".*.{RANDOM}", f".*.{RANDOM}.*")


def free_dvc(root: Path) -> None:
    """Delete DVC's list of what its runs read and write if a run was killed while it wrote that: DVC then never starts.

    What a live DVC is writing is locked, and stays.
    """
    listed, guard = root / ".dvc/tmp/rwlock", root / ".dvc/tmp/rwlock.lock"
    with suppress(OSError), guard.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            json.loads(listed.read_bytes())
        except ValueError:
            listed.unlink()
            print(f"deleted what a killed run of DVC left half written: {listed}", file=sys.stderr)


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Show to `remove_leftovers` that a temporary folder is in use, as long as this process lives.

    Args:
        shared: whether other processes use it too.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _remove_if_dead(path: Path) -> bool:
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        if time.time() - path.stat().st_mtime < ORPHANED_AFTER:
            return False
    finally:
        os.close(handle)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    return True
