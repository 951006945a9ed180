"""Fetching the one dataset that may be fetched without a form: Magnetic Tile Defects."""

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
from patchcore_core.common.progress import progress_bar
from patchcore_suite.datasets.listing import content_checksum

MTD_ARCHIVE = (
    "https://codeload.github.com/abin24/Magnetic-tile-defect-datasets."  # the full stop belongs to the name
    "/zip/cc4eb530b57b9cb7225bf76023873043ffd50655"
)
MTD_CONTENT = "d5bd433d802886c7530f0da6b7a3299f113aa5fc6dd2471e8b2c77ac6e52bfca"  # of 1,344 images and their masks
MTD_FILES = "MT_*/Imgs/*.[jp][pn]g"
BY_HAND = {
    "mvtec": "https://www.mvtec.com/company/research/datasets/mvtec-ad",
    "mstc": "https://svip-lab.github.io/dataset/campus_dataset.html",
}
LARGEST = 300 * 2**20  # bytes, of the archive and of what is in it
BLOCK = 2**20
TIMEOUT = 60  # seconds without a byte


def download(layout: str, target: Path) -> None:
    """Fetch the original dataset of this layout into the folder `target`.

    Raises:
        InputError: the dataset cannot be fetched, or is not the one expected.
    """
    if layout in BY_HAND:
        raise InputError(
            f"the dataset {layout} cannot be downloaded automatically: its owner asks for consent to a licence",
            remedy=f"fetch it by hand from {BY_HAND[layout]}, unpack it, and set the dataset's source to that folder",
        )
    try:
        with tempfile.TemporaryFile() as archive:
            _fetch(MTD_ARCHIVE, archive)
            _unpack(archive, target)
    except (OSError, http.client.HTTPException, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise InputError(
            f"cannot download {MTD_ARCHIVE}: {error}",
            remedy="try again; or fetch it elsewhere, unpack it, and set the dataset's source to that folder",
        ) from error
    if not is_original(target):
        raise InputError(
            f"{MTD_ARCHIVE} does not hold the images that it held when this version was made",
            remedy="if you trust it, unpack it by hand and set the dataset's source to that folder",
        )


def is_original(root: Path) -> bool:
    """Whether a folder holds all images and masks of MTD, unchanged."""
    return content_checksum(root, MTD_FILES) == MTD_CONTENT


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


def _unpack(archive: BinaryIO, target: Path) -> None:
    """Unpack images and masks without the archive's top folder, and nothing that could land elsewhere."""
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
        if unsafe := [member.filename for member in members if not _is_safe(member)]:
            raise InputError("the archive would write outside its folder", offenders=unsafe, remedy="do not use it")
        wanted = [member for member in members if PurePosixPath(member.filename).match(f"*/{MTD_FILES}")]
        if sum(member.file_size for member in wanted) > LARGEST:
            raise OSError(f"unpacks to more than {LARGEST:,} bytes")
        for member in wanted:
            path = target.joinpath(*PurePosixPath(member.filename).parts[1:])
            path.parent.mkdir(parents=True, exist_ok=True)
            with opened.open(member) as source, open(path, "wb") as file:
                shutil.copyfileobj(source, file)


def _is_safe(member: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(member.filename)
    linked = stat.S_ISLNK(member.external_attr >> 16)
    return not (path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in member.filename or linked)
