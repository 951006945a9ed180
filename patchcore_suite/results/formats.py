"""How numbers read in tables and sentences."""

import math

import pandas as pd

NOT_SET = {"dimension": "native", "projection_dimension": "none", "crop": "none"}  # what None means in a table


def label(value: object, name: str) -> str:
    """A setting as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if pd.isna(value):
        return NOT_SET.get(name, NOTHING)
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def points(before: float, after: float) -> str:
    """A difference of two fractions in percentage points: "+0.3"."""
    return NOT_AVAILABLE if pd.isna(after - before) else f"{round(100 * (after - before), 1) + 0:+.1f}"


HEADINGS = {
    "image_auroc": "image AUROC",
    "image_auroc_reweighted": "image AUROC, Eq. 7",
    "pixel_auroc": "pixel AUROC",
    "pro": "PRO",
    "pro_per_image": "PRO per image",
}
NOT_RUN, NOT_SHOWN, QUOTED = "not run", "synthetic: not shown", "quoted"
INTERVAL = "interval (95 %)"  # a column


def signed_points(difference: float | None, digits: int) -> str:
    if difference is None:
        return NOTHING
    points = round(100 * difference, digits)
    return f"{points:+.{digits}f}" if points else f"{0:.{digits}f}"


def interval_text(interval: tuple[float, float] | None, digits: int) -> str:
    if interval is None:
        return NOTHING
    if any(math.isnan(end) for end in interval):
        return NOT_AVAILABLE
    return f"{100 * interval[0]:.{digits}f} to {100 * interval[1]:.{digits}f}"


NOT_AVAILABLE, WEIGHTS_MISSING, NOTHING = "not available", "weights missing", "-"


def percent(values: pd.Series, digits: int = 1) -> str:
    """A metric over seeds as mean and standard deviation in percent: "97.3 ± 0.4"; one seed has no deviation."""
    if values.isna().any() or values.empty:
        return NOT_AVAILABLE
    mean = f"{100 * values.mean():.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {100 * values.std(ddof=1):.{digits}f}"
