"""Frozen ImageNet networks that turn images into feature maps, by name and hierarchy.

Hierarchy j is the last feature map of stride 2^(j+1), before any classifier: `layer2` and `layer3` of a ResNet are
hierarchies 2 and 3, as in the paper, and timm's `out_indices` count alike.
"""

import math
from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches

import timm
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from patchcore_core.errors import InputError
from patchcore_core.weights import Weights, find_weights

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PROBE = 256  # side of the image that shows which layer has which stride
CLASSIFIERS = ("avgpool", "classifier", "dropout", "fc", "flatten", "head", "heads", "aux", "AuxLogits")


class Backbone(nn.Module):
    """A frozen network: images in [0, 1] in, feature maps of the asked hierarchies out.

    Attributes:
        name: torchvision's or timm's.
        hierarchies: j, ascending; one feature map each.
        weights: where its weights came from and their SHA-256.
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
    ) -> None:
        super().__init__()
        self.network = network
        self.name, self.hierarchies, self.weights = name, hierarchies, weights
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Feature maps (n, c_j, h_j, w_j), finest first, of images (n, 3, H, W) with values in [0, 1]."""
        return list(self.network((images - self.mean) / self.std))


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


def load_backbone(name: str, hierarchies: Sequence[int], *, weights: str | None = None) -> Backbone:
    """Build a torchvision or timm network with its ImageNet weights, cut after the last hierarchy needed.

    Names that both libraries know are torchvision's, with its IMAGENET1K_V1 weights, the paper's; a tag
    (`wide_resnet50_2.racm_in1k`) or the prefix `timm/` asks for timm's.

    Args:
        name: the backbone's name.
        hierarchies: j, ascending.
        weights: a weights file, or a folder of files called NAME.safetensors or NAME.pth; None looks them up.

    Raises:
        InputError: unknown name or hierarchy, or weights that do not fit.
        WeightsMissing: the weights cannot be had; the message names the remedies.
    """
    hierarchies = tuple(hierarchies)
    build = _build_torchvision if _is_torchvision(name) else _build_timm
    return build(name, hierarchies, weights).eval().requires_grad_(False)


def backbone_weights(name: str, *, weights: str | None = None) -> Weights:
    """The weights that `load_backbone` would use, without building the network; errors as there."""
    library = "torchvision" if _is_torchvision(name) else "timm"
    if library == "timm":
        _check_timm(name)
    return find_weights(name.removeprefix("timm/"), library=library, weights=weights)


def _is_torchvision(name: str) -> bool:
    return name in torchvision.models.list_models(module=torchvision.models)


def _build_torchvision(name: str, hierarchies: tuple[int, ...], weights: str | None) -> Backbone:
    network = torchvision.models.get_model(name, weights=None).eval()
    layers = _torchvision_layers(network)
    _check_hierarchies(name, hierarchies, layers)
    chosen = [layers[j] for j in hierarchies]
    extractor = create_feature_extractor(network, return_nodes=chosen)
    found = find_weights(name, library="torchvision", weights=weights)
    found.load_into(network, needed=extractor.state_dict().keys(), name=name)  # the extractor shares its tensors
    return Backbone(
        _ValuesOf(extractor), name=name, hierarchies=hierarchies, weights=found, mean=IMAGENET_MEAN, std=IMAGENET_STD
    )


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


def _check_timm(name: str) -> None:
    timm_name = name.removeprefix("timm/")
    if not timm.is_model(timm_name):
        known = torchvision.models.list_models(module=torchvision.models) + timm.list_models()
        raise InputError(
            f"backbone={name!r} is neither a torchvision nor a timm network",
            offenders=[f"similar name: {match}" for match in get_close_matches(timm_name, set(known))],
            remedy="choose a name of torchvision.models.list_models() or timm.list_models()",
        )


def _build_timm(name: str, hierarchies: tuple[int, ...], weights: str | None) -> Backbone:
    timm_name = name.removeprefix("timm/")
    _check_timm(name)
    try:
        probe = timm.create_model(timm_name, features_only=True)
    except (AssertionError, AttributeError, RuntimeError) as error:  # timm has no one error for "cannot"
        raise InputError(
            f"backbone={name!r} gives no feature maps: {error}", remedy="choose a convolutional network"
        ) from None
    index = {int(math.log2(stride)) - 1: i for i, stride in enumerate(probe.feature_info.reduction()) if stride > 1}
    _check_hierarchies(name, hierarchies, index)
    network = timm.create_model(timm_name)
    extractor = timm.create_model(timm_name, features_only=True, out_indices=[index[j] for j in hierarchies])

    # timm's feature networks may write stages.1.x as stages_1.x; the tensors are the same.
    whole_name = {key.replace(".", "_"): key for key in network.state_dict()}
    needed = {key: whole_name[key.replace(".", "_")] for key in extractor.state_dict()}
    found = find_weights(timm_name, library="timm", weights=weights)
    found.load_into(network, needed=set(needed.values()), name=name)
    whole = network.state_dict()
    extractor.load_state_dict({key: whole[whole_key] for key, whole_key in needed.items()})
    training = network.pretrained_cfg
    return Backbone(
        extractor, name=name, hierarchies=hierarchies, weights=found, mean=training["mean"], std=training["std"]
    )


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
