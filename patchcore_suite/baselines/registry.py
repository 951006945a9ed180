"""The method that a configuration asks for."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from patchcore_core.common.errors import InputError
from patchcore_core.config import MethodConfig, PatchCoreConfig
from patchcore_core.detector import Detector
from patchcore_core.patchcore import PatchCore
from patchcore_suite.baselines.config import (
    EnsembleConfig,
    MahalanobisConfig,
    MeanImageConfig,
    NearestImagesConfig,
    PadimConfig,
    RandomScoresConfig,
    SpadeConfig,
)
from patchcore_suite.baselines.controls import MeanImage, RandomScores
from patchcore_suite.baselines.ensemble import Ensemble
from patchcore_suite.baselines.mahalanobis import Mahalanobis
from patchcore_suite.baselines.nearest_images import NearestImages
from patchcore_suite.baselines.padim import Padim
from patchcore_suite.baselines.spade import Spade

DETECTORS: dict[type[MethodConfig], type[Detector]] = {
    PatchCoreConfig: PatchCore,
    SpadeConfig: Spade,
    PadimConfig: Padim,
    MahalanobisConfig: Mahalanobis,
    NearestImagesConfig: NearestImages,
    RandomScoresConfig: RandomScores,
    MeanImageConfig: MeanImage,
    EnsembleConfig: Ensemble,
}


def implementation(config: MethodConfig) -> type[Detector]:
    """The class of the method that a configuration asks for.

    Raises:
        InputError: there is no method for such a configuration.
    """
    if type(config) not in DETECTORS:
        raise InputError(
            f"there is no method for a {type(config).__name__}",
            remedy=f"give one of {', '.join(kind.__name__ for kind in DETECTORS)}",
        )
    return DETECTORS[type(config)]


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
    if kind is not Ensemble:
        return kind(config, network=network, **options)
    if network is not None:
        raise InputError("an ensemble has no one network", remedy="build Ensemble(config, networks=[...]) yourself")
    return Ensemble(config, **options)
