"""From nearest-neighbour distances to image scores and anomaly maps, Eq. 6-7 and section 3.3."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from patchcore_core.common.errors import InputError
from patchcore_core.neighbours import nearest
from patchcore_core.patches import rescale


def image_scores(distances: Tensor) -> Tensor:
    """Score each image by its most anomalous patch: s* of Eq. 6.

    Args:
        distances: (n, h, w) L2 distance of each patch to its nearest neighbour in the memory bank.

    Returns:
        (n,) raw scores s*.
    """
    return distances.flatten(1).amax(dim=1)


def reweighted_scores(
    patch_features: Tensor, distances: Tensor, indices: Tensor, memory_bank: Tensor, *, reweight_neighbours: int = 3
) -> Tensor:
    """Damp the score of an image whose nearest memory lies in a crowded neighbourhood: s of Eq. 7.

    s = (1 - exp d(m_test*, m*) / sum over m in N_b(m*) of exp d(m_test*, m)) * s*, with N_b(m*) the b features of
    the memory bank nearest to m*, m* among them.

    Args:
        patch_features: (n, h, w, d) patch features of the test images.
        distances: (n, h, w) distance of each patch to its nearest neighbour in the memory bank.
        indices: (n, h, w) row of that neighbour.
        memory_bank: (l, d).
        reweight_neighbours: b. With b = 1, or a bank of one row, the weight would be 0 for every image; the score
            is then left as it is.

    Returns:
        (n,) anomaly scores s.
    """
    worst = distances.flatten(1).argmax(dim=1)  # m_test*, as a position
    rows = torch.arange(len(distances), device=distances.device)
    raw_score = distances.flatten(1)[rows, worst]
    b = min(reweight_neighbours, len(memory_bank))
    if b <= 1:
        return raw_score

    worst_patch = patch_features.flatten(1, 2)[rows, worst]  # (n, d)
    nearest_row = indices.flatten(1)[rows, worst]  # (n,), m*
    _, neighbourhood = nearest(memory_bank[nearest_row], memory_bank, k=b)  # (n, b), N_b(m*)
    # m* is among them, at distance 0; only rows that equal it can push it out, and those score alike.
    worst_patch = worst_patch.double()
    to_neighbourhood = _norm(memory_bank[neighbourhood].double() - worst_patch[:, None])  # (n, b)
    to_nearest = _norm(memory_bank[nearest_row].double() - worst_patch)  # (n,)
    # The quotient is a softmax; in logarithms no distance overflows.
    weight = 1 - torch.exp(to_nearest - torch.logsumexp(to_neighbourhood, dim=1))
    return (weight * raw_score.double()).to(raw_score.dtype)


def anomaly_maps(distances: Tensor, size: Sequence[int], *, sigma: float = 4.0, upsampling: str = "bilinear") -> Tensor:
    """Locate anomalies: patch distances brought to the image's size and smoothed.

    Upsampling and Gaussian smoothing are both linear and act on each axis by itself, so that together they
    are one matrix an axis: map = A_h D A_w^T.

    Args:
        distances: (n, h, w) patch distances.
        size: (H, W) of the images, in pixels.
        sigma: standard deviation of the Gaussian, in pixels; 0 for none.
        upsampling: "bilinear", as the paper has it, or "nearest", as some other implementations do.

    Returns:
        (n, H, W) anomaly maps.

    Raises:
        InputError: there is no such upsampling.
    """
    if upsampling not in _UPSAMPLINGS:
        raise InputError(f"upsampling={upsampling!r} must be one of {', '.join(_UPSAMPLINGS)}")
    vertical = _upsample_and_smooth(distances.shape[1], size[0], sigma, upsampling).to(distances)
    horizontal = _upsample_and_smooth(distances.shape[2], size[1], sigma, upsampling).to(distances)
    return vertical @ distances @ horizontal.T


def _norm(differences: Tensor) -> Tensor:
    """L2 norm over the last axis."""
    return cast("Tensor", differences.norm(dim=-1))


_UPSAMPLINGS = {"bilinear": rescale, "nearest": F.interpolate}  # nearest is torch's default


def _upsample_and_smooth(length: int, target: int, sigma: float, upsampling: str) -> Tensor:
    """(target, length) matrix: upsampling of one axis followed by a Gaussian."""
    identity = torch.eye(length, dtype=torch.float64)
    upsampled = _UPSAMPLINGS[upsampling](identity[None, None], (target, length))[0, 0]
    if sigma == 0:
        return upsampled
    from scipy.ndimage import gaussian_filter1d  # slow to import

    return torch.from_numpy(gaussian_filter1d(np.asarray(upsampled), sigma, axis=0))
