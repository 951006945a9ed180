"""Nearest rows of a memory bank that fits no memory: in parts, merged exactly, or by codes with lists on disk."""

from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np
import torch
from torch import Tensor

from patchcore_core.common.errors import InputError
from patchcore_core.fast.products import block_rows
from patchcore_core.neighbours import Index
from patchcore_core.patches import Rows
from patchcore_suite.plugins.searches import CELLS, CODE_BITS, MOST_CODES, PROBES, ROWS_A_CELL
from patchcore_suite.shards.files import CPU, FileRows, RowFile
from patchcore_suite.shards.room import take_room

COPIES = 3  # of a part of the bank, while it is searched
QUERIES_AT_ONCE = 2**16
TRAINED_ON = 2**17  # rows, of cells and codes
NUMBER_BYTES = 8  # of a row, beside its code


def nearest_in_parts(queries: Rows, parts: Sequence[RowFile], k: int = 1) -> tuple[Tensor, Tensor]:
    """The k nearest rows of a bank (l, d) whose parts are held one after the other, exactly.

    Distances are those of `neighbours.nearest`, from differences; of rows equally far the lowest comes first.

    Args:
        queries: (n, d).
        parts: of the bank, in the order of their rows; see `parts_within`.
        k: neighbours a query, 1 <= k <= l.

    Returns:
        Distances (n, k), ascending, and rows of the bank (n, k).

    Raises:
        InputError: k or the shapes do not fit.
    """
    rows = sum(part.count for part in parts)
    if not 1 <= k <= rows:
        raise InputError(f"k={k} must lie in 1..{rows}, the rows of the memory bank")
    best: tuple[Tensor, Tensor] | None = None
    for part in parts:
        index = Index(FileRows(part, queries.device)[:])
        found, of = index.nearest(queries, min(k, part.count))
        distances, numbers = (
            (found, of + part.first)
            if best is None
            else (
                torch.cat([best[0], found], dim=1),
                torch.cat([best[1], of + part.first], dim=1),
            )
        )
        # Stable: rows of earlier parts, which are lower, stay before equals.
        order = distances.argsort(dim=1, stable=True)[:, :k]
        best = distances.gather(1, order), numbers.gather(1, order)
    assert best is not None
    return best


def parts_within(bank: RowFile, memory: float) -> list[RowFile]:
    """A bank in as many parts as a search within so many bytes needs.

    Raises:
        InputError: not even one block of rows can be held.
    """
    a_row = 4 * bank.dimensions * COPIES
    least = a_row * min(bank.count, block_rows(bank.dimensions, torch.device("cpu")))
    if memory < least:
        raise InputError(
            f"a memory of {memory / 2**20:.1f} MiB cannot hold one block of the memory bank, {least / 2**20:.1f} MiB",
            remedy="give more memory",
        )
    return bank.divided(-(-bank.count * a_row // int(memory)))


class BankInParts:
    """A memory bank (l, d) that lies in a file and is searched in parts.

    Args:
        file: where its rows lie.
        memory: bytes that a search may take.
        device: of the rows that are asked for; queries lie there, too.

    Raises:
        InputError: not even one block of rows can be held.
    """

    def __init__(self, file: RowFile, memory: float, device: torch.device = CPU) -> None:
        self._rows, self._parts = FileRows(file, device), parts_within(file, memory)
        self.shape = file.count, file.dimensions

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        return self._rows[rows]

    def nearest(self, queries: Rows, k: int = 1) -> tuple[Tensor, Tensor]:
        """Distances (n, k), ascending, and rows of the bank (n, k)."""
        return nearest_in_parts(queries, self._parts, k)


class DiskIndex:
    """Approximate search by product-quantised rows in inverted lists that lie on disk (faiss IVF-PQ).

    In memory are centroids and what was read of the lists last. `neighbours.recall` says how many neighbours are found.

    Args:
        bank: where the rows lie; they are read once, a part at a time.
        lists: file for the inverted lists; it is written anew, and all of its room is taken first.
        probes: cells that a query visits.

    Raises:
        InputError: the bank is too small to be trained on, or the file cannot be written or has no room.
    """

    def __init__(self, bank: RowFile, lists: Path, *, probes: int = PROBES) -> None:
        n, d = bank.count, bank.dimensions
        cells = min(round(CELLS * n**0.5), n // ROWS_A_CELL, TRAINED_ON // ROWS_A_CELL)
        if cells < 1 or n < 2**CODE_BITS:
            raise InputError(f"IVF-PQ needs at least {2**CODE_BITS} rows, and there are {n}", remedy="search exactly")
        codes = max(m for m in range(1, min(d, MOST_CODES) + 1) if d % m == 0)
        rows = FileRows(bank)
        self._quantizer = faiss.IndexFlatL2(d)
        self._index = faiss.IndexIVFPQ(self._quantizer, d, cells, codes, CODE_BITS)
        self._index.pq.cp.min_points_per_centroid = 1
        self._index.train(_array(rows[:: max(1, n // TRAINED_ON)]))
        self._rows = rows
        try:
            self._lists = self._with_room(lists)
            self._index.replace_invlists(self._lists)
            self._write()
        except InputError:
            lists.unlink(missing_ok=True)
            raise
        self._index.nprobe = min(probes, cells)

    def _with_room(self, path: Path) -> "faiss.OnDiskInvertedLists":
        """Lists of their final lengths in a file, without entries.

        faiss would let them grow within a file with holes: on a disk without room for these the process dies.
        """
        lengths = np.zeros(self._index.nlist, np.uint64)
        for start in range(0, len(self._rows), QUERIES_AT_ONCE):
            some = _array(self._rows[start : start + QUERIES_AT_ONCE])
            lengths += np.bincount(self._cells(some), minlength=len(lengths)).astype(np.uint64)
        lists = faiss.OnDiskInvertedLists(self._index.nlist, self._index.code_size, str(path))
        lists.set_all_lists_sizes(faiss.swig_ptr(lengths))
        lists.totsize = len(self._rows) * (self._index.code_size + NUMBER_BYTES)
        try:
            with path.open("wb") as file:
                take_room(file.fileno(), lists.totsize, path.parent, f"codes of {len(self._rows)} rows")
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror}", remedy="name another file") from None
        lists.do_mmap()
        return lists

    def _write(self) -> None:
        """Put the code and the number of each row into the list of its cell, in order."""
        written = np.zeros(self._index.nlist, np.int64)
        for start in range(0, len(self._rows), QUERIES_AT_ONCE):
            rows = _array(self._rows[start : start + QUERIES_AT_ONCE])
            cells, codes = self._cells(rows), np.empty((len(rows), self._index.code_size), np.uint8)
            self._index.encode_vectors(len(rows), *map(faiss.swig_ptr, (rows, cells, codes)))
            order = np.argsort(cells, kind="stable")
            numbers, codes = order + start, codes[order]
            found, first, counts = np.unique(cells[order], return_index=True, return_counts=True)
            for cell, at, count in zip(found.tolist(), first.tolist(), counts.tolist(), strict=True):
                given = map(faiss.swig_ptr, (numbers[at:], codes[at:]))
                self._lists.update_entries(cell, int(written[cell]), count, *given)
                written[cell] += count
        self._index.ntotal = len(self._rows)

    def _cells(self, rows: np.ndarray) -> np.ndarray:
        """The cell (n,) of each row (n, d)."""
        return self._quantizer.search(rows, 1)[1][:, 0].copy()

    def nearest(self, queries: Rows, k: int = 1) -> tuple[Tensor, Tensor]:
        """Distances (n, k), ascending and exact for the rows that are found, and these rows; -1 where fewer were."""
        found = [
            torch.from_numpy(self._index.search(_array(queries[start : start + QUERIES_AT_ONCE]), k)[1])
            for start in range(0, len(queries), QUERIES_AT_ONCE)
        ]
        indices = torch.cat(found)
        distances = torch.empty(indices.shape)
        size = max(1, QUERIES_AT_ONCE // k)
        for start in range(0, len(indices), size):
            some = slice(start, start + size)
            near = self._rows[indices[some].clamp_min(0).flatten()].float().unflatten(0, (-1, k))
            distances[some] = (near - queries[some].float()[:, None]).norm(dim=2)
        distances[indices < 0] = torch.inf
        order = distances.argsort(dim=1, stable=True)
        return distances.gather(1, order), indices.gather(1, order)


def _array(rows: Tensor) -> np.ndarray:
    return np.ascontiguousarray(rows.float().numpy())
