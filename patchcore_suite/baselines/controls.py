"""Controls: scores that any method has to beat, and that show whether a benchmark measures what it says."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from patchcore_core.detector import Detector, Prediction, generator
from patchcore_core.scoring import anomaly_maps
from patchcore_suite.baselines.descriptions import by_hierarchy, check_nominal, check_test, pyramid


class RandomScores(Detector):
    """Scores drawn without a look at the image: every AUROC must come out near one half."""

    _nominal: list[Tensor] | None = None  # (n, h, w)

    def describe(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The grid alone: (n, h, w) zeros on that of the finest of the maps (n, c_j, h_j, w_j)."""
        n, _, h, w = maps[0].shape
        return [maps[0].new_zeros(n, h, w)]

    def fit_described(self, nominal: Sequence[Tensor]) -> Self:
        """Learn nothing but the grid.

        Raises:
            InputError: no images.
        """
        check_nominal(*nominal)
        self._nominal = [nominal[0][:1]]
        return self

    def predict_described(self, test: Sequence[Tensor], size: Sequence[int]) -> Prediction:
        """Draw an image score and (h, w) distances for each of n images of `size` (H, W), uniform in [0, 1).

        Raises:
            InputError: nothing was fitted yet, or another grid than that of the nominal images.
        """
        check_test(test, self._nominal)
        draw = generator(self.seed, "random scores")
        scores = torch.rand(len(test[0]), generator=draw).to(test[0])
        distances = torch.rand(test[0].shape, generator=draw).to(test[0])
        return Prediction(
            scores=scores,
            maps=anomaly_maps(distances, size, sigma=self.config.smoothing_sigma),
            distances=distances,
        )


class MeanImage(Detector):
    """Distance of an image to the mean nominal image: what alignment and brightness alone give away."""

    _mean: Tensor | None = None  # (h, w, d)

    def describe(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The maps themselves, (n, h, w, d), the hierarchies side by side on the finest grid.

        Args:
            maps: (n, c_j, h_j, w_j), finest first.

        Raises:
            InputError: not one map for each hierarchy.
        """
        return [pyramid(list(by_hierarchy(maps, self.config.map_hierarchies).values()))]

    def fit_described(self, nominal: Sequence[Tensor]) -> Self:
        """Average the nominal images.

        Raises:
            InputError: no images, or values that are NaN or infinite.
        """
        check_nominal(*nominal)
        # In double precision, the order of the images leaves no trace in the rounded mean.
        self._mean = nominal[0].mean(dim=0, dtype=torch.float64).to(nominal[0])
        return self

    def predict_described(self, test: Sequence[Tensor], size: Sequence[int]) -> Prediction:
        """Score images (n, h, w, d) of `size` (H, W): each position, and the image, by the L2 norm of the difference.

        Raises:
            InputError: nothing was fitted yet, or other axes than those of the nominal images.
        """
        check_test(test, None if self._mean is None else [self._mean[None]])
        distances = (test[0] - self._mean).norm(dim=3)
        return Prediction(
            scores=distances.flatten(1).norm(dim=1),
            maps=anomaly_maps(distances, size, sigma=self.config.smoothing_sigma),
            distances=distances,
        )
