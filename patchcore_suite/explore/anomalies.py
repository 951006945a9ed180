"""Why an image is anomalous, and what a threshold makes of all of them: computed from raw results, nothing drawn."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import label as label_regions
from torch import Tensor

from patchcore_core.common.errors import InputError
from patchcore_core.metrics import EIGHT_CONNECTED
from patchcore_core.neighbours import nearest

Place = tuple[int, int]  # row and column of a patch on the grid of its image


@dataclass(frozen=True)
class Source:
    """Where a row of the memory bank comes from: a training image, and a place in it."""

    image: int
    row: int
    column: int


def sources(bank_rows: ArrayLike, coreset_indices: ArrayLike, grid: Place) -> list[Source]:
    """Trace rows of the memory bank back to the training images that they were cut out of.

    Args:
        bank_rows: (k,) rows of the bank.
        coreset_indices: (l,) which nominal patch, n-major then h then w, each row of the bank is.
        grid: (h, w) patches of an image.
    """
    patches = np.asarray(coreset_indices)[np.asarray(bank_rows, dtype=np.int64)]
    images, places = np.divmod(patches, grid[0] * grid[1])
    rows, columns = np.divmod(places, grid[1])
    return [Source(*map(int, place)) for place in zip(images, rows, columns, strict=True)]


def worst_place(distances: NDArray) -> Place:
    """Row and column of the patch (h, w) that decides about its image: m_test* of Eq. 6."""
    row, column = np.unravel_index(int(distances.argmax()), distances.shape)
    return int(row), int(column)


@dataclass(frozen=True)
class Reweighting:
    """What Eq. 7 made of a raw score.

    Attributes:
        raw_score: s*, the distance of the worst patch to m*, its nearest in the bank.
        rows: (b,) rows of N_b(m*), m* first.
        distances: (b,) from the worst patch to each of them.
        shares: (b,) each one's exponential over the sum of all; they add up to 1.
    """

    raw_score: float
    rows: NDArray[np.int64]
    distances: NDArray[np.float64]
    shares: NDArray[np.float64]

    @property
    def weight(self) -> float:
        """What s* is multiplied with; 1 where Eq. 7 has nothing to compare m* with."""
        return 1 - float(self.shares[0]) if len(self.rows) > 1 else 1.0

    @property
    def score(self) -> float:
        """s of Eq. 7."""
        return self.weight * self.raw_score


def reweighting(patch: Tensor, bank_row: int, bank: Tensor, *, neighbours: int) -> Reweighting:
    """Take Eq. 7 apart for one patch.

    Args:
        patch: (d,) m_test*.
        bank_row: row of m* in the bank.
        bank: (l, d) memory bank.
        neighbours: b, m* among them.
    """
    b = min(neighbours, len(bank))
    _, found = nearest(bank[bank_row][None], bank, k=b)
    others = [row for row in found[0].tolist() if row != bank_row][: b - 1]
    rows = np.array([bank_row, *others])
    distances = (bank[rows] - patch).double().norm(dim=1)
    return Reweighting(
        raw_score=float(distances[0]),
        rows=rows,
        distances=distances.numpy(),
        shares=torch.softmax(distances, dim=0).numpy(),
    )


@dataclass(frozen=True)
class Confusion:
    """How many images fall on which side of a threshold."""

    found: int  # anomalous, called anomalous
    missed: int  # anomalous, called nominal
    false_alarms: int  # nominal, called anomalous
    passed: int  # nominal, called nominal


class Scores:
    """The image scores of a test set, sorted once, so that a moving threshold costs two searches.

    Args:
        labels: (n,) 0 nominal, 1 anomalous.
        scores: (n,) image scores.
    """

    def __init__(self, labels: ArrayLike, scores: ArrayLike) -> None:
        self.labels, self.scores = np.asarray(labels).astype(bool), np.asarray(scores, dtype=np.float64)
        if self.labels.shape != self.scores.shape or self.labels.ndim != 1:
            raise InputError(f"labels {self.labels.shape} and scores {self.scores.shape} must both be (n,)")
        self.nominal = np.sort(self.scores[~self.labels])
        self.anomalous = np.sort(self.scores[self.labels])

    def confusion(self, threshold: float) -> Confusion:
        """Count the images on both sides; an image is called anomalous from the threshold up."""
        passed = int(np.searchsorted(self.nominal, threshold, side="left"))
        missed = int(np.searchsorted(self.anomalous, threshold, side="left"))
        return Confusion(len(self.anomalous) - missed, missed, len(self.nominal) - passed, passed)

    def rates(self, threshold: float) -> tuple[float, float]:
        """False-positive and true-positive rate at a threshold; NaN where a class is absent."""
        counts = self.confusion(threshold)
        nominal, anomalous = len(self.nominal) or np.nan, len(self.anomalous) or np.nan
        return counts.false_alarms / nominal, counts.found / anomalous

    @cached_property
    def most_overlooked(self) -> NDArray[np.int64]:
        """Anomalous images, the lowest score first."""
        order = np.argsort(self.scores, kind="stable")
        return order[self.labels[order]]

    @cached_property
    def worst_alarms(self) -> NDArray[np.int64]:
        """Nominal images, the highest score first."""
        order = np.argsort(-self.scores, kind="stable")
        return order[~self.labels[order]]

    def rank(self, score: float) -> float:
        """Share of the nominal test images whose score is below `score`; NaN without nominal images."""
        return float(np.searchsorted(self.nominal, score, side="left") / (len(self.nominal) or np.nan))

    def roc(self) -> tuple[NDArray, NDArray]:
        """False- and true-positive rates at every threshold, from none called anomalous to all.

        Raises:
            InputError: there are no nominal or no anomalous images.
        """
        if not len(self.nominal) or not len(self.anomalous):
            raise InputError("the ROC curve needs nominal and anomalous test images")
        thresholds = np.concatenate([[np.inf], np.unique(self.scores)[::-1]])
        false = 1 - np.searchsorted(self.nominal, thresholds, side="left") / len(self.nominal)
        true = 1 - np.searchsorted(self.anomalous, thresholds, side="left") / len(self.anomalous)
        return false, true


def pro_curve(
    masks: NDArray[np.bool_], maps: NDArray, *, max_fpr: float = 0.3, points: int = 201
) -> tuple[NDArray, NDArray]:
    """The curve under which PRO is the area: per-region overlap over the false-positive rate of pixels.

    The exact curve turns at every pixel's value; this one is taken at evenly spaced false-positive rates, for drawing.

    Args:
        masks: (n, H, W) ground truth, True where anomalous.
        maps: (n, H, W) anomaly maps.
        max_fpr: where the curve ends.
        points: how many are computed.

    Returns:
        (points,) false-positive rates from 0 to `max_fpr`, and the mean overlap at each.

    Raises:
        InputError: there is no region, or no pixel outside of one.
    """
    nominal = maps[~masks]
    if not len(nominal) or not masks.any():
        raise InputError("the PRO curve needs anomalous regions, and pixels outside of them")
    nominal.sort()
    rates = np.linspace(0, max_fpr, points)
    # So many nominal pixels may lie above; the threshold is the value of the next one.
    allowed = np.floor(rates * len(nominal)).astype(int)
    thresholds = nominal[np.maximum(len(nominal) - 1 - allowed, 0)]
    overlaps = []
    for mask, values in zip(masks, maps, strict=True):
        if mask.any():
            regions, count = label_regions(mask, structure=EIGHT_CONNECTED)
            for region in range(1, count + 1):
                inside = np.sort(values[regions == region])
                overlaps.append(1 - np.searchsorted(inside, thresholds, side="right") / len(inside))
    return rates, np.mean(overlaps, axis=0)
