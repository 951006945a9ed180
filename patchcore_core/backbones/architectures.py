"""Networks of torchvision and timm without trained weights, cut after the last hierarchy that is needed.

Both libraries take longer to import than torch, and are imported by what first needs them.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from patchcore_core.common.errors import InputError
from patchcore_core.config import PIXELS, UNTRAINED

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PROBE = 256  # side of the image that shows which layer has which stride
PIXELS_HIERARCHIES = range(5)
CLASSIFIERS = ("avgpool", "classifier", "dropout", "fc", "flatten", "head", "heads", "aux", "AuxLogits")

Result = TypeVar("Result")


@dataclass(frozen=True)
class Architecture:
    """A network as it was initialised, and the part of it that gives the feature maps."""

    whole: nn.Module
    extractor: nn.Module
    whole_name: dict[str, str]  # entries of the extractor's state, and what they are called in the whole network
    mean: Sequence[float] = IMAGENET_MEAN
    std: Sequence[float] = IMAGENET_STD


def build_architecture(name: str, hierarchies: tuple[int, ...]) -> Architecture:
    """The network of that name without trained weights, cut after the last hierarchy needed.

    Raises:
        InputError: unknown name, or a hierarchy that the network lacks.
    """
    return _ARCHITECTURES[library_of(name)](name, hierarchies)


@cache
def hierarchies_of(name: str) -> frozenset[int]:
    """The hierarchies of which the network of that name has feature maps.

    Raises:
        InputError: unknown name, or a network of timm that gives no feature maps.
    """
    available = _AVAILABLE[library_of(name)]  # which imports the libraries: what they make then is to have values
    return frozenset(without_values(lambda: available(name)))


def library_of(name: str) -> str:
    """Whose network it is: "torchvision", "timm", or "pixels" for the image itself.

    Raises:
        InputError: unknown name; the one most like it is named.
    """
    if name == PIXELS:
        return PIXELS
    import timm
    from torchvision import models

    network_name = name.removeprefix(UNTRAINED)
    if network_name in models.list_models(module=models):
        return "torchvision"
    if not timm.is_model(_timm_name(name)):
        known = {*models.list_models(module=models), *timm.list_models(), PIXELS}
        near = "".join(f" (did you mean {match}?)" for match in get_close_matches(network_name, known, 1, 0.8))
        raise InputError(
            f"backbone={name!r} is neither a torchvision nor a timm network{near}",
            remedy="choose a name of torchvision.models.list_models() or timm.list_models()",
        )
    return "timm"


def refuse_unknown(name: str, hierarchies: tuple[int, ...], available: Collection[int]) -> None:
    """Refuse hierarchies of which a network has no feature maps, naming those that it has."""
    unknown = [j for j in hierarchies if j not in available]
    if unknown:
        offered = f"has {', '.join(map(str, sorted(available)))}" if available else "has none: it is not convolutional"
        raise InputError(
            f"hierarchies={list(hierarchies)}: backbone {name!r} {offered}", remedy="choose among these hierarchies"
        )


def without_values(act: Callable[[], Result]) -> Result:
    """Do something of which only the shapes matter, without computing any values where the network allows it."""
    try:
        with torch.device("meta"):
            return act()
    except (InputError, RuntimeError):  # it may look at values while it is built; other errors come again
        with torch.random.fork_rng(devices=[]):
            return act()


def _pixels(name: str, hierarchies: tuple[int, ...]) -> Architecture:
    refuse_unknown(name, hierarchies, PIXELS_HIERARCHIES)
    squares = _Squares(hierarchies)
    return Architecture(squares, squares, {}, mean=(0, 0, 0), std=(1, 1, 1))


def _torchvision(name: str, hierarchies: tuple[int, ...]) -> Architecture:
    from torchvision.models.feature_extraction import create_feature_extractor

    whole = _torchvision_network(name)
    layers = _torchvision_layers(whole)
    refuse_unknown(name, hierarchies, layers)
    extractor = _ValuesOf(create_feature_extractor(whole, return_nodes=[layers[j] for j in hierarchies]))
    return Architecture(whole, extractor, {key: key.removeprefix("network.") for key in extractor.state_dict()})


def _torchvision_network(name: str) -> nn.Module:
    from torchvision import models

    return models.get_model(name.removeprefix(UNTRAINED), weights=None).eval()


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


def _timm(name: str, hierarchies: tuple[int, ...]) -> Architecture:
    import timm

    index = _timm_layers(name)
    refuse_unknown(name, hierarchies, index)
    whole = timm.create_model(_timm_name(name))
    extractor = timm.create_model(_timm_name(name), features_only=True, out_indices=[index[j] for j in hierarchies])

    # timm's feature networks may write stages.1.x as stages_1.x; the tensors are the same.
    whole_name = {key.replace(".", "_"): key for key in whole.state_dict()}
    training = cast("Mapping[str, Sequence[float]]", whole.pretrained_cfg)
    return Architecture(
        whole,
        extractor,
        {key: whole_name[key.replace(".", "_")] for key in extractor.state_dict()},
        mean=training["mean"],
        std=training["std"],
    )


def _timm_name(name: str) -> str:
    return name.removeprefix(UNTRAINED).removeprefix("timm/")


def _timm_layers(name: str) -> dict[int, int]:
    """timm's index of the last feature map of each stride, by hierarchy."""
    import timm

    try:
        probe = timm.create_model(_timm_name(name), features_only=True)
    except (AssertionError, AttributeError, RuntimeError) as error:  # timm has no one error for "cannot"
        raise InputError(
            f"backbone={name!r} gives no feature maps: {error}", remedy="choose a convolutional network"
        ) from None
    strides: list[int] = cast("Any", probe.feature_info).reduction()
    return {int(math.log2(stride)) - 1: i for i, stride in enumerate(strides) if stride > 1}


_ARCHITECTURES = {PIXELS: _pixels, "torchvision": _torchvision, "timm": _timm}
_AVAILABLE: dict[str, Callable[[str], Iterable[int]]] = {
    PIXELS: lambda name: PIXELS_HIERARCHIES,
    "torchvision": lambda name: _torchvision_layers(_torchvision_network(name)),
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
