"""Configurations of the methods that the paper compares PatchCore with, of the ensemble and of the controls.

They stand together, apart from the methods, so that params.yaml is read without torch. A method of your own is one
file of this folder, NAME.py, with both: a `BaselineConfig` whose `method` is NAME, and the class that it names.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pkgutil import iter_modules
from typing import ClassVar

from patchcore_core.common.errors import InputError
from patchcore_core.config import DEFAULT_BACKBONE, PIXELS, MethodConfig, PatchCoreConfig
from patchcore_suite import baselines
from patchcore_suite.baselines.costs import FLOAT, Shape, Work, all_products


@dataclass(frozen=True, kw_only=True)
class BaselineConfig(MethodConfig):
    """A method beside PatchCore, which also says what it costs, so that a run can be estimated before it is begun.

    Unless a subclass says otherwise, it describes whole images and reads what it keeps of them a few times.
    """

    window: ClassVar[int] = 1  # side of the window of positions that `describe` reads for each position

    @property
    def least_images(self) -> int:
        """Nominal images without which it cannot be fitted; turned ones count."""
        return 1

    def described_shape(self, maps: Sequence[Shape]) -> Shape:
        """(h, w, d) of what is kept of an image, from (c, h, w) of its feature maps, finest first.

        Of a method that describes whole images, h = w = 1.
        """
        return 1, 1, sum(c for c, _, _ in maps)

    def bank_rows(self, patches: int) -> int:
        """Rows that are chosen of so many nominal patches and named in the result; 0 of a method that chooses none."""
        return 0

    def cell_work(self, shape: Shape, *, nominal: int, test: int) -> Work:
        """Fitting to `nominal` described images and scoring `test` ones, each of `shape` (h, w, d)."""
        h, w, d = shape
        return Work(traffic=4 * FLOAT * (nominal + test) * h * w * d)

    def cell_values(self, shape: Shape, *, nominal: int, test: int) -> float:
        """Numbers in single precision that fitting and scoring hold, at most, beside the described images."""
        return 0


@dataclass(frozen=True, kw_only=True)
class SpadeConfig(BaselineConfig):
    """SPADE (Cohen & Hoshen, 2020): nearest nominal images, then correspondences between their pixels."""

    method: ClassVar[str] = "spade"
    implementation: ClassVar[str] = "patchcore_suite.baselines.spade:Spade"

    backbone: str = DEFAULT_BACKBONE
    hierarchies: tuple[int, ...] = (1, 2, 3)  # of the feature pyramid
    pooled_hierarchy: int = 4  # whose global mean describes a whole image
    neighbour_images: int = 50  # K
    neighbour_pixels: int = 1  # kappa
    smoothing_sigma: float = 4.0  # pixels

    @property
    def map_hierarchies(self) -> tuple[int, ...]:
        return tuple(sorted({*self.hierarchies, self.pooled_hierarchy}))

    def described_shape(self, maps: Sequence[Shape]) -> Shape:
        pyramid = [shape for j, shape in zip(self.map_hierarchies, maps, strict=True) if j in self.hierarchies]
        return *pyramid[0][1:], sum(c for c, _, _ in pyramid)

    def cell_work(self, shape: Shape, *, nominal: int, test: int) -> Work:
        h, w, d = shape
        rows = min(self.neighbour_images, nominal) * h * w  # that each test image is compared with
        return all_products(test * h * w, rows, d) + Work(traffic=4 * FLOAT * test * rows * d)

    def cell_values(self, shape: Shape, *, nominal: int, test: int) -> float:
        h, w, d = shape
        return 2 * min(self.neighbour_images, nominal) * h * w * d

    def _range_problems(self) -> Iterator[str]:
        yield from super()._range_problems()
        yield from self._negative_sigma()
        yield from self._below_one("neighbour_images", "neighbour_pixels")
        if self.pooled_hierarchy < 0:
            yield f"pooled_hierarchy={self.pooled_hierarchy} must be 0 or more"


@dataclass(frozen=True, kw_only=True)
class PadimConfig(BaselineConfig):
    """PaDiM (Defard et al., 2020): a Gaussian for each position of the grid.

    The paper's settings are ResNet18 with 100 random dimensions (R18-Rd100) and WideResNet50 with 550 (WR50-Rd550).
    """

    method: ClassVar[str] = "padim"
    implementation: ClassVar[str] = "patchcore_suite.baselines.padim:Padim"
    described_by: ClassVar[tuple[str, ...]] = ("dimensions",)
    seeded: ClassVar[bool] = True
    seeded_description: ClassVar[bool] = True

    backbone: str = DEFAULT_BACKBONE
    hierarchies: tuple[int, ...] = (1, 2, 3)
    dimensions: int = 100  # random subset of the concatenated channels; at most all of them
    ridge: float = 0.01  # added to the covariance's diagonal
    smoothing_sigma: float = 4.0  # pixels

    def described_shape(self, maps: Sequence[Shape]) -> Shape:
        return *maps[0][1:], min(self.dimensions, sum(c for c, _, _ in maps))

    def cell_work(self, shape: Shape, *, nominal: int, test: int) -> Work:
        h, w, d = shape
        n, q = nominal * h * w, test * h * w
        fitted = Work(products=4 * n * d * d, solves=h * w * d**3 / 3, traffic=12 * FLOAT * n * d)
        return fitted + Work(solves=q * d * d, traffic=12 * FLOAT * q * d)

    def cell_values(self, shape: Shape, *, nominal: int, test: int) -> float:
        h, w, d = shape
        return h * w * d * d

    def _range_problems(self) -> Iterator[str]:
        yield from super()._range_problems()
        yield from self._negative_sigma()
        yield from self._below_one("dimensions")
        if not self.ridge > 0:
            yield f"ridge={self.ridge} must be above 0: without it, the covariance of few images has no inverse"


@dataclass(frozen=True, kw_only=True)
class MahalanobisConfig(BaselineConfig):
    """Mahalanobis AD (Rippel et al., 2020): a Gaussian on the pooled features of each block; image scores only."""

    method: ClassVar[str] = "mahalanobis"
    implementation: ClassVar[str] = "patchcore_suite.baselines.mahalanobis:Mahalanobis"

    backbone: str = DEFAULT_BACKBONE
    hierarchies: tuple[int, ...] = (1, 2, 3, 4)

    @property
    def least_images(self) -> int:
        return 2  # of one there is no covariance


@dataclass(frozen=True, kw_only=True)
class NearestImagesConfig(BaselineConfig):
    """DN2 (Bergman et al., 2020), with one neighbour 1-NN: nearest nominal images; image scores only."""

    method: ClassVar[str] = "nearest_images"
    implementation: ClassVar[str] = "patchcore_suite.baselines.nearest_images:NearestImages"

    backbone: str = DEFAULT_BACKBONE
    hierarchies: tuple[int, ...] = (4,)  # whose global means, side by side, describe an image
    neighbours: int = 2  # k

    def _range_problems(self) -> Iterator[str]:
        yield from super()._range_problems()
        yield from self._below_one("neighbours")


@dataclass(frozen=True, kw_only=True)
class PixelsConfig(BaselineConfig):
    """What controls without a network share: they see the pixels, on the grid of one hierarchy."""

    backbone: str = PIXELS
    hierarchies: tuple[int, ...] = (2,)
    smoothing_sigma: float = 4.0

    def described_shape(self, maps: Sequence[Shape]) -> Shape:
        return *maps[0][1:], sum(c for c, _, _ in maps)

    def _range_problems(self) -> Iterator[str]:
        yield from super()._range_problems()
        yield from self._negative_sigma()


@dataclass(frozen=True, kw_only=True)
class RandomScoresConfig(PixelsConfig):
    """Control: scores that know nothing of the image; every AUROC must be near one half."""

    method: ClassVar[str] = "random_scores"
    implementation: ClassVar[str] = "patchcore_suite.baselines.controls:RandomScores"
    seeded: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class MeanImageConfig(PixelsConfig):
    """Control: distance of the image's pixels to their mean over the nominal images; no network at all."""

    method: ClassVar[str] = "mean_image"
    implementation: ClassVar[str] = "patchcore_suite.baselines.controls:MeanImage"


@dataclass(frozen=True, kw_only=True)
class EnsembleConfig(BaselineConfig):
    """Several PatchCore models on images of one size, whose scores are scaled on nominal images and averaged.

    What it costs, its models cost.

    Raises:
        InputError: fewer than two models, or models that need different anomaly maps.
    """

    method: ClassVar[str] = "ensemble"
    implementation: ClassVar[str] = "patchcore_suite.baselines.ensemble:Ensemble"
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
    def least_images(self) -> int:
        return 2  # its scores are scaled on each nominal image, beside the others

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


def configuration(method: object, *, where: str = "method") -> type[MethodConfig]:
    """The configuration class of a method: one of `METHODS`, or that of a file NAME.py in this folder.

    Args:
        method: its name in params.yaml.
        where: the path of the name's key in error messages.

    Raises:
        InputError: there is no such method; the nearest names are suggested.
    """
    if isinstance(method, str) and method in METHODS:
        return METHODS[method]
    if method in _files() and (found := _own(method)):
        return found
    known = [*methods(), EnsembleConfig.method]
    close = get_close_matches(str(method), known, n=1)
    raise InputError(
        f"{where}={method!r} is no method" + (f" (did you mean {close[0]}?)" if close else ""),
        remedy=f"known: {', '.join(known)}",
    )


def methods() -> dict[str, type[MethodConfig]]:
    """The configuration class of every method but the ensemble: `METHODS`, then those of files of their own."""
    own = {name: _own(name) for name in _files() if name not in METHODS}
    return METHODS | {name: found for name, found in own.items() if found}


def _files() -> list[str]:
    return [module.name for module in iter_modules(baselines.__path__)]


def _own(name: str) -> type[MethodConfig] | None:
    """The configuration of the method `name` that a file of this folder defines, if it does."""
    module = import_module(f"{baselines.__name__}.{name}")
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, BaselineConfig)]
    return next((k for k in kinds if k.__module__ == module.__name__ and vars(k).get("method") == name), None)
