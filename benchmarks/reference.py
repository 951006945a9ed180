"""Plain loops, as one writes them down from the paper: what the fast forms are compared with."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import label
from torch import Tensor


def sequential_picks(features: Tensor, size: int, start: int) -> list[int]:
    """Algorithm 1, one pick at a time: a pass over all features for each."""
    gap = features.new_full((len(features),), torch.inf)
    pick, chosen = start, []
    for _ in range(size):
        chosen.append(pick)
        gap = torch.minimum(gap, (features - features[pick]).norm(dim=1))
        gap[pick] = -1
        pick = int(gap.argmax())
    return chosen


def pro_by_loops(masks: NDArray, maps: NDArray, max_fpr: float) -> float:
    """PRO by its definition: at each score a threshold, at each threshold a loop over regions."""
    regions = []
    for mask, values in zip(masks, maps, strict=True):
        labelled, count = label(mask, structure=np.ones((3, 3)))
        regions += [np.sort(values[labelled == number]) for number in range(1, count + 1)]
    nominal = np.sort(maps[~masks])
    fpr, overlap = [0.0], [0.0]
    for threshold in np.unique(maps)[::-1]:
        fpr.append((len(nominal) - np.searchsorted(nominal, threshold)) / len(nominal))
        overlap.append(np.mean([(len(r) - np.searchsorted(r, threshold)) / len(r) for r in regions]))
    fpr, overlap = np.array(fpr), np.array(overlap)
    inside = fpr <= max_fpr
    end = np.interp(max_fpr, fpr, overlap)
    return float(np.trapezoid(np.append(overlap[inside], end), np.append(fpr[inside], max_fpr)) / max_fpr)
