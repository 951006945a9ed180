"""Locally aware patch features, Eq. 1-4 of Roth et al. (2022)."""

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Rows(Protocol):
    """Patch features (n, d): a tensor, or what makes them when they are asked for, so that they are never all held."""

    @property
    def shape(self) -> torch.Size: ...
    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def device(self) -> torch.device: ...
    def __len__(self) -> int: ...
    def __getitem__(self, rows: slice | Tensor, /) -> Tensor: ...


def whole(rows: Rows) -> Tensor:
    """All in one tensor."""
    return rows if isinstance(rows, Tensor) else rows[:]


def patch_features(
    maps: Sequence[Tensor],
    neighbourhood_size: int = 3,
    stride: int = 1,
    dimension: int | None = None,
    *,
    border: str = "zeros",
) -> Tensor:
    """Describe each position of an image together with its surroundings, at several hierarchies.

    Eq. 1-3 with f_agg read in two ways. With `dimension=None` each channel becomes its mean over the p x p
    neighbourhood. With a dimension d, every flattened (c, p, p) window is pooled to d values by 1-D adaptive
    averaging and the stacked hierarchies are pooled to d once more, as the authors' code does.

    Args:
        maps: feature maps (n, c_j, h_j, w_j), finest first; coarser ones are rescaled bilinearly to the finest.
        neighbourhood_size: p, odd.
        stride: s; positions (a, b) with a mod s = b mod s = 0 are kept (of the finest grid).
        dimension: d, or None for the channels' own number.
        border: "zeros" pads the map with zeros and counts them, "cut" averages over what exists
            (`dimension=None` only).

    Returns:
        (n, h, w, d) patch features, d the sum of the c_j when `dimension` is None.

    Raises:
        ValueError: no maps, or `border="cut"` together with a dimension.
    """
    if not maps:
        raise ValueError("patch_features needs at least one feature map")
    if dimension is not None and border == "cut":
        raise ValueError("border='cut' is defined for dimension=None only")

    # Both aggregations are linear in each window and bilinear rescaling is linear too, so that coarse maps are
    # aggregated on their own small grid and rescaled afterwards: the same numbers as the other order, for less.
    if dimension is None:
        aggregated = [neighbourhood_mean(fmap, neighbourhood_size, border=border) for fmap in maps]
    elif _from_whole_channels(maps, dimension):
        aggregated = [neighbourhood_filter(fmap, neighbourhood_size, dimension, len(maps)) for fmap in maps]
    else:
        aggregated = [neighbourhood_pool(fmap, neighbourhood_size, dimension) for fmap in maps]

    size = aggregated[0].shape[-2:]
    on_one_grid = [rescale(fmap, size)[:, :, ::stride, ::stride] for fmap in aggregated]
    features = torch.cat(on_one_grid, dim=1).permute(0, 2, 3, 1)  # (n, h, w, sum of channels)
    if dimension is None or features.shape[-1] == dimension:
        return features.contiguous()
    return _adaptive_mean(features, dimension)  # the second pooling


def neighbourhood_mean(fmap: Tensor, neighbourhood_size: int, *, border: str = "zeros") -> Tensor:
    """Average each channel over the p x p neighbourhood of every position, (n, c, h, w) -> (n, c, h, w)."""
    half = neighbourhood_size // 2
    return F.avg_pool2d(fmap, neighbourhood_size, stride=1, padding=half, count_include_pad=border == "zeros")


def neighbourhood_pool(fmap: Tensor, neighbourhood_size: int, dimension: int) -> Tensor:
    """Pool each flattened (c, p, p) window to `dimension` values, (n, c, h, w) -> (n, dimension, h, w).

    The authors' f_agg: 1-D adaptive averaging over channels and positions together.
    """
    n, _, h, w = fmap.shape
    half = neighbourhood_size // 2
    pooled: list[Tensor] = []
    for image in fmap:  # one image at a time: the windows are p * p times the size of the map
        windows = F.unfold(image[None], neighbourhood_size, padding=half)  # (1, c*p*p, h*w)
        pooled.append(_adaptive_mean(windows[0].T, dimension))  # (h*w, dimension)
    return torch.stack(pooled).transpose(1, 2).reshape(n, dimension, h, w)


def neighbourhood_filter(fmap: Tensor, neighbourhood_size: int, dimension: int, hierarchies: int) -> Tensor:
    """Pool as the authors' code does twice, in one step and without windows: one filter a channel.

    The second pooling averages groups of as many values as there are hierarchies. Where each group comes from whole
    channels, each of the same number r, all groups weight their (r, p, p) values alike. So with WideResNet50,
    hierarchies 2 and 3, p = 3 and d = 1024: of hierarchy 2 every channel becomes a mean that counts the centre
    twice, of hierarchy 3 every pair of channels its plain mean.

    Of a map (n, c, h, w), with d a multiple of the number of hierarchies, and c of d / hierarchies, these are the
    values (n, d / hierarchies, h, w) of the descriptor that come from this hierarchy.
    """
    c, p, values = fmap.shape[1], neighbourhood_size, dimension // hierarchies
    r = c // values
    weights = _adaptive_mean(torch.eye(r * p * p), hierarchies).mean(dim=1)
    filters = weights.view(r, 1, p, p).repeat(values, 1, 1, 1).to(fmap)  # (c, 1, p, p)
    filtered = F.conv2d(fmap, filters, padding=p // 2, groups=c)
    return torch.unflatten(filtered, 1, (values, r)).sum(dim=2)


def rescale(fmap: Tensor, size: Sequence[int]) -> Tensor:
    """Bring a map to the grid `size` bilinearly; a map that is there already is returned as it is."""
    if tuple(fmap.shape[-2:]) == tuple(size):
        return fmap
    return F.interpolate(fmap, size=tuple(size), mode="bilinear", align_corners=False)


def _from_whole_channels(maps: Sequence[Tensor], dimension: int) -> bool:
    """Whether each value of the authors' descriptor comes from one hierarchy, and there from whole channels."""
    return dimension % len(maps) == 0 and all(fmap.shape[1] * len(maps) % dimension == 0 for fmap in maps)


def _adaptive_mean(rows: Tensor, dimension: int) -> Tensor:
    """1-D adaptive averaging of the last axis to `dimension` values."""
    flat = rows.reshape(-1, 1, rows.shape[-1])
    return F.adaptive_avg_pool1d(flat, dimension).reshape(*rows.shape[:-1], dimension)
