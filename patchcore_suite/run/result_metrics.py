"""The metrics of one raw result, and what they are compared with: the ground truth, and how good it can get."""

import math
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from patchcore_core import metrics
from patchcore_core.scoring import anomaly_maps
from patchcore_suite.datasets.images import mask_array, read_mask
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import Record
from patchcore_suite.run.raw_results import RawResult

CEILING_STRIDE = 8  # pixels, of hierarchy 2


def ceiling(regions: metrics.Regions) -> Mapping[str, float]:
    """Pixel metrics (see `metrics.pixel_metrics`) of the ground truth itself, as coarse and blurred as a map is.

    A pixel's score is its mask averaged over the cells of a grid of stride 8, brought back to the image's size and
    smoothed: no method that scores such patches can be expected to do better.

    Args:
        regions: of masks (n, H, W).
    """
    height, width = regions.masks.shape[1:]
    cells = F.adaptive_avg_pool2d(
        torch.from_numpy(regions.masks).float(),
        (math.ceil(height / CEILING_STRIDE), math.ceil(width / CEILING_STRIDE)),
    )
    return metrics.pixel_metrics(regions, anomaly_maps(cells, (height, width)).numpy())


def ground_truth(records: list[Record], preprocessing: Preprocessing) -> NDArray[np.bool_] | None:
    """Masks (n, H, W) of test images at the size that they are scored at; None if an anomalous image has none."""
    if any(record.label and record.mask is None for record in records):
        return None
    return np.stack([mask_array(read_mask(record), preprocessing) for record in records])


def result_metrics(
    result: RawResult, labels: NDArray[np.integer], regions: metrics.Regions | None, maps: NDArray[np.float32] | None
) -> Mapping[str, float | int | None]:
    """The metrics of one raw result; those that need masks, or nominal images, are None where there are none.

    Args:
        labels: (n,) of the test images, in the result's order.
        regions: of their masks (n, H, W).
        maps: (n, H, W), see `maps_of`; None where there are no distances, no masks or no defect.
    """
    values = _image_metrics(result, labels) | {
        "test_images": len(labels),
        "memory_bank": result.stamp.get("memory_bank", [None])[0],
        "bank_utilisation": None,
        "covering_radius": result.stamp.get("covering_radius"),
        "pixel_auroc": None,
        "pro": None,
        "pro_per_image": None,
        "defects_cropped_away": None,
    }
    if result.indices is not None:
        values["bank_utilisation"] = metrics.bank_utilisation(result.indices, values["memory_bank"])
    if regions is None:
        return values
    masks = regions.masks
    values["defects_cropped_away"] = int((labels.astype(bool) & ~masks.any(axis=(1, 2))).sum())
    if maps is None:
        return values
    return values | metrics.pixel_metrics(regions, maps) | {"pro_per_image": metrics.pro_per_image(regions, maps)}


def _image_metrics(result: RawResult, labels: NDArray[np.integer]) -> dict[str, float | int | None]:
    """The metrics that tell nominal from anomalous images: all None where one of the two kinds is absent."""
    names = ("image_auroc", "image_auroc_reweighted", "f1", "threshold", "false_positives", "false_negatives")
    values: dict[str, float | int | None] = dict.fromkeys(names)
    if labels.all() or not labels.any():
        return values
    values["image_auroc"] = metrics.image_auroc(labels, result.scores)
    if result.reweighted_scores is not None:
        values["image_auroc_reweighted"] = metrics.image_auroc(labels, result.reweighted_scores)
    return values | asdict(metrics.f1_optimum(labels, result.scores))


def maps_of(result: RawResult, size: tuple[int, int]) -> NDArray[np.float32]:
    """Anomaly maps (n, H, W) of a result with distances, as its config asks for."""
    config = result.stamp["config"]
    return anomaly_maps(
        torch.from_numpy(result.distances),
        size,
        sigma=config["smoothing_sigma"],
        upsampling=config.get("upsampling", "bilinear"),
    ).numpy()
