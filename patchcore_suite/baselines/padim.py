"""PaDiM (Defard et al., 2020): a patch distribution modelling framework."""

from collections.abc import Iterator, Sequence
from typing import Self

import torch
from torch import Tensor

from patchcore_core.common.errors import InputError
from patchcore_core.detector import Detector, Prediction, generator
from patchcore_core.scoring import anomaly_maps
from patchcore_suite.baselines.descriptions import by_hierarchy, check_nominal, check_test, pyramid

BLOCK_VALUES = 2**24  # values of the temporaries of one block of positions (128 MB in double precision)


class Padim(Detector):
    """Compare each position of the grid with a Gaussian of what nominal images show there.

    Defard et al. (2020), section III. Departs from the authors' code: coarse maps are brought to the finest grid
    bilinearly, as everywhere in this suite, instead of by repetition.
    """

    _mean: Tensor | None = None  # (h, w, d)
    _factors: Tensor  # (h * w, d, d) Cholesky factors of the covariances

    def describe(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """A random subset of the channels at each position: (n, h, w, d) of a batch.

        Defard et al. (2020), section III-A. The subset depends on the seed and on the number of channels only.

        Args:
            maps: (n, c_j, h_j, w_j), finest first.

        Raises:
            InputError: not one map for each hierarchy.
        """
        maps = list(by_hierarchy(maps, self.config.map_hierarchies).values())
        channels = [fmap.shape[1] for fmap in maps]
        kept = random_dimensions(sum(channels), self.config.dimensions, seed=self.seed).to(maps[0].device)
        # Rescaling treats each channel by itself, so that the others need not be rescaled at all.
        starts = [sum(channels[:i]) for i in range(len(maps))]
        within = [kept[(kept >= start) & (kept < start + c)] - start for start, c in zip(starts, channels, strict=True)]
        return [pyramid([fmap[:, rows] for fmap, rows in zip(maps, within, strict=True)])]

    def fit_described(self, nominal: Sequence[Tensor]) -> Self:
        """Fit a Gaussian to each position.

        Raises:
            InputError: no images, features that are NaN or infinite, or too small a ridge for a covariance.
        """
        check_nominal(*nominal)
        n, h, w, d = nominal[0].shape
        features = nominal[0].flatten(1, 2)  # (n, h * w, d)
        mean = features.new_empty(h * w, d)
        factors = features.new_empty(h * w, d, d)
        for block in _blocks(h * w, values=2 * n * d + 3 * d * d):
            mean[block], factors[block] = position_gaussians(features[:, block], ridge=self.config.ridge)
        self._mean, self._factors = mean.view(h, w, d), factors
        return self

    def predict_described(self, test: Sequence[Tensor], size: Sequence[int]) -> Prediction:
        """Score features (n, h, w, d) of images of `size` (H, W); an image by the maximum of its anomaly map.

        Raises:
            InputError: nothing was fitted yet, or other axes than those of the nominal images.
        """
        check_test(test, None if self._mean is None else [self._mean[None]])
        n, h, w, d = test[0].shape
        features, mean = test[0].flatten(1, 2), self._mean.flatten(0, 1)
        distances = features.new_empty(n, h * w)
        for block in _blocks(h * w, values=3 * n * d + 2 * d * d):
            distances[:, block] = position_distances(features[:, block], mean[block], self._factors[block])
        distances = distances.view(n, h, w)
        maps = anomaly_maps(distances, size, sigma=self.config.smoothing_sigma)
        return Prediction(scores=maps.flatten(1).amax(dim=1), maps=maps, distances=distances)


def random_dimensions(channels: int, dimensions: int, *, seed: int) -> Tensor:
    """Draw which of the channels are kept: (d,) ascending, d = min(dimensions, channels)."""
    return torch.randperm(channels, generator=generator(seed, "dimensions"))[:dimensions].sort().values


def position_gaussians(features: Tensor, *, ridge: float) -> tuple[Tensor, Tensor]:
    """Fit a Gaussian to the nominal features at each position.

    Defard et al. (2020), Eq. 1: the sample covariance plus `ridge` times the identity. One image has none; its
    covariance is the ridge alone.

    Args:
        features: (n, p, d) of n nominal images at p positions.
        ridge: epsilon, above 0.

    Returns:
        Means (p, d), and lower Cholesky factors (p, d, d) of the covariances.

    Raises:
        InputError: a covariance is not positive definite in double precision, in spite of the ridge.
    """
    n, _, d = features.shape
    by_position = features.transpose(0, 1).double()  # (p, n, d)
    mean = by_position.mean(dim=1)
    centred = by_position - mean[:, None]
    covariance = centred.mT @ centred / max(n - 1, 1)
    covariance.diagonal(dim1=1, dim2=2).add_(ridge)
    factors, failed = torch.linalg.cholesky_ex(covariance)
    if failed.any():
        raise InputError(
            f"ridge={ridge} is too small for the covariance of {n} images in {d} dimensions", remedy="raise the ridge"
        )
    return mean.to(features), factors.to(features)


def position_distances(features: Tensor, mean: Tensor, factors: Tensor) -> Tensor:
    """Compare each position with its Gaussian.

    Defard et al. (2020), Eq. 2: the Mahalanobis distance, the norm of the solution y of L y = x - mu.

    Args:
        features: (n, p, d) of n images at p positions.
        mean: (p, d).
        factors: (p, d, d) lower Cholesky factors L of the covariances.

    Returns:
        (n, p) distances.
    """
    difference = (features.double() - mean).permute(1, 2, 0)  # (p, d, n)
    solved = torch.linalg.solve_triangular(factors.double(), difference, upper=False)
    return solved.norm(dim=1).T.to(features)


def _blocks(positions: int, *, values: int) -> Iterator[slice]:
    """Split positions, each of which takes that many values of temporaries, into blocks of bounded memory."""
    step = max(1, BLOCK_VALUES // values)
    return (slice(start, start + step) for start in range(0, positions, step))
