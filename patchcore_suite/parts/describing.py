"""Photographs as patch features: the step that takes the time, done once for all that is asked of the same images."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from patchcore_core import PatchCore, PatchCoreConfig
from patchcore_core.common.errors import InputError
from patchcore_core.common.progress import progress_bar
from patchcore_core.detector import put_together
from patchcore_suite.datasets.images import Batches
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import Entry
from patchcore_suite.parts.following import Follow
from patchcore_suite.parts.region import Region, patches_inside
from patchcore_suite.parts.tiles import Tiles, tiled_maps
from patchcore_suite.run.own_networks import NONE, read_networks

BATCH = 8  # images
WORKERS = 2  # threads that decode images
LEAST_SIDE = 8  # pixels of an image that can show a part


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """What may be chosen when a model is fitted.

    Attributes:
        resize: the shorter side of the images, or (height, width).
        crop: side of the square at the centre that is kept, if any.
        tiles: squares in which the network sees large images, one at a time; None for whole images.
        region: a mask of what is looked at, or a folder with a mask for each image; None for all.
        coreset_fraction: share of the patch features that the memory bank keeps; None: 1 %, and 2,000 at least.
        backbone: the network by name.
        hierarchies: whose feature maps are used, ascending; of a transformer, its blocks.
        false_alarms: share of good images that may be taken for anomalous.
        miss_cost: what a defect that is not found costs, in false alarms.
        seed: of what is drawn.
        weights: a file or folder of the backbone's weights.
        networks: a Python file that gives networks of your own by name, see `run.own_networks`; it is run.
        device: where to compute.

    Raises:
        InputError: values out of range; all are listed.
    """

    resize: int | tuple[int, int] = 256
    crop: int | None = None
    tiles: Tiles | None = None
    region: str | Path | None = None
    coreset_fraction: float | None = None
    backbone: str = PatchCoreConfig.backbone
    hierarchies: tuple[int, ...] = PatchCoreConfig.hierarchies
    false_alarms: float = 0.01
    miss_cost: float = 10.0
    seed: int = 0
    weights: str | None = None
    networks: str | Path | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        fraction, cost = self.coreset_fraction, self.miss_cost
        sides = (*(self.resize if isinstance(self.resize, tuple) else (self.resize,)), self.crop or LEAST_SIDE)
        rules = {
            # what is no size at all is told by the preprocessing
            f"images brought to {min(sides)} pixels must have {LEAST_SIDE} or more": not 0 < min(sides) < LEAST_SIDE,
            f"a seed of {self.seed} must be a whole number from 0 on": isinstance(self.seed, int) and self.seed >= 0,
            f"a rate of false alarms of {self.false_alarms} must lie between 0 and 1": 0 < self.false_alarms < 1,
            f"a miss that costs {cost} false alarms must cost 0 or more": math.isfinite(cost) and cost >= 0,
            f"a coreset of {fraction} must be a share above 0, up to 1": fraction is None or 0 < fraction <= 1,
        }
        if problems := [problem for problem, fits in rules.items() if not fits]:
            raise InputError("a model cannot be fitted so", offenders=problems, remedy="correct these values")

    @property
    def preprocessing(self) -> Preprocessing:
        """How images are brought to size."""
        return Preprocessing(self.resize, self.crop)


@dataclass(frozen=True, eq=False)
class Described:
    """Images and their patch features.

    Attributes:
        entries: n images.
        features: (n, h, w, d).
        size: (H, W) that they were brought to.
        region: what of them is looked at; None for all.
        inside: (n, h, w) which patches that are; None likewise.
    """

    entries: tuple[Entry, ...]
    features: Tensor
    size: tuple[int, int]
    region: Region | None = None
    inside: Tensor | None = None


def detector_of(options: FitOptions, *, coreset_fraction: float = 1.0, progress: bool = False) -> PatchCore:
    """The method as it was chosen, not fitted yet.

    Raises:
        InputError: the backbone is unknown, or the file of networks gives others; the hierarchies are out of range; or
            that file cannot be used.
    """
    config = PatchCoreConfig(
        backbone=options.backbone, hierarchies=options.hierarchies, coreset_fraction=coreset_fraction
    )
    own = NONE if options.networks is None else read_networks(options.networks)
    own.check(config)
    network = own.modules.get(options.backbone)
    if options.networks is not None and network is None:
        raise InputError(
            f"backbone {options.backbone!r} is none of those that {own.file} gives: {', '.join(own.modules)}",
            remedy="name one of them (--backbone NAME), or leave the file out (--networks)",
        )
    where = {"seed": options.seed, "weights": options.weights, "device": options.device}
    return PatchCore(config, network=network, progress=progress, **where)


def describe(entries: Sequence[Entry], options: FitOptions, *, follow: Follow | None = None) -> Described:
    """Describe images by their patch features.

    Args:
        follow: is told how many are done, batch by batch, and may end it by raising; by default a bar is drawn.

    Raises:
        InputError: images come out at several sizes, cannot be read, their features do not fit into memory, or tiles or
            region do not suit them.
    """
    preprocessing = options.preprocessing
    sizes = {preprocessing.size(entry.size): entry for entry in reversed(entries)}
    if len(sizes) > 1:
        raise InputError(
            f"images come out at {len(sizes)} sizes",
            offenders=[f"{entry.record.image}: {size}" for size, entry in sizes.items()],
            remedy="give a size of height and width, to which all are brought (--size HEIGHT WIDTH)",
        )
    detector, size = detector_of(options), next(iter(sizes))
    region, masks = _regions(entries, options)
    images = Batches([entry.record for entry in entries], preprocessing, BATCH, workers=WORKERS)
    (features,) = put_together(
        _described(detector, _followed(images, len(entries), follow), options.tiles),
        count=len(entries),
        device=detector.device,
    )
    grid = (features.shape[1], features.shape[2])
    inside = torch.stack([patches_inside(mask, grid) for mask in masks]) if masks else None
    return Described(tuple(entries), features, size, region, inside)


def _described(detector: PatchCore, batches: Iterator[Tensor], tiles: Tiles | None) -> Iterator[list[Tensor]]:
    """Patch features (n, h, w, d) of each batch; a network that follows chance is refused with the first one."""
    for number, batch in enumerate(batches):
        if tiles is not None and number == 0:
            detector.describe_images(batch[..., : tiles.size, : tiles.size])  # looks at the network, for once
        yield [features_of(detector, batch, tiles)]


def features_of(detector: PatchCore, images: Tensor, tiles: Tiles | None) -> Tensor:
    """Patch features (n, h, w, d) of images (n, 3, H, W).

    Raises:
        InputError: the tiles do not suit the images.
    """
    if tiles is None:
        return detector.describe_images(images)[0]
    return detector.describe(tiled_maps(detector.network, images.to(detector.device), tiles))[0]


def _regions(entries: Sequence[Entry], options: FitOptions) -> tuple[Region | None, list[NDArray[np.bool_]]]:
    """The region of interest, and the mask of each image; none where everything is looked at.

    Raises:
        InputError: masks are missing or unsuitable; all are listed.
    """
    if options.region is None:
        return None, []
    preprocessing = options.preprocessing
    region = Region.read(options.region, preprocessing, entries[0].size)
    masks, errors = [], []
    for entry in entries:
        try:
            if region.mask is not None and entry.size != entries[0].size:
                raise InputError(f"{entry.record.image}: {entry.size} pixels, the region is of {entries[0].size}")
            masks.append(region.of(entry.record.image, preprocessing, entry.size))
        except InputError as error:
            errors.append(error)
    if errors:
        raise InputError(
            f"{len(errors)} images have no region of interest",
            offenders=[error.problem for error in errors],
            remedy=next((error.remedy for error in errors if error.remedy), "give a folder with a mask for each image"),
        )
    return region, masks


def _followed(batches: Iterator[Tensor], total: int, follow: Follow | None) -> Iterator[Tensor]:
    """Batches of images, and word of how many have been described."""
    with progress_bar(total, "describe", unit="image", show=follow is None) as bar:
        done = 0
        for batch in batches:
            yield batch
            done += len(batch)
            bar.update(len(batch))
            if follow is not None:
                follow("describe images", done, total)
