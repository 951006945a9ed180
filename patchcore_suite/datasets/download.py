"""Fetching a dataset that may be fetched without a form; today that is Magnetic Tile Defects."""

import http.client
import shutil
import stat
import tempfile
import urllib.request
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import FULL
from patchcore_core.common.progress import progress_bar
from patchcore_suite.datasets.layouts import LAYOUTS
from patchcore_suite.datasets.listing import content_checksum

LARGEST = 300 * 2**20  # bytes, of the archive and of what is in it
BLOCK = 2**20
TIMEOUT = 60  # seconds without a byte


def download(layout: str, target: Path) -> None:
    """Fetch the original dataset of this layout into the folder `target`.

    Raises:
        InputError: the dataset cannot be fetched, or is not the one expected.
    """
    archive, homepage = LAYOUTS[layout].archive, LAYOUTS[layout].homepage
    if archive is None:
        raise InputError(
            f"the dataset {layout} cannot be downloaded automatically: its owner asks for consent to a licence",
            remedy=f"fetch it by hand from {homepage or 'its owner'}, unpack it, and set the dataset's source to that "
            "folder",
        )
    try:
        with tempfile.TemporaryFile() as file:
            _fetch(archive.url, file)
            _unpack(file, target, archive.files)
    except (OSError, http.client.HTTPException, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        raise InputError(
            f"cannot download {archive.url}: {error}",
            remedy="try again; or fetch it elsewhere, unpack it, and set the dataset's source to that folder",
        ) from error
    if not is_original(layout, target):
        raise InputError(
            f"{archive.url} does not hold the images that it held when this version was made",
            remedy="if you trust it, unpack it by hand and set the dataset's source to that folder",
        )


def is_original(layout: str, root: Path) -> bool:
    """Whether a folder holds all that the archive of this layout's dataset holds, unchanged."""
    archive = LAYOUTS[layout].archive
    return archive is not None and content_checksum(root, archive.files) == archive.content_sha256


def _fetch(url: str, file: BinaryIO) -> None:
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
        length = int(response.headers.get("Content-Length") or 0)
        with progress_bar(length // BLOCK or None, "download", unit="MiB") as bar:
            while block := response.read(BLOCK):
                file.write(block)
                bar.update()
                if file.tell() > LARGEST:
                    raise OSError(f"more than {LARGEST:,} bytes")
        if length and file.tell() != length:
            raise OSError(f"interrupted after {file.tell():,} of {length:,} bytes")


def _unpack(file: BinaryIO, target: Path, files: str) -> None:
    """Unpack what matches `files` without the archive's top folder, and nothing that could land elsewhere."""
    with zipfile.ZipFile(file) as opened:
        members = opened.infolist()
        if unsafe := [member.filename for member in members if not _is_safe(member)]:
            raise InputError("the archive would write outside its folder", offenders=unsafe, remedy="do not use it")
        wanted = [member for member in members if PurePosixPath(member.filename).match(f"*/{files}")]
        if sum(member.file_size for member in wanted) > LARGEST:
            raise OSError(f"unpacks to more than {LARGEST:,} bytes")
        for member in wanted:
            path = target.joinpath(*PurePosixPath(member.filename).parts[1:])
            path.parent.mkdir(parents=True, exist_ok=True)
            with opened.open(member) as source, open(path, "wb") as unpacked:
                shutil.copyfileobj(source, unpacked)


def _is_safe(member: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(member.filename)
    linked = stat.S_ISLNK(member.external_attr >> 16)
    return not (path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in member.filename or linked)
