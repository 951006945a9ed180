"""How many operations and bytes a network needs for an image."""

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from patchcore_core.backbones import PIXELS, UNTRAINED, feature_maps, load_backbone
from patchcore_core.backbones.architectures import without_values
from patchcore_suite.baselines.costs import FLOAT, Work


class _Traffic(TorchDispatchMode):
    """Counts the bytes of all results, each written once and read once, and the operations of grouped convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.grouped = 0

    def __torch_dispatch__(self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.bytes += 2 * FLOAT * result.numel()
        if func is torch.ops.aten.convolution.default and args[8] > 1:
            self.grouped += 2 * result.numel() * args[1][0].numel()
        return result


@cache
def backbone_work(name: str, hierarchies: tuple[int, ...], size: tuple[int, int]) -> Work:
    """One image of `size` (H, W) through a network: the convolutions as torch counts them, and the traffic.

    No weights are needed, and where the network allows it, no values are computed.
    """
    architecture = name if name == PIXELS or name.startswith(UNTRAINED) else UNTRAINED + name

    return without_values(lambda: counted(load_backbone(architecture, hierarchies), size))


def counted(network: Callable[[torch.Tensor], Sequence[torch.Tensor]], size: tuple[int, int]) -> Work:
    """One image of `size` (H, W) through a network that is there."""
    with _Traffic() as traffic, FlopCounterMode(display=False) as operations:
        feature_maps(network, torch.zeros(1, 3, *size))
    dense = operations.get_total_flops() - traffic.grouped
    return Work(convolutions=dense, grouped=traffic.grouped, traffic=traffic.bytes)
