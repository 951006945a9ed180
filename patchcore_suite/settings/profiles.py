"""Compatibility profiles: what the paper, its authors' code and the largest library do differently, switch by switch.

`paper` is the paper as this suite reads it, `official` is amazon-science/patchcore-inspection (fcaa92f) and `anomalib`
is open-edge-platform/anomalib (b723368, with its default transform). A profile sets every field in which the three
differ or could; it leaves open what a variant is about: hierarchies, coreset fraction, search.

Not imitated, because it belongs to no variant: anomalib scales scores to [0, 1] and clips them before its metrics,
projects sparsely, smooths with a kernel whose border differs in the last pixels, resizes images that are not 8-bit any
more, and normalises them by ImageNet's statistics whatever the network (docs/parity.md has what each makes); the
authors' PRO is a mean over images.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from patchcore_core.common.errors import InputError

PROFILES = ("paper", "official", "anomalib")

IMAGE_FIELDS = ("resize", "crop", "masks")  # of `Preprocessing`; all others are of `PatchCoreConfig`
SHARED = {"neighbourhood_size": 3, "stride": 1, "border": "zeros", "sampler": "greedy", "smoothing_sigma": 4.0}
PAPER_BACKBONE = "wide_resnet50_2"
# The authors' d is 1024, two thirds of the 1536 channels of their network. Of a network with fewer channels than that,
# pooling to 1024 would repeat values, so that d is the number of channels: here of hierarchies 2 and 3.
OFFICIAL_DIMENSION, OFFICIAL_DIMENSIONS = 1024, {"tf_efficientnet_lite0": 152}


@dataclass(frozen=True)
class Switch:
    """One thing that code bases do differently.

    Attributes:
        name: short, for the axis of a figure.
        changes: what it changes, in words.
        values: for each profile, the fields that it sets and their values.
    """

    name: str
    changes: str
    values: Mapping[str, Mapping[str, object]]

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of `PatchCoreConfig` or of `Preprocessing` that it sets."""
        return tuple(self.values[PROFILES[0]])


def _switch(
    name: str,
    changes: str,
    paper: Mapping[str, object],
    official: Mapping[str, object],
    anomalib: Mapping[str, object],
) -> Switch:
    return Switch(name, changes, dict(zip(PROFILES, (paper, official, anomalib), strict=True)))


IMAGE_SIZE = _switch(
    "image size",
    "shorter side 256 and crop 224, or all of it at 256 x 256",
    {"resize": 256, "crop": 224},
    {"resize": 256, "crop": 224},
    {"resize": (256, 256), "crop": None},
)
WEIGHTS = _switch(
    "weights",
    "torchvision's first ImageNet weights, or timm's default ones",
    {"backbone": PAPER_BACKBONE},
    {"backbone": PAPER_BACKBONE},
    {"backbone": f"timm/{PAPER_BACKBONE}.racm_in1k"},
)
# anomalib's d* is 4 ln n / 0.162 (Johnson-Lindenstrauss, eps 0.9): 272 to 318 for the categories of MVTec AD.
PROJECTION = _switch(
    "projection",
    "dimensions in which the coreset is selected",
    {"projection_dimension": 128},
    {"projection_dimension": 128},
    {"projection_dimension": 300},
)
FIRST_PICK = _switch(
    "first pick",
    "of the coreset: drawn, or the farthest from ten anchors",
    {"first_pick": "drawn"},
    {"first_pick": "anchors"},
    {"first_pick": "drawn"},
)
DISTANCES = _switch(
    "distances",
    "plain or squared",
    {"squared_distances": False},
    {"squared_distances": True},
    {"squared_distances": False},
)
# The paper gives no b: 3 is the suite's. Without Eq. 7, b has no say.
IMAGE_SCORE = _switch(
    "image score",
    "the largest distance, or re-weighted by the b neighbours of the nearest memory",
    {"score": "reweighted", "reweight_neighbours": 3},
    {"score": "max", "reweight_neighbours": 3},
    {"score": "reweighted", "reweight_neighbours": 9},
)
UPSAMPLING = _switch(
    "upsampling",
    "of the anomaly map",
    {"upsampling": "bilinear"},
    {"upsampling": "bilinear"},
    {"upsampling": "nearest"},
)
MASKS = _switch(
    "masks",
    "resized to the nearest pixel, or bilinearly so that their edges are lost",
    {"masks": "nearest"},
    {"masks": "bilinear"},
    {"masks": "nearest"},
)


def _pooling(dimension: int) -> Switch:
    # The paper's d is 1024 too, but only its code tells how channels and positions become d values.
    return _switch(
        "pooling",
        "one mean per channel, or flattened windows pooled to a fixed dimension",
        {"dimension": None},
        {"dimension": dimension},
        {"dimension": None},
    )


def _switches(backbone: str, dimension: int | None) -> list[Switch]:
    """All switches of a network, in the order of the data's way; only the paper's has weights to switch."""
    weights = [WEIGHTS] if backbone == PAPER_BACKBONE else []
    pooling = _pooling(dimension or OFFICIAL_DIMENSIONS.get(backbone, OFFICIAL_DIMENSION))
    return [IMAGE_SIZE, *weights, pooling, PROJECTION, FIRST_PICK, DISTANCES, IMAGE_SCORE, UPSAMPLING, MASKS]


def settings(
    profile: str, *, backbone: str, dimension: int | None = None
) -> tuple[dict[str, object], dict[str, object]]:
    """Everything that a profile sets: fields of `PatchCoreConfig`, and fields of `Preprocessing`.

    Args:
        profile: one of `PROFILES`.
        backbone: the network of the comparison; `wide_resnet50_2` gets each profile's own weights.
        dimension: d of the authors' pooling; None stands for theirs, 1024, or for `tf_efficientnet_lite0` 152.

    Raises:
        InputError: there is no such profile.
    """
    return switched(profile, profile, 0, backbone=backbone, dimension=dimension)


def steps(start: str, end: str, *, backbone: str, dimension: int | None = None) -> list[Switch]:
    """The switches in which two profiles differ, in the order of the data's way: images first, masks last.

    Arguments and errors are those of `settings`.
    """
    _check_profiles(start, end)
    return [switch for switch in _switches(backbone, dimension) if switch.values[start] != switch.values[end]]


def switched(
    start: str, end: str, count: int, *, backbone: str, dimension: int | None = None
) -> tuple[dict[str, object], dict[str, object]]:
    """The settings on the way from one profile to another, after the first `count` of `steps`.

    `switched(a, b, 0)` is `settings(a)`, and with all steps it is `settings(b)`. Arguments are those of `settings`.

    Raises:
        InputError: there is no such profile, or there are not that many steps.
    """
    thrown = steps(start, end, backbone=backbone, dimension=dimension)
    if not 0 <= count <= len(thrown):
        raise InputError(
            f"{count} switches from {start} to {end} with backbone {backbone!r}",
            remedy=f"give a number from 0 to {len(thrown)}",
        )
    values: dict[str, object] = {"backbone": backbone, **SHARED}
    for switch in _switches(backbone, dimension):
        values |= switch.values[end if switch in thrown[:count] else start]
    images = {name: values.pop(name) for name in IMAGE_FIELDS}
    return values, images


def _check_profiles(*names: str) -> None:
    unknown = [f"{name!r}" for name in names if name not in PROFILES]
    if unknown:
        raise InputError("unknown profiles", offenders=unknown, remedy=f"known: {', '.join(PROFILES)}")
