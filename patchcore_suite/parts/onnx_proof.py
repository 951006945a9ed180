"""How far an exported model is from the one that it was made of, on images of the user's."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from patchcore_core import PatchCore
from patchcore_core.common.errors import InputError
from patchcore_core.common.progress import progress_bar
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.parts.model import Judgement, PartsModel, refuse_failed

LIMIT = 1e-4  # relative difference of a score above which an export is refused
TIE = 1e-5  # relative difference of two scores up to which rounding alone ranks them
BATCHES = (1, 16)  # images that the exported model gets at once, to be compared
NEARLY_ZERO = 0.1  # times the spread of the memory bank: what a smaller score is compared with
PROVEN = "onnxruntime"  # the runtime without which there is no export

Pixels = NDArray[np.uint8]  # (n, height, width, 3) of 8 bits
Run = Callable[[Pixels], Sequence[NDArray[np.float32]]]  # to scores (n,), maps (n, H, W)


@dataclass(frozen=True)
class Difference:
    """Exported model and model side by side, with so many images at once.

    Attributes:
        runtime: what ran the exported model.
        batch: images at once.
        scores: largest relative difference of a score.
        maps: largest difference of a pixel, relative to the largest value of its map.
        verdicts: how many images lie on the other side of the threshold.
        reranked: how many images change their rank, those aside that lie as close to another as rounding goes.
        farthest: the image whose score differs most, with its score by the model and by the exported one.
    """

    runtime: str
    batch: int
    scores: float
    maps: float
    verdicts: int
    reranked: int
    farthest: tuple[str, float, float]

    def problems(self) -> Iterator[str]:
        """Why the exported model cannot stand for the model, one sentence each."""
        image, ours, theirs = self.farthest
        if not self.scores <= LIMIT:  # NaN too
            yield (
                f"{self.batch} images at once: scores differ by {self.scores:.2g} relative, more than {LIMIT:g}: "
                f"{image} scores {ours:.7g} by torch and {theirs:.7g} by {self.runtime}"
            )
        if self.reranked:
            yield f"{self.batch} images at once: {self.reranked} images change their rank"


@dataclass(frozen=True)
class Comparison:
    """What torch and other runtimes found on the same images.

    A score below `NEARLY_ZERO` times the spread of the memory bank, its root mean square distance from its centre, is
    compared with that instead of itself: of an image that the bank holds, both find nothing but rounding.

    Attributes:
        images: how many.
        differences: one a runtime for each of `BATCHES`.
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
            f"Largest relative differences from torch, {self.images} images:",
            "",
            "| runtime | images at once | scores | maps | other verdicts |",
            "|---|---|---|---|---|",
        ]
        for one in self.differences:
            lines.append(f"| {one.runtime} | {one.batch} | {one.scores:.1e} | {one.maps:.1e} | {one.verdicts} |")
        others = sorted({one.runtime for one in self.differences if one.runtime != PROVEN and list(one.problems())})
        return "\n".join(
            lines + [f"\n{name} does not score as torch does: do not run this model by it." for name in others]
        )

    def problems(self) -> list[str]:
        """Why the exported model cannot stand for the model, one sentence each."""
        return [problem for one in self.differences if one.runtime == PROVEN for problem in one.problems()]


def compare(
    model: PartsModel,
    runs: Mapping[str, Run],
    decode: Callable[[Path], Pixels],
    paths: Sequence[Path],
    *,
    show_progress: bool = True,
) -> Comparison:
    """Let the model and an exported one judge the same image files, a few at a time.

    Args:
        runs: the exported model by each runtime, by name.
        decode: an image file as pixels (height, width, 3), as who runs the exported model decodes it.

    Raises:
        InputError: there are no images, or some that cannot be judged.
    """
    if not paths:
        raise InputError(
            "there are no images to compare with", remedy="give at least one image, better all of a test set"
        )
    floors, threshold = score_floor(model.detector), model.threshold.value
    cases = list(itertools.product(runs, BATCHES))
    used, ours = list[Path](), list[float]()
    theirs: dict[tuple[str, int], list[float]] = {case: [] for case in cases}
    apart = dict.fromkeys(cases, 0.0)  # of maps
    failed: list[InputError] = []
    with progress_bar(len(paths), "compare", unit="image", show=show_progress) as bar:
        for first in range(0, len(paths), max(BATCHES)):
            both = list(_read_by_both(model, decode, paths[first : first + max(BATCHES)]))
            failed += [one for one in both if isinstance(one, InputError)]
            few = [one for one in both if not isinstance(one, InputError)]
            used += [judged.path for judged, _ in few]
            ours += [judged.score for judged, _ in few]
            expected = [judged.map.astype(np.float64) for judged, _ in few]
            for name, batch in cases:
                scores, maps = _by_exported(
                    name, runs[name], at_once([of for _, of in few], model.preprocessing, batch)
                )
                theirs[name, batch] += scores
                for map_of, found in zip(expected, maps, strict=True):
                    far = np.abs(found - map_of).max() / max(map_of.max(), floors[1])
                    apart[name, batch] = float(np.maximum(apart[name, batch], far))  # max() would lose NaN
            bar.update(len(both))
    refuse_failed(failed)
    found = [
        difference(case, (np.array(ours), np.array(theirs[case])), apart[case], floors[0], threshold, used)
        for case in cases
    ]
    return Comparison(len(used), tuple(found))


def _read_by_both(
    model: PartsModel, decode: Callable[[Path], Pixels], paths: Sequence[Path]
) -> Iterator[tuple[Judgement, Pixels] | InputError]:
    """What the model says of each file, and its pixels; or why one of the two cannot be had."""
    for path, judged in zip(paths, model.judge_each(paths, show_progress=False), strict=True):
        if isinstance(judged, InputError):
            yield judged
            continue
        try:
            yield judged, decode(path)
        except Exception as error:  # what decoders raise is not defined
            problem = str(error).partition(". Remedy: ")[0]
            yield InputError(f"{path}: {problem}", remedy="compare with images that the exported model reads")


def _by_exported(
    name: str, run: Run, batches: Iterable[tuple[Sequence[int], Pixels]]
) -> tuple[list[float], list[NDArray[np.float32]]]:
    """Scores and maps of images by the exported model, in the images' order."""
    found: dict[int, tuple[float, NDArray[np.float32]]] = {}
    for places, pixels in batches:
        try:
            scores, maps = run(pixels)
        except Exception as error:  # onnxruntime's errors have no common class
            raise InputError(
                f"{name} cannot run the exported model on {len(pixels)} images: {error}",
                remedy="use a network whose steps are the same for 1 image and for 16",
            ) from error
        found |= dict(zip(places, zip(map(float, scores), maps, strict=True), strict=True))
    return [found[place][0] for place in sorted(found)], [found[place][1] for place in sorted(found)]


def at_once(
    pixels: Sequence[Pixels], preprocessing: Preprocessing, most: int
) -> Iterator[tuple[Sequence[int], Pixels]]:
    """Images (height, width, 3) as batches of `most` at most, each with the places of its images.

    Images of one batch are of one size. Where they are not, they are brought to size before.
    """
    if most > 1 and len({one.shape for one in pixels}) > 1:
        pixels = [_resized(one, preprocessing) for one in pixels]
    places: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, one in enumerate(pixels):
        places[one.shape].append(place)
    for alike in places.values():
        for first in range(0, len(alike), most):
            chosen = alike[first : first + most]
            yield chosen, np.stack([pixels[place] for place in chosen])


def _resized(pixels: Pixels, preprocessing: Preprocessing) -> Pixels:
    height, width = preprocessing.resized(pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def difference(
    case: tuple[str, int],
    scores: tuple[NDArray[np.float64], NDArray[np.float64]],
    maps: float,
    floor: float,
    threshold: float,
    paths: Sequence[Path],
) -> Difference:
    """Compare scores (n,) of the model and of the exported one.

    Args:
        case: runtime and images at once.
        scores: of the model, and of the exported one.
        maps: as of `Difference`.
        floor: as of `score_floor`.
    """
    ours, theirs = scores
    apart = np.abs(ours - theirs) / np.maximum(np.abs(ours), floor)
    worst = int(np.argmax(apart))  # of NaN the first
    return Difference(
        *case,
        scores=float(apart[worst]),
        maps=maps,
        verdicts=int(((ours >= threshold) != (theirs >= threshold)).sum()),
        reranked=reranked(ours, theirs, floor),
        farthest=(str(paths[worst]), float(ours[worst]), float(theirs[worst])),
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
