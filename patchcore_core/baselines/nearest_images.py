"""DN2 (Bergman, Cohen & Hoshen, 2020): deep nearest neighbours of whole images."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from patchcore_core.baselines.description import by_hierarchy, check_nominal, check_test, global_mean
from patchcore_core.baselines.spade import nearest_images
from patchcore_core.detector import Detector, Prediction


class NearestImages(Detector):
    """Score an image by its mean distance to the k most similar nominal images; with k = 1, the paper's 1-NN row.

    Bergman et al. (2020), section 3.1.
    """

    _nominal: list[Tensor] | None = None  # pooled features (n, c)

    def describe(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Pooled features (n, sum of the c_j) of a batch, the hierarchies side by side.

        Args:
            maps: (n, c_j, h_j, w_j), finest first.

        Raises:
            InputError: not one map for each hierarchy.
        """
        maps_of = by_hierarchy(maps, self.config.map_hierarchies)
        return [torch.cat([global_mean(fmap) for fmap in maps_of.values()], dim=1)]

    def fit_described(self, nominal: Sequence[Tensor]) -> Self:
        """Remember the nominal images.

        Raises:
            InputError: no images, or features that are NaN or infinite.
        """
        check_nominal(*nominal)
        self._nominal = list(nominal)
        return self

    def predict_described(self, test: Sequence[Tensor], size: Sequence[int]) -> Prediction:
        """Score pooled features (n, c); there are no maps.

        Raises:
            InputError: nothing was fitted yet, or other axes than those of the nominal images.
        """
        check_test(test, self._nominal)
        return Prediction(scores=nearest_images(test[0], self._nominal[0], self.config.neighbours)[0])
