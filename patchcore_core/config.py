"""One variant of PatchCore, as a frozen and validated value."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from typing import get_args

from patchcore_core.errors import InputError

SAMPLERS = ("greedy", "random")
BORDERS = ("zeros", "cut")
SEARCHES = ("torch", "faiss")


@dataclass(frozen=True, kw_only=True)
class PatchCoreConfig:
    """Everything that distinguishes one variant of PatchCore (Roth et al., CVPR 2022) from another.

    The defaults are the suite's default variant: the paper's settings on a backbone whose ImageNet weights
    a package index carries. The paper itself uses `wide_resnet50_2` with `dimension=1024`.

    Raises:
        InputError: one or more fields are out of range; all of them are listed.
    """

    backbone: str = "tf_efficientnet_lite0"  # phi; a torchvision or timm name
    hierarchies: tuple[int, ...] = (2, 3)  # j and j+1; hierarchy j has stride 2^(j+1)
    neighbourhood_size: int = 3  # p of Eq. 1
    border: str = "zeros"  # window at the border: padded with zeros that count (authors' code), or cut
    stride: int = 1  # s of Eq. 3
    dimension: int | None = None  # d; None keeps one mean per channel (Eq. 2 read plainly)
    sampler: str = "greedy"  # Algorithm 1, or uniform random rows
    coreset_fraction: float = 0.01  # |M_C| / |M|
    projection_dimension: int | None = 128  # d*; distances of the selection only
    search: str = "torch"  # exact nearest neighbours: torch products or faiss Flat
    reweight_neighbours: int = 3  # b of Eq. 7; the paper gives no value
    smoothing_sigma: float = 4.0  # Gaussian of the anomaly map, in pixels

    def __post_init__(self) -> None:
        # YAML and JSON give lists; a frozen value needs a tuple to be hashable.
        if isinstance(self.hierarchies, list):
            object.__setattr__(self, "hierarchies", tuple(self.hierarchies))
        problems = list(self._type_problems()) or list(self._range_problems())
        if problems:
            raise InputError("PatchCoreConfig cannot be used", offenders=problems, remedy="correct these values")

    def _type_problems(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "hierarchies":
                fits = isinstance(value, tuple) and all(_is_int(item) for item in value)
                wanted = "a list of whole numbers"
            else:
                kinds = get_args(field.type) or (field.type,)
                fits = any(_is_a(value, kind) for kind in kinds)
                wanted = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
            if not fits:
                yield f"{field.name}={value!r} must be {wanted}"

    def _range_problems(self):
        if not self.backbone:
            yield "backbone='' must be a torchvision or timm name"
        ascending = list(self.hierarchies) == sorted(set(self.hierarchies))
        if not self.hierarchies or not ascending or self.hierarchies[0] < 0:
            yield f"hierarchies={list(self.hierarchies)} must be ascending whole numbers from 0 up, without repetition"
        if self.neighbourhood_size < 1 or self.neighbourhood_size % 2 == 0:
            yield f"neighbourhood_size={self.neighbourhood_size} must be odd and at least 1"
        if not 0 < self.coreset_fraction <= 1:  # also refuses nan
            yield f"coreset_fraction={self.coreset_fraction} must lie in (0, 1]"
        if not 0 <= self.smoothing_sigma < math.inf:
            yield f"smoothing_sigma={self.smoothing_sigma} must be 0 (no smoothing) or more"
        for name in ("stride", "dimension", "projection_dimension", "reweight_neighbours"):
            value = getattr(self, name)
            if value is not None and value < 1:
                yield f"{name}={value} must be at least 1"
        for name, known in (("sampler", SAMPLERS), ("border", BORDERS), ("search", SEARCHES)):
            if getattr(self, name) not in known:
                yield f"{name}={getattr(self, name)!r} must be one of {', '.join(known)}"
        if self.dimension is not None and self.border == "cut":
            yield "border='cut' is defined for dimension=None only: pooling to a dimension needs whole windows"

    @classmethod
    def from_mapping(cls, values: Mapping[str, object], *, where: str = "PatchCoreConfig") -> "PatchCoreConfig":
        """Build a config from parsed YAML or JSON; `where` is the path of its keys in error messages.

        Raises:
            InputError: an unknown key (with the nearest known one) or a value out of range.
        """
        check_keys(values, [field.name for field in fields(cls)], where=where)
        try:
            return cls(**values)
        except InputError as error:
            raise InputError(f"{where} is not valid. {error}") from None

    def to_dict(self) -> dict[str, object]:
        """The fields as plain JSON values."""
        return asdict(self) | {"hierarchies": list(self.hierarchies)}


def check_keys(values: Mapping[str, object], known: list[str], *, where: str) -> None:
    """Refuse unknown keys, naming each with its path and the known key that it resembles."""
    if not isinstance(values, Mapping):
        raise InputError(f"{where}={values!r} must be a mapping of names to values")
    unknown = []
    for key in values:
        if key not in known:
            close = get_close_matches(str(key), known, n=1)
            unknown.append(f"{where}.{key}" + (f" (did you mean {close[0]}?)" if close else ""))
    if unknown:
        raise InputError("unknown keys", offenders=unknown, remedy=f"known here: {', '.join(known)}")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_a(value: object, kind: type) -> bool:
    if kind is int:
        return _is_int(value)
    if kind is float:
        return _is_int(value) or isinstance(value, float)
    return isinstance(value, kind)
