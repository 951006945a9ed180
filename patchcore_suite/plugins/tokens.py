"""Networks of timm that its `forward_intermediates` reads: transformers and their kin, whose blocks share one grid.

Where all blocks do, hierarchy j is block j, counted from 0 as timm's indices are, and NORMED + j is block j after the
network's last norm. Class, register and distillation tokens are no positions of the image, and left out. Where stages
halve the grid, hierarchy j has stride 2^(j+1), as that of a convolutional network has; stages of other strides count
from 0.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from patchcore_core.backbones.architectures import Architecture, wants_values
from patchcore_core.common.errors import InputError

NORMED = 100  # more blocks than any network of timm has

Size = tuple[int, int]  # (H, W) in pixels


@dataclass(frozen=True)
class Layer:
    """Where the maps of a hierarchy are had, and what timm says of them."""

    index: int  # of timm's intermediates
    normed: bool
    channels: int
    stride: int  # pixels


@dataclass(frozen=True)
class Sizes:
    """Which images a network takes: sides that are multiples of some pixels, or one size alone."""

    multiple: int
    native: Size
    flexible: bool  # takes them as it stands
    settable: bool  # else timm can resample its positions once, by `set_input_size`

    def check(self, size: Size) -> None:
        """Refuse a size that does not fit.

        Raises:
            InputError: with the nearest sizes that fit.
        """
        problem = f"the network takes no images of {_shown(size)} pixels"
        if not self.flexible and not self.settable and size != self.native:
            raise InputError(f"{problem}, only of {_shown(self.native)}", remedy=f"choose {_shown(self.native)}")
        if any(side % self.multiple for side in size):
            down = (size[0] // self.multiple * self.multiple, size[1] // self.multiple * self.multiple)
            up = (-(-size[0] // self.multiple) * self.multiple, -(-size[1] // self.multiple) * self.multiple)
            near = " or ".join(_shown(fitting) for fitting in (down, up) if all(fitting))
            raise InputError(
                f"{problem}: its patches of {self.multiple} x {self.multiple} do not divide them",
                remedy=f"choose {near}, the nearest sizes that fit",
            )


@dataclass(frozen=True)
class Intermediates:
    """A network of timm's that gives its intermediate maps, by hierarchy."""

    name: str
    hierarchies: Mapping[int, Layer]
    sizes: Sizes

    def build(self, hierarchies: Sequence[int]) -> Architecture:
        """The network as it is initialised, and what gives the maps of some hierarchies."""
        whole = _create(self.name)
        extractor = Blocks(copy.deepcopy(whole), [self.hierarchies[j] for j in hierarchies], self.sizes)
        of_whole = {key: key.removeprefix("network.") for key in extractor.state_dict()}
        training: Mapping[str, Any] = whole.pretrained_cfg
        return Architecture(whole, extractor, of_whole, mean=training["mean"], std=training["std"])


class Blocks(nn.Module):
    """Images (n, 3, H, W) to the maps (n, c, h, w) of some layers; what follows the last of them is cut off."""

    def __init__(self, network: Any, layers: Sequence[Layer], sizes: Sizes) -> None:
        super().__init__()
        self.layers, self.sizes = tuple(layers), sizes
        if hasattr(network, "prune_intermediate_layers"):
            normed = any(layer.normed for layer in layers)
            network.prune_intermediate_layers(sorted({layer.index for layer in layers}), prune_norm=not normed)
        self.network = network
        self.resized: nn.Module | None = (
            None  # the network at the size that it was last asked for, if that is not its own
        )
        self.resized_to = sizes.native

    def forward(self, images: Tensor) -> list[Tensor]:
        size = (images.shape[-2], images.shape[-1])
        self.sizes.check(size)
        network = self._at(size)
        maps: dict[tuple[bool, int], Tensor] = {}
        for normed in sorted({layer.normed for layer in self.layers}):
            indices = sorted({layer.index for layer in self.layers if layer.normed == normed})
            found = _maps(network, images, indices, normed)
            maps |= {(normed, index): fmap for index, fmap in zip(indices, found, strict=True)}
        of_layers = [maps[layer.normed, layer.index] for layer in self.layers]
        if not all(_is_as_told(fmap, layer, size) for fmap, layer in zip(of_layers, self.layers, strict=True)):
            found = [tuple(fmap.shape[1:]) for fmap in of_layers]
            told = ", ".join(f"{layer.channels} channels of stride {layer.stride}" for layer in self.layers)
            raise InputError(
                f"its maps {found} of {_shown(size)} pixels are not {told}", remedy="choose another size, or network"
            )
        return of_layers

    def _at(self, size: Size) -> Any:
        """The network, with positions resampled by timm where it knows one size alone."""
        if self.sizes.flexible or size == self.sizes.native:
            return self.network
        if self.resized is None or self.resized_to != size:
            with torch.inference_mode(False):
                resized: Any = copy.deepcopy(self.network)
                resized.set_input_size(img_size=size)
            self.resized, self.resized_to = resized.requires_grad_(False).eval(), size
        return self.resized


@torch.inference_mode()
def intermediates(name: str) -> Intermediates | None:
    """How the maps of a network are had, by timm's name; None where `forward_intermediates` gives none.

    They are run once, so that no map is offered whose grid and channels are not what timm says of it.
    """
    network = _create(name)
    told = getattr(network, "feature_info", None)
    if not hasattr(network, "forward_intermediates") or not told:
        return None
    facts = told if isinstance(told, list) else told.get_dicts()
    layers = [Layer(index, False, fact["num_chs"], fact["reduction"]) for index, fact in enumerate(facts)]
    native: Size = tuple(network.pretrained_cfg["input_size"][-2:])
    if not _gives(network, layers, native):
        return None
    strides = [layer.stride for layer in layers]
    one_grid = len({*strides}) == 1
    multiple = strides[0] if one_grid else _patch(network)
    flexible = _gives(network, layers, (native[0] + 2 * max(strides), native[1] + max(strides)))
    sizes = Sizes(multiple, native, flexible, hasattr(network, "set_input_size"))
    if not one_grid and all(math.log2(stride).is_integer() for stride in strides):
        return Intermediates(name, {round(math.log2(layer.stride)) - 1: layer for layer in layers}, sizes)
    of = {layer.index: layer for layer in layers}
    normed = [Layer(layer.index, True, layer.channels, layer.stride) for layer in layers]
    if one_grid and not isinstance(getattr(network, "norm", nn.Identity()), nn.Identity):
        of |= {NORMED + layer.index: layer for layer in normed if _gives(network, normed, native)}
    return Intermediates(name, of, sizes)


def _create(name: str) -> Any:
    """timm's network, without trained weights and for images of any size where it can be told so."""
    import timm

    try:
        return timm.create_model(name, dynamic_img_size=True).eval()
    except TypeError:  # it has no such argument
        return timm.create_model(name).eval()


def _maps(network: Any, images: Tensor, indices: Sequence[int], normed: bool) -> list[Tensor]:
    return network.forward_intermediates(
        images, indices=[*indices], norm=normed, output_fmt="NCHW", intermediates_only=True
    )


def _gives(network: Any, layers: Sequence[Layer], size: Size) -> bool:
    """Whether a network gives the maps that timm says it does, of one image."""
    try:
        maps = _maps(network, torch.zeros(1, 3, *size), [layer.index for layer in layers], layers[0].normed)
    except Exception as error:  # timm has no one error for "cannot"
        if wants_values(error):
            raise
        return False
    return len(maps) == len(layers) and all(map(_is_as_told, maps, layers, [size] * len(maps)))


def _is_as_told(fmap: Tensor, layer: Layer, size: Size) -> bool:
    """Whether a map (n, c, h, w) has the channels and stride that timm tells, up to what a border cuts or fills."""
    shape = fmap.shape[1:]
    near = all(abs(length * layer.stride - side) < layer.stride for length, side in zip(shape[1:], size, strict=True))
    return shape[0] == layer.channels and near


def _patch(network: Any) -> int:
    """Pixels a side of what a network makes of its images first; 1 where it pads what they do not divide."""
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", 1)
    return max(patch) if isinstance(patch, tuple) else patch


def _shown(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
