"""Controls: methods whose results are known in advance. One that is out of its range stops the run."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from patchcore_core.common.errors import InputError
from patchcore_core.config import UNTRAINED
from patchcore_suite.baselines.config import MeanImageConfig, RandomScoresConfig
from patchcore_suite.settings.project import ProjectDataset

CEILING = "blurred ground truth"  # a variant of no method: what a perfect answer on the patch grid would get
# Of the AUROC of random scores from one half, in standard deviations, which follow from the numbers of images or of
# independent pixels. By chance at most one in 130,000 lies farther, 2 exp(-5² / 2): means of ranks have no heavy tails.
DEVIATIONS = 5
LOWEST_CEILING = 0.85  # pixel AUROC of the blurred ground truth
# What a method without a trained network may have over the best one with it: this, and so many standard deviations of
# a difference of two AUROCs, the largest that there are. On few images it may come out best by chance: at most once in
# 700 times, where each defect is plain to one of the two and hidden from the other; on parts of real sets less.
ADVANTAGE, DEVIATIONS_OF_ADVANTAGE = 0.05, 3


def is_control(dataset: ProjectDataset, variant: str) -> bool:
    """Whether a variant is there to be compared with, not to detect anything."""
    config = dataset.config(variant)
    return config.method in (RandomScoresConfig.method, MeanImageConfig.method) or config.backbone.startswith(UNTRAINED)


def check_controls(
    rows: pd.DataFrame,
    labels: dict[str, np.ndarray],
    dataset: ProjectDataset,
    pixel_deviations: Mapping[tuple[str, str], float] = MappingProxyType({}),
) -> None:
    """Refuse metrics whose controls are out of range: something between images and metrics is wrong then.

    Args:
        rows: metrics of one dataset in long form (see `evaluate`).
        labels: (n,) of the test images, by category.
        pixel_deviations: of the pixel AUROC of random scores, by category and variant (see `random_pixels`).

    Raises:
        InputError: with every control that is out of range, its value and its range.
    """
    if rows.empty:
        return
    full = rows[rows["shots"].isna() & rows["value"].notna()]
    problems = [
        *_random(full, labels, dataset, pixel_deviations),
        *_ceiling(full),
        *_too_good(full, labels, dataset),
    ]
    if problems:
        raise InputError(
            f"controls of {dataset.name} are out of range, so its other metrics cannot be trusted",
            offenders=problems,
            remedy="check labels, masks and weights; if the images are truly so, take the control out of the variants",
        )


def auroc_deviation(labels: np.ndarray) -> float:
    """Standard deviation of the AUROC of random scores, of the Mann-Whitney statistic."""
    anomalous = int(labels.sum())
    nominal = len(labels) - anomalous
    return rank_deviation(anomalous, nominal)


def rank_deviation(anomalous: float, nominal: float) -> float:
    """Standard deviation of the AUROC of so many independent random scores: sqrt((n + m + 1) / (12 n m))."""
    return ((anomalous + nominal + 1) / (12 * anomalous * nominal)) ** 0.5


def largest_deviation(labels: np.ndarray) -> float:
    """The largest standard deviation of an AUROC of so many images, whatever the scores are.

    The variance of an AUROC A is at most A(1 - A) / min(n, m) (van Dantzig 1951), as where each image of the smaller
    part scores above or below all others.
    """
    anomalous = int(labels.sum())
    return 0.5 / min(anomalous, len(labels) - anomalous) ** 0.5


def _random(
    rows: pd.DataFrame,
    labels: dict[str, np.ndarray],
    dataset: ProjectDataset,
    pixel_deviations: Mapping[tuple[str, str], float],
) -> Iterator[str]:
    for row in rows[rows["variant"].isin(_drawn(dataset))].itertuples():
        if row.metric == "image_auroc":
            reach = DEVIATIONS * auroc_deviation(labels[row.category])
        elif row.metric == "pixel_auroc" and (row.category, row.variant) in pixel_deviations:
            reach = DEVIATIONS * pixel_deviations[row.category, row.variant]
        else:
            continue
        low, high = max(0.0, 0.5 - reach), min(1.0, 0.5 + reach)
        if not low <= row.value <= high:
            yield _describe(row, f"random scores must lie in {low:.2f}..{high:.2f}")


def _drawn(dataset: ProjectDataset) -> list[str]:
    """The variants whose scores are random."""
    return [name for name in dataset.variants if dataset.config(name).method == RandomScoresConfig.method]


def _ceiling(rows: pd.DataFrame) -> Iterator[str]:
    for row in rows[(rows["variant"] == CEILING) & (rows["metric"] == "pixel_auroc")].itertuples():
        if row.value < LOWEST_CEILING:
            yield _describe(row, f"the ground truth itself must reach {LOWEST_CEILING:.2f}")


def _too_good(rows: pd.DataFrame, labels: dict[str, np.ndarray], dataset: ProjectDataset) -> Iterator[str]:
    main = dataset.settings  # a study may have other seeds, on some categories only
    mine = rows[rows["variant"].isin(main.variants) & rows["seed"].isin(main.seeds)]
    image = mine[mine["metric"] == "image_auroc"]
    means = image.groupby("variant")["value"].mean()
    controls = [name for name in means.index if is_control(dataset, name)]
    methods = means.drop(controls)
    if methods.empty:
        return
    # Of a difference of two means over categories; seeds see the same images, and add nothing.
    variances = [largest_deviation(labels[category]) ** 2 for category in image["category"].unique()]
    allowed = ADVANTAGE + DEVIATIONS_OF_ADVANTAGE * (2 * sum(variances)) ** 0.5 / len(variances)
    drawn = _drawn(dataset)  # of few images they may come out best, and are held to one half above
    for name in controls:
        if name not in drawn and means[name] > methods.max() + allowed:
            yield (
                f"{name}: image AUROC {means[name]:.3f} on average, the best method ({methods.idxmax()}) has "
                f"{methods.max():.3f}, more than the {allowed:.2f} less that chance allows: is its network trained?"
            )


def _describe(row: tuple, expected: str) -> str:
    return f"{row.category}, {row.variant}, seed {row.seed}: {row.metric} {row.value:.3f}, but {expected}"
