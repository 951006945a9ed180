"""What the baselines keep of an image, and the checks that they share."""

from collections.abc import Sequence

import torch
from torch import Tensor

from patchcore_core.common.errors import InputError
from patchcore_core.patches import rescale


def by_hierarchy(maps: Sequence[Tensor], hierarchies: Sequence[int]) -> dict[int, Tensor]:
    """Name feature maps by their hierarchy.

    Args:
        maps: (n, c_j, h_j, w_j), finest first.
        hierarchies: j, ascending, thus finest first too.

    Raises:
        InputError: not one map for each hierarchy.
    """
    if len(maps) != len(hierarchies):
        raise InputError(
            f"{len(maps)} feature maps for hierarchies={list(hierarchies)}",
            remedy="let the network return one feature map for each hierarchy",
        )
    return dict(zip(hierarchies, maps, strict=True))


def global_mean(fmap: Tensor) -> Tensor:
    """Describe a whole image by the mean of each channel, (n, c, h, w) -> (n, c)."""
    return fmap.mean(dim=(2, 3))


def pyramid(maps: Sequence[Tensor]) -> Tensor:
    """Describe each position by all hierarchies: maps on the grid of the first, side by side.

    Args:
        maps: (n, c_j, h_j, w_j), finest first; coarser ones are rescaled bilinearly. One without channels adds
            nothing, but the first gives the grid even then.

    Returns:
        (n, h, w, sum of the c_j).
    """
    size = maps[0].shape[-2:]
    on_one_grid = [rescale(fmap, size) for fmap in maps if fmap.shape[1]]
    return torch.cat(on_one_grid, dim=1).permute(0, 2, 3, 1).contiguous()


def check_nominal(*described: Tensor, at_least: int = 1) -> None:
    """Refuse nominal images that nothing can be learned from.

    Args:
        described: tensors (n, ...), what is kept of n nominal images.
        at_least: how many images the method needs.

    Raises:
        InputError: fewer images, or values that are NaN or infinite.
    """
    n = len(described[0])
    if n < at_least:
        raise InputError(f"{n} nominal images are too few: at least {at_least} are needed", remedy="give more images")
    if not all(torch.isfinite(part).all() for part in described):
        raise InputError(
            "features of the nominal images hold values that are NaN or infinite",
            remedy="check the images and the network",
        )


def check_test(test: Sequence[Tensor], nominal: Sequence[Tensor] | None) -> None:
    """Refuse to score before there is anything to compare with, or with something else.

    Args:
        test: tensors (n, ...), what is kept of n test images.
        nominal: what was learned from, or statistics of it, with axes that `test` must share; None before `fit`.

    Raises:
        InputError: nothing was fitted yet, or the axes differ.
    """
    if nominal is None:
        raise InputError("the model is not fitted yet", remedy="call fit with nominal images first")
    ours, theirs = ([tuple(part.shape[1:]) for part in parts] for parts in (test, nominal))
    if ours != theirs:
        raise InputError(
            f"test images are described by {ours}, nominal ones by {theirs}",
            remedy="fit and predict with one configuration and one image size",
        )
