"""Variants and studies of `params.yaml`: what is run, with which methods, seeds and numbers of nominal images."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

from patchcore_core.common.errors import InputError
from patchcore_core.config import PatchCoreConfig, check_keys
from patchcore_suite.baselines.config import EnsembleConfig, configuration
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.settings import profiles

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")  # becomes part of file names


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A configured method, and what it changes in the dataset's preparation of images.

    Attributes:
        values: fields of the method's configuration that differ from their defaults.
        method: its name, see `baselines.config.configuration`; or "ensemble".
        preprocessing: fields of `Preprocessing` of its own.
        models: the variants that an ensemble is made of.
    """

    values: Mapping[str, object]
    method: str = PatchCoreConfig.method
    preprocessing: Mapping[str, object] = field(default_factory=dict)
    models: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Study:
    """A part of the grid: variants x seeds x shots, on some categories of a dataset.

    Attributes:
        variants: their names.
        seeds: of everything that is drawn.
        categories: their names, or how many of the first ones; None for all that are there.
        shots: numbers of nominal images; None stands for all of them. Each seed draws its own.
        covering_radius: whether the covering radius of each memory bank is measured (one more search).
    """

    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    categories: tuple[str, ...] | int | None = None
    shots: tuple[int | None, ...] = (None,)
    covering_radius: bool = False

    def chosen(self, available: Sequence[str]) -> tuple[str, ...]:
        """The categories that it runs on; names that are not available are among them."""
        if isinstance(self.categories, int):
            return tuple(available[: self.categories])
        return self.categories or tuple(available)


IMAGE_KEYS = tuple(item.name for item in fields(Preprocessing))
PROFILE_KEYS = ("profile", "towards", "switches")  # the first `switches` steps from one profile towards another
SWITCHED = ("backbone", "dimension")  # a variant gives a profile these to start from, and the profile sets them


def read_variant(name: str, given: object, defaults: Mapping[str, object]) -> Variant:
    """A variant from its block, on top of its method's defaults.

    Raises:
        InputError: an unknown method, profile or key, or values out of range, each with its key's path.
    """
    where = f"variants.{name}"
    if not isinstance(given, Mapping):
        raise InputError(f"{where}={given!r} must be a mapping of names to values")
    given = dict(given)
    method = given.pop("method", PatchCoreConfig.method)
    if method == EnsembleConfig.method:
        check_keys(given, ["models"], where=where)
        if "models" not in given:
            raise InputError(f"{where}.models is missing", remedy="name the variants that the ensemble is made of")
        return Variant(values={}, method=method, models=tuple(as_list(given, "models", where)))
    config = configuration(method, where=f"{where}.method")
    profile_keys = PROFILE_KEYS if method == PatchCoreConfig.method else ()
    check_keys(given, [*(item.name for item in fields(config)), *IMAGE_KEYS, *profile_keys], where=where)
    default = as_mapping(defaults, method, "defaults")
    profile = {key: given.pop(key) for key in profile_keys if key in given}
    images = {key: given.pop(key) for key in IMAGE_KEYS if key in given}
    values = {**default, **given}
    config.from_mapping(values, where=where)  # one that no dataset names is checked too
    if profile:
        of_profile, of_images = _profile(profile, values, where)
        own = {key: value for key, value in given.items() if key not in SWITCHED}
        values, images = {**default, **of_profile, **own}, {**of_images, **images}
        config.from_mapping(values, where=where)
    try:
        Preprocessing(**{"resize": 1, **images})
    except InputError as error:
        raise InputError(f"{where} is not valid. {error}") from None
    return Variant(values=values, method=method, preprocessing=images)


def _profile(given: Mapping[str, object], values: Mapping[str, object], where: str) -> tuple[Mapping, Mapping]:
    """Fields of the method and of the preprocessing that a compatibility profile sets."""
    backbone = values.get("backbone", PatchCoreConfig.backbone)
    dimension = values.get("dimension")
    if ("towards" in given) != ("switches" in given) or "profile" not in given:
        raise InputError(
            f"{where} has {', '.join(given)}", remedy="give profile, or profile, towards and switches together"
        )
    count = given.get("switches", 0)
    if not _is_whole(count, 0):
        raise InputError(f"{where}.switches={count!r} must be a whole number of at least 0")
    start = given["profile"]
    try:
        return profiles.switched(start, given.get("towards", start), count, backbone=backbone, dimension=dimension)
    except InputError as error:
        raise InputError(f"{where} is not valid. {error}") from None


def check_ensembles(variants: Mapping[str, Variant]) -> None:
    """Refuse ensembles of one, of unknown variants, of other methods, or of images of different sizes."""
    problems = []
    patchcore = [name for name, variant in variants.items() if variant.method == PatchCoreConfig.method]
    for name, variant in variants.items():
        if variant.method == EnsembleConfig.method and len(variant.models) < 2:
            problems.append(f"variants.{name}.models: {', '.join(map(repr, variant.models))} alone is no ensemble")
        problems += [
            f"variants.{name}.models: {model!r} is no variant of PatchCore"
            for model in variant.models
            if model not in patchcore
        ]
        images = {str(dict(variants[model].preprocessing)) for model in variant.models if model in patchcore}
        if len(images) > 1:
            problems.append(f"variants.{name}.models are prepared differently: {', '.join(sorted(images))}")
    if problems:
        raise InputError(
            "ensembles cannot be built",
            offenders=problems,
            remedy="name variants of PatchCore with one resize and crop",
        )


def read_study(given: object, where: str, variants: Mapping[str, Variant]) -> Study:
    """A study from its block; `where` is the path of the block in error messages.

    Raises:
        InputError: unknown keys or variants, or values out of range, each with its key's path.
    """
    check_keys(given, [item.name for item in fields(Study)], where=where)
    missing = [f"{where}.{key}" for key in ("variants", "seeds") if key not in given]
    if missing:
        raise InputError("keys are missing in params.yaml", offenders=missing, remedy="add them")
    names, seeds = as_list(given, "variants", where), as_list(given, "seeds", where)
    unknown = [f"{where}.variants: {item!r}" for item in names if item not in list(variants)]
    if unknown:
        raise InputError("unknown variants", offenders=unknown, remedy=f"known: {', '.join(variants)}")
    problems = [f"{where}.seeds: {seed!r}" for seed in seeds if not _is_whole(seed, 0)]
    shots = as_list(given, "shots", where) if "shots" in given else [None]
    problems += [f"{where}.shots: {count!r}" for count in shots if count is not None and not _is_whole(count, 1)]
    categories = given.get("categories")
    if isinstance(categories, list):
        categories = tuple(as_list(given, "categories", where))
        problems += [f"{where}.categories: {item!r}" for item in categories if not isinstance(item, str)]
    elif categories is not None and not _is_whole(categories, 1):
        problems.append(f"{where}.categories: {categories!r}")
    radius = given.get("covering_radius", False)
    if not isinstance(radius, bool):
        problems.append(f"{where}.covering_radius: {radius!r}")
    if problems:
        raise InputError(
            "values in params.yaml that cannot be used",
            offenders=problems,
            remedy="seeds: 0 or more; shots: 1 or more, or null; categories: names or a number; covering_radius: bool",
        )
    return Study(
        variants=tuple(names),
        seeds=tuple(seeds),
        categories=categories,
        shots=tuple(shots),
        covering_radius=radius,
    )


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def as_mapping(values: Mapping[str, object], key: str, where: str | None = None) -> Mapping[str, object]:
    """The mapping under a key, empty where there is none, or an error; `where` is the path of the keys."""
    value = {} if values.get(key) is None else values[key]
    if not isinstance(value, Mapping):
        path = key if where is None else f"{where}.{key}"
        raise InputError(f"{path}={value!r} must be a mapping of names to values")
    return value


def as_list(values: Mapping[str, object], key: str, where: str) -> list:
    """The list of different values under a key, or an error."""
    value = values[key]
    if not isinstance(value, list) or not value or len({str(item) for item in value}) != len(value):
        raise InputError(f"{where}.{key}={value!r} must be a list of one or more different values")
    return value


def as_name(name: object, where: str) -> str:
    """A name that can be part of a file's name, or an error."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InputError(f"{where}.{name} is no usable name", remedy="use letters, digits and - _ . + only")
    return name
