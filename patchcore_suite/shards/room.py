"""Files of rows for as long as they are worked with: room is taken first, and nothing stays behind."""

import errno
import fcntl
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import FULL
from patchcore_suite.shards.files import KINDS, RowFile

PREFIX = ".rows."  # of names of such files; what a dead process left is found by it


@contextmanager
def writing_rows(folder: Path, count: int, dimensions: int, kind: str) -> Iterator[RowFile]:
    """A file with room for rows (n, d), which is deleted at the end of the block.

    The room on the disk is taken at once: what is mapped into memory must not meet a full disk. A lock shows that its
    writer lives.

    Args:
        folder: where it lies; made if it is not there.
        kind: a name of `KINDS`.

    Raises:
        InputError: there is less room, or nothing may be written there.
    """
    size = count * dimensions * np.dtype(KINDS[kind]).itemsize
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=PREFIX)
    except OSError as error:
        raise InputError(f"{folder} cannot be written to: {error.strerror}", remedy="name another folder") from None
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        take_room(handle, size, folder, f"{count} rows of {dimensions} values in {kind}")
        yield RowFile(Path(name), count, dimensions, kind)
    finally:
        os.close(handle)
        Path(name).unlink(missing_ok=True)


def take_room(handle: int, size: int, folder: Path, what: str) -> None:
    """Give an open file its size on the disk, before anything is written: what maps it cannot be told of a full one.

    Raises:
        InputError: there is less room.
    """
    free = shutil.disk_usage(folder).free
    full = size > free
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle, 0, size)
            return
    except OSError as error:
        if error.errno not in (*FULL, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        full |= error.errno in FULL  # else the file system cannot take room: it is looked for
    if full:
        raise InputError(
            f"{what} need {math.ceil(size / 2**20):,} MiB in {folder}, where {free // 2**20:,} MiB are free",
            remedy="make room there, or name a folder on another disk as execution.cache_dir in params.yaml",
        )
    os.truncate(handle, size)
