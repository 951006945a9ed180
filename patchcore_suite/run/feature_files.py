"""One file of feature maps: NumPy's format, and behind the array a seal of what it is of and what it holds.

Room on the disk is taken before anything is computed: a sparse file that is mapped into memory would end the process
where the disk is full. The checksum is CRC-32: it tells what disks and copies do to a file at a third of the cost of a
cryptographic one. It is run over maps as they are written, and again when a run first opens them.
"""

import errno
import io
import math
import mmap
import os
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import FULL, sha256_json

SEAL_BYTES = 64
BLOCK = 2**22  # bytes that are read at a time


class MapsWriter:
    """Writes the maps of all images to a file, batch by batch.

    Args:
        file: open for writing, and empty.
        key: what the maps are of: the final name of the file, without its suffix.
        shape: (n, c, h, w) of all maps.

    Attributes:
        size: bytes that the file will have.
    """

    def __init__(self, file: BinaryIO, key: str, shape: Sequence[int]) -> None:
        header = io.BytesIO()
        npy.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": tuple(shape)})
        self.size = header.tell() + 4 * math.prod(shape) + SEAL_BYTES
        self._file, self._key, self._shape, self._crc = file, key, tuple(shape), zlib.crc32(header.getvalue())
        file.write(header.getvalue())

    def take_room(self) -> None:
        """Take the room on the disk for the whole file; OSError if there is less."""
        if not hasattr(os, "posix_fallocate"):
            return self._compare_room()
        try:
            os.posix_fallocate(self._file.fileno(), 0, self.size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
            self._compare_room()  # the file system cannot take room: it is looked for

    def _compare_room(self) -> None:
        if self.size > shutil.disk_usage(Path(self._file.name).parent).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def add(self, maps: NDArray[np.float32]) -> None:
        """Write the maps of some images, (k, c, h, w).

        Raises:
            InputError: they have another shape than those before.
        """
        if maps.shape[1:] != self._shape[1:]:
            raise InputError(
                f"the network returned maps of {maps.shape[1:]} after maps of {self._shape[1:]}",
                remedy="let it return maps of one shape for images of one size",
            )
        data = np.ascontiguousarray(maps, dtype="<f4").reshape(-1).view(np.uint8).data
        self._crc = zlib.crc32(data, self._crc)
        self._file.write(data)

    def close(self) -> None:
        """Write the seal."""
        self._file.write(_seal(self._key, self.size, self._crc))
        self._file.flush()


def take_room(writers: Sequence[MapsWriter], folder: Path, *, of: str) -> None:
    """Take the room on the disk that the maps of a run through a network need.

    Raises:
        InputError: there is less; the message says how much.
    """
    free = shutil.disk_usage(folder).free
    try:
        for writer in writers:
            writer.take_room()
    except OSError as error:
        if error.errno not in FULL:
            raise
        need = math.ceil(sum(writer.size for writer in writers) / 2**20)
        raise InputError(
            f"feature maps of {of} need {need:,} MiB in {folder}, where {free // 2**20:,} MiB are free",
            remedy="make room there, or name a folder on another disk as execution.cache_dir in params.yaml; what was "
            "finished is kept",
        ) from None


def open_maps(path: Path) -> NDArray[np.float32]:
    """The maps (n, c, h, w) of a file, memory-mapped; whether it is as it was written is for `damage` to say."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def read_maps(
    maps: Sequence[NDArray[np.float32]], images: Sequence[int] | NDArray[np.integer]
) -> list[NDArray[np.float32]]:
    """Copies of the maps of some images; what was read of the files does not stay in the memory of this process."""
    found = [np.ascontiguousarray(part[images]) for part in maps]
    for part in maps:
        if isinstance(part.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            part.base.madvise(mmap.MADV_DONTNEED)
    return found


def damage(path: Path) -> str:
    """What is wrong with a file of feature maps; empty if it holds what was written under this name.

    The whole file is read.
    """
    crc, left = 0, path.stat().st_size - SEAL_BYTES
    size = left + SEAL_BYTES
    with path.open("rb") as file:
        while left > 0 and (block := file.read(min(BLOCK, left))):
            crc, left = zlib.crc32(block, crc), left - len(block)
        intact = left == 0 and file.read() == _seal(path.stem, size, crc)
    return "" if intact else "its content is not what was written"


def _seal(key: str, size: int, crc: int) -> bytes:
    return sha256_json([key, size, crc]).encode()
