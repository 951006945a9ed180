"""Measures over seeds as quantities: their mean, and their spread where there are several."""

import math

import pandas as pd

from patchcore_suite.results.quantities import Quantity
from patchcore_suite.run.metric_registry import METRICS


def percent(values: pd.Series) -> Quantity:
    """A share over seeds, as mean and standard deviation: "97.3 ± 0.4"; one seed has no deviation."""
    if values.isna().any() or values.empty:
        return Quantity(math.nan, unit="%")
    return Quantity(values.mean(), _spread(values), unit="%")


def count(values: pd.Series) -> Quantity:
    """A count over seeds: "12.3 ± 1.2"; a whole number where all seeds have the same: "5 ± 0.0"."""
    form = ".0f" if values.nunique() == 1 else ".1f"
    return Quantity(values.mean(), _spread(values), form=form, spread_form=".1f")


def plain(values: pd.Series, digits: int) -> Quantity:
    """A measure over seeds that is no share, such as a radius: "22.337 ± 0.012"."""
    return Quantity(values.mean(), _spread(values), form=f".{digits}f")


def of_metric(values: pd.Series, metric: str) -> Quantity:
    """A metric over seeds: a share in percent, others by their mean alone."""
    if METRICS[metric].share:
        return percent(values)
    mean = values.mean(skipna=False)
    return Quantity(mean, form=".0f" if mean >= 100 else ".3g")  # a count, or a radius


def _spread(values: pd.Series) -> float | None:
    return values.std(ddof=1) if len(values) > 1 else None
