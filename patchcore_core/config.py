"""One variant of a method, as a frozen and validated value: what all methods share, and PatchCore's."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast, get_args, get_origin

from patchcore_core.common import plugins
from patchcore_core.common.errors import InputError

DEFAULT_BACKBONE = "tf_efficientnet_lite0"
PIXELS, UNTRAINED = "pixels", "untrained/"  # no weights: the image itself; before a name, that network as initialised
EXACT = ("torch", "faiss", "faiss-gpu")  # searches
CHOICES = {  # fields of `PatchCoreConfig`, and what they may say
    "sampler": ("greedy", "random", *plugins.added(plugins.SAMPLERS)),
    "first_pick": ("drawn", *plugins.added(plugins.FIRST_PICKS)),
    "border": ("zeros", "cut"),
    "search": (*EXACT, *plugins.added(plugins.SEARCHES)),
    "score": ("max", "reweighted"),
    "upsampling": ("bilinear", "nearest"),
    "storage": ("float32", "float16", "bfloat16"),
}


@dataclass(frozen=True, kw_only=True)
class MethodConfig:
    """A variant of some method; its fields are all that distinguishes it from another variant.

    A subclass declares its fields with defaults, among them `backbone` and `hierarchies`, and says what is wrong with
    their values in `_range_problems`; types are checked here. It names the class that does the work, which is imported
    only when something is to be computed.

    Raises:
        InputError: one or more fields are out of range; all of them are listed.
    """

    method: ClassVar[str]
    implementation: ClassVar[str]  # MODULE:CLASS, the `Detector` that it configures
    described_by: ClassVar[tuple[str, ...]] = ()  # fields, besides backbone and hierarchies, that `describe` uses
    seeded: ClassVar[bool] = False  # whether the seed has a say in the result
    seeded_description: ClassVar[bool] = False  # whether it has one in what `describe` returns

    if TYPE_CHECKING:  # fields of the subclasses, in some of them worked out from other fields
        backbone: str
        hierarchies: tuple[int, ...]
        smoothing_sigma: float

    def __post_init__(self) -> None:
        for field in fields(self):  # YAML and JSON give lists; a frozen value needs a tuple to be hashable
            if isinstance(getattr(self, field.name), list):
                object.__setattr__(self, field.name, tuple(getattr(self, field.name)))
        problems = list(self._type_problems()) or list(self._range_problems())
        if problems:
            raise InputError(f"{type(self).__name__} cannot be used", offenders=problems, remedy="correct these values")

    @property
    def members(self) -> "tuple[MethodConfig, ...]":
        """The configurations whose feature maps it needs: itself, unless it puts several together."""
        return (self,)

    @property
    def map_hierarchies(self) -> tuple[int, ...]:
        """The hierarchies whose feature maps it is given, ascending."""
        return self.hierarchies

    def description(self, seed: int) -> list[object]:
        """What the features that it keeps of an image depend on; equal descriptions can share them."""
        return [
            self.method,
            self.backbone,
            list(self.map_hierarchies),
            {name: getattr(self, name) for name in self.described_by},
            seed if self.seeded_description else None,
        ]

    @classmethod
    def from_mapping(cls, values: Mapping[str, object], *, where: str | None = None) -> Self:
        """Build a config from parsed YAML or JSON; `where` is the path of its keys in error messages.

        Raises:
            InputError: an unknown key (with the nearest known one) or a value out of range.
        """
        where, known = where or cls.__name__, [field.name for field in fields(cls)]
        if not isinstance(cast("object", values), Mapping):
            raise InputError(f"{where}={values!r} must be a mapping of names to values")
        close = {key: get_close_matches(str(key), known, n=1) for key in values if key not in known}
        unknown = [f"{where}.{key}" + "".join(f" (did you mean {n}?)" for n in near) for key, near in close.items()]
        if unknown:
            raise InputError("unknown keys", offenders=unknown, remedy=f"known here: {', '.join(known)}")
        try:
            return cls(**cast("Mapping[str, Any]", values))
        except InputError as error:
            problem = f"{where} is not valid. {error.problem}"
            raise InputError(problem, offenders=error.offenders, remedy=error.remedy) from None

    def to_dict(self) -> dict[str, object]:
        """The fields as plain JSON values."""
        return {
            name: list(cast("tuple[object, ...]", value)) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    def _type_problems(self) -> Iterator[str]:
        for field in fields(self):
            value = getattr(self, field.name)
            if get_origin(field.type) is tuple:
                fits = isinstance(value, tuple) and all(type(item) is int for item in cast("tuple[object, ...]", value))
                wanted = "a list of whole numbers"
            else:
                kinds: tuple[type, ...] = get_args(field.type) or (cast("type", field.type),)
                fits = type(value) in ((*kinds, int) if float in kinds else kinds)  # a truth value is no number
                wanted = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
            if not fits:
                yield f"{field.name}={value!r} must be {wanted}"

    def _range_problems(self) -> Iterator[str]:
        if not self.backbone:
            yield "backbone='' must be a torchvision or timm name"
        ascending = list(self.hierarchies) == sorted(set(self.hierarchies))
        if not self.hierarchies or not ascending or self.hierarchies[0] < 0:
            yield f"hierarchies={list(self.hierarchies)} must be ascending whole numbers from 0 up, without repetition"

    def _below_one(self, *names: str) -> Iterator[str]:
        for name in names:
            value = getattr(self, name)
            if value is not None and value < 1:
                yield f"{name}={value} must be at least 1"

    def _negative_sigma(self) -> Iterator[str]:
        if not 0 <= self.smoothing_sigma < math.inf:  # also refuses nan
            yield f"smoothing_sigma={self.smoothing_sigma} must be 0 (no smoothing) or more"


@dataclass(frozen=True, kw_only=True)
class PatchCoreConfig(MethodConfig):
    """Everything that distinguishes one variant of PatchCore (Roth et al., CVPR 2022) from another.

    The defaults are the suite's default variant: the paper's settings on a backbone whose ImageNet weights
    a package index carries. The paper itself uses `wide_resnet50_2` with `dimension=1024`.

    Raises:
        InputError: one or more fields are out of range; all of them are listed.
    """

    method: ClassVar[str] = "patchcore"
    implementation: ClassVar[str] = "patchcore_core.patchcore:PatchCore"
    described_by: ClassVar[tuple[str, ...]] = ("neighbourhood_size", "border", "stride", "dimension", "storage")
    seeded: ClassVar[bool] = True

    backbone: str = DEFAULT_BACKBONE  # phi; a torchvision or timm name
    hierarchies: tuple[int, ...] = (2, 3)  # j and j+1; hierarchy j has stride 2^(j+1)
    neighbourhood_size: int = 3  # p of Eq. 1
    border: str = "zeros"  # window at the border: padded with zeros that count (authors' code), or cut
    stride: int = 1  # s of Eq. 3
    dimension: int | None = None  # d; None keeps one mean per channel (Eq. 2 read plainly)
    storage: str = "float32"  # of patch features and memory bank; half of it for half the memory
    sampler: str = "greedy"  # Algorithm 1; or random rows, or what is added by name
    shards: int = 8  # parts into which some samplers divide the patch features
    first_pick: str = "drawn"  # of the greedy coreset; or what is added by name
    coreset_fraction: float = 0.01  # |M_C| / |M|
    projection_dimension: int | None = 128  # d*; distances of the selection only
    search: str = "torch"  # exact: torch products, faiss Flat; or what is added by name
    score: str = "max"  # of an image: s* of Eq. 6, or s of Eq. 7
    reweight_neighbours: int = 3  # b of Eq. 7; the paper gives no value
    squared_distances: bool = False  # authors' code
    upsampling: str = "bilinear"  # of the anomaly map
    smoothing_sigma: float = 4.0  # Gaussian of the anomaly map, in pixels

    @property
    def extendable(self) -> bool:
        """Whether its memory bank can grow: a greedy coreset, whose covering radius is known."""
        return self.sampler == "greedy" and self.first_pick == "drawn"

    def _range_problems(self) -> Iterator[str]:
        yield from super()._range_problems()
        if self.neighbourhood_size < 1 or self.neighbourhood_size % 2 == 0:
            yield f"neighbourhood_size={self.neighbourhood_size} must be odd and at least 1"
        if not 0 < self.coreset_fraction <= 1:  # also refuses nan
            yield f"coreset_fraction={self.coreset_fraction} must lie in (0, 1]"
        yield from self._negative_sigma()
        yield from self._below_one("stride", "dimension", "projection_dimension", "reweight_neighbours", "shards")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                yield f"{name}={getattr(self, name)!r} must be one of {', '.join(known)}"
        if self.sampler not in ("greedy", "random") and self.first_pick != "drawn":
            yield f"first_pick={self.first_pick!r} is of the greedy coreset, not of sampler={self.sampler!r}"
        if self.dimension is not None and self.border == "cut":
            yield "border='cut' is defined for dimension=None only: pooling to a dimension needs whole windows"
