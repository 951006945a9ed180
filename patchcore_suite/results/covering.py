"""Two-dimensional points on which a coreset can be seen: Fig. 3 of the paper."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from patchcore_core.coreset import covering_radius, greedy_coreset, random_coreset

SAMPLERS = {"greedy": greedy_coreset, "random": random_coreset}


def sample(points: Tensor, sampler: str, size: int, *, seed: int) -> tuple[np.ndarray, float]:
    """Rows that a sampler keeps, in order of selection, and their covering radius."""
    picks = SAMPLERS[sampler](points, size, generator=torch.Generator().manual_seed(seed))
    return picks.numpy(), covering_radius(points, picks)


def radius_study(points: dict[str, Tensor], sizes: Iterable[int], seeds: Iterable[int]) -> pd.DataFrame:
    """Covering radius of both samplers at several sizes: columns distribution, sampler, size, seed, covering_radius."""
    seeds = list(seeds)
    rows = [
        [name, sampler, size, seed, sample(cloud, sampler, size, seed=seed)[1]]
        for name, cloud in points.items()
        for sampler in SAMPLERS
        for size in sizes
        for seed in seeds
    ]
    return pd.DataFrame(rows, columns=["distribution", "sampler", "size", "seed", "covering_radius"])
