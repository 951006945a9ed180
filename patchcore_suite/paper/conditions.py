"""What a number was obtained under, in the terms that the paper uses, and where two numbers differ in it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from patchcore_core.common.errors import InputError
from patchcore_core.config import PatchCoreConfig
from patchcore_suite.results.sources import images_of
from patchcore_suite.settings.project import ProjectDataset

IMAGES = ("complete", "reduced", "synthetic", "own")
UNLIKE_IMAGES = SYNTHETIC, REDUCED, OWN = "data synthetic", "data reduced", "data own"  # which rule a verdict out
CATEGORIES_DIFFER = "categories differ"  # which does so too
PAPER_WEIGHTS = "torchvision ImageNet V1"
# Where a table names none: all images, none of them anomalous or turned, a model each.
UNNAMED = ("shots", "noise", "rotations", "together")


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What a number was obtained under. In the paper's, None means that it does not say, and is not compared."""

    images: str  # one of IMAGES; reduced: some left out; own: none of the paper's
    categories: int | None  # that the number is a mean over
    backbone: str | None  # its name in the suite; those of an ensemble in alphabetical order, joined by "+"
    weights: str | None  # such as PAPER_WEIGHTS
    hierarchies: tuple[int, ...] | None = None
    neighbourhood_size: int | None = None
    stride: int | None = None
    dimension: int | None = field(default=None, metadata={"none": "native"})  # None: one mean per channel
    coreset_fraction: float | None = None
    resize: int | tuple[int, int] | None = None  # shorter side, or height and width, in pixels
    crop: int | None = None  # side in pixels
    shots: int | None = field(default=None, metadata={"none": "all"})  # nominal images a category
    noise: float | None = None  # share of the anomalous images that are among the training images
    rotations: tuple[float, ...] | None = None  # degrees by which nominal images are turned
    together: bool | None = None  # whether one model learned all categories
    metric: str | None = None  # its definition by name: `pro` is not `pro_per_image`

    def __post_init__(self) -> None:
        for item in fields(self):  # YAML and JSON give lists, which equal no tuple
            if isinstance(getattr(self, item.name), list):
                object.__setattr__(self, item.name, tuple(getattr(self, item.name)))
        if self.images not in IMAGES:  # a misspelt "synthetic" would be judged as real
            raise InputError(f"images={self.images!r} must be one of {', '.join(IMAGES)}")


def differences(ours: Conditions, theirs: Conditions) -> tuple[str, ...]:
    """What keeps a comparison from being one of equals, each as a short phrase; empty if nothing does."""
    found = []
    if ours.images != theirs.images:
        found.append(f"data {ours.images}")
    if theirs.categories not in (None, ours.categories):
        found.append(f"{CATEGORIES_DIFFER}: {ours.categories} of {theirs.categories}")
    for item in fields(Conditions):
        mine, printed = getattr(ours, item.name), getattr(theirs, item.name)
        if item.name in ("images", "categories") or mine == printed:
            continue
        if item.name == "weights" and theirs.backbone not in (None, ours.backbone):
            continue  # another backbone has other weights
        if printed is not None or item.name in UNNAMED:
            none, verb = item.metadata.get("none", "none"), "differ" if item.name.endswith("s") else "differs"
            found.append(f"{item.name.replace('_', ' ')} {verb}: {_show(mine, none)}, not {_show(printed, none)}")
    return tuple(found)


def _show(value: object, none: str) -> str:
    if value is None:
        return none
    return " and ".join(map(str, value)) if isinstance(value, tuple) else str(value)


TORCHVISION = ("resnet", "wide_resnet", "resnext", "densenet")  # whose weights here are the paper's


def conditions_of(dataset: ProjectDataset, variant: str, *, categories: Sequence[str], metric: str) -> Conditions:
    """What the numbers of a variant are obtained under, as far as a table of the paper says the same of its own.

    Args:
        categories: those that the numbers are means over.
    """
    config, images = dataset.config(variant), dataset.preprocessing(variant)
    first = config.members[0]
    backbones = sorted(member.backbone for member in config.members)
    patchcore = isinstance(first, PatchCoreConfig)
    return Conditions(
        images=images_of(dataset, categories),
        categories=len(categories),
        backbone="+".join(backbones),
        weights=PAPER_WEIGHTS if all(map(is_torchvision, backbones)) else None,
        hierarchies=first.hierarchies,
        neighbourhood_size=first.neighbourhood_size if patchcore else None,
        stride=first.stride if patchcore else None,
        dimension=first.dimension if patchcore else None,
        coreset_fraction=first.coreset_fraction if patchcore else None,
        resize=images.resize,
        crop=images.crop,
        noise=dataset.spec.noise or None,
        rotations=dataset.rotations(variant) or None,
        together=dataset.settings.protocol.together or None,
        metric=metric,
    )


def is_torchvision(backbone: str) -> bool:
    """Whether the weights of a backbone are the paper's."""
    return backbone.startswith(TORCHVISION) and "." not in backbone  # a tag asks for timm's weights
