"""Shapes of feature maps and work of a network, whether it is a library's or the user's own, which is run for that."""

from collections.abc import Sequence
from functools import cache

import torch

from patchcore_core.backbones import feature_maps, map_shapes
from patchcore_core.common.errors import InputError
from patchcore_core.config import MethodConfig
from patchcore_suite.baselines.costs import Shape, Work
from patchcore_suite.preflight import operations
from patchcore_suite.run.own_networks import OwnNetworks


@cache
def shapes_of_maps(
    backbone: str, hierarchies: tuple[int, ...], size: tuple[int, int], own: OwnNetworks
) -> Sequence[Shape]:
    """Shapes (c, h, w) of a network's feature maps of an image of `size` (H, W).

    Raises:
        InputError: it takes no such images, or has not one map a hierarchy.
    """
    if backbone not in own.modules:
        return map_shapes(backbone, hierarchies, size)
    maps = feature_maps(own.modules[backbone], torch.zeros(1, 3, *size))
    if len(maps) != len(hierarchies):
        raise InputError(
            f"network {backbone!r} of {own.file} returns {len(maps)} feature maps for hierarchies={list(hierarchies)}",
            remedy="let it return one map for each hierarchy of the variant",
        )
    return [(c, h, w) for c, h, w in (fmap.shape[1:] for fmap in maps)]


def network_work(member: MethodConfig, hierarchies: tuple[int, ...], size: tuple[int, int], own: OwnNetworks) -> Work:
    """One image of `size` (H, W) through the network of a method, up to the last of some hierarchies."""
    if member.backbone in own.modules:
        return operations.counted(own.modules[member.backbone], size)
    return operations.backbone_work(member.backbone, hierarchies, size)
