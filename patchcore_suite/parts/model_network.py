"""Whose network a saved model runs: a named backbone, with weights beside it or not, or one of the user's own."""

import json
import shutil
from pathlib import Path

import safetensors.torch
from torch import nn

from patchcore_core import PatchCore, PatchCoreConfig
from patchcore_core.backbones import Weights
from patchcore_core.backbones.architectures import build_architecture
from patchcore_core.common.errors import InputError
from patchcore_core.saved_model import DESCRIPTION_FILE
from patchcore_suite.run.own_networks import NONE, read_networks

WEIGHTS_STEM = "weights"


def without_own(backbone: str) -> InputError:
    """What is said where a model should hold a network of the user's own."""
    return InputError(
        f"backbone {backbone!r} is of a file of networks, and a model holds no code",
        remedy="save it without weights, and keep that file beside it: --networks names it whenever the model is used",
    )


def own_network(folder: Path, networks: str | Path | None) -> nn.Module | None:
    """The network of the user's own that a model was fitted with; None if it was a named backbone.

    Raises:
        InputError: a file is needed and not given or of other networks, or one is given and not needed.
    """
    said = json.loads((folder / DESCRIPTION_FILE).read_text(encoding="utf-8"))
    name = said["config"]["backbone"]
    if said.get("network") is None:
        if networks is not None:
            raise InputError(
                f"{folder} was fitted with the backbone {name!r}, and needs no file of networks",
                remedy=f"leave out {networks} (--networks)",
            )
        return None
    own = NONE if networks is None else read_networks(networks)
    if name not in own.modules:
        also = f"; {own.file} gives {', '.join(own.modules)}" if own.file else ""
        raise InputError(
            f"{folder} was fitted with a network of a file, called {name!r}{also}",
            remedy="name the file that gives it: --networks FILE",
        )
    return own.modules[name]


def copy_weights(weights: Weights, config: PatchCoreConfig, folder: Path) -> str:
    """Copy a backbone's weights into a folder; the file's name. Tensors without names of the network's get them."""
    folder.mkdir(parents=True, exist_ok=True)
    assert weights.path is not None
    if not weights.in_order:
        shutil.copyfile(weights.path, folder / (WEIGHTS_STEM + weights.path.suffix))
        return WEIGHTS_STEM + weights.path.suffix
    network = build_architecture(config.backbone, config.map_hierarchies).whole
    weights.load_into(network, needed=set(network.state_dict()), name=config.backbone)
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    safetensors.torch.save_file(tensors, folder / f"{WEIGHTS_STEM}.safetensors")
    return f"{WEIGHTS_STEM}.safetensors"


def reading(weights: Path, detector: PatchCore) -> PatchCore:
    """The same fitted model, with its weights in another file."""
    same = PatchCore(detector.config, seed=detector.seed, weights=str(weights), device=detector.device)
    same.memory_bank, same.coreset_indices = detector.memory_bank, detector.coreset_indices
    same.covering_radius, same.rows_seen = detector.covering_radius, detector.rows_seen  # else it could not grow
    return same
