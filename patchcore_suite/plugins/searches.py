"""What `PatchCoreConfig.search` may name besides exact searches: inverted files, product quantisation, graphs of faiss.

Each makes a memory bank (l, d) ready: queries (n, d) and k then give rows of the bank (n, k), -1 where it finds none.
"""

from collections.abc import Generator
from contextlib import contextmanager

from torch import Tensor

from patchcore_core.common.errors import InputError
from patchcore_core.searches import Ranking, filled

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


def hnsw(bank: Tensor) -> Ranking:
    """Rank the rows that a walk over a graph of neighbours meets."""
    import faiss  # slow to import

    index = faiss.IndexHNSWFlat(bank.shape[1], LINKS)
    index.hnsw.efConstruction = index.hnsw.efSearch = IN_VIEW
    with _one_thread():  # with several, links depend on which thread comes first
        return filled(index, bank)


@contextmanager
def _one_thread() -> Generator[None, None, None]:
    import faiss

    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def ivf(bank: Tensor) -> Ranking:
    """Rank the rows of the nearest cells."""
    import faiss  # slow to import

    _check_trainable("ivf", bank, ROWS_A_CELL)
    d = bank.shape[1]
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(d), d, _cells(bank))
    index.nprobe = PROBES
    return filled(index, bank)


def ivfpq(bank: Tensor) -> Ranking:
    """Rank the rows of the nearest cells by their codes."""
    import faiss  # slow to import

    _check_trainable("ivfpq", bank, 2**CODE_BITS)
    d = bank.shape[1]
    codes = max(m for m in range(1, min(d, MOST_CODES) + 1) if d % m == 0)
    index = faiss.IndexIVFPQ(faiss.IndexFlatL2(d), d, _cells(bank), codes, CODE_BITS)
    index.nprobe = PROBES
    index.pq.cp.min_points_per_centroid = 1  # a small bank gets codes all the same, without a warning
    index.pq.cp.max_points_per_centroid, index.pq.cp.niter = ROWS_A_CODE, ROUNDS
    return filled(index, bank)


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


def _check_trainable(search: str, bank: Tensor, rows: int) -> None:
    if len(bank) < rows:
        raise InputError(
            f"search={search!r} needs at least {rows} rows in the memory bank to be trained, and there are {len(bank)}",
            remedy="search: torch, or a larger coreset_fraction",
        )


def _cells(bank: Tensor) -> int:
    """Number of cells of an inverted file."""
    return min(round(CELLS * len(bank) ** 0.5), len(bank) // ROWS_A_CELL)
