"""Networks of torchvision and timm without trained weights, cut after the last hierarchy that is needed.

Both libraries take longer to import than torch, and are imported by what first needs them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from patchcore_core.common import plugins
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

    Raises InputError: unknown name, or a hierarchy that the network lacks.
    """
    check_hierarchies(name, hierarchies)
    return _ARCHITECTURES[library_of(name)](name, hierarchies)


def check_hierarchies(name: str, hierarchies: Sequence[int]) -> None:
    """Refuse what `load_backbone` would refuse, without any weights.

    Raises InputError: unknown name, or a hierarchy of which the backbone has no feature maps; those that it has are
    named.
    """
    layers = _layers(name)
    if not layers.of.keys() >= {*hierarchies}:
        has = ", ".join(map(str, sorted(layers.of))) or f"none: {layers.why_none}"
        raise InputError(
            f"hierarchies={list(hierarchies)}: backbone {name!r} has {has}",
            remedy="choose among these hierarchies" if layers.of else "choose a convolutional network",
        )


def added_by(name: str) -> str | None:
    """The plug-in that reads a backbone, if one does."""
    return _layers(name).added_by


def library_of(name: str) -> str:
    """Whose network it is: "torchvision", "timm", or "pixels" for the image itself.

    Raises InputError: unknown name; the one most like it is named.
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


def without_values(act: Callable[[], Result]) -> Result:
    """Do something of which only the shapes matter, without computing any values where the network allows it."""
    try:
        with torch.device("meta"):
            return act()
    except (InputError, RuntimeError) as error:
        if "meta" not in str(error).lower():
            raise
        with torch.random.fork_rng(devices=[]):
            return act()


def wants_values(error: Exception) -> bool:
    """Whether something failed because there were no values."""
    return torch.empty(0).is_meta and "meta" in str(error).lower()


@dataclass(frozen=True)
class _Layers:
    """Where a network's feature maps are had, by hierarchy; or why there are none."""

    of: Mapping[int, Any]
    why_none: str = ""
    build: Callable[[tuple[int, ...]], Architecture] | None = None  # of a network that a plug-in reads
    added_by: str | None = None  # that plug-in


@cache
def _layers(name: str) -> _Layers:
    layers = _LAYERS[library_of(name)]  # which imports the libraries: what they make then is to have values
    return without_values(lambda: layers(name))


def _pixels(name: str, hierarchies: tuple[int, ...]) -> Architecture:
    squares = _Squares(hierarchies)
    return Architecture(squares, squares, {}, mean=(0, 0, 0), std=(1, 1, 1))


def _torchvision(name: str, hierarchies: tuple[int, ...]) -> Architecture:
    from torchvision.models.feature_extraction import create_feature_extractor

    whole = _torchvision_network(name)
    nodes = [_layers(name).of[j] for j in hierarchies]
    extractor = _ValuesOf(create_feature_extractor(whole, return_nodes=nodes))
    return Architecture(whole, extractor, {key: key.removeprefix("network.") for key in extractor.state_dict()})


def _torchvision_network(name: str) -> nn.Module:
    from torchvision import models

    return models.get_model(name.removeprefix(UNTRAINED), weights=None).eval()


@torch.inference_mode()
def _torchvision_layers(name: str) -> _Layers:
    """The last layer of each stride, among the blocks that make up the network's trunk."""
    network = _torchvision_network(name)
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
    except (AssertionError, RuntimeError) as error:  # a transformer that takes one image size only
        if wants_values(error):
            raise
        layers.clear()
    finally:
        for hook in hooks:
            hook.remove()
    return _Layers({j: layer for j, layer in layers.items() if j >= 0}, "it is not convolutional")


def _timm(name: str, hierarchies: tuple[int, ...]) -> Architecture:
    import timm

    if build := _layers(name).build:
        return build(hierarchies)
    if name.startswith(UNTRAINED):  # whose values are those drawn after this network's
        timm.create_model(_timm_name(name), features_only=True)
    indices = [_layers(name).of[j] for j in hierarchies]
    whole = timm.create_model(_timm_name(name))
    extractor = timm.create_model(_timm_name(name), features_only=True, out_indices=indices)
    training = cast("Mapping[str, Sequence[float]]", whole.pretrained_cfg)
    return Architecture(
        whole, extractor, _timm_whole_name(whole, extractor), mean=training["mean"], std=training["std"]
    )


def _timm_name(name: str) -> str:
    return name.removeprefix(UNTRAINED).removeprefix("timm/")


def _timm_whole_name(whole: nn.Module, extractor: nn.Module) -> dict[str, str]:
    # timm's feature networks may write stages.1.x as stages_1.x; the tensors are the same.
    whole_name = {key.replace(".", "_"): key for key in whole.state_dict()}
    return {key: whole_name[key.replace(".", "_")] for key in extractor.state_dict()}


def _timm_layers(name: str) -> _Layers:
    """timm's stages; where it cuts none, what a plug-in reads: a function of timm's name, None if it cannot."""
    stages = _timm_stages(name)
    for plugin in () if stages.of else plugins.added(plugins.NETWORKS):
        if network := plugins.load(plugins.NETWORKS, plugin)(_timm_name(name)):
            return _Layers(network.hierarchies, build=network.build, added_by=plugin)
    return stages


@torch.inference_mode()
def _timm_stages(name: str) -> _Layers:
    """timm's index of the last feature map of each stride, where an image shows that channels and strides are true."""
    import timm

    try:
        extractor: Any = timm.create_model(_timm_name(name), features_only=True).eval()
        _timm_whole_name(timm.create_model(_timm_name(name)), extractor)
        side: int = extractor.pretrained_cfg["input_size"][-1]
        shapes = [fmap.shape[1:] for fmap in extractor(torch.zeros(1, 3, side, side))]
        found = [(c, round(math.log2(side / h)), round(math.log2(side / w))) for c, h, w in shapes]
    except KeyError:  # of another name
        return _Layers({}, "it is not convolutional, since timm cuts it into no stages")
    except Exception as error:  # timm has no one error for "cannot"
        if wants_values(error):
            raise
        return _Layers({}, f"timm takes none from it ({error})")
    info = extractor.feature_info
    exponents = [math.log2(stride) for stride in info.reduction()]
    if found != [(c, e, e) for c, e in zip(info.channels(), exponents, strict=True)]:
        promised = f"{info.channels()} channels of strides {info.reduction()}"
        return _Layers(
            {}, f"its maps {[tuple(shape) for shape in shapes]} of {side} x {side} pixels are not {promised}"
        )
    return _Layers({int(e) - 1: index for index, e in zip(info.out_indices, exponents, strict=True) if e >= 1})


_ARCHITECTURES = {PIXELS: _pixels, "torchvision": _torchvision, "timm": _timm}
_LAYERS: dict[str, Callable[[str], _Layers]] = {
    PIXELS: lambda name: _Layers(dict.fromkeys(PIXELS_HIERARCHIES)),
    "torchvision": _torchvision_layers,
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
