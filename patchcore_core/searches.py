"""The searches behind `neighbours`: matrix products, faiss Flat, and what is added by name."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from patchcore_core.common import plugins
from patchcore_core.config import CHOICES
from patchcore_core.fast.products import Product, block_rows, half_distance_factors, in_blocks, shifted, smallest

if TYPE_CHECKING:
    import faiss

PART_ROWS = 2**11  # of the bank, whose products with a block of queries are made at once

Ranking = Callable[[Tensor, int], Tensor]  # queries (n, d) and k to rows of the bank (n, k); -1 where there is none


def unusable(search: str) -> str | None:
    """Why a search cannot be used here, with the remedy; None if it can."""
    if search not in CHOICES["search"]:
        return f"search={search!r} must be one of {', '.join(CHOICES['search'])}"
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

    return filled(faiss.IndexFlatL2(bank.shape[1]), bank)


def _by_faiss_gpu(bank: Tensor) -> Ranking:
    """Rank by a faiss Flat index on the first GPU."""
    import faiss

    resources = faiss.StandardGpuResources()
    index = faiss.index_cpu_to_gpu(resources, 0, faiss.IndexFlatL2(bank.shape[1]))
    # The resources must live as long as the index, an object of SWIG's, which takes any attribute.
    index.resources = resources  # pyright: ignore[reportAttributeAccessIssue]
    return filled(index, bank)


def ready(bank: Tensor, search: str) -> Ranking:
    """Make a memory bank (l, d) ready for a search."""
    make = BUILT_IN.get(search) or plugins.load(plugins.SEARCHES, search)
    return make(bank)


BUILT_IN = {"torch": by_torch, "faiss": _by_faiss, "faiss-gpu": _by_faiss_gpu}


def filled(index: "faiss.Index", bank: Tensor) -> Ranking:
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
