"""Metrics of images and pixels, exact, and their bootstrap intervals; with NumPy and SciPy alone.

Every metric is a fraction in [0, 1]. None of them bins, samples or rescales scores, so that any strictly increasing
transformation of the scores leaves them unchanged.
"""

from patchcore_core.metrics.image_intervals import (
    bootstrap_auroc,
    bootstrap_mean_auroc,
    percentile_interval,
    resampled_auroc,
    stratified_counts,
)
from patchcore_core.metrics.images import F1Optimum, bank_utilisation, f1_optimum, image_auroc
from patchcore_core.metrics.pixel_intervals import (
    PIXEL_METRICS,
    PixelStatistics,
    pixel_replicates,
    pixel_statistics,
    resampled_pixel_metrics,
)
from patchcore_core.metrics.pixels import (
    EIGHT_CONNECTED,
    MEMORY_FACTOR,
    Regions,
    pixel_auroc,
    pixel_metrics,
    pro,
    pro_per_image,
)

__all__ = [
    "EIGHT_CONNECTED",
    "MEMORY_FACTOR",
    "PIXEL_METRICS",
    "F1Optimum",
    "PixelStatistics",
    "Regions",
    "bank_utilisation",
    "bootstrap_auroc",
    "bootstrap_mean_auroc",
    "f1_optimum",
    "image_auroc",
    "percentile_interval",
    "pixel_auroc",
    "pixel_metrics",
    "pixel_replicates",
    "pixel_statistics",
    "pro",
    "pro_per_image",
    "resampled_auroc",
    "resampled_pixel_metrics",
    "stratified_counts",
]
