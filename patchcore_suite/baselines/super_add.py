"""SuperADD (arXiv 2605.14808): a memory bank for each hierarchy, thinned out where patches crowd."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from patchcore_core.detector import Prediction, generator
from patchcore_core.neighbours import nearest
from patchcore_core.patches import rescale
from patchcore_suite.baselines.descriptions import by_hierarchy, check_nominal, check_test
from patchcore_suite.baselines.patch_banks import PatchBankConfig, PatchBankDetector, mean_of_highest
from patchcore_suite.plugins.cheaper_coresets import distance_sampled_coreset


@dataclass(frozen=True, kw_only=True)
class SuperAddConfig(PatchBankConfig):
    """How large the banks are, and how an image is scored."""

    method: ClassVar[str] = "super_add"
    implementation: ClassVar[str] = "patchcore_suite.baselines.super_add:SuperAdd"
    described_by: ClassVar[tuple[str, ...]] = ()
    seeded: ClassVar[bool] = True

    hierarchies: tuple[int, ...] = (2, 3)
    neighbourhood_size: int = 1
    bank_size: int = 100_000  # rows of each hierarchy
    score_share: float = 0.001  # of the pixels with the highest scores, whose mean scores the image

    def _range_problems(self) -> Iterator[str]:
        yield from super()._range_problems()
        yield from self._below_one("bank_size")
        yield from self._not_a_share("score_share")


class SuperAdd(PatchBankDetector):
    """Distance to the nearest row of each hierarchy's bank, over its number of channels, averaged over hierarchies.

    As the authors' code has it, with their subsampling as `distance_sampled_coreset` does it. Departs from it: images
    are taken whole instead of in overlapping tiles, and coarse hierarchies meet on the finest grid. Their code smooths
    no maps and scores no images; both are anomalib's.
    """

    _banks: list[Tensor] | None = None  # (l, c_j)

    def describe(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The patches (n, h_j, w_j, c_j) of each hierarchy, on its own grid.

        Args:
            maps: (n, c_j, h_j, w_j), finest first.

        Raises:
            InputError: not one map for each hierarchy.
        """
        maps = by_hierarchy(maps, self.config.map_hierarchies).values()
        return [fmap.permute(0, 2, 3, 1).contiguous() for fmap in maps]

    def fit_described(self, nominal: Sequence[Tensor]) -> Self:
        """Thin out the patches of each hierarchy.

        Raises:
            InputError: no images, or features that are NaN or infinite.
        """
        check_nominal(*nominal)
        draw = generator(self.seed, "coreset")
        rows = [patches.flatten(0, 2) for patches in nominal]
        sizes = [min(self.config.bank_size, len(part)) for part in rows]
        self._banks = [
            part if size == len(part) else part[distance_sampled_coreset(part, size, generator=draw)]
            for part, size in zip(rows, sizes, strict=True)
        ]
        return self

    def predict_described(self, test: Sequence[Tensor], size: Sequence[int]) -> Prediction:
        """Score patches (n, h_j, w_j, c_j) of images of `size` (H, W).

        Raises:
            InputError: nothing was fitted yet, or features of other dimensions than the nominal images'.
        """
        check_test([patches.flatten(0, 2) for patches in test], self._banks)
        found = []
        for patches, bank in zip(test, self._banks, strict=True):
            distances, _ = nearest(patches.flatten(0, 2), bank)
            on_grid = distances.view(len(patches), 1, *patches.shape[1:3]) / bank.shape[1]
            found.append(rescale(on_grid, test[0].shape[1:3]))
        distances = torch.cat(found, dim=1).mean(dim=1)
        predicted = self.predicted(distances, distances.flatten(1).amax(dim=1), size)
        scores = mean_of_highest(predicted.maps, self.config.score_share)
        return Prediction(scores=scores, maps=predicted.maps, distances=distances)
