"""SoftPatch (Jiang et al., 2022): PatchCore for nominal images among which some are not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from patchcore_core.coreset import coreset_size, greedy_coreset
from patchcore_core.detector import Prediction, generator
from patchcore_core.scoring import image_scores
from patchcore_suite.baselines.descriptions import check_nominal
from patchcore_suite.baselines.padim import position_distances, position_gaussians
from patchcore_suite.baselines.patch_banks import PatchBankConfig, PatchBankDetector

DISCRIMINATORS = ("nearest", "lof", "gaussian")
RIDGE, TINY = 0.01, 1e-6  # of covariances; of distances
BLOCK_VALUES = 2**23  # distances between images that are held at once


@dataclass(frozen=True, kw_only=True)
class SoftPatchConfig(PatchBankConfig):
    """How patches are told that may not be nominal, and what becomes of them."""

    method: ClassVar[str] = "softpatch"
    implementation: ClassVar[str] = "patchcore_suite.baselines.softpatch:SoftPatch"
    seeded: ClassVar[bool] = True

    discriminator: str = "lof"  # nearest, lof or gaussian
    noise_share: float = 0.15  # of all patches, those that look least nominal, which are left out
    lof_neighbours: int = 5
    soft_weights: bool = True  # whether distances to a row of the bank are multiplied by how little nominal it looks
    coreset_fraction: float = 0.1  # of all patches

    @property
    def least_images(self) -> int:
        return self.lof_neighbours + 1 if self.discriminator == "lof" else 2  # patches are compared with others' there

    def bank_rows(self, patches: int) -> int:
        return min(coreset_size(patches, self.coreset_fraction), max(1, round(patches * (1 - self.noise_share))))

    def _range_problems(self) -> Iterator[str]:
        yield from super()._range_problems()
        yield from self._below_one("lof_neighbours")
        if self.discriminator not in DISCRIMINATORS:
            yield f"discriminator={self.discriminator!r} must be one of {', '.join(DISCRIMINATORS)}"
        if not 0 <= self.noise_share < 1:
            yield f"noise_share={self.noise_share} must lie in [0, 1)"
        yield from self._not_a_share("coreset_fraction")


class SoftPatch(PatchBankDetector):
    """Leave out the patches that look least nominal at their position, and trust the others the less the more they do.

    Jiang et al. (2022), section 3, and their code. Departs from the code: distances are plain L2, as in the paper's
    equations, instead of squared, and the coreset is PatchCore's exact one.
    """

    def fit_described(self, nominal: Sequence[Tensor]) -> Self:
        """Fill the memory bank with patch features (n, h, w, d) of images most of which are nominal.

        Raises:
            InputError: fewer than two images (with lof, no more than its neighbours), or features that are NaN or
                infinite.
        """
        config = self.config
        check_nominal(*nominal, at_least=config.least_images)
        n, h, w, _ = nominal[0].shape
        rows = nominal[0].flatten(0, 2)
        projected = self.projected(rows)
        by_position = projected.view(n, h * w, -1).transpose(0, 1)
        weights = outlyingness(by_position, config.discriminator, config.lof_neighbours).T.flatten()  # as the rows are
        kept = (weights <= np.quantile(weights.cpu(), 1 - config.noise_share)).nonzero()[:, 0]
        size = min(config.bank_rows(len(rows)), len(kept))
        picks = kept[greedy_coreset(projected[kept], size, generator=generator(self.seed, "first pick"))]
        self.coreset_indices, self.memory_bank, self._weights = picks, rows[picks], weights[picks]
        return self

    def predict_described(self, test: Sequence[Tensor], size: Sequence[int]) -> Prediction:
        """Score patch features (n, h, w, d) of images of `size` (H, W).

        Raises:
            InputError: nothing was fitted yet, or features of other dimensions than the nominal images'.
        """
        distances, indices = self.nearest_rows(test[0])
        if self.config.soft_weights:
            distances = distances * self._weights[indices]
        return self.predicted(distances, image_scores(distances), size)


def outlyingness(features: Tensor, discriminator: str, neighbours: int) -> Tensor:
    """How little each patch looks like those of other images at its position: (p, n), about 1 or more.

    Jiang et al. (2022), section 3.2, and their code.

    Args:
        features: (p, n, d) of n images at p positions.
        discriminator: "nearest" (distance to the nearest, plus 1), "lof" (local outlier factor, Breunig et al. 2000)
            or "gaussian" (Mahalanobis distance, plus 1).
        neighbours: of the local outlier factor; below n.
    """
    if discriminator == "gaussian":
        mean, factors = position_gaussians(features.transpose(0, 1), ridge=RIDGE)
        return position_distances(features.transpose(0, 1), mean, factors).T + 1
    found = []
    for block in features.double().split(max(1, BLOCK_VALUES // features.shape[1] ** 2)):
        distances = torch.cdist(block, block)
        if discriminator == "lof":
            found.append(local_outlier_factors(distances, neighbours))
        else:
            found.append(distances.topk(2, dim=2, largest=False).values.sum(dim=2) + 1)  # the first is itself
    return torch.cat(found).to(features)


def local_outlier_factors(distances: Tensor, neighbours: int) -> Tensor:
    """How much less crowded it is around a row than around its neighbours: about 1 inside, more outside.

    Breunig et al. (2000), definitions 3 to 7, with exactly k neighbours where some are equally far.

    Args:
        distances: (p, n, n) of n rows to each other, p times.
        neighbours: k, below n.

    Returns:
        (p, n).
    """
    others = distances + torch.diag(distances.new_full((distances.shape[1],), torch.inf))
    near, indices = others.topk(neighbours, dim=2, largest=False)
    reach = near[..., -1]  # distance of the k-th
    density = 1 / (torch.maximum(near, take(reach, indices)).mean(dim=2) + TINY)
    return take(density, indices).mean(dim=2) / density


def take(values: Tensor, indices: Tensor) -> Tensor:
    """Values (p, n) of the rows (p, n, k): (p, n, k)."""
    return values[:, None].expand(-1, indices.shape[1], -1).gather(2, indices)
