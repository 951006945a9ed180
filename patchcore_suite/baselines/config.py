"""Configurations of the methods that the paper compares PatchCore with, of the ensemble and of the controls."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from patchcore_core.common.errors import InputError
from patchcore_core.config import DEFAULT_BACKBONE, PIXELS, MethodConfig, PatchCoreConfig


@dataclass(frozen=True, kw_only=True)
class SpadeConfig(MethodConfig):
    """SPADE (Cohen & Hoshen, 2020): nearest nominal images, then correspondences between their pixels."""

    method: ClassVar[str] = "spade"

    backbone: str = DEFAULT_BACKBONE
    hierarchies: tuple[int, ...] = (1, 2, 3)  # of the feature pyramid
    pooled_hierarchy: int = 4  # whose global mean describes a whole image
    neighbour_images: int = 50  # K
    neighbour_pixels: int = 1  # kappa
    smoothing_sigma: float = 4.0  # pixels

    @property
    def map_hierarchies(self) -> tuple[int, ...]:
        return tuple(sorted({*self.hierarchies, self.pooled_hierarchy}))

    def _range_problems(self) -> Iterator[str]:
        yield from super()._range_problems()
        yield from self._negative_sigma()
        yield from self._below_one("neighbour_images", "neighbour_pixels")
        if self.pooled_hierarchy < 0:
            yield f"pooled_hierarchy={self.pooled_hierarchy} must be 0 or more"


@dataclass(frozen=True, kw_only=True)
class PadimConfig(MethodConfig):
    """PaDiM (Defard et al., 2020): a Gaussian for each position of the grid.

    The paper's settings are ResNet18 with 100 random dimensions (R18-Rd100) and WideResNet50 with 550 (WR50-Rd550).
    """

    method: ClassVar[str] = "padim"
    described_by: ClassVar[tuple[str, ...]] = ("dimensions",)
    seeded: ClassVar[bool] = True
    seeded_description: ClassVar[bool] = True

    backbone: str = DEFAULT_BACKBONE
    hierarchies: tuple[int, ...] = (1, 2, 3)
    dimensions: int = 100  # random subset of the concatenated channels; at most all of them
    ridge: float = 0.01  # added to the covariance's diagonal
    smoothing_sigma: float = 4.0  # pixels

    def _range_problems(self) -> Iterator[str]:
        yield from super()._range_problems()
        yield from self._negative_sigma()
        yield from self._below_one("dimensions")
        if not self.ridge > 0:
            yield f"ridge={self.ridge} must be above 0: without it, the covariance of few images has no inverse"


@dataclass(frozen=True, kw_only=True)
class MahalanobisConfig(MethodConfig):
    """Mahalanobis AD (Rippel et al., 2020): a Gaussian on the pooled features of each block; image scores only."""

    method: ClassVar[str] = "mahalanobis"

    backbone: str = DEFAULT_BACKBONE
    hierarchies: tuple[int, ...] = (1, 2, 3, 4)


@dataclass(frozen=True, kw_only=True)
class NearestImagesConfig(MethodConfig):
    """DN2 (Bergman et al., 2020), with one neighbour 1-NN: nearest nominal images; image scores only."""

    method: ClassVar[str] = "nearest_images"

    backbone: str = DEFAULT_BACKBONE
    hierarchies: tuple[int, ...] = (4,)  # whose global means, side by side, describe an image
    neighbours: int = 2  # k

    def _range_problems(self) -> Iterator[str]:
        yield from super()._range_problems()
        yield from self._below_one("neighbours")


@dataclass(frozen=True, kw_only=True)
class PixelsConfig(MethodConfig):
    """What controls without a network share: they see the pixels, on the grid of one hierarchy."""

    backbone: str = PIXELS
    hierarchies: tuple[int, ...] = (2,)
    smoothing_sigma: float = 4.0

    def _range_problems(self) -> Iterator[str]:
        yield from super()._range_problems()
        yield from self._negative_sigma()


@dataclass(frozen=True, kw_only=True)
class RandomScoresConfig(PixelsConfig):
    """Control: scores that know nothing of the image; every AUROC must be near one half."""

    method: ClassVar[str] = "random_scores"
    seeded: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class MeanImageConfig(PixelsConfig):
    """Control: distance of the image's pixels to their mean over the nominal images; no network at all."""

    method: ClassVar[str] = "mean_image"


@dataclass(frozen=True, kw_only=True)
class EnsembleConfig(MethodConfig):
    """Several PatchCore models on images of one size, whose scores are scaled on nominal images and averaged.

    Raises:
        InputError: fewer than two models, or models that need different anomaly maps.
    """

    method: ClassVar[str] = "ensemble"
    seeded: ClassVar[bool] = True

    models: tuple[PatchCoreConfig, ...]

    def __post_init__(self) -> None:
        if len(self.models) < 2:
            raise InputError(f"an ensemble of {len(self.models)} variants", remedy="name at least two")
        for name in ("smoothing_sigma", "upsampling"):
            given = {getattr(model, name) for model in self.models}
            if len(given) > 1:
                raise InputError(f"an ensemble of maps with {name}={sorted(given)}", remedy="choose one")

    @property
    def members(self) -> tuple[MethodConfig, ...]:
        return self.models

    @property
    def backbone(self) -> str:
        return " + ".join(model.backbone for model in self.models)

    @property
    def smoothing_sigma(self) -> float:
        return self.models[0].smoothing_sigma

    def to_dict(self) -> dict[str, object]:
        first = self.models[0]
        shared = {"smoothing_sigma": first.smoothing_sigma, "upsampling": first.upsampling}
        return {"models": [model.to_dict() for model in self.models], **shared}


METHODS: dict[str, type[MethodConfig]] = {
    config.method: config
    for config in (
        PatchCoreConfig,
        SpadeConfig,
        PadimConfig,
        MahalanobisConfig,
        NearestImagesConfig,
        RandomScoresConfig,
        MeanImageConfig,
    )
}
