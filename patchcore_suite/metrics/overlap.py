"""PRO of each image by itself, for the PRO columns of the authors' repository."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import ArrayLike, NDArray

from patchcore_core.metrics.pixels import MAX_FPR, Regions, curve_of, curve_pro, regions_and_maps


def pro_per_image(masks: ArrayLike | Regions, maps: ArrayLike, max_fpr: float = MAX_FPR) -> float:
    """`pro` of each anomalous image by itself, averaged over these images.

    What the PRO columns of the authors' repository imply: it has no code for them, but its two columns differ by the
    share of images with a visible defect. An image's regions are compared with its own nominal pixels only, so that
    neither nominal images nor differences of level between images have a say.

    Args:
        masks: (n, H, W) ground truth, True where anomalous. An image without a defect, or with nothing but one,
            which has no false-positive rate, is left out.
        maps: (n, H, W) anomaly maps.
        max_fpr: limit of the integral, in (0, 1].

    Raises:
        ValueError: as `pro`, or no image has both nominal and anomalous pixels.
    """
    regions, maps = regions_and_maps(masks, maps)
    values = pro_of_images(regions, maps, max_fpr)
    if np.isnan(values).all():
        raise ValueError("no image has both nominal and anomalous pixels")
    return float(values[~np.isnan(values)].mean())


def pro_of_images(regions: Regions, maps: NDArray[np.floating], max_fpr: float = MAX_FPR) -> NDArray[np.float64]:
    """`pro` of each image by itself, (n,); NaN where `pro_per_image` leaves it out."""
    places = regions.of_images()
    pixels = np.array([place.stop - place.start for place in places])
    values = np.full(len(maps), np.nan)

    def work(images: NDArray[np.int64]) -> None:
        for i in images:
            of_image = Regions(regions.masks[i], regions.numbers[places[i]], regions.shares[places[i]])
            values[i] = curve_pro(curve_of(of_image, maps[i], parts=1), max_fpr)

    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(work, np.array_split(np.flatnonzero((pixels > 0) & (pixels < maps[0].size)), cores)))
    return values
