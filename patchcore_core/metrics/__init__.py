"""Metrics of images and pixels, exact; with NumPy and SciPy alone.

Every metric is a fraction in [0, 1]. None of them bins, samples or rescales scores, so that any strictly increasing
transformation of the scores leaves them unchanged.
"""

from patchcore_core.metrics.images import image_auroc
from patchcore_core.metrics.pixels import (
    EIGHT_CONNECTED,
    MEMORY_FACTOR,
    Regions,
    pixel_auroc,
    pixel_metrics,
    pro,
)

__all__ = [
    "EIGHT_CONNECTED",
    "MEMORY_FACTOR",
    "Regions",
    "image_auroc",
    "pixel_auroc",
    "pixel_metrics",
    "pro",
]
