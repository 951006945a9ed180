"""The drawings that notebooks and report share. No other package draws with matplotlib."""

from patchcore_suite.figures.bars import category_bars, grouped_bars, time_bars, waterfall
from patchcore_suite.figures.curves import coreset_against_random, low_shot_curves, radius_curves, sweep
from patchcore_suite.figures.images import anomaly_sheet, score_histograms
from patchcore_suite.figures.style import save

__all__ = [
    "anomaly_sheet",
    "category_bars",
    "coreset_against_random",
    "grouped_bars",
    "low_shot_curves",
    "radius_curves",
    "save",
    "score_histograms",
    "sweep",
    "time_bars",
    "waterfall",
]
