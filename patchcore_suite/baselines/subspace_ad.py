"""SubspaceAD (arXiv 2602.23013): nominal patches lie near a subspace, others do not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from torch import Tensor

from patchcore_core.detector import Prediction
from patchcore_suite.baselines.costs import FLOAT, Shape, Work
from patchcore_suite.baselines.descriptions import check_nominal, check_test
from patchcore_suite.baselines.patch_banks import (
    PatchBankConfig,
    PatchBankDetector,
    mean_of_highest,
    principal_components,
)


@dataclass(frozen=True, kw_only=True)
class SubspaceAdConfig(PatchBankConfig):
    """How large the subspace is, and how an image is scored."""

    method: ClassVar[str] = "subspace_ad"
    implementation: ClassVar[str] = "patchcore_suite.baselines.subspace_ad:SubspaceAd"

    neighbourhood_size: int = 1
    variance_share: float = 0.99  # of the nominal patches' variance, that lies in the subspace
    score_share: float = 0.01  # of the patches with the largest residuals, whose mean scores the image

    def cell_work(self, shape: Shape, *, nominal: int, test: int) -> Work:
        h, w, d = shape
        return Work(products=2 * (nominal + 2 * test) * h * w * d * d, traffic=4 * FLOAT * (nominal + test) * h * w * d)

    def _range_problems(self) -> Iterator[str]:
        yield from super()._range_problems()
        yield from self._not_a_share("variance_share", "score_share")


class SubspaceAd(PatchBankDetector):
    """Score patches by what the principal components of nominal patches leave of them; there is no memory bank.

    The squared residual, and the mean of the highest hundredth of an image. The paper's rotations are a variant's
    `rotations`. Departs from it: hierarchies stand side by side instead of being averaged, as they differ in channels.
    The code's Gaussian ends after one pixel, this one after sixteen.
    """

    _mean: Tensor | None = None  # (d,)

    def fit_described(self, nominal: Sequence[Tensor]) -> Self:
        """Find the subspace of patch features (n, h, w, d).

        Raises:
            InputError: no images, or features that are NaN or infinite.
        """
        check_nominal(*nominal)
        rows = nominal[0].flatten(0, 2).double()
        self._mean, self._components = subspace(rows, self.config.variance_share)
        return self

    def predict_described(self, test: Sequence[Tensor], size: Sequence[int]) -> Prediction:
        """Score patch features (n, h, w, d) of images of `size` (H, W).

        Raises:
            InputError: nothing was fitted yet, or features of other dimensions than the nominal images'.
        """
        check_test([test[0].flatten(0, 2)], None if self._mean is None else [self._mean[None]])
        centred = test[0].double() - self._mean
        residuals = centred - centred @ self._components @ self._components.T
        distances = residuals.square().sum(dim=3).to(test[0])
        return self.predicted(distances, mean_of_highest(distances, self.config.score_share), size)


def subspace(rows: Tensor, variance_share: float) -> tuple[Tensor, Tensor]:
    """Mean (d,) of rows (n, d), and the first principal components (d, k) that have the share of the variance."""
    mean = rows.mean(dim=0)
    centred = rows - mean
    return mean, principal_components(centred.T @ centred, variance_share)[1]
