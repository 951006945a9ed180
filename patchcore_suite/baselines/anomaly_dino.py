"""AnomalyDINO (Damm et al., 2024): all patches of a few nominal images, compared by their angle."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import binary_dilation, binary_erosion
from torch import Tensor

from patchcore_core.detector import Prediction
from patchcore_suite.baselines.descriptions import check_nominal
from patchcore_suite.baselines.patch_banks import PatchBankConfig, PatchBankDetector, mean_of_highest

BORDER, LEAST_OBJECT = 0.2, 0.35  # share of a side that is border; share of what is within that an object fills
NEIGHBOURHOOD = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, kw_only=True)
class AnomalyDinoConfig(PatchBankConfig):
    """Whether the background is left out, and how an image is scored."""

    method: ClassVar[str] = "anomaly_dino"
    implementation: ClassVar[str] = "patchcore_suite.baselines.anomaly_dino:AnomalyDino"

    hierarchies: tuple[int, ...] = (4,)
    neighbourhood_size: int = 1
    masking: bool = False  # whether background is left out, by the first principal component of a test image
    mask_threshold: float = 10.0  # of that component; the paper's, for DINOv2
    score_share: float = 0.01  # of the patches with the largest distances, whose mean scores the image

    def _range_problems(self) -> Iterator[str]:
        yield from super()._range_problems()
        yield from self._not_a_share("score_share")


class AnomalyDino(PatchBankDetector):
    """Cosine distance to the nearest of all nominal patches; an image's score is the mean of its highest hundredth.

    Damm et al. (2024), section 3, and their code: nominal images are not masked, and background has distance 0. Its
    rotations are a variant's `rotations`, as of any method. Departs from it: any backbone's maps serve as patches.
    """

    def fit_described(self, nominal: Sequence[Tensor]) -> Self:
        """Keep all patch features (n, h, w, d), brought to length 1.

        Raises:
            InputError: no images, or features that are NaN or infinite.
        """
        check_nominal(*nominal)
        self.memory_bank = F.normalize(nominal[0].flatten(0, 2), dim=1)
        return self

    def predict_described(self, test: Sequence[Tensor], size: Sequence[int]) -> Prediction:
        """Score patch features (n, h, w, d) of images of `size` (H, W).

        Raises:
            InputError: nothing was fitted yet, or features of other dimensions than the nominal images'.
        """
        found, _ = self.nearest_rows(F.normalize(test[0], dim=3))
        distances = found.square() / 2  # one minus the cosine of the angle
        if self.config.masking:
            objects = [foreground(image, self.config.mask_threshold) for image in test[0].cpu().numpy()]
            distances = distances * torch.from_numpy(np.stack(objects)).to(distances)
        return self.predicted(distances, mean_of_highest(distances, self.config.score_share), size)


def foreground(features: np.ndarray, threshold: float) -> np.ndarray:
    """Where in an image something stands before a background, by the first principal component: (h, w).

    Damm et al. (2024), section 3.3: the component's sign is turned where it leaves too little of the middle; the
    result is dilated and closed.

    Args:
        features: (h, w, d) patch features.
        threshold: from which up a patch is foreground.
    """
    h, w, d = features.shape
    rows = features.reshape(-1, d).astype(np.float64)
    component = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)[2][0]
    component *= np.sign(component[np.abs(component).argmax()]) or 1  # either would do
    values = ((rows - rows.mean(axis=0)) @ component).reshape(h, w)
    middle = tuple(slice(int(side * BORDER), int(side * (1 - BORDER))) for side in (h, w))
    found = values > threshold
    if found[middle].sum() <= found[middle].size * LEAST_OBJECT:
        found = -values > threshold
    dilated = binary_dilation(found, NEIGHBOURHOOD, iterations=2)  # once by itself, once to be closed
    return binary_erosion(dilated, NEIGHBOURHOOD, border_value=1)
