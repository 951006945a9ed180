"""Variants of `params.yaml`: configured methods, and how each prepares images in a way of its own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import chain
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from patchcore_core.common.errors import InputError
from patchcore_core.config import PatchCoreConfig
from patchcore_suite.baselines.config import EnsembleConfig, configuration
from patchcore_suite.datasets.preprocessing import LONGEST, Preprocessing
from patchcore_suite.settings import profiles
from patchcore_suite.settings.checked import BLOCK, Several, Wanted, one_of
from patchcore_suite.settings.problems import Problems, hint, one_line
from patchcore_suite.settings.yaml_file import KeyPath, dotted

VARIANT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}")
TABLED = "category"
IMAGE_KEYS = tuple(item.name for item in fields(Preprocessing))
Angle = Annotated[float, Field(ge=0, lt=360), Wanted("an angle in degrees, from 0 up to 360")]
SWITCHED = ("backbone", "dimension")  # a variant gives a profile these to start from, and the profile sets them

ProfileName = Annotated[Literal[profiles.PROFILES], one_of(*profiles.PROFILES)]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A configured method, and what it changes in the dataset's preparation of images.

    Attributes:
        values: fields of the method's configuration that differ from their defaults.
        method: its name, see `baselines.config.configuration`; or "ensemble".
        preprocessing: fields of `Preprocessing` of its own.
        rotations: degrees by which each nominal image is turned, see `Learning`.
        models: the variants that an ensemble is made of.
    """

    values: Mapping[str, object]
    method: str = PatchCoreConfig.method
    preprocessing: Mapping[str, object] = field(default_factory=dict)
    rotations: tuple[float, ...] = ()
    models: tuple[str, ...] = ()


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=BLOCK)
class Profile:
    """The first `switches` steps from one compatibility profile towards another; alone, a profile as it is."""

    profile: ProfileName
    towards: ProfileName | None = None
    switches: Annotated[int, Field(ge=0), Wanted("a whole number of at least 0")] = 0


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=BLOCK)
class Learning:
    """How nominal images are given to a method, whichever it is.

    Attributes:
        rotations: degrees by which each is turned, counter-clockwise; the method learns from all that this gives, and
            from the image as it is where 0 is among them. Test images are never turned.
    """

    rotations: Several[Angle] | None = None


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=BLOCK)
class Ensemble:
    """Variants of PatchCore that are averaged."""

    models: Several[Annotated[str, Wanted("the name of a variant")]]


def method_keys(method: str) -> tuple[str, ...]:
    """The fields of a method's configuration."""
    return tuple(item.name for item in fields(configuration(method)))


def _is_method(method: object, where: str, path: KeyPath, problems: Problems) -> bool:
    try:
        return method == EnsembleConfig.method or configuration(method, where=where) is not None
    except InputError as error:
        problems.add(path, one_line(error))
        return False


def variant_keys(method: str) -> dict[str, tuple[str, ...]]:
    """What a variant of a method may say, by what it is about."""
    if method == EnsembleConfig.method:
        return {"ensemble": tuple(item.name for item in fields(Ensemble))}
    profile = tuple(item.name for item in fields(Profile)) if method == PatchCoreConfig.method else ()
    learning = tuple(item.name for item in fields(Learning))
    return {"method": method_keys(method), "images": IMAGE_KEYS, "profile": profile, "learning": learning}


def read_defaults(given: Mapping[str, object], problems: Problems) -> dict[str, Mapping[str, object]]:
    """For each method, the fields that all its variants begin with; what cannot be used is left out."""
    read = {}
    for method, block in given.items():
        path = ("defaults", str(method))
        if method == EnsembleConfig.method:
            problems.add(path, f"{dotted(path)}: an ensemble has the defaults of its models")
        elif _is_method(method, "defaults.METHOD", path, problems):
            values = problems.known(problems.mapping(block, path), method_keys(method), path)
            if problems.built(configuration(method), values, path):
                read[method] = values
    return read


def read_variants(
    given: Mapping[str, object], defaults: Mapping[str, Mapping[str, object]], problems: Problems
) -> dict[str, Variant]:
    """All variants that can be used, each on top of its method's defaults."""
    read = {}
    for name, block in given.items():
        problems.named(name, ("variants",), VARIANT_NAME, "use up to 100 letters, digits and - _ . + only")
        path = ("variants", str(name))
        if name == TABLED:
            problems.add(
                path, f"{dotted(path)} is no usable name: a table by category has a column a variant, and this one"
            )
        variant = read_variant(problems.mapping(block, path), path, defaults, problems)
        if variant is not None:
            read[name] = variant
    bad = [name for name in read if read[name].models and not _can_be_averaged(name, read, given, problems)]
    return {name: variant for name, variant in read.items() if name not in bad}


def read_variant(
    block: Mapping[str, object], path: KeyPath, defaults: Mapping[str, Mapping[str, object]], problems: Problems
) -> Variant | None:
    """A variant from its block, or None where it cannot be used."""
    method = block.get("method", PatchCoreConfig.method)
    at = (*path, "method")
    if not _is_method(method, dotted(at), at, problems):
        return None
    keys = variant_keys(method)
    block = problems.known(block, ["method", *chain(*keys.values())], path)
    parts = {about: {key: block[key] for key in block if key in names} for about, names in keys.items()}
    if method == EnsembleConfig.method:
        ensemble = problems.built(Ensemble, parts["ensemble"], path)
        return ensemble and Variant(values={}, method=method, models=ensemble.models)
    default = defaults.get(method, {})
    values, images = {**default, **parts["method"]}, parts["images"]
    config = problems.built(configuration(method), values, path)
    preparation = problems.built(Preprocessing, {"resize": LONGEST, **images}, path)
    profile = parts["profile"] and _profile(parts["profile"], config, path, problems)
    learning = problems.built(Learning, parts["learning"], path)
    if None in (config, preparation, profile, learning):
        return None
    if profile:
        of_profile, of_images = profile
        own = {key: value for key, value in parts["method"].items() if key not in SWITCHED}
        values, images = {**default, **of_profile, **own}, {**of_images, **images}
        if not problems.built(configuration(method), values, path):
            return None
    return Variant(values=values, method=method, preprocessing=images, rotations=learning.rotations or ())


def _profile(
    given: Mapping[str, object], config: PatchCoreConfig | None, path: KeyPath, problems: Problems
) -> tuple[Mapping[str, object], Mapping[str, object]] | None:
    """Fields of the method and of the preprocessing that a compatibility profile sets, or None."""
    if ("towards" in given) != ("switches" in given) or "profile" not in given:
        together = "give profile, or profile, towards and switches together"
        problems.add(path, f"{dotted(path)} has {', '.join(given)}: {together}")
        return None
    profile = problems.built(Profile, given, path)
    if profile is None or config is None:
        return None
    try:
        return profiles.switched(
            profile.profile,
            profile.towards or profile.profile,
            profile.switches,
            backbone=config.backbone,
            dimension=config.dimension,
        )
    except InputError as error:
        problems.add((*path, "switches"), f"{dotted(path)}.switches: {one_line(error)}")
        return None


def _can_be_averaged(
    name: str, variants: Mapping[str, Variant], given: Mapping[str, object], problems: Problems
) -> bool:
    """Whether an ensemble is of several variants of PatchCore, on images of one size, with maps of one kind."""
    path, models = ("variants", str(name), "models"), variants[name].models
    usable = [model for model in models if model in variants and variants[model].method == PatchCoreConfig.method]
    if len(models) < 2:
        problems.add(path, f"{dotted(path)}: {models[0]!r} alone is no ensemble")
    for index, model in enumerate(models):
        if model not in usable and (model in variants or model not in given):  # others could not be read themselves
            suggested = "" if model in variants else hint(model, given)
            problems.add_value((*path, index), model, f"is no variant of PatchCore{suggested}")
    turned = [model for model in usable if variants[model].rotations]
    if turned:  # the ensemble is scaled by each nominal image without its own patches, and others would be of it too
        problems.add(path, f"{dotted(path)}: rotations, which an ensemble does without: {', '.join(turned)}")
    images = {str(dict(sorted(variants[model].preprocessing.items()))) for model in usable}
    if len(images) > 1:
        problems.add(path, f"{dotted(path)} are prepared differently: {', '.join(sorted(images))}")
    if len(usable) < max(len(models), 2) or len(images) > 1 or turned:
        return False
    configs = tuple(PatchCoreConfig(**variants[model].values) for model in usable)
    return problems.built(EnsembleConfig, {"models": configs}, path) is not None
