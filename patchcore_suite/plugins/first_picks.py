"""What `PatchCoreConfig.first_pick` may name besides drawn: where the greedy coreset starts."""

import torch
from torch import Generator, Tensor

from patchcore_core.common.errors import InputError
from patchcore_core.coreset import random_coreset


def anchor_gaps(features: Tensor, *, anchors: int = 10, generator: Generator | None = None) -> Tensor:
    """Start the greedy coreset as the authors' approximate sampler does: from afar of a few random rows.

    Every row counts as covered within its mean distance to the anchors, which are not kept themselves:
    `greedy_coreset(features, size, gaps=anchor_gaps(features))`.

    Source: `ApproximateGreedyCoresetSampler` of amazon-science/patchcore-inspection.

    Args:
        features: (n, d).
        anchors: how many rows are drawn; all of them if there are no more.

    Returns:
        (n,) mean L2 distance of each row to the anchors.

    Raises:
        InputError: there are no features or no anchors, or the features hold NaN or infinities.
    """
    if anchors < 1:
        raise InputError(f"anchors={anchors} must be at least 1")
    chosen = random_coreset(features, min(anchors, max(1, len(features))), generator=generator)
    # Departs from Algorithm 1, in which only rows that are kept limit a distance.
    # By differences: an anchor is at distance 0 from itself, which products of large norms do not give.
    precise = features.to(torch.promote_types(features.dtype, torch.float32))  # half precision is for storage
    return torch.cdist(precise, precise[chosen], compute_mode="donot_use_mm_for_euclid_dist").mean(dim=1)
