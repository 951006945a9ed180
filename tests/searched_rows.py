"""Rows to search, and what a search is checked against."""

import torch

from patchcore_core.neighbours import nearest


def noise(n, d=16, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def clustered(n, d=24, seed=0):
    """Rows around 30 centres, the same for every seed."""
    draw = torch.Generator().manual_seed(seed + 50)
    which = torch.randint(30, (n,), generator=draw)
    return 3 * noise(30, d, seed=99)[which] + 0.4 * torch.randn(n, d, generator=draw) + 20


def brute_force(queries, bank, k):
    """Distances in double precision, by differences."""
    gaps = (queries.double()[:, None] - bank.double()).norm(dim=2)
    return gaps.sort(dim=1, stable=True).values[:, :k]


def check(queries, bank, k, search, *, tolerance=2e-6):
    distances, indices = nearest(queries, bank, k, search=search)
    assert distances.shape == indices.shape == (len(queries), k)
    assert distances.dtype == torch.float32
    assert indices.dtype == torch.long
    assert torch.allclose(distances.double(), brute_force(queries, bank, k), rtol=tolerance, atol=tolerance)
    # The rows are those that the distances belong to, each once; which of several equally near ones is open.
    named = (queries.double()[:, None] - bank.double()[indices]).norm(dim=2)
    assert torch.allclose(distances.double(), named, rtol=tolerance, atol=tolerance)
    assert all(len(row.unique()) == k for row in indices)
