"""Frozen ImageNet networks that turn images into feature maps, by name and hierarchy.

Hierarchy j is the last feature map of stride 2^(j+1), before any classifier: `layer2` and `layer3` of a ResNet are
hierarchies 2 and 3, as in the paper, and timm's `out_indices` count alike.
"""

from collections.abc import Callable, Sequence
from typing import TypeGuard, cast

import torch
from torch import Tensor, nn

from patchcore_core.backbones.architectures import (
    Architecture,
    build_architecture,
    check_hierarchies,
    library_of,
    without_values,
)
from patchcore_core.backbones.weights import Weights, find_weights, no_weights
from patchcore_core.common.errors import InputError
from patchcore_core.config import PIXELS, UNTRAINED

UNTRAINED_SEED = 0


class Backbone(nn.Module):
    """A frozen network: images in [0, 1] in, feature maps of the asked hierarchies out.

    Attributes:
        name: torchvision's or timm's.
        hierarchies: j, ascending; one feature map each.
        weights: where its weights came from and their SHA-256.
        precision: in which it computes; its maps are float32 in any case.
    """

    mean: Tensor  # (1, 3, 1, 1), as is `std`: of the images that it was trained on
    std: Tensor

    def __init__(
        self, network: Architecture, name: str, hierarchies: tuple[int, ...], weights: Weights, precision: torch.dtype
    ) -> None:
        super().__init__()
        self.network = network.extractor
        self.name, self.hierarchies, self.weights, self.precision = name, hierarchies, weights, precision
        self.register_buffer("mean", torch.tensor(network.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(network.std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Feature maps (n, c_j, h_j, w_j), finest first, of images (n, 3, H, W) with values in [0, 1]."""
        normalised = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        device = "cpu" if images.is_meta else images.device.type  # without values there is nothing to cast
        with torch.autocast(device, self.precision, enabled=self.precision != torch.float32):
            return list(self.network(normalised))


@torch.inference_mode()
def feature_maps(network: Callable[[Tensor], Sequence[Tensor]], images: Tensor) -> list[Tensor]:
    """Run a frozen network on a batch, in evaluation mode and without gradients.

    Args:
        network: a `Backbone`, or any `nn.Module` that maps (n, 3, H, W) to a sequence of feature maps.
        images: (n, 3, H, W).

    Returns:
        Feature maps (n, c_j, h_j, w_j) in single precision, finest first, in whatever order they came.

    Raises InputError: the network takes no such images, or returned something else: no floating-point maps, maps (n,
    h, w, c), or values that are NaN or infinite.
    """
    if isinstance(network, nn.Module):
        network.eval()
    # A network of the caller's may change its images in place.
    maps = _run(network, images if isinstance(network, Backbone) else images.clone())
    if not _are_maps(maps, len(images)):
        problem = ""
    elif not isinstance(network, Backbone) and _channels_last(network, images, maps):
        problem = ": their channels come last"
    elif not all(fmap.is_meta or bool(fmap.isfinite().all()) for fmap in maps):
        problem = ": they hold NaN or infinite values"
    else:
        return sorted((fmap.float() for fmap in maps), key=lambda fmap: -fmap.shape[-1] * fmap.shape[-2])
    raise InputError(
        f"the network returned {_describe(maps)} for images {tuple(images.shape)}{problem}",
        remedy="let it return a list of finite floating-point feature maps (n, c, h, w), finest first",
    )


def load_backbone(
    name: str, hierarchies: Sequence[int], *, weights: str | None = None, precision: str = "float32"
) -> Backbone:
    """Build a torchvision or timm network with its ImageNet weights, cut after the last hierarchy needed.

    Names that both libraries know are torchvision's, with its IMAGENET1K_V1 weights, the paper's; a tag
    (`wide_resnet50_2.racm_in1k`) or the prefix `timm/` asks for timm's. Two controls need no weights: `pixels`, whose
    hierarchy j is the image averaged over squares of 2^(j+1) pixels, and `untrained/NAME`, the network NAME as it is
    initialised under a fixed seed.

    Args:
        name, hierarchies: the backbone's, and j, ascending.
        weights: a weights file, or a folder of files called NAME.safetensors or NAME.pth; None looks them up.
        precision: "float32", or "bfloat16" for processors that multiply it faster: maps then differ by some percent.

    Raises:
        InputError: unknown name or hierarchy, or weights that do not fit.
        WeightsMissing: the weights cannot be had; the message names the remedies.
    """
    hierarchies = tuple(hierarchies)
    with torch.random.fork_rng(devices=[]):  # the initialisation is drawn, and the caller's generator is not ours
        torch.manual_seed(UNTRAINED_SEED)
        architecture = build_architecture(name, hierarchies)
    if name == PIXELS or name.startswith(UNTRAINED):
        found = backbone_weights(name)
    else:
        found = backbone_weights(name, weights=weights)
        needed = set(architecture.whole_name.values())
        found.load_into(architecture.whole, needed=needed, name=name)
    whole = architecture.whole.state_dict()
    architecture.extractor.load_state_dict({key: whole[name] for key, name in architecture.whole_name.items()})
    backbone = Backbone(architecture, name, hierarchies, found, getattr(torch, precision))
    # Channels last: processors convolve several channels of a pixel at once.
    return backbone.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def backbone_weights(name: str, *, weights: str | None = None, download: bool = True) -> Weights:
    """The weights that `load_backbone` would use, without building the network; errors as there.

    Those of the controls are no file (`path` is None); their SHA-256 is that of the name and the seed.

    Args:
        name, weights: as of `load_backbone`.
        download: whether they may be fetched; if not, weights that are not on this machine are missing.
    """
    library = library_of(name)
    if library == PIXELS:
        return no_weights(PIXELS)
    if name.startswith(UNTRAINED):
        return no_weights(f"{name} seed {UNTRAINED_SEED}")
    return find_weights(name.removeprefix("timm/"), library=library, weights=weights, download=download)


def map_shapes(name: str, hierarchies: Sequence[int], size: Sequence[int]) -> list[tuple[int, int, int]]:
    """Shapes (c_j, h_j, w_j) of the feature maps of an image of `size` (H, W), finest first, without any weights.

    Raises InputError: unknown name or hierarchy, or a backbone that takes no images of this size.
    """
    check_hierarchies(name, hierarchies)

    def run() -> list[Tensor]:
        extractor = build_architecture(name, tuple(hierarchies)).extractor
        return feature_maps(extractor, torch.zeros(1, 3, *size))

    try:
        return [(c, h, w) for c, h, w in (fmap.shape[1:] for fmap in without_values(run))]
    except InputError as error:
        raise InputError(f"backbone={name!r}: {error.problem}", remedy=error.remedy) from None


def _run(network: Callable[[Tensor], Sequence[Tensor]], images: Tensor) -> object:
    try:
        return network(images)
    except (torch.OutOfMemoryError, InputError):
        raise
    except Exception as error:  # a network of the caller's may fail in any way
        h, w = images.shape[-2:]
        raise InputError(
            f"the network takes no images of {h} x {w} pixels: {error}",
            remedy="choose another size, or another network",
        ) from error


def _channels_last(network: Callable[[Tensor], object], images: Tensor, maps: Sequence[Tensor]) -> bool:
    """Whether maps are (n, h, w, c): only then they have the images' proportions, or follow their width."""
    height, width = images.shape[-2:]

    def proportioned(h: int, w: int) -> bool:  # up to rounding
        return abs(h * width - w * height) <= (max(height, width) if height != width else 0)

    if not all(proportioned(*fmap.shape[1:3]) for fmap in maps):
        return False
    if not all(proportioned(*fmap.shape[2:]) for fmap in maps):
        return True
    try:
        narrow = network(images[:1, :, :, : width // 2])
    except (AssertionError, RuntimeError):  # it takes one size only
        return False
    return _are_maps(narrow, 1) and all(
        half.shape[2] < fmap.shape[2] and half.shape[3] == fmap.shape[3]
        for half, fmap in zip(narrow, maps, strict=False)
    )


def _are_maps(value: object, n: int) -> TypeGuard[Sequence[Tensor]]:
    """Whether it is one or more floating-point tensors (n, ., ., .) that hold something."""
    if not isinstance(value, list | tuple) or not value:
        return False
    items = cast("Sequence[object]", value)
    return all(
        isinstance(item, Tensor) and item.is_floating_point() and item.ndim == 4 and len(item) == n and item.numel()
        for item in items
    )


def _describe(value: object) -> str:
    if isinstance(value, list | tuple):
        items = cast("Sequence[object]", value)
        return f"a {type(items).__name__} of [{', '.join(map(_describe, items))}]"
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    return f"a tensor {tuple(value.shape)}" + (f" of {value.dtype}" if not value.is_floating_point() else "")
