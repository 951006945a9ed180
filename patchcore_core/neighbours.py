"""Nearest neighbours of patch features in a memory bank: exact, or approximate and faster on large banks."""

from collections.abc import Callable

import torch
from torch import Tensor

from patchcore_core.errors import InputError

BLOCK_VALUES = 2**23  # values of one temporary product block (32 MB in float32)
LOST_TO_ROUNDING = 1e-3  # squared distance over squared norms below which float32 products cannot rank
EXACT = ("torch", "faiss")

# Inverted files: the bank in cells around centroids, of which a query visits the nearest few.
CELLS = 4  # times the square root of the bank's rows: what faiss recommends below a million rows
ROWS_A_CELL = 39  # at least, for k-means to find the centroids: faiss's own limit
PROBES = 16  # cells that a query visits
# Product quantisation: a row's difference from its centroid in parts of few dimensions, one code each.
CODE_BITS = 8
MOST_CODES = 64  # a row
ROWS_A_CODE, ROUNDS = 64, 10  # of the codes' k-means; with 256 and 25, as faiss has it, recall is the same

Ranking = Callable[[Tensor, int], Tensor]  # queries (n, d) and k to rows of the bank (n, k); -1 where there is none


def nearest(queries: Tensor, bank: Tensor, k: int = 1, *, search: str = "torch") -> tuple[Tensor, Tensor]:
    """Find the k rows of the memory bank nearest to each query, once: see `Index.nearest`.

    Args:
        queries: (n, d) patch features.
        bank: (l, d) memory bank.
        k: neighbours a query, 1 <= k <= l.
        search: see `Index`.

    Returns:
        L2 distances (n, k) in ascending order, and the rows of the bank (n, k).

    Raises:
        InputError: k or the shapes do not fit, there is no such search, or the bank is too small for it.
    """
    return Index(bank, search).nearest(queries, k)


class Index:
    """A memory bank made ready to be searched many times.

    Args:
        bank: (l, d) memory bank; it is not copied, and must stay as it is.
        search: exact: "torch" (any device) or "faiss" (Flat index); approximate: "ivf" (inverted file) or "ivfpq"
            (inverted file of product-quantised rows). All of faiss works on the CPU.

    Raises:
        InputError: the bank is no matrix or too small for the search, or there is no such search.
    """

    def __init__(self, bank: Tensor, search: str = "torch") -> None:
        if search not in _SEARCHES:
            raise InputError(f"search={search!r} must be one of {', '.join(_SEARCHES)}")
        if bank.ndim != 2:
            raise InputError(f"bank {tuple(bank.shape)} must be (l, d)")
        self.bank = bank
        self.search = search
        self._centre = bank.mean(dim=0)  # distances stay; smaller norms lose less to rounding
        self._near_bank = bank - self._centre
        self._rank = _SEARCHES[search](self._near_bank)

    def nearest(self, queries: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
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
        if queries.ndim != 2 or queries.shape[1] != bank.shape[1]:
            raise InputError(f"queries {tuple(queries.shape)} and bank {tuple(bank.shape)} must be (n, d) and (l, d)")

        near = queries - self._centre
        indices = self._rank(near, k)
        if self.search not in EXACT:
            short = (indices < 0).any(dim=1).nonzero()[:, 0]
            if len(short):
                indices[short] = _by_torch(self._near_bank)(near[short], k)
        distances = _distances(queries, bank, indices)
        if self.search in EXACT:
            self._repair(queries, near, distances, indices)
        order = distances.argsort(dim=1, stable=True)
        return distances.gather(1, order), indices.gather(1, order)

    def _repair(self, queries: Tensor, near: Tensor, distances: Tensor, indices: Tensor) -> None:
        """Search again in double precision, in place, where single precision could not rank."""
        norms = near.square().sum(dim=1) + self._near_bank[indices[:, -1]].square().sum(dim=1)
        lost = (distances[:, 0].square() < LOST_TO_ROUNDING * norms).nonzero()[:, 0]
        if len(lost):
            precise, precise_bank = queries[lost].double() - self._centre, self.bank.double() - self._centre
            indices[lost] = _by_torch(precise_bank)(precise, indices.shape[1])
            distances[lost] = _distances(precise, precise_bank, indices[lost]).to(distances)


def recall(found: Tensor, exact: Tensor) -> float:
    """Share of the true neighbours that an approximate search found.

    Args:
        found: (n, k) rows of the bank, each once a query.
        exact: (n, k) those of an exact search.

    Raises:
        InputError: the two differ in shape, or are empty.
    """
    if found.shape != exact.shape or found.ndim != 2 or not found.numel():
        raise InputError(f"found {tuple(found.shape)} and exact {tuple(exact.shape)} must be (n, k), and not empty")
    return float((found[:, :, None] == exact[:, None, :]).any(dim=1).double().mean())


def _by_torch(bank: Tensor) -> Ranking:
    """Rank by blocked matrix products; |q|^2 is the same for all rows and is left out."""
    half_norms = bank.square().sum(dim=1) / 2

    def rank(queries: Tensor, k: int) -> Tensor:
        n = len(queries)
        indices = torch.empty(n, k, dtype=torch.long, device=queries.device)
        block = max(1, BLOCK_VALUES // len(bank))
        # One buffer for all products: large temporaries between small results that stay would fragment the heap.
        buffer = queries.new_empty(min(block, n), len(bank))
        for part, found in zip(queries.split(block), indices.split(block), strict=True):
            products = torch.addmm(half_norms, part, bank.T, alpha=-1, out=buffer[: len(part)])
            if k == 1:
                found.copy_(products.argmin(dim=1, keepdim=True))
            else:
                found.copy_(products.topk(k, dim=1, largest=False).indices)
        return indices

    return rank


def _by_faiss(bank: Tensor) -> Ranking:
    """Rank by a faiss Flat index."""
    import faiss  # slow to import, and not needed by the default search

    return _filled(faiss.IndexFlatL2(bank.shape[1]), bank)


def _by_ivf(bank: Tensor) -> Ranking:
    """Rank the rows of the nearest cells."""
    import faiss

    _check_trainable("ivf", bank, ROWS_A_CELL)
    d = bank.shape[1]
    return _filled(faiss.IndexIVFFlat(faiss.IndexFlatL2(d), d, _cells(bank)), bank)


def _by_ivfpq(bank: Tensor) -> Ranking:
    """Rank the rows of the nearest cells by their codes."""
    import faiss

    _check_trainable("ivfpq", bank, 2**CODE_BITS)
    d = bank.shape[1]
    codes = max(m for m in range(1, min(d, MOST_CODES) + 1) if d % m == 0)
    index = faiss.IndexIVFPQ(faiss.IndexFlatL2(d), d, _cells(bank), codes, CODE_BITS)
    index.pq.cp.min_points_per_centroid = 1  # a small bank gets codes all the same, without a warning
    index.pq.cp.max_points_per_centroid, index.pq.cp.niter = ROWS_A_CODE, ROUNDS
    return _filled(index, bank)


_SEARCHES = {"torch": _by_torch, "faiss": _by_faiss, "ivf": _by_ivf, "ivfpq": _by_ivfpq}


def _check_trainable(search: str, bank: Tensor, rows: int) -> None:
    if len(bank) < rows:
        raise InputError(
            f"search={search!r} needs at least {rows} rows in the memory bank to be trained, and there are {len(bank)}",
            remedy="search: torch, or a larger coreset_fraction",
        )


def _cells(bank: Tensor) -> int:
    """Number of cells of an inverted file."""
    return min(round(CELLS * len(bank) ** 0.5), len(bank) // ROWS_A_CELL)


def _filled(index: "faiss.Index", bank: Tensor) -> Ranking:  # noqa: F821
    """Ranking by a faiss index, which is trained on the bank, where it has to be, and gets its rows.

    What faiss draws in training comes from its own fixed seeds.
    """
    rows = bank.float().cpu().numpy()
    if not index.is_trained:
        index.train(rows)
        index.nprobe = PROBES
    index.add(rows)

    def rank(queries: Tensor, k: int) -> Tensor:
        _, found = index.search(queries.float().cpu().numpy(), k)
        return torch.from_numpy(found).to(queries.device)

    return rank


def _distances(queries: Tensor, bank: Tensor, indices: Tensor) -> Tensor:
    """(n, k) L2 distances from differences, in blocks."""
    n, k = indices.shape
    distances = queries.new_empty(n, k)
    block = max(1, BLOCK_VALUES // (k * bank.shape[1]))
    for part, rows, found in zip(queries.split(block), indices.split(block), distances.split(block), strict=True):
        torch.linalg.vector_norm(bank[rows] - part[:, None], dim=2, out=found)
    return distances
