"""The drawings that notebooks and report share. No other package draws with matplotlib.

Nobody's settings have a say in them: matplotlib is used as it comes.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

# Both are read when matplotlib is imported, and then what cannot be used is an error.
os.environ["MATPLOTLIBRC"] = str(Path(find_spec("matplotlib").origin).with_name("mpl-data") / "matplotlibrc")
if "ipykernel" not in sys.modules:  # outside notebooks nothing is shown, so that no display is needed
    os.environ["MPLBACKEND"] = "agg"

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
