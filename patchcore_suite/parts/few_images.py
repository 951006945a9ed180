"""How many good images does a part need? Models of few and of many, tested on images that none of them has seen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from patchcore_core import PatchCore, metrics, scoring
from patchcore_core.common.errors import InputError
from patchcore_suite.parts.describing import Described, FitOptions
from patchcore_suite.parts.fitting import fit_described
from patchcore_suite.parts.following import Follow
from patchcore_suite.run.image_intervals import bootstrap_auroc

COUNTS = (2, 5, 10, 20, 50, 100, 200, 500, 1000)  # of good images, as far as there are as many, and all
HELD_OUT = 0.25  # share of the good images that no model of the curve sees
FEWEST = 4  # good images, of which one is held out
LEVEL = 0.95  # of the intervals


@dataclass(frozen=True)
class FewImages:
    """Models of so many good images each, and what they are worth on images that none of them saw.

    Attributes:
        images: good images of a model.
        draws: how many models, each of images drawn anew.
        threshold: mean of their thresholds.
        promised: the rate of false alarms that so few images can promise.
        alarms: share of the held-out good images that are taken for anomalous, mean over models.
        alarms_low, alarms_high: 95 % interval of it for the held-out images, as if there had been one model.
        auroc: image AUROC on held-out good images and on all defective ones, mean over models; NaN without defects.
        auroc_low, auroc_high: 95 % bootstrap interval over test images, all models on the same ones.
        missed: share of the defective images that are taken for good, mean over models; NaN likewise.
    """

    images: int
    draws: int
    threshold: float
    promised: float
    alarms: float
    alarms_low: float
    alarms_high: float
    auroc: float
    auroc_low: float
    auroc_high: float
    missed: float


def few_images_curve(
    good: Described, tested: Described | None, options: FitOptions, *, draws: int = 3, follow: Follow
) -> list[FewImages]:
    """Fit models to few and to many of the good images.

    A quarter of the good images, drawn with the seed, and the good ones among `tested` are held out from all models.
    Images of a model are drawn from the others; those of a smaller model of the same draw are among them.

    Args:
        good: different good images, `FEWEST` at least.
        tested: other images, good and defective.
        draws: models of each number of images; of all images there is one.
        follow: is told how many models are done, and may end it by raising.

    Raises:
        InputError: too few good images.
    """
    n = len(good.entries)
    if n < FEWEST:
        raise InputError(f"{n} good images", remedy=f"give at least {FEWEST}: some are held out from all models")
    order = np.random.default_rng(options.seed).permutation(n)
    pool, held_out = np.split(order, [n - max(1, round(HELD_OUT * n))])
    features, labels = _held_out(good, held_out, tested)
    counts = [count for count in COUNTS if count < len(pool)] + [len(pool)]
    jobs = [(count, draw) for count in counts for draw in range(draws if count < len(pool) else 1)]
    drawn = [np.random.default_rng([options.seed, draw]).permutation(pool) for draw in range(draws)]
    found: dict[int, list[tuple[float, float, NDArray]]] = {}
    for number, (count, draw) in enumerate(jobs):
        follow(f"fit to {count} images", number, len(jobs))
        chosen = np.sort(drawn[draw][:count])
        few = Described(tuple(good.entries[i] for i in chosen), good.features[torch.from_numpy(chosen)], good.size)
        model = fit_described(few, options)
        scores = np.concatenate([image_scores(model.detector, part) for part in features])
        found.setdefault(count, []).append((model.threshold.value, model.threshold.rate or math.nan, scores))
    follow("done", len(jobs), len(jobs))
    return [_summed_up(count, models, labels) for count, models in found.items()]


def image_scores(detector: PatchCore, features: Tensor) -> NDArray[np.float32]:
    """Scores of images (n, h, w, d) by a fitted method, without maps."""
    n, h, w, _ = features.shape
    distances, _ = detector.nearest_patches(features.flatten(0, 2))
    return scoring.image_scores(distances.view(n, h, w)).cpu().numpy()


def share_interval(share: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share that was seen on n images, by Clopper and Pearson (1934): wide where n is small."""
    from scipy.stats import beta  # slow to import

    k, tail = share * n, (1 - LEVEL) / 2
    low = 0.0 if k == 0 else float(beta.ppf(tail, k, n - k + 1))
    return low, 1.0 if k == n else float(beta.ppf(1 - tail, k + 1, n - k))


def enough(curve: Sequence[FewImages]) -> FewImages | None:
    """The fewest images that are as good as the most: AUROC within the interval of the most; None without defects."""
    if math.isnan(curve[-1].auroc):
        return None
    least = curve[-1].auroc_low if not math.isnan(curve[-1].auroc_low) else curve[-1].auroc
    return next(one for one in curve if one.auroc >= least)


def _held_out(
    good: Described, held_out: NDArray[np.int64], tested: Described | None
) -> tuple[list[Tensor], NDArray[np.int64]]:
    """Features of the images that no model sees, and their labels."""
    features, labels = [good.features[torch.from_numpy(held_out)]], [0] * len(held_out)
    if tested is not None:
        features.append(tested.features)
        labels += [entry.record.label for entry in tested.entries]
    return features, np.array(labels)


def _summed_up(images: int, models: Sequence[tuple[float, float, NDArray]], labels: NDArray[np.int64]) -> FewImages:
    thresholds = np.array([threshold for threshold, *_ in models])
    scores = np.stack([of_model for *_, of_model in models])
    called = scores >= thresholds[:, None]
    good = labels == 0
    alarms = float(called[:, good].mean())
    low, high = share_interval(alarms, int(good.sum()))
    auroc, auroc_low, auroc_high, missed = math.nan, math.nan, math.nan, math.nan
    if labels.any():
        auroc = float(np.mean([metrics.image_auroc(labels, of_model) for of_model in scores]))
        auroc_low, auroc_high = bootstrap_auroc(labels, scores)
        missed = float((~called[:, ~good]).mean())
    return FewImages(
        images=images,
        draws=len(models),
        threshold=float(thresholds.mean()),
        promised=models[0][1],
        alarms=alarms,
        alarms_low=low,
        alarms_high=high,
        auroc=auroc,
        auroc_low=auroc_low,
        auroc_high=auroc_high,
        missed=missed,
    )
