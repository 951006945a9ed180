"""Frozen ImageNet networks that turn images into feature maps, by name and hierarchy.

Hierarchy j is the last feature map of stride 2^(j+1), before any classifier: `layer2` and `layer3` of a ResNet are
hierarchies 2 and 3, as in the paper, and timm's `out_indices` count alike.
"""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import TypeVar

import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from patchcore_core.errors import InputError
from patchcore_core.weights import Weights, find_weights, no_weights

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PROBE = 256  # side of the image that shows which layer has which stride
PIXELS, UNTRAINED = "pixels", "untrained/"  # names of the controls
PIXELS_HIERARCHIES = range(5)
UNTRAINED_SEED = 0
CLASSIFIERS = ("avgpool", "classifier", "dropout", "fc", "flatten", "head", "heads", "aux", "AuxLogits")

Result = TypeVar("Result")


class Backbone(nn.Module):
    """A frozen network: images in [0, 1] in, feature maps of the asked hierarchies out.

    Attributes:
        name: torchvision's or timm's.
        hierarchies: j, ascending; one feature map each.
        weights: where its weights came from and their SHA-256.
        precision: in which it computes; its maps are float32 in any case.
    """

    def __init__(
        self,
        network: Callable[[Tensor], Sequence[Tensor]],
        *,
        name: str,
        hierarchies: tuple[int, ...],
        weights: Weights,
        mean: Sequence[float],
        std: Sequence[float],
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.network = network
        self.name, self.hierarchies, self.weights, self.precision = name, hierarchies, weights, precision
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Feature maps (n, c_j, h_j, w_j), finest first, of images (n, 3, H, W) with values in [0, 1]."""
        normalised = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, self.precision, enabled=self.precision != torch.float32):
            return list(self.network(normalised))


@torch.inference_mode()
def feature_maps(network: Callable[[Tensor], Sequence[Tensor]], images: Tensor) -> list[Tensor]:
    """Run a frozen network on a batch, in evaluation mode and without gradients.

    Args:
        network: a `Backbone`, or any `nn.Module` that maps (n, 3, H, W) to a sequence of feature maps.
        images: (n, 3, H, W).

    Returns:
        Feature maps (n, c_j, h_j, w_j), finest first.

    Raises:
        InputError: the network returned something else.
    """
    if isinstance(network, nn.Module):
        network.eval()
    maps = network(images)
    fits = isinstance(maps, list | tuple) and len(maps) > 0
    if not fits or not all(isinstance(fmap, Tensor) and fmap.ndim == 4 and len(fmap) == len(images) for fmap in maps):
        raise InputError(
            f"the network returned {_describe(maps)} for images {tuple(images.shape)}",
            remedy="let it return a list of feature maps (n, c, h, w), finest first",
        )
    return sorted((fmap.float() for fmap in maps), key=lambda fmap: -fmap.shape[-1] * fmap.shape[-2])


def load_backbone(
    name: str, hierarchies: Sequence[int], *, weights: str | None = None, precision: str = "float32"
) -> Backbone:
    """Build a torchvision or timm network with its ImageNet weights, cut after the last hierarchy needed.

    Names that both libraries know are torchvision's, with its IMAGENET1K_V1 weights, the paper's; a tag
    (`wide_resnet50_2.racm_in1k`) or the prefix `timm/` asks for timm's. Two controls need no weights: `pixels`, whose
    hierarchy j is the image averaged over squares of 2^(j+1) pixels, and `untrained/NAME`, the network NAME as it is
    initialised under a fixed seed.

    Args:
        name: the backbone's name.
        hierarchies: j, ascending.
        weights: a weights file, or a folder of files called NAME.safetensors or NAME.pth; None looks them up.
        precision: "float32", or "bfloat16" for processors that multiply it faster: maps then differ by some percent.

    Raises:
        InputError: unknown name or hierarchy, or weights that do not fit.
        WeightsMissing: the weights cannot be had; the message names the remedies.
    """
    hierarchies = tuple(hierarchies)
    with torch.random.fork_rng(devices=[]):  # the initialisation is drawn, and the caller's generator is not ours
        torch.manual_seed(UNTRAINED_SEED)
        architecture = _architecture(name, hierarchies)
    if name == PIXELS or name.startswith(UNTRAINED):
        found = backbone_weights(name)
    else:
        found = backbone_weights(name, weights=weights)
        needed = set(architecture.whole_name.values())
        found.load_into(architecture.whole, needed=needed, name=name)
    whole = architecture.whole.state_dict()
    architecture.extractor.load_state_dict({key: whole[name] for key, name in architecture.whole_name.items()})
    backbone = Backbone(
        architecture.extractor,
        name=name,
        hierarchies=hierarchies,
        weights=found,
        mean=architecture.mean,
        std=architecture.std,
        precision=getattr(torch, precision),
    )
    # Channels last: processors convolve several channels of a pixel at once.
    return backbone.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def backbone_weights(name: str, *, weights: str | None = None) -> Weights:
    """The weights that `load_backbone` would use, without building the network; errors as there.

    Those of the controls are no file (`path` is None); their SHA-256 is that of the name and the seed.
    """
    library = _library(name)
    if library == PIXELS:
        return no_weights(PIXELS)
    if name.startswith(UNTRAINED):
        return no_weights(f"{name} seed {UNTRAINED_SEED}")
    return find_weights(name.removeprefix("timm/"), library=library, weights=weights)


def check_hierarchies(name: str, hierarchies: Sequence[int]) -> None:
    """Refuse what `load_backbone` would refuse, without any weights.

    Raises:
        InputError: unknown name, or a hierarchy that the backbone lacks.
    """
    _check_hierarchies(name, tuple(hierarchies), _hierarchies_of(name))


def map_shapes(name: str, hierarchies: Sequence[int], size: Sequence[int]) -> list[tuple[int, int, int]]:
    """Shapes (c_j, h_j, w_j) of the feature maps of an image of `size` (H, W), finest first, without any weights.

    Raises:
        InputError: unknown name or hierarchy, or a backbone that takes no images of this size.
    """

    def run() -> list[Tensor]:
        extractor = _architecture(name, tuple(hierarchies)).extractor
        return feature_maps(extractor, torch.zeros(1, 3, *size))

    try:
        return [tuple(fmap.shape[1:]) for fmap in _without_values(run)]
    except (AssertionError, RuntimeError) as error:
        raise InputError(
            f"backbone={name!r} takes no images of {size[0]} x {size[1]} pixels: {error}",
            remedy="choose another size, or a convolutional network",
        ) from None


@dataclass(frozen=True)
class _Architecture:
    """A network as it was initialised, and the part of it that gives the feature maps."""

    whole: nn.Module
    extractor: nn.Module
    whole_name: dict[str, str]  # entries of the extractor's state, and what they are called in the whole network
    mean: Sequence[float] = IMAGENET_MEAN
    std: Sequence[float] = IMAGENET_STD


def _library(name: str) -> str:
    """ "torchvision", "timm" or "pixels"."""
    network_name = name.removeprefix(UNTRAINED)
    if name == PIXELS:
        return PIXELS
    if network_name in torchvision.models.list_models(module=torchvision.models):
        return "torchvision"
    if not timm.is_model(network_name.removeprefix("timm/")):
        known = torchvision.models.list_models(module=torchvision.models) + timm.list_models() + [PIXELS]
        raise InputError(
            f"backbone={name!r} is neither a torchvision nor a timm network",
            offenders=[f"similar name: {match}" for match in get_close_matches(network_name, set(known))],
            remedy="choose a name of torchvision.models.list_models() or timm.list_models()",
        )
    return "timm"


def _architecture(name: str, hierarchies: tuple[int, ...]) -> _Architecture:
    """The network of that name without trained weights, cut after the last hierarchy needed."""
    return _ARCHITECTURES[_library(name)](name, hierarchies)


@cache
def _hierarchies_of(name: str) -> frozenset[int]:
    return frozenset(_without_values(lambda: _AVAILABLE[_library(name)](name)))


def _without_values(act: Callable[[], Result]) -> Result:
    """Do something of which only the shapes matter, without computing any values where the network allows it."""
    try:
        with torch.device("meta"):
            return act()
    except (InputError, RuntimeError):  # it may look at values while it is built; other errors come again
        with torch.random.fork_rng(devices=[]):
            return act()


def _pixels(name: str, hierarchies: tuple[int, ...]) -> _Architecture:
    _check_hierarchies(name, hierarchies, PIXELS_HIERARCHIES)
    squares = _Squares(hierarchies)
    return _Architecture(squares, squares, {}, mean=(0, 0, 0), std=(1, 1, 1))


def _torchvision(name: str, hierarchies: tuple[int, ...]) -> _Architecture:
    whole = torchvision.models.get_model(name.removeprefix(UNTRAINED), weights=None).eval()
    layers = _torchvision_layers(whole)
    _check_hierarchies(name, hierarchies, layers)
    extractor = _ValuesOf(create_feature_extractor(whole, return_nodes=[layers[j] for j in hierarchies]))
    return _Architecture(whole, extractor, {key: key.removeprefix("network.") for key in extractor.state_dict()})


@torch.inference_mode()
def _torchvision_layers(network: nn.Module) -> dict[int, str]:
    """The last layer of each stride, among the blocks that make up the network's trunk, by hierarchy."""
    trunk = next((part for part in ("features", "trunk_output") if hasattr(network, part)), "")
    prefix = f"{trunk}." if trunk else ""
    layers: dict[int, str] = {}

    def note(layer: str, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[-1] == output.shape[-2] > 1:
            layers[round(math.log2(PROBE / output.shape[-1])) - 1] = layer

    hooks = [
        block.register_forward_hook(lambda _block, _inputs, output, layer=prefix + layer: note(layer, output))
        for layer, block in network.get_submodule(trunk).named_children()
        if layer not in CLASSIFIERS
    ]
    try:
        network(torch.zeros(1, 3, PROBE, PROBE))
    except AssertionError:  # a transformer that takes one image size only
        return {}
    finally:
        for hook in hooks:
            hook.remove()
    return {j: layer for j, layer in sorted(layers.items()) if j >= 0}


def _timm(name: str, hierarchies: tuple[int, ...]) -> _Architecture:
    index = _timm_layers(name)
    _check_hierarchies(name, hierarchies, index)
    timm_name = name.removeprefix(UNTRAINED).removeprefix("timm/")
    whole = timm.create_model(timm_name)
    extractor = timm.create_model(timm_name, features_only=True, out_indices=[index[j] for j in hierarchies])

    # timm's feature networks may write stages.1.x as stages_1.x; the tensors are the same.
    whole_name = {key.replace(".", "_"): key for key in whole.state_dict()}
    training = whole.pretrained_cfg
    return _Architecture(
        whole,
        extractor,
        {key: whole_name[key.replace(".", "_")] for key in extractor.state_dict()},
        mean=training["mean"],
        std=training["std"],
    )


def _timm_layers(name: str) -> dict[int, int]:
    """timm's index of the last feature map of each stride, by hierarchy."""
    try:
        probe = timm.create_model(name.removeprefix(UNTRAINED).removeprefix("timm/"), features_only=True)
    except (AssertionError, AttributeError, RuntimeError) as error:  # timm has no one error for "cannot"
        raise InputError(
            f"backbone={name!r} gives no feature maps: {error}", remedy="choose a convolutional network"
        ) from None
    return {int(math.log2(stride)) - 1: i for i, stride in enumerate(probe.feature_info.reduction()) if stride > 1}


_ARCHITECTURES = {PIXELS: _pixels, "torchvision": _torchvision, "timm": _timm}
_AVAILABLE: dict[str, Callable[[str], Iterable[int]]] = {
    PIXELS: lambda name: PIXELS_HIERARCHIES,
    "torchvision": lambda name: _torchvision_layers(
        torchvision.models.get_model(name.removeprefix(UNTRAINED), weights=None).eval()
    ),
    "timm": _timm_layers,
}


class _Squares(nn.Module):
    """Images averaged over squares of 2^(j+1) pixels; those at the right and lower border may be cut."""

    def __init__(self, hierarchies: tuple[int, ...]) -> None:
        super().__init__()
        self.hierarchies = hierarchies

    def forward(self, images: Tensor) -> list[Tensor]:
        return [F.avg_pool2d(images, 2 ** (j + 1), ceil_mode=True) for j in self.hierarchies]


class _ValuesOf(nn.Module):
    """A network that returns a mapping, made to return its values in order."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> list[Tensor]:
        return list(self.network(images).values())


def _check_hierarchies(name: str, hierarchies: tuple[int, ...], available: Collection[int]) -> None:
    unknown = [j for j in hierarchies if j not in available]
    if unknown:
        offered = f"has {', '.join(map(str, sorted(available)))}" if available else "has none: it is not convolutional"
        raise InputError(
            f"hierarchies={list(hierarchies)}: backbone {name!r} {offered}", remedy="choose among these hierarchies"
        )


def _describe(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of [{', '.join(_describe(item) for item in value)}]"
    return f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
