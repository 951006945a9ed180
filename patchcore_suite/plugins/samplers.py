"""What `PatchCoreConfig.sampler` may name besides greedy and random: each fills a memory bank of the same size."""

from torch import Tensor

from patchcore_core.config import PatchCoreConfig
from patchcore_core.detector import generator
from patchcore_core.memory_bank import projected
from patchcore_core.patches import Rows, whole
from patchcore_suite.plugins.cheaper_coresets import (
    distance_sampled_coreset,
    merge_reduce_coreset,
    two_round_coreset,
)
from patchcore_suite.plugins.learned_banks import kmeans_centroids, learned_proxies

# Each takes nominal patch features (n, d), and gives those (size,) that it chooses, or vectors (size, d) that it makes.


def kmeans(rows: Rows, size: int, config: PatchCoreConfig, *, seed: int, progress: bool) -> Tensor:
    draw = generator(seed, config.sampler)
    return kmeans_centroids(whole(rows).float(), size, generator=draw, progress=progress).to(rows.dtype)


def proxies(rows: Rows, size: int, config: PatchCoreConfig, *, seed: int, progress: bool) -> Tensor:
    draw = generator(seed, config.sampler)
    return learned_proxies(whole(rows).float(), size, generator=draw, progress=progress).to(rows.dtype)


def two_round(rows: Rows, size: int, config: PatchCoreConfig, *, seed: int, progress: bool) -> Tensor:
    compared, draw = projected(rows, config, seed), generator(seed, "first pick")
    return two_round_coreset(compared, size, shards=config.shards, generator=draw, progress=progress)


def merge_reduce(rows: Rows, size: int, config: PatchCoreConfig, *, seed: int, progress: bool) -> Tensor:
    return merge_reduce_coreset(projected(rows, config, seed), size, shards=config.shards, progress=progress)


def distance_sampling(rows: Rows, size: int, config: PatchCoreConfig, *, seed: int, progress: bool) -> Tensor:
    compared, draw = projected(rows, config, seed), generator(seed, "first pick")
    return distance_sampled_coreset(compared, size, generator=draw, progress=progress)
