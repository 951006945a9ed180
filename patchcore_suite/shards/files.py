"""Rows of a file, read when they are asked for."""

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from patchcore_core.common.errors import InputError

KINDS = {"float32": "<f4", "float16": "<f2", "bfloat16": "<i2", "float64": "<f8"}  # as NumPy keeps their bits
READ_AT_ONCE = 2**13  # neighbouring rows, of which some are wanted
CPU = torch.device("cpu")
APART = 64  # rows from one that is wanted to the next, from which on each is read by itself


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
    """`Rows` of the core that lie in a file, which must stay as it is: copies of what is asked for.

    They are read, not mapped into memory: what was read is the system's to keep or to drop, and is not of this process.

    Args:
        file: where they lie.
        device: of the copies.
    """

    def __init__(self, file: RowFile, device: torch.device = CPU) -> None:
        self.dtype: torch.dtype = getattr(torch, file.kind)
        self.device = device
        self.shape = torch.Size([file.count, file.dimensions])
        self._kind, self._offset = np.dtype(KINDS[file.kind]), file.offset
        self._width = file.dimensions * self._kind.itemsize
        self._file = file.path.open("rb", buffering=0)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Tensor, /) -> Tensor:
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                return self._tensor(self._read(start, max(start, stop)))
            rows = torch.arange(start, stop, step)
        rows = rows.cpu()
        order = rows.argsort(stable=True)
        found = torch.empty(len(rows), self.shape[1], dtype=self.dtype, device=self.device)
        found[order] = self._tensor(self._scattered(rows[order].numpy()))
        return found

    def _scattered(self, rows: NDArray[np.int64]) -> NDArray:
        """Ascending rows (k,): where they are near each other, with those between them."""
        found = np.empty((len(rows), self.shape[1]), self._kind)
        ends = np.flatnonzero(np.diff(rows // READ_AT_ONCE)) + 1
        for start, end in pairwise([0, *ends.tolist(), len(rows)]):
            first, last = (int(rows[start]), int(rows[end - 1])) if start < end else (0, -1)
            if last - first < APART * (end - start):
                found[start:end] = self._read(first, last + 1)[rows[start:end] - first]
            else:
                for place in range(start, end):
                    found[place] = self._read(int(rows[place]), int(rows[place]) + 1)
        return found

    def _read(self, start: int, stop: int) -> NDArray:
        part = np.empty((stop - start, self.shape[1]), self._kind)
        into, done = memoryview(part).cast("B") if part.size else b"", 0
        while done < len(into):
            count = os.preadv(self._file.fileno(), [into[done:]], self._offset + start * self._width + done)
            if count == 0:
                raise InputError(f"{self._file.name} is shorter than its rows", remedy="write it again")
            done += count
        return part

    def _tensor(self, part: NDArray) -> Tensor:
        found = torch.from_numpy(part)
        return (found.view(torch.bfloat16) if self.dtype == torch.bfloat16 else found).to(self.device)
