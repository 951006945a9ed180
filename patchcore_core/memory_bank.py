"""Which rows of all nominal patch features the memory bank of a variant keeps."""

import torch
from torch import Tensor

from patchcore_core.cheaper_coresets import distance_sampled_coreset, merge_reduce_coreset, two_round_coreset
from patchcore_core.common.errors import InputError
from patchcore_core.common.free_memory import check_free
from patchcore_core.config import PatchCoreConfig
from patchcore_core.coreset import (
    anchor_gaps,
    check_features,
    coreset_size,
    greedy_coreset,
    random_coreset,
    random_projection,
)
from patchcore_core.detector import generator
from patchcore_core.fast.lower_bounds import DEAREST
from patchcore_core.fast.products import block_rows
from patchcore_core.learned_banks import kmeans_centroids, learned_proxies
from patchcore_core.patches import Rows, whole

KEPT_NUMBERS = 8  # in single precision, by the greedy coreset for each patch feature, beside screening and projection


def fill_memory_bank(
    rows: Rows, config: PatchCoreConfig, *, seed: int, progress: bool = False
) -> tuple[Tensor, Tensor | None]:
    """The memory bank (l, d) made of all nominal patch features (n, d), and which rows (l,) it keeps.

    The rows are None for a bank of centroids or proxies, no patches of any image. Errors: as of `select_coreset`.
    """
    size = coreset_size(len(rows), config.coreset_fraction)
    if size < len(rows) and config.sampler in ("kmeans", "proxies"):
        learn = kmeans_centroids if config.sampler == "kmeans" else learned_proxies
        return learn(whole(rows), size, generator=generator(seed, config.sampler), progress=progress), None
    kept = select_coreset(rows, config, seed=seed, progress=progress)
    # A coreset of everything needs no second copy of the rows.
    return (whole(rows) if size == len(rows) else rows[kept]), kept


def select_coreset(rows: Rows, config: PatchCoreConfig, *, seed: int, progress: bool = False) -> Tensor:
    """Rows that the memory bank keeps of all nominal patch features (n, d), in order of selection.

    Raises:
        InputError: they are not finite, all equal, fewer than shards, or too many for the selection to fit into memory.
    """
    size = checked_size(rows, config)
    if size == len(rows):
        return torch.arange(size, device=rows.device)
    if config.sampler == "random":
        return random_coreset(rows, size, generator=generator(seed, "random coreset"))
    check_free(
        len(rows) * selection_numbers(rows.shape[1], config.projection_dimension) * 4,
        f"the selection among {len(rows)} patch features",
        device=rows.device,
        remedy="use a smaller projection_dimension, a larger stride, smaller images or fewer of them",
    )
    d = config.projection_dimension or rows.shape[1]
    projected = random_projection(rows, d, generator=generator(seed, "projection"))
    draw = generator(seed, "first pick")
    if config.sampler == "two_round":
        return two_round_coreset(projected, size, shards=config.shards, generator=draw, progress=progress)
    if config.sampler == "merge_reduce":
        return merge_reduce_coreset(projected, size, shards=config.shards, progress=progress)
    if config.sampler == "distance_sampling":
        return distance_sampled_coreset(projected, size, generator=draw, progress=progress)
    gaps = anchor_gaps(projected, generator=draw) if config.first_pick == "anchors" else None
    return greedy_coreset(projected, size, gaps=gaps, generator=draw, progress=progress)


def checked_size(rows: Rows, config: PatchCoreConfig) -> int:
    """How many rows are kept of all nominal patch features (n, d); InputError if they are not finite, or all equal."""
    size = coreset_size(len(rows), config.coreset_fraction)
    check_features(rows, size)
    block = block_rows(rows.shape[1], rows.device)  # to compare all at once would take their memory
    parts = (rows[start : start + block] for start in range(0, len(rows), block))
    if len(rows) > 1 and all(bool((part == rows[:1]).all()) for part in parts):
        raise InputError(
            f"all {len(rows)} patch features are equal: there is nothing to tell patches apart by",
            remedy="check that the images are not blank and that the network is trained",
        )
    return size


def selection_numbers(dimensions: int, projection_dimension: int | None) -> float:
    """Numbers in single precision that the greedy coreset keeps, at most, for each patch feature beside it."""
    projected = min(dimensions, projection_dimension or dimensions)
    return KEPT_NUMBERS + projected * (DEAREST + (projection_dimension is not None))
