"""Which rows of all nominal patch features the memory bank of a variant keeps."""

import torch
from torch import Tensor

from patchcore_core.common import plugins
from patchcore_core.common.errors import InputError
from patchcore_core.common.free_memory import check_free
from patchcore_core.config import PatchCoreConfig
from patchcore_core.coreset import check_features, coreset_size, greedy_coreset, random_coreset, random_projection
from patchcore_core.detector import generator
from patchcore_core.fast.lower_bounds import DEAREST
from patchcore_core.fast.products import block_rows
from patchcore_core.neighbours import Index
from patchcore_core.patches import Rows, whole

APART_AT_ONCE = 256  # picks whose distances to those before are computed at once
KEPT_NUMBERS = 8  # in single precision, by the greedy coreset for each patch feature, beside screening and projection


def fill_memory_bank(
    rows: Rows, config: PatchCoreConfig, *, seed: int, progress: bool = False
) -> tuple[Tensor, Tensor | None, float | None]:
    """The memory bank (l, d) made of all nominal patch features (n, d), which rows (l,) it keeps, its covering radius.

    The rows are None of vectors that are made instead, which are no patches of any image. The radius is measured after
    projection, as all distances of the selection, and None of all but greedy coresets with a drawn first pick.
    Errors as of `select_coreset`.
    """
    kept, radius = select_coreset(rows, config, seed=seed, progress=progress)
    if kept.ndim == 2:
        return kept, None, None
    # A coreset of everything needs no second copy of the rows.
    return (whole(rows) if len(kept) == len(rows) else rows[kept]), kept, radius


def extend_memory_bank(
    bank: Tensor, rows: Rows, config: PatchCoreConfig, *, radius: float, most: int, seed: int, progress: bool = False
) -> tuple[Tensor, float]:
    """New patch features (k,) that a greedy bank (l, d) keeps of (n, d), and the covering radius that it then has.

    The farthest come first, at most `most`, until none is farther than `radius`, within which the bank covers what it
    was made of. Errors as of `select_coreset`.
    """
    _check_room(len(bank) + len(rows), rows, config)
    kept, new = (projected(part, config, seed) for part in (bank, rows))
    check_features(new, most)
    gaps = Index(kept).nearest(new)[0][:, 0]
    # One pick more tells the covering radius of those before it.
    picks = greedy_coreset(new, min(most + 1, len(new)), gaps=gaps, progress=progress)
    apart = _apart(new[picks].double(), gaps[picks].double())
    count = min(most, int((apart > radius).cumprod(dim=0).sum()))
    return picks[:count], max(radius, float(apart[count])) if count < len(apart) else radius


def _apart(picks: Tensor, gaps: Tensor) -> Tensor:
    """How far each pick (k, d) was from all that was kept when it was picked, gaps (k,) being those at the outset."""
    apart = gaps.clone()
    for start in range(0, len(picks), APART_AT_ONCE):
        some = picks[start : start + APART_AT_ONCE]
        between = torch.cdist(some, picks[: start + len(some)], compute_mode="donot_use_mm_for_euclid_dist")
        later = torch.ones_like(between, dtype=torch.bool).triu(start)
        before = between.masked_fill(later, torch.inf).amin(dim=1)
        apart[start : start + len(some)] = before.minimum(gaps[start : start + len(some)])
    return apart


def select_coreset(
    rows: Rows, config: PatchCoreConfig, *, seed: int, progress: bool = False
) -> tuple[Tensor, float | None]:
    """Rows (l,) of all nominal patch features (n, d) that are kept, in order of selection; the covering radius.

    Or vectors (l, d) that a sampler makes instead. The radius is None where it would cost something.

    Raises InputError: features are not finite, all equal, or too many for the selection to fit into memory.
    """
    size = checked_size(rows, config)
    if size == len(rows):
        return torch.arange(size, device=rows.device), 0.0 if config.extendable else None
    if config.sampler == "random":
        return random_coreset(rows, size, generator=generator(seed, "random coreset")), None
    _check_room(len(rows), rows, config)
    if config.sampler != "greedy":
        sample = plugins.load(plugins.SAMPLERS, config.sampler)
        return sample(rows, size, config, seed=seed, progress=progress), None
    compared, draw = projected(rows, config, seed), generator(seed, "first pick")
    if config.first_pick != "drawn":
        gaps = plugins.load(plugins.FIRST_PICKS, config.first_pick)(compared, generator=draw)
        return greedy_coreset(compared, size, gaps=gaps, progress=progress), None
    # One pick more tells the covering radius of those before it.
    picks = greedy_coreset(compared, size + 1, generator=draw, progress=progress)
    chosen = compared[picks].double()
    apart = torch.cdist(chosen[-1:], chosen[:-1], compute_mode="donot_use_mm_for_euclid_dist")
    return picks[:size], float(apart.min())


def projected(rows: Rows, config: PatchCoreConfig, seed: int) -> Tensor:
    """Patch features (n, d) as a selection compares them."""
    dimension = config.projection_dimension or rows.shape[1]
    return random_projection(rows, dimension, generator=generator(seed, "projection"))


def _check_room(count: int, rows: Rows, config: PatchCoreConfig) -> None:
    check_free(
        count * selection_numbers(rows.shape[1], config.projection_dimension) * 4,
        f"the selection among {count} patch features",
        device=rows.device,
        remedy="use a smaller projection_dimension, a larger stride, smaller images or fewer of them",
    )


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
