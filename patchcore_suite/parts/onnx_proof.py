"""How far an exported model is from the one that it was made of, on images of the user's."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from patchcore_core import PatchCore
from patchcore_core.common.errors import InputError
from patchcore_core.images import Images, checked, split

LIMIT = 1e-4  # relative difference of a score above which an export is refused
TIE = 1e-5  # relative difference of two scores up to which rounding alone ranks them
BATCHES = (1, 16)  # images that the exported model gets at once, to be compared
NEARLY_ZERO = 0.1  # times the spread of the memory bank: what a smaller score is compared with

Run = Callable[
    [NDArray[np.float32]], Sequence[NDArray[np.float32]]
]  # images (n, 3, H, W) to scores (n,), maps (n, H, W)


@dataclass(frozen=True)
class Difference:
    """Exported model and model side by side, with so many images at once.

    Attributes:
        batch: images at once.
        scores: largest relative difference of a score.
        maps: largest difference of a pixel, relative to the largest value of its map.
        verdicts: how many images lie on the other side of the threshold; None without one.
        reranked: how many images change their rank, those aside that lie as close to another as rounding goes.
        farthest: the image whose score differs most, as a number, with its score by the model and by the exported one.
    """

    batch: int
    scores: float
    maps: float
    verdicts: int | None
    reranked: int
    farthest: tuple[int, float, float]


@dataclass(frozen=True)
class Comparison:
    """What torch and onnxruntime found on the same images.

    A score below `NEARLY_ZERO` times the spread of the memory bank, its root mean square distance from its centre, is
    compared with that instead of itself: of an image that the bank holds, both find nothing but rounding.

    Attributes:
        images: how many.
        differences: one for each of `BATCHES`.
    """

    images: int
    differences: tuple[Difference, ...]

    @property
    def scores(self) -> float:
        """Largest relative difference of a score."""
        return max(one.scores for one in self.differences)

    @property
    def maps(self) -> float:
        """Largest relative difference of a map."""
        return max(one.maps for one in self.differences)

    def __str__(self) -> str:
        lines = [
            f"Largest relative differences between torch and onnxruntime, {self.images} images:",
            "",
            "| images at once | scores | maps | other verdicts |",
            "|---|---|---|---|",
        ]
        for one in self.differences:
            verdicts = "-" if one.verdicts is None else one.verdicts
            lines.append(f"| {one.batch} | {one.scores:.1e} | {one.maps:.1e} | {verdicts} |")
        return "\n".join(lines)

    def problems(self) -> Iterator[str]:
        """Why the exported model cannot stand for the model, one sentence each."""
        for one in self.differences:
            number, ours, theirs = one.farthest
            if not one.scores <= LIMIT:  # NaN too
                yield (
                    f"{one.batch} images at once: scores differ by {one.scores:.2g} relative, more than {LIMIT:g}: "
                    f"image {number} scores {ours:.7g} by torch and {theirs:.7g} by onnxruntime"
                )
            if one.reranked:
                yield f"{one.batch} images at once: {one.reranked} images change their rank"


def compare(model: PatchCore, run: Run, images: Images, size: tuple[int, int], threshold: float | None) -> Comparison:
    """Let the model and an exported one score the same images, which are held a few at a time.

    Raises:
        InputError: there are no images, or others than a model takes.
    """
    floors = score_floor(model)
    pairs: dict[int, list[NDArray[np.float64]]] = {batch: [] for batch in BATCHES}  # (2, n) scores by torch and ONNX
    apart = dict.fromkeys(BATCHES, 0.0)  # of maps
    count = 0
    for few in _few(images, size):
        said = model.predict(few)
        assert said.maps is not None
        ours, our_maps = said.scores.cpu().double().numpy(), said.maps.cpu().double().numpy()
        for batch in BATCHES:
            found = [run(part.numpy()) for part in few.split(batch)]
            scores, maps = (np.concatenate(parts).astype(np.float64) for parts in zip(*found, strict=True))
            pairs[batch].append(np.stack([ours, scores]))
            scale = np.maximum(our_maps.max(axis=(1, 2)), floors[1])
            # Of NaN, np.maximum makes NaN, where max() would lose it.
            apart[batch] = np.maximum(apart[batch], (np.abs(maps - our_maps).max(axis=(1, 2)) / scale).max())
        count += len(few)
    if not count:
        raise InputError(
            "there are no images to compare with", remedy="give at least one image, better all of a test set"
        )
    together = {batch: np.concatenate(parts, axis=1) for batch, parts in pairs.items()}
    return Comparison(
        count,
        tuple(difference(batch, *together[batch], float(apart[batch]), floors[0], threshold) for batch in BATCHES),
    )


def difference(
    batch: int,
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
    maps: float,
    floor: float,
    threshold: float | None,
) -> Difference:
    """Compare scores (n,) of the model and of the exported one; arguments as of `Difference` and `score_floor`."""
    apart = np.abs(ours - theirs) / np.maximum(np.abs(ours), floor)
    worst = int(np.argmax(apart))  # of NaN the first
    return Difference(
        batch=batch,
        scores=float(apart[worst]),
        maps=maps,
        verdicts=None if threshold is None else int(((ours >= threshold) != (theirs >= threshold)).sum()),
        reranked=reranked(ours, theirs, floor),
        farthest=(worst, float(ours[worst]), float(theirs[worst])),
    )


def reranked(ours: NDArray[np.float64], theirs: NDArray[np.float64], floor: float) -> int:
    """How many images no longer score above all those above which they did, by more than rounding.

    Args:
        ours, theirs: (n,) scores.
        floor: scores below it are compared with it, as of `score_floor`.
    """
    order = np.argsort(ours)
    ours, theirs = ours[order], theirs[order]
    highest = np.maximum.accumulate(theirs)  # by theirs, of the images up to each by ours
    below = np.searchsorted(ours, ours - TIE * np.maximum(ours, floor))  # how many lie below each by more than rounding
    return int((highest[np.maximum(below, 1) - 1] >= theirs)[below > 0].sum())


def score_floor(model: PatchCore) -> tuple[float, float]:
    """What smaller scores, and maps whose values are all smaller, are compared with."""
    assert model.memory_bank is not None
    bank = model.memory_bank.double()
    spread = float((bank - bank.mean(dim=0)).square().sum(dim=1).mean().sqrt())
    floor = max(NEARLY_ZERO * spread, float(np.finfo(np.float32).tiny))
    squared = model.config.squared_distances
    return (floor**2 if squared and model.config.score == "max" else floor, floor**2 if squared else floor)


def _few(images: Images, size: tuple[int, int]) -> Iterator[Tensor]:
    """The images as batches of no more than the most that are compared at once."""
    first = 0
    for given in split(images):
        batch = checked(given, first=first, device=torch.device("cpu"))
        if tuple(batch.shape[2:]) != size:
            raise InputError(
                f"images {tuple(batch.shape)} are not of the size {size} that the exported model is for",
                remedy="bring them to this size",
            )
        first += len(batch)
        if len(batch):
            yield from batch.split(max(BATCHES))
