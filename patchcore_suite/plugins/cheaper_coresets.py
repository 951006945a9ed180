"""Selections that cost less than the greedy coreset of all rows; two of them look at a part of the rows at a time."""

from typing import cast

import torch
from torch import Generator, Tensor

from patchcore_core.common.errors import InputError
from patchcore_core.common.progress import LONG, progress_bar
from patchcore_core.coreset import check_features, greedy_coreset

SUBSETS, FEWEST, LARGEST = 100, 1024, 4096  # of distance sampling: subsets, if they then have so many rows
TOO_CLOSE = 1e-6  # times the largest distance: rows that products in double precision cannot tell apart


def two_round_coreset(
    features: Tensor, size: int, *, shards: int = 8, generator: Generator | None = None, progress: bool = False
) -> Tensor:
    """Keep `size` rows of each part greedily, and of these `size` once more: parts may lie on machines of their own.

    At most 4 times the optimal covering radius, however rows are divided: each round adds 2 at most, and the greedy
    coreset is one such round. With one part the picks are its picks.

    Source: Malkomes et al., "Fast distributed k-center clustering with outliers on massive data" (NIPS 2015), without
    outliers.

    Args:
        features: (n, d).
        size: how many to keep, 1 <= size <= n.
        shards: parts of every shards-th row, which have some of each image, 1 <= shards <= n.
        generator: draws the first pick of each part; the second round begins with that of the first.

    Returns:
        (size,) distinct row indices, in order of selection.

    Raises:
        InputError: `size` or `shards` is out of range, or the features hold NaN or infinities.
    """
    _check_shards(features, size, shards)
    found: list[Tensor] = []
    with progress_bar(shards + 1, "two rounds", unit="selection", show=progress, wait=LONG) as bar:
        for part in range(shards):
            rows = features[part::shards]
            found.append(part + shards * greedy_coreset(rows, min(size, len(rows)), generator=generator))
            bar.update(1)
        union = torch.cat(found).sort().values  # of equals, the first row wins in the second round too
        start = int((union == found[0][0]).nonzero())
        return union[greedy_coreset(features[union], size, start=start)]


def merge_reduce_coreset(features: Tensor, size: int, *, shards: int = 8, progress: bool = False) -> Tensor:
    """Reduce each part to `size` rows greedily, and two such to one again and again, as they stream by.

    At most 2 (1 + ceil(log2 shards)) times the optimal covering radius: each reduction that a row goes through adds 2.

    Source: the merge-reduce mode of Mahalanobis PatchCore's streaming k-center (arXiv 2605.27748 and its code), where
    reductions begin with the row farthest from the mean. There a part is a batch of images, reduced to 256 rows
    whatever the bank's size; here all is reduced to `size`, so that the bank is as large as asked for.

    Arguments, result and errors as of `two_round_coreset`; but a part has consecutive rows, and nothing is drawn.
    """
    levels: list[tuple[int, Tensor]] = []  # such as of 4, 2 and 1 parts
    _check_shards(features, size, shards)
    n = len(features)
    with progress_bar(shards, "merge and reduce", unit="part", show=progress, wait=LONG) as bar:
        for part in range(shards):
            rows = torch.arange(n * part // shards, n * (part + 1) // shards)
            levels.append((0, _reduced(features, rows, size)))
            while len(levels) > 1 and levels[-1][0] == levels[-2][0]:
                (level, one), (_, other) = levels[-2:]
                levels[-2:] = [(level + 1, _reduced(features, torch.cat([one, other]), size))]
            bar.update(1)
    kept = [of_parts for _, of_parts in levels]
    return kept[0] if len(kept) == 1 else _reduced(features, torch.cat(kept), size)


def distance_sampled_coreset(
    features: Tensor, size: int, *, generator: Generator | None = None, progress: bool = False
) -> Tensor:
    """Draw rows, the less likely the more others lie around: the crowded give way. No covering radius is promised.

    Within a random subset a row stays with probability 1 / (1 + others nearer than t); t grows until as many stay as
    are wanted. One number decides for each row: it goes when its k-th neighbour is nearer than t, P(k > j) = 1/(1 + j).

    Source: the distance-based subsampling of SuperADD (arXiv 2605.14808 and its code). There t grows by tenths, and
    rows drawn at random make up for what is then missing; here it stops in time. There the nearest 100 alone count,
    which cannot keep less than a hundredth; here all. There each of 100 subsets is drawn anew among rows not kept yet;
    here they share out the rows, 1024 to 4096 to each.

    Arguments, result and errors as of `two_round_coreset`; of each subset those with the farthest neighbours first.
    """
    check_features(features, size)
    n, done, found = len(features), 0, list[Tensor]()
    drawn = torch.randperm(n, generator=generator).to(features.device)
    subsets = drawn.tensor_split(-(-n // min(max(n // SUBSETS, FEWEST), LARGEST)))
    with progress_bar(len(subsets), "distance sampling", unit="subset", show=progress, wait=LONG) as bar:
        for subset in subsets:
            rows, before = subset.sort().values, size * done // n
            done += len(rows)
            found.append(rows[_least_crowded(features[rows], size * done // n - before, generator)])
            bar.update(1)
    return torch.cat(found)


def _check_shards(features: Tensor, size: int, shards: int) -> None:
    check_features(features, size)
    n = len(features)
    if not 1 <= shards <= n:
        raise InputError(f"shards={shards} must lie in 1..{n}, the number of patch features")


def _reduced(features: Tensor, indices: Tensor, size: int) -> Tensor:
    """Those of the rows with these indices (k,) that greedy selection keeps, in order of selection."""
    indices = indices.sort().values.to(features.device)
    rows = features[indices]
    precise = rows.double()
    # Compared in single precision: in double, the rounding of a mean would choose between rows equally far from it.
    start = int((precise - precise.mean(dim=0)).square().sum(dim=1).float().argmax())
    return indices[greedy_coreset(rows, min(size, len(rows)), start=start)]


def _least_crowded(rows: Tensor, wanted: int, generator: Generator | None) -> Tensor:
    """The rows of a subset (m, d) that stay when as many as wanted are left; of equals the first."""
    m = len(rows)
    # In double precision, so that the order in which a processor adds up decides nothing.
    distances = torch.cdist(rows.double(), rows.double())
    distances.masked_fill_(distances < TOO_CLOSE * distances.max(), 0).fill_diagonal_(torch.inf)
    uniform = 1 - torch.rand(m, generator=generator, dtype=torch.float64)  # in (0, 1]
    needed = (1 / uniform - 1).ceil().clamp(1, m).long().to(rows.device)
    reached = rows.new_empty(m, dtype=torch.float64)  # how near the neighbour is with which a row goes
    for k in cast("list[int]", needed.unique().tolist()):
        reached[needed == k] = distances[needed == k].kthvalue(k, dim=1).values
    return reached.float().sort(descending=True, stable=True).indices[:wanted]
