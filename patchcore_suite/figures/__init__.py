"""The drawings that notebooks and report share. No other package draws with matplotlib.

Nobody's settings have a say in them: matplotlib is used as it comes.
"""

# ruff: noqa: E402

import os
import sys
from importlib.util import find_spec
from pathlib import Path

# Both are read when matplotlib is imported, and then what cannot be used is an error.
os.environ["MATPLOTLIBRC"] = str(Path(find_spec("matplotlib").origin).with_name("mpl-data") / "matplotlibrc")
if "ipykernel" not in sys.modules:  # outside notebooks nothing is shown, so that no display is needed
    os.environ["MPLBACKEND"] = "agg"

# Seaborn takes these where they are, for densities and dendrograms, which nothing here draws: to load them takes half a
# second, in each notebook. It is told that there are none.
_NOT_NEEDED = [name for name in ("scipy.stats", "scipy.cluster") if name not in sys.modules]
sys.modules.update(dict.fromkeys(_NOT_NEEDED))
import seaborn  # noqa: F401

for _name in _NOT_NEEDED:
    del sys.modules[_name]

from patchcore_suite.figures.bars import category_bars, grouped_bars, time_bars, waterfall
from patchcore_suite.figures.curves import coreset_against_random, low_shot_curves, radius_curves, sweep
from patchcore_suite.figures.images import anomaly_sheet, judged_image, score_histograms
from patchcore_suite.figures.style import save, save_pixels

__all__ = [
    "anomaly_sheet",
    "category_bars",
    "coreset_against_random",
    "grouped_bars",
    "judged_image",
    "low_shot_curves",
    "radius_curves",
    "save",
    "save_pixels",
    "score_histograms",
    "sweep",
    "time_bars",
    "waterfall",
]
