"""Figures of curves and points: sweeps, numbers of nominal images, covering radii, coresets in the plane."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray

from patchcore_suite.figures.style import (
    ANOMALOUS_COLOUR,
    GREY,
    NOMINAL_COLOUR,
    axis_label,
    finish,
    nothing_to_draw,
    palette_of,
    panel_grid,
)


def coreset_against_random(panels: Sequence[tuple[str, NDArray, NDArray, float]], *, title: str = "") -> Figure:
    """Fig. 3 of the paper: 2-D points, the picks, and the circle that the farthest point forces on each of them.

    Args:
        panels: (title, points (n, 2), picked rows, covering radius), drawn in two columns, row by row.
    """
    figure, axes = panel_grid(len(panels), 2, width=4.6, height=4.3)
    for axis, (name, points, picks, radius) in zip(axes, panels, strict=True):
        axis.scatter(*points.T, s=5, color=GREY, linewidths=0, label="all points", rasterized=True)
        for centre in points[picks]:
            axis.add_patch(plt.Circle(centre, radius, facecolor=NOMINAL_COLOUR, alpha=0.07, edgecolor="none"))
        axis.scatter(*points[picks].T, s=16, color=ANOMALOUS_COLOUR, linewidths=0, label="kept")
        axis.set(title=f"{name}: covering radius {radius:.2f}", aspect="equal", xticks=[], yticks=[])
    axes[0].legend(frameon=False, loc="upper left", markerscale=1.6)
    return finish(figure, title)


def radius_curves(curves: pd.DataFrame, *, title: str = "") -> Figure:
    """Covering radius against the number of kept points.

    Args:
        curves: columns distribution, sampler, size, covering_radius; several seeds make a band.
    """
    grid = sns.relplot(
        data=curves,
        x="size",
        y="covering_radius",
        hue="sampler",
        col="distribution",
        kind="line",
        errorbar=("pi", 100),
        marker="o",
        palette={"greedy": NOMINAL_COLOUR, "random": ANOMALOUS_COLOUR},
        height=3.2,
        aspect=1.3,
    )
    grid.set(xscale="log", yscale="log", xlabel="points kept", ylabel="covering radius")
    grid.set_titles("{col_name}")
    for panel in grid.axes.flat:
        for axis in (panel.xaxis, panel.yaxis):  # matplotlib's own labels of such an axis are formulas
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
    sns.move_legend(grid, "center left", bbox_to_anchor=(1, 0.5))
    return finish(grid.figure, title)


def low_shot_curves(rows: pd.DataFrame, *, value: str, title: str = "") -> Figure:
    """A metric against the number of nominal images, one line a method, with a band of a standard deviation over draws.

    Args:
        rows: columns method, shots and `value`, one row a draw; rows without shots or value are left out.
    """
    rows = rows.dropna(subset=["shots", value])
    if rows.empty:
        return nothing_to_draw(title)
    figure, axis = plt.subplots(figsize=(7, 3.8))
    _curves(axis, rows, x="shots", y=value, series="method", log=True)
    axis.set(xlabel="nominal images", ylabel=axis_label(value))
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return finish(figure, title)


def sweep(rows: pd.DataFrame, *, x: str, values: Sequence[str], title: str = "", log: bool = False) -> Figure:
    """What a setting does to several metrics, one panel each, with a band of a standard deviation over seeds.

    Args:
        rows: columns series (the sampler or variant), `x` and each of `values`, one row a seed. A metric that was not
            measured is NaN; one that never was has no panel.
        x: the setting, a number.
        values: the metrics, in the order of their panels.
        log: whether the setting's axis is logarithmic.
    """
    measured = [value for value in values if rows[value].notna().any()]
    if not measured:
        return nothing_to_draw(title)
    figure, axes = panel_grid(len(measured), 3, width=4.4, height=3.2)
    for axis, value in zip(axes, measured, strict=True):
        _curves(axis, rows, x=x, y=value, series="series", log=log)
        axis.set(title=axis_label(value), xlabel=axis_label(x), ylabel="")
        axis.get_legend().remove()
    if rows["series"].nunique() > 1:
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return finish(figure, title)


def _curves(axis: Axes, rows: pd.DataFrame, *, x: str, y: str, series: str, log: bool) -> None:
    """Means over equal x, with a band, and ticks where there are values."""
    palette = palette_of(rows[series])
    known = rows.dropna(subset=[y])
    sns.lineplot(
        data=known, x=x, y=y, hue=series, hue_order=list(palette), palette=palette, errorbar="sd", marker="o", ax=axis
    )
    if log:
        axis.set_xscale("log")
    places = sorted(known[x].unique())
    axis.set_xticks(places, labels=[f"{place:g}" for place in places], fontsize=10)
    axis.xaxis.set_minor_formatter(NullFormatter())
