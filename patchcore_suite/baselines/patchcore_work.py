"""How much work PatchCore is, before it is done; its configuration knows the method alone.

Everything here is an estimate. Formulas count what grows with images, patches and memory bank; n are the nominal
patches, q those of test images, l the rows of the memory bank, d their dimensions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from patchcore_core.config import EXACT, PatchCoreConfig
from patchcore_core.coreset import coreset_size
from patchcore_core.fast.products import BLOCK_VALUES
from patchcore_core.memory_bank import selection_numbers
from patchcore_suite.baselines.costs import FLOAT, Shape, Work, all_products
from patchcore_suite.plugins import CHEAPER
from patchcore_suite.plugins.cheaper_coresets import FEWEST, LARGEST, SUBSETS
from patchcore_suite.plugins.learned_banks import KMEANS_ROUNDS, PROXY_BATCH, PROXY_STEPS
from patchcore_suite.plugins.searches import CELLS, IN_VIEW, LINKS, MOST_CODES, PROBES, ROWS_A_CELL

CANDIDATES = 512  # that a round of the greedy coreset compares, on average
SCORED = 6  # numbers that are kept of a test patch: distances and rows, as they are found and as they are stored
STREAMED_NUMBERS = 6  # that are kept of a patch whose features lie on disk: gap, norm and pick, in double at worst
COPIES_OF_A_PART = 3  # of a bank on disk, while it is searched
MATRICES = 6  # numbers for each pair of rows of a subset: distances in double precision, sorted ones, a mask
IVF_ROUNDS, IVF_ROWS = 10, 256  # of faiss's training of cells: rounds, and rows a cell


@dataclass(frozen=True)
class PatchCoreCosts:
    """What a `BaselineConfig` says of its own costs, said of PatchCore."""

    config: PatchCoreConfig

    @property
    def window(self) -> int:
        return self.config.neighbourhood_size

    def described_shape(self, maps: Sequence[Shape]) -> Shape:
        _, h, w = maps[0]
        d = self.config.dimension or sum(c for c, _, _ in maps)
        return math.ceil(h / self.config.stride), math.ceil(w / self.config.stride), d

    def bank_rows(self, patches: int) -> int:
        return coreset_size(patches, self.config.coreset_fraction)

    def cell_work(self, shape: Shape, *, nominal: int, test: int) -> Work:
        h, w, d = shape
        n, q = nominal * h * w, test * h * w
        kept = self.bank_rows(n)
        return (
            coreset_work(self.config, n, kept, d)
            + search_work(self.config, q, kept, d)
            + all_products(test, kept, d)  # Eq. 7
        )

    def cell_values(self, shape: Shape, *, nominal: int, test: int) -> float:
        h, w, d = shape
        n, q = nominal * h * w, test * h * w
        kept = self.bank_rows(n)
        greedy = n * selection_numbers(d, self.config.projection_dimension)
        selected = {
            "greedy": greedy,
            "two_round": greedy,  # of which the parts need less
            "merge_reduce": greedy,
            "distance_sampling": greedy + MATRICES * _subset(n) ** 2,
            "random": 0,
            "kmeans": 3 * n * d,
            "proxies": 4 * kept * d,
        }[self.config.sampler]
        bank = 0 if kept == n else kept * d
        return bank + max(selected if kept < n else 0, self._searched(kept, d, q))

    def streamed_values(self, shape: Shape, *, nominal: int, test: int, bank_on_disk: bool) -> float | None:
        """The same where projected features lie on disk while the bank is selected; None if they cannot.

        Args:
            bank_on_disk: whether the bank lies there too, and is searched in parts, of one block at least.
        """
        h, w, d = shape
        n, q = nominal * h * w, test * h * w
        kept = self.bank_rows(n)
        if self.config.sampler not in ("greedy", "random") or kept >= n:
            return None
        if not bank_on_disk:
            return kept * d + max(STREAMED_NUMBERS * n, self._searched(kept, d, q))
        if self.config.search != "torch":
            return None
        return max(STREAMED_NUMBERS * n, SCORED * q + COPIES_OF_A_PART * min(kept * d, BLOCK_VALUES))

    def _searched(self, kept: int, d: int, q: int) -> float:
        copies = 2 if self.config.search == "torch" else 3
        return copies * kept * d + SCORED * q

    def whole_values(self, shape: Shape, *, nominal: int) -> float:
        """Numbers in the patch features of all nominal images, if the bank is not filled without holding all."""
        h, w, d = shape
        n = nominal * h * w
        projected = self.config.projection_dimension is not None and self.config.projection_dimension < d
        in_parts = {"random": True, **dict.fromkeys(("greedy", *CHEAPER), projected)}.get(self.config.sampler, False)
        return 0 if in_parts and self.bank_rows(n) < n else n * d


def coreset_work(config: PatchCoreConfig, n: int, kept: int, d: int) -> Work:
    """Filling the memory bank.

    Greedy: projection to d* (2 n d d*), distances of all rows to all picks (2 n l d*), and in each round those of the
    candidates to the picks before (2 l l d*) and to each other. Two rounds and merge-reduce: the same of each part and
    of what is put together. Distance sampling: all distances within subsets, in double precision, and their order.
    k-means: 25 rounds of 2 n l d. Proxies: 1000 batches of 1024 rows, forwards and backwards.
    """
    if kept >= n or config.sampler == "random":
        return Work(traffic=2 * FLOAT * kept * d)
    if config.sampler == "kmeans":
        return all_products(n, kept, d) * KMEANS_ROUNDS
    if config.sampler == "proxies":
        return (all_products(PROXY_BATCH, kept, d) * 6 + Work(traffic=8 * FLOAT * kept * d)) * PROXY_STEPS
    p = min(d, config.projection_dimension or d)
    projected = Work(products=2 * n * d * p if p < d else 0)
    if config.sampler == "distance_sampling":
        m = _subset(n)
        return projected + all_products(n, m, p) * 2 + Work(traffic=4 * FLOAT * n * m)
    if config.sampler == "greedy":
        return projected + _greedy_work(n, kept, p)
    part = max(1, n // config.shards)
    of_parts = _greedy_work(part, min(kept, part), p) * config.shards
    if config.sampler == "two_round":
        return projected + of_parts + _greedy_work(min(n, config.shards * kept), kept, p)
    return projected + of_parts + _greedy_work(min(n, 2 * kept), kept, p) * config.shards


def _greedy_work(n: int, kept: int, p: int) -> Work:
    """The greedy coreset of n rows of p dimensions."""
    return all_products(n, kept, p) + Work(products=2 * kept * kept * p, traffic=2 * FLOAT * CANDIDATES * kept * p)


def _subset(n: int) -> int:
    """Rows of a subset of the distance sampling, at most."""
    return min(n, max(n // SUBSETS, FEWEST), LARGEST)


def search_work(config: PatchCoreConfig, q: int, kept: int, d: int) -> Work:
    """Searching the memory bank: 2 q l d, or only the share of the cells that is visited."""
    if config.search in EXACT:
        return all_products(q, kept, d) + Work(traffic=3 * FLOAT * q * d)
    if config.search == "hnsw":  # rows met are read one by one; the graph is built by one thread
        return Work(traffic=FLOAT * (q + kept) * min(kept, IN_VIEW * LINKS) * d)
    cells = max(1, min(round(CELLS * kept**0.5), kept // ROWS_A_CELL))
    visited = kept * min(1, PROBES / cells)
    trained = all_products(min(kept, IVF_ROWS * cells), cells, d) * IVF_ROUNDS + all_products(kept, cells, d)
    if config.search == "ivfpq":
        return trained + all_products(q, cells, d) + Work(traffic=FLOAT * q * visited * min(d, MOST_CODES))
    return trained + all_products(q, cells, d) + Work(traffic=FLOAT * q * visited * d)
