"""Rows of a file, read when they are asked for: what was read does not stay in the memory of the process."""

import mmap
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from patchcore_core.common.errors import InputError

KINDS = {"float32": "<f4", "float16": "<f2", "bfloat16": "<i2", "float64": "<f8"}  # as NumPy keeps their bits
MOST_MAPPED = 2**27  # bytes that are read before the pages are given back


@dataclass(frozen=True)
class RowFile:
    """Some rows of a file: where they lie, and what they are called among all.

    Attributes:
        path: rows without a header, or NumPy's format with one of `offset` bytes.
        count, dimensions: shape (n, d) of these rows.
        kind: a name of `KINDS`.
        offset: bytes before the first row of these.
        first: number of the first row among the rows of all shards.
    """

    path: Path
    count: int
    dimensions: int
    kind: str = "float32"
    offset: int = 0
    first: int = 0

    def divided(self, shards: int) -> list["RowFile"]:
        """The same rows in so many parts, whose lengths differ by at most one; no part is empty."""
        shards = max(1, min(shards, self.count))
        ends = [self.count * part // shards for part in range(shards + 1)]
        width = self.dimensions * np.dtype(KINDS[self.kind]).itemsize
        return [
            RowFile(self.path, end - start, self.dimensions, self.kind, self.offset + start * width, self.first + start)
            for start, end in pairwise(ends)
        ]

    @classmethod
    def of_array(cls, path: Path) -> "RowFile":
        """All rows of a file of NumPy's, (n, d) in a floating-point type.

        Raises:
            InputError: it is no such file.
        """
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read: {error}", remedy="give a file that np.save wrote") from None
        kinds = {np.dtype(bits): name for name, bits in KINDS.items() if name != "bfloat16"}
        if array.ndim != 2 or array.dtype not in kinds or not array.flags.c_contiguous:
            raise InputError(f"{path} holds {array.dtype} {array.shape}, not rows (n, d) of floating-point numbers")
        return cls(path, *array.shape, kinds[array.dtype], array.offset)


class FileRows:
    """`Rows` of the core that lie in a file; it must stay as it is.

    Args:
        file: where they lie.
        most_mapped: bytes of the file that may be held in memory on its behalf.
    """

    def __init__(self, file: RowFile, *, most_mapped: int = MOST_MAPPED) -> None:
        self.dtype: torch.dtype = getattr(torch, file.kind)
        self.device = torch.device("cpu")
        self.shape = torch.Size([file.count, file.dimensions])
        self._most, self._read = most_mapped, 0
        # Written to by nobody; a mapping that may be written to is a tensor without a warning.
        shape = (file.count, file.dimensions)
        self._map = (
            np.memmap(file.path, KINDS[file.kind], "c", file.offset, shape) if file.count else np.empty(shape, "<f4")
        )

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Tensor, /) -> Tensor:
        self._give_back()
        if isinstance(rows, slice):
            found = torch.from_numpy(self._map[rows])
        else:
            found = torch.from_numpy(self._map)[rows]
        found = found.view(self.dtype) if self.dtype == torch.bfloat16 else found
        self._read += found.nbytes if isinstance(rows, slice) and rows.step in (None, 1) else len(found) * mmap.PAGESIZE
        return found

    def _give_back(self) -> None:
        """Let the pages go that were read so far; they are read again where they are still in use."""
        if self._read > self._most and hasattr(mmap, "MADV_DONTNEED"):
            self._map._mmap.madvise(mmap.MADV_DONTNEED)
            self._read = 0
