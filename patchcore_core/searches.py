"""The searches behind `neighbours`: matrix products, faiss Flat, inverted files, product quantisation, graphs."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from patchcore_core.common.errors import InputError
from patchcore_core.fast.products import Product, block_rows, half_distance_factors, in_blocks, shifted, smallest

if TYPE_CHECKING:
    import faiss

# Inverted files: the bank in cells around centroids, of which a query visits the nearest few.
CELLS = 4  # times the square root of the bank's rows: what faiss recommends below a million rows
ROWS_A_CELL = 39  # at least, for k-means to find the centroids: faiss's own limit
PROBES = 16  # cells that a query visits
# Product quantisation: a row's difference from its centroid in parts of few dimensions, one code each.
CODE_BITS = 8
MOST_CODES = 64  # a row
ROWS_A_CODE, ROUNDS = 64, 10  # of the codes' k-means; with 256 and 25, as faiss has it, recall is the same
# A graph of neighbours (HNSW): links a row, and how many rows are kept in view while it is built and searched.
LINKS, IN_VIEW = 32, 128
PART_ROWS = 2**11  # of the bank, whose products with a block of queries are made at once

Ranking = Callable[[Tensor, int], Tensor]  # queries (n, d) and k to rows of the bank (n, k); -1 where there is none


def unusable(search: str) -> str | None:
    """Why a search cannot be used here, with the remedy; None if it can."""
    if search not in SEARCHES:
        return f"search={search!r} must be one of {', '.join(SEARCHES)}"
    if search == "faiss-gpu":
        import faiss  # slow to import

        if not hasattr(faiss, "StandardGpuResources"):
            return "search='faiss-gpu' needs faiss built for GPUs: install the extra `gpu`, or choose torch or faiss"
        if faiss.get_num_gpus() == 0:
            return "search='faiss-gpu' found no GPU: choose torch or faiss"
    return None


def by_torch(bank: Tensor) -> Ranking:
    """Rank by matrix products, in blocks; |q|^2 is the same for all rows and is left out.

    On a CPU, one nearest neighbour is looked for in parts of the bank: a block of products is then about as high as it
    is wide, which takes the fewest reads of its factors.
    """
    origin = bank.new_zeros(bank.shape[1])
    factors, rows_of_bank, device = half_distance_factors(bank, origin), len(bank), bank.device
    parts = torch.split(factors, len(factors) if bank.is_cuda else PART_ROWS)  # the bank itself is not held

    def rank(queries: Tensor, k: int) -> Tensor:
        indices = torch.empty(len(queries), k, dtype=torch.long, device=queries.device)
        product = Product()

        def rank_block(block: slice) -> None:
            rows = shifted(queries[block], origin)
            if k > 1:
                indices[block] = product(rows, factors.T)[:, :rows_of_bank].topk(k, dim=1, largest=False).indices
                return
            low, nearest_row = smallest(product(rows, parts[0].T))
            for number, part in enumerate(parts[1:], start=1):
                of_part, column = smallest(product(rows, part.T))
                nearer = of_part < low
                low = torch.where(nearer, of_part, low)
                nearest_row = torch.where(nearer, column + number * PART_ROWS, nearest_row)
            indices[block] = nearest_row.clamp_max_(rows_of_bank - 1)[:, None]  # the last row stands in several columns

        in_blocks(len(queries), block_rows(len(factors if k > 1 else parts[0]), device), rank_block, queries)
        return indices

    return rank


def _by_faiss(bank: Tensor) -> Ranking:
    """Rank by a faiss Flat index."""
    import faiss  # slow to import, and not needed by the default search

    return _filled(faiss.IndexFlatL2(bank.shape[1]), bank)


def _by_faiss_gpu(bank: Tensor) -> Ranking:
    """Rank by a faiss Flat index on the first GPU."""
    import faiss

    resources = faiss.StandardGpuResources()
    index = faiss.index_cpu_to_gpu(resources, 0, faiss.IndexFlatL2(bank.shape[1]))
    # The resources must live as long as the index, an object of SWIG's, which takes any attribute.
    index.resources = resources  # pyright: ignore[reportAttributeAccessIssue]
    return _filled(index, bank)


def _by_hnsw(bank: Tensor) -> Ranking:
    """Rank the rows that a walk over a graph of neighbours meets."""
    import faiss

    index = faiss.IndexHNSWFlat(bank.shape[1], LINKS)
    index.hnsw.efConstruction = index.hnsw.efSearch = IN_VIEW
    with _one_thread():  # with several, links depend on which thread comes first
        return _filled(index, bank)


@contextmanager
def _one_thread() -> Generator[None, None, None]:
    import faiss

    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def _by_ivf(bank: Tensor) -> Ranking:
    """Rank the rows of the nearest cells."""
    import faiss

    _check_trainable("ivf", bank, ROWS_A_CELL)
    d = bank.shape[1]
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(d), d, _cells(bank))
    index.nprobe = PROBES
    return _filled(index, bank)


def _by_ivfpq(bank: Tensor) -> Ranking:
    """Rank the rows of the nearest cells by their codes."""
    import faiss

    _check_trainable("ivfpq", bank, 2**CODE_BITS)
    d = bank.shape[1]
    codes = max(m for m in range(1, min(d, MOST_CODES) + 1) if d % m == 0)
    index = faiss.IndexIVFPQ(faiss.IndexFlatL2(d), d, _cells(bank), codes, CODE_BITS)
    index.nprobe = PROBES
    index.pq.cp.min_points_per_centroid = 1  # a small bank gets codes all the same, without a warning
    index.pq.cp.max_points_per_centroid, index.pq.cp.niter = ROWS_A_CODE, ROUNDS
    return _filled(index, bank)


SEARCHES = {
    "torch": by_torch,
    "faiss": _by_faiss,
    "faiss-gpu": _by_faiss_gpu,
    "ivf": _by_ivf,
    "ivfpq": _by_ivfpq,
    "hnsw": _by_hnsw,
}


def _check_trainable(search: str, bank: Tensor, rows: int) -> None:
    if len(bank) < rows:
        raise InputError(
            f"search={search!r} needs at least {rows} rows in the memory bank to be trained, and there are {len(bank)}",
            remedy="search: torch, or a larger coreset_fraction",
        )


def _cells(bank: Tensor) -> int:
    """Number of cells of an inverted file."""
    return min(round(CELLS * len(bank) ** 0.5), len(bank) // ROWS_A_CELL)


def _filled(index: "faiss.Index", bank: Tensor) -> Ranking:
    """Ranking by a faiss index, which is trained on the bank, where it has to be, and gets its rows.

    What faiss draws in training comes from its own fixed seeds.
    """
    rows = bank.float().cpu().numpy()
    if not index.is_trained:
        index.train(rows)
    index.add(rows)

    def rank(queries: Tensor, k: int) -> Tensor:
        _, found = index.search(queries.float().cpu().numpy(), k)
        return torch.from_numpy(found).to(queries.device)

    return rank
