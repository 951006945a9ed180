"""RAD (arXiv 2601.22763): every patch of every nominal image, met at its own place in the images most alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from patchcore_core.detector import Prediction
from patchcore_core.patches import rescale
from patchcore_suite.baselines.costs import FLOAT, Shape, Work
from patchcore_suite.baselines.descriptions import by_hierarchy, check_nominal, check_test, global_mean
from patchcore_suite.baselines.patch_banks import PatchBankConfig, PatchBankDetector, mean_of_highest


@dataclass(frozen=True, kw_only=True)
class RadConfig(PatchBankConfig):
    """How many images are retrieved, and how far from its own place a patch is looked for."""

    method: ClassVar[str] = "rad"
    implementation: ClassVar[str] = "patchcore_suite.baselines.rad:Rad"
    described_by: ClassVar[tuple[str, ...]] = ()

    hierarchies: tuple[int, ...] = (2, 3, 4)
    neighbourhood_size: int = 1
    neighbour_images: int = 150
    radius: int | None = 1  # in patches; None: anywhere
    smoothing_sigma: float = 1.0
    score_share: float = 0.01  # of the pixels with the highest scores, whose mean scores the image

    def cell_work(self, shape: Shape, *, nominal: int, test: int) -> Work:
        h, w, d = shape
        places = h * w if self.radius is None else (2 * self.radius + 1) ** 2
        compared = test * h * w * min(self.neighbour_images, nominal) * places
        return Work(products=2 * compared * d, traffic=FLOAT * (compared + (nominal + test) * h * w * d))

    def _range_problems(self) -> Iterator[str]:
        yield from super()._range_problems()
        yield from self._below_one("neighbour_images")
        if self.radius is not None and self.radius < 0:
            yield f"radius={self.radius} must be 0 or more, or null"
        yield from self._not_a_share("score_share")


class Rad(PatchBankDetector):
    """One minus the largest cosine with a patch near the same place of images that are alike; mean over hierarchies.

    As the paper's retrieval and matching are written. Departs from it: without class tokens, images are compared by the
    global mean of the last hierarchy, and coarse hierarchies are brought to the finest grid. The code's Gaussian ends
    after two pixels, this one after four.
    """

    _nominal: list[Tensor] | None = None  # (n, c) of images, then (n, h, w, c_j) of each hierarchy

    def describe(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Global means (n, c) of the last hierarchy, and patches (n, h, w, c_j) of each, all of length 1.

        Args:
            maps: (n, c_j, h_j, w_j), finest first.

        Raises:
            InputError: not one map for each hierarchy.
        """
        maps = list(by_hierarchy(maps, self.config.map_hierarchies).values())
        grid = maps[0].shape[-2:]
        patches = [F.normalize(rescale(fmap, grid), dim=1).permute(0, 2, 3, 1).contiguous() for fmap in maps]
        return [F.normalize(global_mean(maps[-1]), dim=1), *patches]

    def fit_described(self, nominal: Sequence[Tensor]) -> Self:
        """Remember the nominal images.

        Raises:
            InputError: no images, or features that are NaN or infinite.
        """
        check_nominal(*nominal)
        self._nominal = list(nominal)
        return self

    def predict_described(self, test: Sequence[Tensor], size: Sequence[int]) -> Prediction:
        """Score what is kept of images of `size` (H, W).

        Raises:
            InputError: nothing was fitted yet, or other axes than those of the nominal images.
        """
        check_test(test, self._nominal)
        alike = test[0] @ self._nominal[0].T
        _, images = alike.topk(min(self.config.neighbour_images, len(self._nominal[0])), dim=1)
        # One tensor for all: small ones between copies of banks would keep the memory of these from being used again.
        distances = torch.zeros(test[1].shape[:3], device=test[1].device)
        for patches, bank in zip(test[1:], self._nominal[1:], strict=True):
            for number, found in enumerate(images):
                distances[number] += unlikeness(patches[number], bank[found], self.config.radius)
        distances /= len(test) - 1
        predicted = self.predicted(distances, distances.flatten(1).amax(dim=1), size)
        scores = mean_of_highest(predicted.maps, self.config.score_share)
        return Prediction(scores=scores, maps=predicted.maps, distances=distances)


def unlikeness(patches: Tensor, bank: Tensor, radius: int | None) -> Tensor:
    """One minus the largest cosine of each patch with those of a bank that lie near its place: (h, w).

    Args:
        patches: (h, w, c) of length 1.
        bank: (k, h, w, c) of k images, likewise.
        radius: how many rows and columns away, at most; None: anywhere.
    """
    h, w, c = patches.shape
    if radius is None:
        return 1 - (patches.view(-1, c) @ bank.reshape(-1, c).T).amax(dim=1).view(h, w)
    best = patches.new_full((h, w), -1)
    for down in range(-min(radius, h - 1), min(radius, h - 1) + 1):
        for right in range(-min(radius, w - 1), min(radius, w - 1) + 1):
            here = (slice(max(0, -down), h - max(0, down)), slice(max(0, -right), w - max(0, right)))
            there = (slice(max(0, down), h - max(0, -down)), slice(max(0, right), w - max(0, -right)))
            cosines = torch.einsum("hwc,khwc->khw", patches[here], bank[:, there[0], there[1]])
            best[here] = torch.maximum(best[here], cosines.amax(dim=0))
    return 1 - best
