"""Metrics of images and pixels, exact; with NumPy and SciPy alone.

Every metric is a fraction in [0, 1]. None of them bins, samples or rescales scores, so that any strictly increasing
transformation of the scores leaves them unchanged.
"""

from patchcore_core.metrics.images import image_auroc as image_auroc
from patchcore_core.metrics.pixels import EIGHT_CONNECTED as EIGHT_CONNECTED
from patchcore_core.metrics.pixels import MEMORY_FACTOR as MEMORY_FACTOR
from patchcore_core.metrics.pixels import Regions as Regions
from patchcore_core.metrics.pixels import pixel_auroc as pixel_auroc
from patchcore_core.metrics.pixels import pixel_metrics as pixel_metrics
from patchcore_core.metrics.pixels import pro as pro
