"""Patch features as one graph: what `patchcore_core.patches` computes, without loops over images."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from patchcore_core.config import PatchCoreConfig
from patchcore_core.patches import neighbourhood_mean, rescale


class PatchFeatures(nn.Module):
    """Feature maps (n, c_j, h_j, w_j) of the same shapes each time, finest first, to patch features (n, h, w, d).

    Args:
        channels: the c_j.
        config: p, s, d and border of the patch features, and the type in which they are stored.
    """

    def __init__(self, channels: Sequence[int], config: PatchCoreConfig) -> None:
        super().__init__()
        self.config = config
        self.filters = nn.ParameterList(
            nn.Parameter(window_filters(c, config.neighbourhood_size, config.dimension), requires_grad=False)
            for c in (channels if config.dimension is not None else ())
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        config, stride = self.config, self.config.stride
        p, d = config.neighbourhood_size, config.dimension
        if d is None:
            aggregated = [neighbourhood_mean(fmap, p, border=config.border) for fmap in maps]
        else:
            pairs = zip(maps, self.filters, strict=True)
            aggregated = [
                F.conv2d(fmap, weights, padding=p // 2, groups=math.gcd(fmap.shape[1], d)) for fmap, weights in pairs
            ]
        size = aggregated[0].shape[-2:]
        on_one_grid = [rescale(fmap, size)[:, :, ::stride, ::stride] for fmap in aggregated]
        features = torch.cat(on_one_grid, dim=1).permute(0, 2, 3, 1)
        features = features.clone(memory_format=torch.contiguous_format)  # contiguous() is left out by the exporter
        if d is not None and len(maps) > 1:  # the second pooling, of d values a hierarchy
            features = torch.unflatten(features, 3, (d, len(maps))).mean(dim=4)
        return features.to(getattr(torch, config.storage)).float()  # rounded as the memory bank is


def window_filters(c: int, p: int, d: int) -> Tensor:
    """1-D adaptive averaging of each flattened (c, p, p) window to d values, as the filters of one convolution.

    It treats gcd(c, d) groups of channels alike, so that there are (d, c / groups, p, p) filters.
    """
    groups = math.gcd(c, d)
    length = c // groups * p * p
    pooled = F.adaptive_avg_pool1d(torch.eye(length)[:, None], d // groups)[:, 0]  # (length, d / groups)
    return pooled.T.reshape(d // groups, c // groups, p, p).repeat(groups, 1, 1, 1)
