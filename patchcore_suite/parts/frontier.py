"""How large must images and memory bank be? What each choice costs in seconds an image, and what it gains."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from patchcore_core import metrics
from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.records import Entry
from patchcore_suite.parts.describing import Described, FitOptions, describe
from patchcore_suite.parts.few_images import image_scores
from patchcore_suite.parts.fitting import fit_described
from patchcore_suite.parts.following import Follow
from patchcore_suite.parts.model import PartsModel
from patchcore_suite.run.image_intervals import bootstrap_auroc

TIMED = 7  # images, one at a time


@dataclass(frozen=True)
class Choice:
    """One image size with one size of the memory bank.

    Attributes:
        options: with which such a model is fitted.
        side: the shorter side of the images, in pixels.
        rows: patch features in the memory bank.
        seconds: an image, from its file to its map: the median of some, one at a time, on this machine.
        auroc: image AUROC; NaN without defective images and good ones to test with.
        low, high: its 95 % bootstrap interval over test images.
        best: whether no other choice is as fast and as accurate, and better in one of both.
    """

    options: FitOptions
    side: int
    rows: int
    seconds: float
    auroc: float
    low: float
    high: float
    best: bool = False


def frontier(
    good: Sequence[Entry],
    tested: Sequence[Entry],
    options: FitOptions,
    *,
    sides: Sequence[int],
    rows: Sequence[int],
    follow: Follow,
) -> list[Choice]:
    """Fit a model for each image size and each size of the memory bank, and time it.

    Args:
        good: to fit to, two at least.
        tested: good and defective images.
        options: all other settings.
        sides: shorter sides of images, in pixels.
        rows: of the memory bank; what is more than there are patch features is all of them.
        follow: is told how far it is, and may end it by raising.

    Raises:
        InputError: no size was given, or images cannot be used in one.
    """
    if not sides or not rows:
        raise InputError("no image size or no size of the memory bank is chosen", remedy="choose one of each at least")
    found = []
    for side in sorted(set(sides)):
        sized = with_side(options, side)
        described = describe(good, sized, follow=follow)
        of_test = describe(tested, sized, follow=follow) if tested else None
        n, h, w, _ = described.features.shape
        for kept in sorted({min(count, n * h * w) for count in rows}):
            follow(f"{side} pixels, {kept} rows", len(found), len(sides) * len(rows))
            chosen = replace(sized, coreset_fraction=min(1.0, (kept + 0.5) / (n * h * w)))  # which is rounded down
            model = fit_described(described, chosen)
            found.append(_choice(model, chosen, side, of_test, [entry.record.image for entry in tested or good]))
    follow("done", 1, 1)
    best = best_of(np.array([one.seconds for one in found]), np.array([one.auroc for one in found]))
    return [replace(one, best=bool(is_best)) for one, is_best in zip(found, best, strict=True)]


def with_side(options: FitOptions, side: int) -> FitOptions:
    """The same settings for images whose shorter side is another; proportions stay, and what a crop keeps."""
    resize = options.resize
    scale = side / (resize if isinstance(resize, int) else min(resize))
    crop = None if options.crop is None else min(side, max(1, round(scale * options.crop)))
    size = side if isinstance(resize, int) else (round(scale * resize[0]), round(scale * resize[1]))
    return replace(options, resize=size, crop=crop)


def best_of(seconds: NDArray, auroc: NDArray) -> NDArray[np.bool_]:
    """Which choices (n,) no other one beats: as fast and as accurate, and better in one; none where AUROC is NaN."""
    faster, surer = seconds[:, None] - seconds >= 0, auroc - auroc[:, None] >= 0
    better = (seconds[:, None] - seconds > 0) | (auroc - auroc[:, None] > 0)
    return ~(faster & surer & better).any(axis=1) & ~np.isnan(auroc)


def seconds_an_image(model: PartsModel, paths: Sequence) -> float:
    """How long a model takes from the file of one image to its verdict: the median of some."""
    taken = []
    for path in (paths[0], *paths[:: -(-len(paths) // TIMED)]):  # the first one warms up, and does not count
        started = time.perf_counter()
        model.judge([path], show_progress=False)
        taken.append(time.perf_counter() - started)
    return float(np.median(taken[1:]))


def _choice(model: PartsModel, options: FitOptions, side: int, tested: Described | None, paths: Sequence) -> Choice:
    assert model.detector.memory_bank is not None
    auroc, low, high = math.nan, math.nan, math.nan
    if tested is not None:
        labels = np.array([entry.record.label for entry in tested.entries])
        if labels.any() and not labels.all():
            scores = image_scores(model.detector, tested.features)
            auroc, (low, high) = metrics.image_auroc(labels, scores), bootstrap_auroc(labels, scores)
    rows, seconds = len(model.detector.memory_bank), seconds_an_image(model, paths)
    return Choice(options, side, rows, seconds, auroc, low, high)
