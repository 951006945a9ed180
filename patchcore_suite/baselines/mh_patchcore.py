"""Mahalanobis PatchCore (arXiv 2605.27748): whitened patch features, and a memory bank reduced as images stream by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from patchcore_core.coreset import greedy_coreset
from patchcore_core.detector import Prediction
from patchcore_core.neighbours import nearest
from patchcore_suite.baselines.descriptions import check_nominal, check_test
from patchcore_suite.baselines.patch_banks import PatchBankConfig, PatchBankDetector, principal_components

FLOOR = 1e-8  # of an eigenvalue, times their mean


@dataclass(frozen=True, kw_only=True)
class MHPatchCoreConfig(PatchBankConfig):
    """How features are whitened and rows are kept."""

    method: ClassVar[str] = "mh_patchcore"
    implementation: ClassVar[str] = "patchcore_suite.baselines.mh_patchcore:MHPatchCore"

    variance_share: float = 0.99  # of all variance, that the principal components keep
    shrinkage: float = 0.07  # of the covariance towards its mean eigenvalue
    bank_size: int = 1000  # rows
    part_size: int = 256  # rows that are kept of a part of the images
    images_a_part: int = 32
    reweight_neighbours: int = 9  # b of Eq. 7

    def bank_rows(self, patches: int) -> int:
        return min(self.bank_size, patches)

    def _range_problems(self) -> Iterator[str]:
        yield from super()._range_problems()
        yield from self._below_one("bank_size", "part_size", "images_a_part", "reweight_neighbours")
        yield from self._not_a_share("variance_share")
        if not 0 <= self.shrinkage <= 1:
            yield f"shrinkage={self.shrinkage} must lie in [0, 1]"


class MHPatchCore(PatchBankDetector):
    """PatchCore in the metric of the nominal patches' own covariance, with a small bank.

    As the authors' code has it, in double precision. Departs from it: principal components and covariance are those of
    all patches at once instead of a stream's.
    """

    def fit_described(self, nominal: Sequence[Tensor]) -> Self:
        """Whiten patch features (n, h, w, d), and reduce them part by part.

        Raises:
            InputError: no images, or features that are NaN or infinite.
        """
        config = self.config
        check_nominal(*nominal)
        rows = nominal[0].flatten(0, 2).double()
        self._mean, self._whitening = whitening(rows, config.variance_share, config.shrinkage)
        parts = [part.flatten(0, 2) for part in nominal[0].split(config.images_a_part)]
        of_parts = (self._whitened(part) for part in parts)
        self.memory_bank = merged(of_parts, size=config.bank_size, part_size=min(config.part_size, config.bank_size))
        return self

    def predict_described(self, test: Sequence[Tensor], size: Sequence[int]) -> Prediction:
        """Score patch features (n, h, w, d) of images of `size` (H, W).

        Raises:
            InputError: nothing was fitted yet, or features of other dimensions than the nominal images'.
        """
        bank = self.memory_bank
        check_test([test[0].flatten(0, 2)], None if bank is None else [self._mean[None]])
        n, h, w, _ = test[0].shape
        queries = self._whitened(test[0].flatten(0, 2))
        distances, indices = nearest(queries, bank)
        squared = distances.square().view(n, h * w)
        worst = squared.argmax(dim=1) + h * w * torch.arange(n, device=squared.device)
        scores = self._reweighted(queries[worst], indices[worst, 0], squared.flatten()[worst])
        return self.predicted(squared.view(n, h, w), scores, size)

    def _whitened(self, rows: Tensor) -> Tensor:
        return ((rows.double() - self._mean) @ self._whitening).float()

    def _reweighted(self, worst: Tensor, rows: Tensor, squared: Tensor) -> Tensor:
        """Eq. 7 with squared distances (n,), of each image's worst patch (n, k) and the row nearest to it (n,)."""
        neighbours = min(self.config.reweight_neighbours, len(self.memory_bank))
        if neighbours < 2:
            return squared
        _, around = nearest(self.memory_bank[rows], self.memory_bank, neighbours)
        to_around = (self.memory_bank[around].double() - worst[:, None].double()).square().sum(dim=2)
        weights = 1 - torch.exp(squared.double() - to_around.logsumexp(dim=1))
        return (weights.clamp(0, 1) * squared).to(squared)


def whitening(rows: Tensor, variance_share: float, shrinkage: float) -> tuple[Tensor, Tensor]:
    """Mean (d,) of rows (n, d), and what turns their differences from it into coordinates of equal variance (d, k).

    The k principal components are those that together have the share of the variance; their covariance is shrunk.
    """
    mean = rows.mean(dim=0)
    covariance = torch.cov(rows.T, correction=min(1, len(rows) - 1)).reshape(len(mean), -1)
    values, vectors = principal_components(covariance, variance_share)
    middle = values.mean()
    shrunk = (1 - shrinkage) * values + shrinkage * middle
    return mean, vectors / shrunk.clamp_min(FLOOR * max(float(middle), 1e-12)).sqrt()


def merged(parts: Iterator[Tensor], *, size: int, part_size: int) -> Tensor:
    """Rows (l, k) of parts (m, k): each is reduced to `part_size`, and two such to one again, and all in the end."""
    levels: dict[int, Tensor] = {}
    for part in parts:
        level, kept = 0, farthest_first(part, part_size)
        while level in levels:
            kept = farthest_first(torch.cat([levels.pop(level), kept]), part_size)
            level += 1
        levels[level] = kept
    return farthest_first(torch.cat([levels[level] for level in sorted(levels)]), size)


def farthest_first(rows: Tensor, size: int) -> Tensor:
    """The greedy coreset of rows (n, k) that begins with the row farthest from their mean."""
    start = int((rows - rows.mean(dim=0)).square().sum(dim=1).argmax())
    return rows[greedy_coreset(rows, min(size, len(rows)), start=start)]
