"""Writing files that are either whole or absent, and naming them by what they hold."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from patchcore_core.common.errors import InputError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # these name no file


@contextmanager
def atomic_path(path: str | Path) -> Generator[Path, None, None]:
    """Give a temporary name beside `path`; it takes the final name only when the block succeeds.

    A lock on it ends with the process: so what a dead one left can be told. Errors: see `writing`.
    """
    path = Path(path)
    with writing(path):
        if path.exists() and not path.is_file():
            raise OSError(errno.EEXIST, "what is there is no file", str(path))  # who may replace a device would
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
        temporary = Path(name)
        try:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield temporary
            temporary.chmod(0o644)  # mkstemp makes it readable by its owner alone
            temporary.replace(path)
        finally:
            os.close(handle)
            temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Generator[None, None, None]:
    """Raise InputError where `path` cannot be written: no room, or nothing may be written there."""
    try:
        yield
    except (OSError, SafetensorError) as error:  # the latter, of a full disk, has no number
        folder, name = path.absolute().parent, getattr(error, "filename", None)
        place = Path(name).absolute() if name else None
        related = place and (folder in place.parents or place in (folder, *folder.parents))
        if not related and getattr(error, "errno", errno.EIO) not in FULL:
            raise
        there = next(part for part in (folder, *folder.parents) if os.path.isdir(part))
        reason = f"{getattr(error, 'strerror', error)}; {shutil.disk_usage(there).free / 2**20:,.0f} MiB are free there"
        remedy = "make room, move what is in the way, or choose another folder; what was finished is kept"
        raise InputError(f"{path} cannot be written: {reason}", remedy=remedy) from None


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 with Unix line ends, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode())


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as JSON whose bytes depend on the value alone."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: object) -> str:
    """SHA-256 of a value's canonical JSON, in hexadecimal."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
