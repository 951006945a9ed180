"""Mahalanobis AD (Rippel, Mertens & Merhof, 2020): modelling the distribution of normal data in deep features."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from patchcore_core.detector import Detector, Prediction
from patchcore_suite.baselines.descriptions import by_hierarchy, check_nominal, check_test, global_mean


class Mahalanobis(Detector):
    """Score an image by how far its pooled features lie from a Gaussian of the nominal ones, summed over blocks.

    Rippel et al. (2020), Eq. 1 and section III-B.
    """

    _gaussians: list[tuple[Tensor, Tensor]] | None = None  # mean (c,) and precision (c, c) of each block

    def describe(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Pooled features of a batch, one tensor (n, c_j) a hierarchy.

        Args:
            maps: (n, c_j, h_j, w_j), finest first.

        Raises:
            InputError: not one map for each hierarchy.
        """
        return [global_mean(fmap) for fmap in by_hierarchy(maps, self.config.map_hierarchies).values()]

    def fit_described(self, nominal: Sequence[Tensor]) -> Self:
        """Fit a Gaussian to each block.

        Raises:
            InputError: fewer than two images, or features that are NaN or infinite.
        """
        check_nominal(*nominal, at_least=self.config.least_images)
        self._gaussians = [shrunk_gaussian(features) for features in nominal]
        return self

    def predict_described(self, test: Sequence[Tensor], size: Sequence[int]) -> Prediction:
        """Score pooled features, one tensor (n, c_j) a hierarchy; there are no maps.

        Raises:
            InputError: nothing was fitted yet, or other axes than those of the nominal images.
        """
        check_test(test, None if self._gaussians is None else [mean[None] for mean, _ in self._gaussians])
        distances = [
            mahalanobis_distances(features, mean, precision)
            for features, (mean, precision) in zip(test, self._gaussians, strict=True)
        ]
        return Prediction(scores=torch.stack(distances).sum(dim=0))


def shrunk_gaussian(features: Tensor) -> tuple[Tensor, Tensor]:
    """Fit a Gaussian to few samples of many dimensions, by the shrinkage of Ledoit & Wolf (2004).

    Args:
        features: (n, c), n at least 2.

    Returns:
        Mean (c,) and precision (c, c), the pseudo-inverse of the shrunk covariance, in double precision. From three
        samples on, this is its inverse. Two are not shrunk: only what lies along their difference is measured. If
        all samples are equal, nothing is.
    """
    from sklearn.covariance import LedoitWolf  # slow to import

    fitted = LedoitWolf().fit(features.double().cpu().numpy())
    mean, precision = fitted.location_, fitted.precision_
    return torch.from_numpy(mean).to(features.device), torch.from_numpy(precision).to(features.device)


def mahalanobis_distances(features: Tensor, mean: Tensor, precision: Tensor) -> Tensor:
    """How many standard deviations features (n, c) lie from the mean (c,): (n,) distances.

    Rippel et al. (2020), Eq. 1: the root of (x - mu)^T S^-1 (x - mu), with the precision S^-1 (c, c).
    """
    difference = features.double() - mean
    squared = ((difference @ precision) * difference).sum(dim=1)
    return squared.clamp(min=0).sqrt().to(features)  # rounding can leave a tiny negative square
