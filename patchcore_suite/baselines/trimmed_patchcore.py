"""PatchCore whose greedy selection leaves the farthest patches out, as they may not be nominal."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from torch import Tensor

from patchcore_core.coreset import coreset_size
from patchcore_core.detector import Prediction, generator
from patchcore_core.scoring import image_scores
from patchcore_suite.baselines.costs import Shape, Work, all_products
from patchcore_suite.baselines.descriptions import check_nominal
from patchcore_suite.baselines.patch_banks import PROJECTION, PatchBankConfig, PatchBankDetector
from patchcore_suite.baselines.trimmed_greedy import trimmed_coreset


@dataclass(frozen=True, kw_only=True)
class TrimmedPatchCoreConfig(PatchBankConfig):
    """How many rows are kept, and how many are never picked for being far away."""

    method: ClassVar[str] = "trimmed_patchcore"
    implementation: ClassVar[str] = "patchcore_suite.baselines.trimmed_patchcore:TrimmedPatchCore"
    seeded: ClassVar[bool] = True

    coreset_fraction: float = 0.01
    left_out: float = 0.05  # share of all patches

    def bank_rows(self, patches: int) -> int:
        return min(coreset_size(patches, self.coreset_fraction), patches - int(patches * self.left_out))

    def cell_work(self, shape: Shape, *, nominal: int, test: int) -> Work:
        h, w, d = shape
        rows = nominal * h * w
        selected = all_products(rows, self.bank_rows(rows), min(d, PROJECTION)) * 1.6  # fewer, in double precision
        return super().cell_work(shape, nominal=nominal, test=test) + selected

    def _range_problems(self) -> Iterator[str]:
        yield from super()._range_problems()
        yield from self._not_a_share("coreset_fraction")
        if not 0 <= self.left_out < 1:
            yield f"left_out={self.left_out} must lie in [0, 1)"


class TrimmedPatchCore(PatchBankDetector):
    """The greedy coreset meets outliers first; here each pick is the farthest row but for a share that is farther.

    K-center with outliers (Charikar et al. 2001; Ceccarello et al., arXiv 1802.09205), in its simplest form: no bound
    is promised. With nothing left out it is PatchCore with the score of Eq. 6.
    """

    def fit_described(self, nominal: Sequence[Tensor]) -> Self:
        """Fill the memory bank with patch features (n, h, w, d) of images most of which are nominal.

        Raises:
            InputError: no images, or features that are NaN or infinite.
        """
        check_nominal(*nominal)
        rows = nominal[0].flatten(0, 2)
        outliers = int(len(rows) * self.config.left_out)
        picks = trimmed_coreset(
            self.projected(rows),
            self.config.bank_rows(len(rows)),
            outliers=outliers,
            generator=generator(self.seed, "first pick"),
            progress=self.progress,
        )
        self.coreset_indices, self.memory_bank = picks, rows[picks]
        return self

    def predict_described(self, test: Sequence[Tensor], size: Sequence[int]) -> Prediction:
        """Score patch features (n, h, w, d) of images of `size` (H, W).

        Raises:
            InputError: nothing was fitted yet, or features of other dimensions than the nominal images'.
        """
        distances, _ = self.nearest_rows(test[0])
        return self.predicted(distances, image_scores(distances), size)
