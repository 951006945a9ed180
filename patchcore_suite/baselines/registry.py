"""The method that a configuration asks for."""

from collections.abc import Callable, Sequence
from importlib import import_module

import torch
from torch import Tensor

from patchcore_core.common.errors import InputError
from patchcore_core.config import MethodConfig
from patchcore_core.detector import Detector


def implementation(config: MethodConfig) -> type[Detector]:
    """The class of the method that a configuration asks for.

    Raises:
        InputError: the configuration names no such class.
    """
    name = getattr(config, "implementation", "")
    module, _, kind = name.partition(":")
    found = getattr(import_module(module), kind, None) if kind else None
    if not (isinstance(found, type) and issubclass(found, Detector)):
        raise InputError(
            f"there is no method for a {type(config).__name__}: implementation={name!r}",
            remedy="let its class say implementation = 'MODULE:CLASS', with a subclass of Detector",
        )
    return found


def detector(
    config: MethodConfig,
    *,
    network: Callable[[Tensor], Sequence[Tensor]] | None = None,
    seed: int = 0,
    weights: str | None = None,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> Detector:
    """Build the method that a configuration asks for; the arguments are those of `Detector`.

    Raises:
        InputError: there is no method for such a configuration, or one network is given for an ensemble.
    """
    kind = implementation(config)
    options = {"seed": seed, "weights": weights, "device": device, "progress": progress}
    if len(config.members) == 1:
        return kind(config, network=network, **options)
    if network is not None:
        raise InputError("an ensemble has no one network", remedy="build Ensemble(config, networks=[...]) yourself")
    return kind(config, **options)
