"""Nearest neighbours of patch features in a memory bank: exact, or approximate by a search that is added."""

import torch
from torch import Tensor

from patchcore_core.common.errors import InputError
from patchcore_core.config import EXACT
from patchcore_core.fast.products import block_rows, in_blocks
from patchcore_core.patches import Rows
from patchcore_core.searches import by_torch, ready, unusable

LOST_TO_ROUNDING = 1e-3  # squared distance over squared norms below which float32 products cannot rank
LIBRARY_BLOCK = 2**16  # queries that a library's search gets at once


def nearest(queries: Tensor, bank: Tensor, k: int = 1, *, search: str = "torch") -> tuple[Tensor, Tensor]:
    """Find the k rows of a memory bank (l, d) nearest to each query (n, d), once.

    Returns L2 distances (n, k), ascending, and rows (n, k). Arguments and errors as of `Index` and its `nearest`.
    """
    return Index(bank, search).nearest(queries, k)


class Index:
    """A memory bank made ready to be searched many times.

    Args:
        bank: (l, d) memory bank; it is not copied, and must stay as it is.
        search: "torch" (any device), "faiss" (Flat index on the CPU) or "faiss-gpu" (the same on a GPU), which are
            exact; or one that is added, such as the suite's "ivf", "ivfpq" and "hnsw" of faiss.

    Raises:
        InputError: the bank is no matrix or too small for the search, there is no such search, or it cannot be used
            here.
    """

    def __init__(self, bank: Tensor, search: str = "torch") -> None:
        if problem := unusable(search):
            raise InputError(problem)
        if bank.ndim != 2:
            raise InputError(f"bank {tuple(bank.shape)} must be (l, d)")
        self.bank = bank
        self.search = search
        self._precision = torch.promote_types(bank.dtype, torch.float32)
        self._centre = bank.to(self._precision).mean(dim=0)  # distances stay; smaller norms lose less to rounding
        self._rank = ready(self._near(bank), search)
        self._block = block_rows(bank.shape[1], bank.device) if search == "torch" else LIBRARY_BLOCK

    def nearest(self, queries: Rows, k: int = 1) -> tuple[Tensor, Tensor]:
        """Find the k rows of the memory bank nearest to each query.

        The search ranks by matrix products or by codes; the distances returned are then computed from differences.
        In an exact search, queries so close to the bank that products in single precision cannot rank their
        neighbours are searched again in double. An approximate search may miss a neighbour, but the distances are
        those of the rows that it returns; a query whose cells hold fewer than k rows is searched exactly.

        Args:
            queries: (n, d) patch features.
            k: neighbours a query, 1 <= k <= l.

        Returns:
            L2 distances (n, k) in ascending order, and the rows of the bank (n, k).

        Raises:
            InputError: k or the shape of the queries does not fit the bank.
        """
        bank = self.bank
        if not 1 <= k <= len(bank):
            raise InputError(f"k={k} must lie in 1..{len(bank)}, the rows of the memory bank")
        if len(queries.shape) != 2 or queries.shape[1] != bank.shape[1]:
            raise InputError(f"queries {tuple(queries.shape)} and bank {tuple(bank.shape)} must be (n, d) and (l, d)")

        indices = torch.empty(len(queries), k, dtype=torch.long, device=queries.device)
        distances = torch.empty(len(queries), k, dtype=self._precision, device=queries.device)

        def search(block: slice) -> None:
            indices[block], distances[block] = self._nearest(queries[block].to(self._precision), k)

        # Other searches have threads of their own. To cut blocks would move last digits of what is searched in double.
        in_blocks(len(queries), self._block, search, queries if self.search == "torch" else None, cut=False)
        return distances, indices

    def _nearest(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Rows and distances (n, k) of one block of queries."""
        near = self._near(queries)
        indices = self._rank(near, k)
        if self.search not in EXACT:
            short = (indices < 0).any(dim=1).nonzero()[:, 0]
            if len(short):
                indices[short] = by_torch(self._near(self.bank))(near[short], k)
        distances = _distances(queries, self.bank, indices)
        if self.search in EXACT:
            self._repair(queries, near, distances, indices)
        if k == 1:
            return indices, distances
        order = distances.argsort(dim=1, stable=True)
        return indices.gather(1, order), distances.gather(1, order)

    def _near(self, rows: Tensor) -> Tensor:
        return rows.to(self._precision) - self._centre

    def _repair(self, queries: Tensor, near: Tensor, distances: Tensor, indices: Tensor) -> None:
        """Search again in double precision, in place, where single precision could not rank."""
        norms = near.square().sum(dim=1) + self._near(self.bank[indices[:, -1]]).square().sum(dim=1)
        lost = (distances[:, 0].square() < LOST_TO_ROUNDING * norms).nonzero()[:, 0]
        if len(lost):
            precise, precise_bank = queries[lost].double() - self._centre, self.bank.double() - self._centre
            indices[lost] = by_torch(precise_bank)(precise, indices.shape[1])
            distances[lost] = _distances(precise, precise_bank, indices[lost]).to(distances)


def _distances(queries: Tensor, bank: Tensor, indices: Tensor) -> Tensor:
    """(n, k) L2 distances from differences, in blocks."""
    n, k = indices.shape
    distances = queries.new_empty(n, k)
    block = block_rows(k * bank.shape[1], bank.device)
    parts = (torch.split(tensor, block) for tensor in (queries, indices, distances))
    for part, rows, found in zip(*parts, strict=True):
        torch.linalg.vector_norm(bank[rows].to(part) - part[:, None], dim=2, out=found)
    return distances
