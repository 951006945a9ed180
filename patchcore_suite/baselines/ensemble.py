"""Several PatchCore models whose scores are brought to one scale and averaged (Roth et al., CVPR 2022, Table 4)."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from patchcore_core.common.errors import InputError
from patchcore_core.common.progress import LONG, progress_bar
from patchcore_core.detector import Detector, Prediction
from patchcore_core.fast.threads import side_by_side
from patchcore_core.patchcore import PatchCore
from patchcore_suite.baselines.config import EnsembleConfig
from patchcore_suite.baselines.descriptions import check_nominal, check_test

ROUNDING = 1e-6  # a standard deviation this small beside the mean is rounding, not spread


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of what a model says of nominal images."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, values: Tensor) -> "Scale":
        """The scale of values of any shape; values that are all equal are only shifted."""
        values = values.double()
        mean, deviation = float(values.mean()), float(values.std(correction=0))
        return cls(mean, deviation if deviation > ROUNDING * abs(mean) else 1.0)

    def apply(self, values: Tensor) -> Tensor:
        """How many standard deviations values lie above the mean."""
        return (values - self.mean) / self.deviation


class Ensemble(Detector):
    """Average several PatchCore models, each scaled by what it says of nominal images.

    Roth et al. (2022), Table 4, whose text does not say how the scores are brought to one scale. Here it is
    standardisation on nominal training images, each scored without its own patches; test images have no say in it.

    Args:
        config: the models; they share one image size and one grid.
        networks: a module for each model, in place of the backbones that `config` names.
        seed, weights, device, progress: as of `Detector`, for every model.

    Attributes:
        models: the models, in order.

    Raises:
        InputError: not as many networks as models.
    """

    config: EnsembleConfig

    def __init__(
        self,
        config: EnsembleConfig,
        *,
        networks: Sequence[Callable[[Tensor], Sequence[Tensor]]] | None = None,
        seed: int = 0,
        weights: str | None = None,
        device: str | torch.device = "cpu",
        progress: bool = False,
    ) -> None:
        super().__init__(config, seed=seed, weights=weights, device=device, progress=progress)
        if networks is not None and len(networks) != len(config.models):
            raise InputError(f"{len(networks)} networks for {len(config.models)} models", remedy="give one for each")
        self.models = [
            PatchCore(model, network=network, seed=seed, weights=weights, device=device, progress=progress)
            for model, network in zip(config.models, networks or [None] * len(config.models), strict=True)
        ]
        self._scales: list[tuple[Scale, Scale]] | None = None  # of each model's image scores and distances

    def describe(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Not defined: each model describes the maps of its own network.

        Raises:
            InputError: always.
        """
        raise InputError(
            "an ensemble has no feature maps of its own", remedy="let each of its models describe its maps"
        )

    def describe_images(self, images: Tensor) -> list[Tensor]:
        """Patch features (n, h, w, d_m) of a batch of images, one tensor a model."""
        return [model.describe_images(images)[0] for model in self.models]

    def fit_described(self, nominal: Sequence[Tensor]) -> Self:
        """Fit all models, then the scale of each.

        Args:
            nominal: patch features (n, h, w, d_m) of the nominal images, one tensor a model.

        Raises:
            InputError: fewer than two images, not one tensor a model, grids that differ, or features that are NaN
                or infinite.
        """
        self._check_grids(nominal)
        check_nominal(*nominal, at_least=self.config.least_images)
        self._scales = []
        for model, features in zip(self.models, nominal, strict=True):
            scores, distances = leave_one_out(model.fit_described([features]), features)
            self._scales.append((Scale.of(scores), Scale.of(distances)))
        return self

    def predict_described(self, test: Sequence[Tensor], size: Sequence[int]) -> Prediction:
        """Average the scaled scores and distances of all models.

        Args:
            test: patch features (n, h, w, d_m) of images of `size` (H, W), one tensor a model.

        Raises:
            InputError: nothing was fitted yet, not one tensor a model, or grids that differ.
        """
        check_test([], None if self._scales is None else [])
        self._check_grids(test)
        predictions = [
            model.predict_described([features], size) for model, features in zip(self.models, test, strict=True)
        ]
        of_scores, of_distances = zip(*self._scales, strict=True)
        # Maps are linear in the distances and keep constants, so that scaling them scales the distances behind them.
        return Prediction(
            scores=mean_scaled([prediction.scores for prediction in predictions], of_scores),
            maps=mean_scaled([prediction.maps for prediction in predictions], of_distances),
            distances=mean_scaled([prediction.distances for prediction in predictions], of_distances),
        )

    def _check_grids(self, described: Sequence[Tensor]) -> None:
        if len(described) != len(self.models):
            raise InputError(f"{len(described)} tensors of features for {len(self.models)} models")
        if len({tuple(features.shape[:3]) for features in described}) > 1:
            grids = [
                f"{model.config.backbone}: {features.shape[1]} x {features.shape[2]} patches of {len(features)} images"
                for model, features in zip(self.models, described, strict=True)
            ]
            raise InputError(
                "the models of an ensemble see different grids",
                offenders=grids,
                remedy="choose hierarchies and strides that give one grid",
            )


def mean_scaled(values: Sequence[Tensor], scales: Sequence[Scale]) -> Tensor:
    """Average what several models say, each tensor (n, ...) on its own scale."""
    return torch.stack([scale.apply(said) for said, scale in zip(values, scales, strict=True)]).mean(dim=0)


def leave_one_out(model: PatchCore, nominal: Tensor, *, progress: bool = False) -> tuple[Tensor, Tensor]:
    """Score each nominal image as if it had not been there, by a memory bank without its own patches.

    The bank is not selected anew for each image. One of centroids or proxies, whose rows come from no one image, is
    taken as it is.

    Args:
        model: fitted to the nominal images.
        nominal: (n, h, w, d) their patch features, n at least 2.
        progress: show a progress bar.

    Returns:
        Image scores (m,) and patch distances (m, h, w); m is n, less an image that alone fills the whole bank.
    """
    n, h, w, _ = nominal.shape
    bank = model.memory_bank
    owners = None if model.coreset_indices is None else model.coreset_indices // (h * w)  # (l,)
    # Approximate indices would have to be trained for each image; their scores differ little from the exact ones.
    config = replace(model.config, search="torch")
    found: list[Prediction | None] = [None] * n
    with progress_bar(n, "without its own patches", unit="image", show=progress, wait=LONG) as bar:

        def score(image: slice) -> None:
            i = image.start
            others = slice(None) if owners is None else (owners != i).nonzero()[:, 0]
            without = PatchCore(config, seed=model.seed, device=model.device)
            without.memory_bank = bank[others]
            if len(without.memory_bank):
                found[i] = without.predict_rows(nominal[i].flatten(0, 1), (1, h, w))
            bar.update(1)

        images = [slice(i, i + 1) for i in range(n)]
        if nominal.device.type == "cpu":  # an image a thread: their many small steps are not worth two
            side_by_side(images, score)
        else:
            deque(map(score, images), maxlen=0)
    said = [one for one in found if one is not None]
    return torch.cat([one.scores for one in said]), torch.cat([one.distances for one in said])
