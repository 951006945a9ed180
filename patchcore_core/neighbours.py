"""Exact nearest neighbours of patch features in a memory bank."""

import torch
from torch import Tensor

from patchcore_core.errors import InputError

BLOCK_VALUES = 2**23  # values of one temporary product block (32 MB in float32)
LOST_TO_ROUNDING = 1e-3  # squared distance over squared norms below which float32 products cannot rank


def nearest(queries: Tensor, bank: Tensor, k: int = 1, *, search: str = "torch") -> tuple[Tensor, Tensor]:
    """Find the k rows of the memory bank nearest to each query.

    The search ranks by matrix products; the distances returned are then computed from differences. Queries so
    close to the bank that products in single precision cannot rank their neighbours are searched again in double.

    Args:
        queries: (n, d) patch features.
        bank: (l, d) memory bank.
        k: neighbours a query, 1 <= k <= l.
        search: "torch" (any device) or "faiss" (Flat index, on the CPU).

    Returns:
        L2 distances (n, k) in ascending order, and the rows of the bank (n, k).

    Raises:
        InputError: k or the shapes do not fit, or there is no such search.
    """
    if not 1 <= k <= len(bank):
        raise InputError(f"k={k} must lie in 1..{len(bank)}, the rows of the memory bank")
    if queries.ndim != 2 or bank.ndim != 2 or queries.shape[1] != bank.shape[1]:
        raise InputError(f"queries {tuple(queries.shape)} and bank {tuple(bank.shape)} must be (n, d) and (l, d)")
    if search not in _SEARCHES:
        raise InputError(f"search={search!r} must be one of {', '.join(_SEARCHES)}")

    centre = bank.mean(dim=0)  # distances stay; smaller norms lose less to rounding
    near, near_bank = queries - centre, bank - centre
    indices = _SEARCHES[search](near, near_bank, k)
    distances = _distances(queries, bank, indices)

    norms = near.square().sum(dim=1) + near_bank[indices[:, -1]].square().sum(dim=1)
    lost = (distances[:, 0].square() < LOST_TO_ROUNDING * norms).nonzero()[:, 0]
    if len(lost):
        precise, precise_bank = queries[lost].double() - centre, bank.double() - centre
        indices[lost] = _search_torch(precise, precise_bank, k)
        distances[lost] = _distances(precise, precise_bank, indices[lost]).to(distances)

    order = distances.argsort(dim=1, stable=True)
    return distances.gather(1, order), indices.gather(1, order)


def _search_torch(queries: Tensor, bank: Tensor, k: int) -> Tensor:
    """(n, k) rows of the bank by blocked matrix products; |q|^2 is the same for all rows and is left out."""
    n = len(queries)
    half_norms = bank.square().sum(dim=1) / 2
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


def _search_faiss(queries: Tensor, bank: Tensor, k: int) -> Tensor:
    """(n, k) rows of the bank by a faiss Flat index."""
    import faiss  # slow to import, and not needed by the default search

    index = faiss.IndexFlatL2(bank.shape[1])
    index.add(bank.float().cpu().numpy())
    _, rows = index.search(queries.float().cpu().numpy(), k)
    return torch.from_numpy(rows).to(queries.device)


_SEARCHES = {"torch": _search_torch, "faiss": _search_faiss}


def _distances(queries: Tensor, bank: Tensor, indices: Tensor) -> Tensor:
    """(n, k) L2 distances from differences, in blocks."""
    n, k = indices.shape
    distances = queries.new_empty(n, k)
    block = max(1, BLOCK_VALUES // (k * bank.shape[1]))
    for part, rows, found in zip(queries.split(block), indices.split(block), distances.split(block), strict=True):
        torch.linalg.vector_norm(bank[rows] - part[:, None], dim=2, out=found)
    return distances
