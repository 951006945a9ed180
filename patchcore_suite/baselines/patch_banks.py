"""What methods share that keep patch features of nominal images and score a test image by its patches' distances."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from patchcore_core.config import DEFAULT_BACKBONE
from patchcore_core.coreset import random_projection
from patchcore_core.detector import Detector, Prediction, generator
from patchcore_core.neighbours import nearest
from patchcore_core.patches import patch_features
from patchcore_core.scoring import anomaly_maps
from patchcore_suite.baselines.config import BaselineConfig
from patchcore_suite.baselines.costs import FLOAT, Shape, Work, all_products
from patchcore_suite.baselines.descriptions import by_hierarchy, check_test

PROJECTION = 128  # dimensions in which rows are selected


@dataclass(frozen=True, kw_only=True)
class PatchBankConfig(BaselineConfig):
    """Which patch features there are (see `patches.patch_features`), and how anomaly maps are smoothed."""

    described_by: ClassVar[tuple[str, ...]] = ("neighbourhood_size",)

    backbone: str = DEFAULT_BACKBONE
    hierarchies: tuple[int, ...] = (2, 3)
    neighbourhood_size: int = 3  # p
    smoothing_sigma: float = 4.0  # pixels

    def described_shape(self, maps: Sequence[Shape]) -> Shape:
        return *maps[0][1:], sum(c for c, _, _ in maps)

    def cell_work(self, shape: Shape, *, nominal: int, test: int) -> Work:
        h, w, d = shape
        rows = self.bank_rows(nominal * h * w) or nominal * h * w
        return all_products(test * h * w, rows, d) + Work(traffic=4 * FLOAT * (nominal + test) * h * w * d)

    def cell_values(self, shape: Shape, *, nominal: int, test: int) -> float:
        h, w, d = shape
        return 2 * nominal * h * w * d

    def _range_problems(self) -> Iterator[str]:
        yield from super()._range_problems()
        yield from self._negative_sigma()
        if self.neighbourhood_size < 1 or self.neighbourhood_size % 2 == 0:
            yield f"neighbourhood_size={self.neighbourhood_size} must be odd and at least 1"

    def _not_a_share(self, *names: str) -> Iterator[str]:
        for name in names:
            if not 0 < getattr(self, name) <= 1:  # also refuses nan
                yield f"{name}={getattr(self, name)} must lie in (0, 1]"


class PatchBankDetector(Detector):
    """Describes images by patch features."""

    memory_bank: Tensor | None = None  # (l, d), once fitted

    def describe(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The patch features (n, h, w, d) of a batch.

        Args:
            maps: (n, c_j, h_j, w_j), finest first.

        Raises:
            InputError: not one map for each hierarchy.
        """
        maps = list(by_hierarchy(maps, self.config.map_hierarchies).values())
        return [patch_features(maps, self.config.neighbourhood_size)]

    def nearest_rows(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Distances of patch features (n, h, w, d) to the nearest row of the memory bank, and which one: (n, h, w).

        Raises:
            InputError: nothing was fitted yet, or features of other dimensions than the nominal images'.
        """
        bank, queries = self.memory_bank, features.flatten(0, 2)
        check_test([queries], None if bank is None else [bank])
        distances, indices = nearest(queries, bank)
        return distances.view(features.shape[:3]), indices.view(features.shape[:3])

    def projected(self, rows: Tensor) -> Tensor:
        """Rows (n, d) as a selection compares them: in `PROJECTION` dimensions, or as they are if they have fewer."""
        if rows.shape[1] <= PROJECTION:
            return rows
        return random_projection(rows, PROJECTION, generator=generator(self.seed, "projection"))

    def predicted(self, distances: Tensor, scores: Tensor, size: Sequence[int]) -> Prediction:
        """What patch distances (n, h, w) and image scores (n,) say of images of `size` (H, W)."""
        maps = anomaly_maps(distances, size, sigma=self.config.smoothing_sigma)
        return Prediction(scores=scores, maps=maps, distances=distances)


def principal_components(covariance: Tensor, variance_share: float) -> tuple[Tensor, Tensor]:
    """Variances (k,) and directions (d, k) of the first components that together have a share of the variance.

    Args:
        covariance: (d, d), or a multiple of it.
    """
    values, vectors = torch.linalg.eigh(covariance)
    values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
    share = values.cumsum(0) / values.sum().clamp_min(torch.finfo(values.dtype).tiny)
    k = min(int((share < variance_share).sum()) + 1, len(values))
    return values[:k], vectors[:, :k]


def mean_of_highest(distances: Tensor, share: float) -> Tensor:
    """Score images (n,) by the mean of that share of their largest patch distances (n, h, w), at least of one."""
    flat = distances.flatten(1)
    return flat.topk(max(int(flat.shape[1] * share), 1), dim=1).values.mean(dim=1)
