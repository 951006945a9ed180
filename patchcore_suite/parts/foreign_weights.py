"""Weights as other code saved them, such as the DINOv2 of its authors, brought to timm's names by timm's own rules."""

import importlib
import tempfile
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from patchcore_core.backbones import UNTRAINED, Weights
from patchcore_core.backbones.architectures import library_of
from patchcore_core.backbones.weights import saved_weights
from patchcore_core.common.errors import InputError
from patchcore_core.common.files import sha256_file


def convert(file: Path, backbone: str, folder: Path) -> Path:
    """Write NAME.safetensors into a folder: weights of timm's network NAME, from a file with names of other code.

    Nothing is unpickled but tensors. Every tensor of the network has to be in the file, but those of its classifier.

    Args:
        file: .safetensors, .pth or .pt.

    Raises:
        InputError: the network is not timm's, the file cannot be read or is another network's, or what would be
            written is there already.
    """
    name = backbone.removeprefix("timm/")
    target = folder / f"{name}.safetensors"
    if name.startswith(UNTRAINED) or library_of(backbone) != "timm":
        raise InputError(f"backbone {backbone!r} is none of timm's", remedy="give timm's name of the network")
    if not file.is_file():
        raise InputError(f"there is no file {file}", remedy="check the path")
    if target.exists():
        raise InputError(f"{target} is there already", remedy="name another folder, or remove the file")
    import timm

    network: Any = timm.create_model(name)
    tensors = _in_timms_names(saved_weights(file), network, file, backbone)
    head = network.pretrained_cfg.get("classifier")
    heads = tuple(f"{one}." for one in ([head] if isinstance(head, str) else head or []))
    needed = [key for key in network.state_dict() if not key.startswith(heads)]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".convert-") as work:  # whose renaming is one step
        written = Path(work, target.name)
        safetensors.torch.save_file(tensors, written)
        try:
            Weights(written, str(file), sha256_file(written)).load_into(network, needed=needed, name=backbone)
        except InputError as error:
            raise InputError(
                f"{file} holds no weights of {backbone!r}",
                offenders=error.offenders,
                remedy="name the network that the file was made for",
            ) from None
        written.replace(target)
    return target


def _in_timms_names(found: dict[str, Any], network: Any, file: Path, backbone: str) -> dict[str, Tensor]:
    rename = getattr(importlib.import_module(type(network).__module__), "checkpoint_filter_fn", None)
    if rename is None:
        raise InputError(
            f"timm has no rules that bring other names to those of {backbone!r}", remedy="give a file with timm's names"
        )
    try:
        tensors: dict[str, Any] = rename(dict(found), network)
    except Exception as error:  # the rules ask for entries that the file need not have
        raise InputError(
            f"{file} holds no weights that timm's rules for {backbone!r} know: {type(error).__name__} {error}",
            remedy="name the network that the file was made for",
        ) from None
    others = [f"{key} is a {type(value).__name__}" for key, value in tensors.items() if not isinstance(value, Tensor)]
    if others or not tensors:
        raise InputError(
            f"{file} holds no plain mapping of names to tensors", offenders=others[:5], remedy="give weights alone"
        )
    return {key: value.contiguous().clone() for key, value in tensors.items()}  # no two share memory
