"""The method that a configuration asks for."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from patchcore_core.baselines.config import (
    EnsembleConfig,
    MahalanobisConfig,
    MeanImageConfig,
    NearestImagesConfig,
    PadimConfig,
    RandomScoresConfig,
    SpadeConfig,
)
from patchcore_core.baselines.controls import MeanImage, RandomScores
from patchcore_core.baselines.ensemble import Ensemble
from patchcore_core.baselines.mahalanobis import Mahalanobis
from patchcore_core.baselines.nearest_images import NearestImages
from patchcore_core.baselines.padim import Padim
from patchcore_core.baselines.spade import Spade
from patchcore_core.config import MethodConfig, PatchCoreConfig
from patchcore_core.detector import Detector
from patchcore_core.errors import InputError
from patchcore_core.patchcore import PatchCore

DETECTORS: dict[type[MethodConfig], type[Detector]] = {
    PatchCoreConfig: PatchCore,
    SpadeConfig: Spade,
    PadimConfig: Padim,
    MahalanobisConfig: Mahalanobis,
    NearestImagesConfig: NearestImages,
    RandomScoresConfig: RandomScores,
    MeanImageConfig: MeanImage,
}


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
    if isinstance(config, EnsembleConfig):
        if network is not None:
            raise InputError("an ensemble has no one network", remedy="build Ensemble(config, networks=[...]) yourself")
        return Ensemble(config, seed=seed, weights=weights, device=device, progress=progress)
    if type(config) not in DETECTORS:
        raise InputError(
            f"there is no method for a {type(config).__name__}",
            remedy=f"give one of {', '.join(kind.__name__ for kind in DETECTORS)}, EnsembleConfig",
        )
    return DETECTORS[type(config)](
        config, network=network, seed=seed, weights=weights, device=device, progress=progress
    )
