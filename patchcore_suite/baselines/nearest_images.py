"""DN2 (Bergman, Cohen & Hoshen, 2020): deep nearest neighbours of whole images."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from patchcore_core.detector import Detector, Prediction
from patchcore_core.neighbours import nearest
from patchcore_suite.baselines.descriptions import by_hierarchy, check_nominal, check_test, global_mean


class GalleryDetector(Detector):
    """A method that remembers its nominal images as they are described, and learns nothing from them."""

    _nominal: list[Tensor] | None = None

    def fit_described(self, nominal: Sequence[Tensor]) -> Self:
        """Remember the nominal images.

        Raises:
            InputError: no images, or features that are NaN or infinite.
        """
        check_nominal(*nominal)
        self._nominal = list(nominal)
        return self


class NearestImages(GalleryDetector):
    """Score an image by its mean distance to the k most similar nominal images; with k = 1, the paper's 1-NN row.

    Bergman et al. (2020), section 3.1.
    """

    def describe(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Pooled features (n, sum of the c_j) of a batch, the hierarchies side by side.

        Args:
            maps: (n, c_j, h_j, w_j), finest first.

        Raises:
            InputError: not one map for each hierarchy.
        """
        maps_of = by_hierarchy(maps, self.config.map_hierarchies)
        return [torch.cat([global_mean(fmap) for fmap in maps_of.values()], dim=1)]

    def predict_described(self, test: Sequence[Tensor], size: Sequence[int]) -> Prediction:
        """Score pooled features (n, c); there are no maps.

        Raises:
            InputError: nothing was fitted yet, or other axes than those of the nominal images.
        """
        check_test(test, self._nominal)
        return Prediction(scores=nearest_images(test[0], self._nominal[0], self.config.neighbours)[0])


def nearest_images(pooled: Tensor, nominal: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Score images by their mean distance to the k most similar nominal images.

    Cohen & Hoshen (2020), Eq. 2; Bergman et al. (2020) for DN2.

    Args:
        pooled: (n, c) features of the images.
        nominal: (m, c) features of the nominal images.
        k: neighbours an image; all m where there are fewer.

    Returns:
        (n,) mean L2 distances, and the rows (n, k) of these nominal images, nearest first.
    """
    distances, images = nearest(pooled, nominal, min(k, len(nominal)))
    return distances.mean(dim=1), images
