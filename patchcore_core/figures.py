"""The drawings that notebooks and report share. No other module draws."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter
from numpy.typing import NDArray

from patchcore_core.files import atomic_path

NOMINAL_COLOUR, ANOMALOUS_COLOUR = "#3b6ea8", "#d9622b"
MASK_COLOUR = "#39e66b"
GREY = "#b8bcc2"
HEAT = "inferno"
SERIES = "deep"  # palette of variants, methods and parts
RISE_COLOUR, FALL_COLOUR = "#029e73", "#d55e00"  # a green and a red that the colour-blind can tell apart

sns.set_theme(
    context="notebook",
    style="whitegrid",
    rc={
        "figure.dpi": 110,
        "savefig.dpi": 130,
        "axes.titlesize": "medium",
        "font.family": "DejaVu Sans",
        "svg.hashsalt": "patchcore",  # else ids are drawn anew in every file
        "text.parse_math": False,  # categories and defects are called what their folders are: `$` is no formula
    },
)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, and as SVG beside it where it shows no images; the bytes depend on the drawing alone."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", bbox_inches="tight", metadata={"Software": None})
    vectors = path.with_suffix(".svg")
    if any(axis.images for axis in figure.axes):  # a sheet of pixels gains nothing from vectors but megabytes
        vectors.unlink(missing_ok=True)
        return
    with atomic_path(vectors) as temporary:
        figure.savefig(temporary, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})


def score_histograms(scores: Mapping[str, tuple[NDArray, NDArray]], *, columns: int = 3, title: str = "") -> Figure:
    """Image scores of nominal against anomalous test images, one panel a category.

    Args:
        scores: for each category, labels (n,) and scores (n,).
    """
    if not scores:
        return _nothing_to_draw(title)
    figure, axes = _panels(len(scores), columns, width=4.2, height=2.7)
    for axis, (category, (labels, values)) in zip(axes, scores.items(), strict=True):
        bins = np.histogram_bin_edges(values, bins=24)
        for label, name, colour in ((0, "nominal", NOMINAL_COLOUR), (1, "anomalous", ANOMALOUS_COLOUR)):
            axis.hist(values[labels == label], bins=bins, color=colour, alpha=0.65, label=name, density=True)
        axis.set(title=category, xlabel="image score", ylabel="density")
    axes[0].legend(frameon=False)
    return _finish(figure, title)


def anomaly_sheet(
    examples: Mapping[str, Sequence[tuple[str, NDArray, NDArray | None, NDArray]]], *, title: str = ""
) -> Figure:
    """Images with the outline of their ground truth, and their anomaly maps below, one pair of rows a category.

    All maps of a category share one colour scale, so that a nominal image does not light up.

    Args:
        examples: for each category a list of (caption, image (H, W, 3), mask (H, W) or None, map (H, W)).
    """
    if not examples:
        return _nothing_to_draw(title)
    columns = max(len(row) for row in examples.values())
    figure, axes = plt.subplots(
        2 * len(examples), columns, figsize=(1.55 * columns, 3.3 * len(examples)), squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for row, (category, shown) in enumerate(examples.items()):
        low = min(np.percentile(anomaly_map, 2) for *_, anomaly_map in shown)
        high = max(anomaly_map.max() for *_, anomaly_map in shown)
        for column, (caption, image, mask, anomaly_map) in enumerate(shown):
            above, below = axes[2 * row, column], axes[2 * row + 1, column]
            above.imshow(image)
            below.imshow(anomaly_map, cmap=HEAT, vmin=low, vmax=high)
            above.set_title(caption, fontsize=7.5, pad=3)
            if mask is not None and mask.any():
                for axis in (above, below):
                    axis.contour(mask, levels=[0.5], colors=MASK_COLOUR, linewidths=1)
        axes[2 * row, 0].text(
            -0.12, 0, category, rotation=90, va="center", ha="right", transform=axes[2 * row, 0].transAxes, fontsize=9
        )
    figure.subplots_adjust(0, 0, 1, 1, wspace=0.04, hspace=0.12)
    if title:
        figure.suptitle(title, y=1 + 0.3 / figure.get_figheight(), va="bottom", fontsize=11)
    plt.close(figure)
    return figure


def coreset_against_random(panels: Sequence[tuple[str, NDArray, NDArray, float]], *, title: str = "") -> Figure:
    """Fig. 3 of the paper: 2-D points, the picks, and the circle that the farthest point forces on each of them.

    Args:
        panels: (title, points (n, 2), picked rows, covering radius), drawn in two columns, row by row.
    """
    figure, axes = _panels(len(panels), 2, width=4.6, height=4.3)
    for axis, (name, points, picks, radius) in zip(axes, panels, strict=True):
        axis.scatter(*points.T, s=5, color=GREY, linewidths=0, label="all points", rasterized=True)
        for centre in points[picks]:
            axis.add_patch(plt.Circle(centre, radius, facecolor=NOMINAL_COLOUR, alpha=0.07, edgecolor="none"))
        axis.scatter(*points[picks].T, s=16, color=ANOMALOUS_COLOUR, linewidths=0, label="kept")
        axis.set(title=f"{name}: covering radius {radius:.2f}", aspect="equal", xticks=[], yticks=[])
    axes[0].legend(frameon=False, loc="upper left", markerscale=1.6)
    return _finish(figure, title)


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
    return _finish(grid.figure, title)


def category_bars(rows: pd.DataFrame, *, value: str, title: str = "") -> Figure:
    """A metric by category and variant, with its spread over seeds.

    Args:
        rows: columns category, variant and `value`, one row a seed.
    """
    return grouped_bars(rows, group="category", hue="variant", value=value, title=title)


def grouped_bars(rows: pd.DataFrame, *, group: str, hue: str, value: str, title: str = "") -> Figure:
    """A metric in groups of bars, with its spread over seeds: backbones or hierarchies beside each other.

    Args:
        rows: columns `group`, `hue` and `value`, a fraction; one row a seed. Groups and bars keep their order, and a
            missing value leaves a gap.
    """
    if rows[value].isna().all():
        return _nothing_to_draw(title)
    groups = rows[group].unique()
    figure, axis = plt.subplots(figsize=(max(6, 1.1 * len(groups) + 2), 3.4))
    sns.barplot(data=rows, x=group, y=value, hue=hue, errorbar="sd", ax=axis, palette=_palette(rows[hue]))
    low = rows[value].min()
    axis.set(ylim=(max(0, low - 0.25 * (1 - low) - 0.02), 1), xlabel="", ylabel=_label(value))
    if max(len(str(name)) for name in groups) > 11:
        plt.setp(axis.get_xticklabels(), rotation=20, ha="right", rotation_mode="anchor")
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return _finish(figure, title)


def waterfall(steps: pd.DataFrame, *, value: str, title: str = "") -> Figure:
    """How a metric changes from one profile to another, switch by switch, in percentage points.

    Args:
        steps: columns step and `value`, a fraction, in order: the start profile, each step with the value after it,
            and the end profile with the last step's value. Of several rows a step, such as seeds, the mean is shown.
    """
    if steps.empty:
        return _nothing_to_draw(title)
    means = steps.groupby("step", sort=False)[value].mean()
    names, values = list(means.index), means.to_numpy()
    before = values[:-2]  # of each step
    changes = values[1:-1] - before
    room = 0.15 * max(values.max() - values.min(), 0.01)
    low = max(0, values.min() - 2 * room)
    figure, axis = plt.subplots(figsize=(max(6, 1.05 * len(names) + 1), 3.6))
    places = np.arange(len(names))

    axis.bar(places[[0, -1]], values[[0, -1]] - low, bottom=low, color=NOMINAL_COLOUR)
    colours = np.select([changes > 0, changes < 0], [RISE_COLOUR, FALL_COLOUR], default=GREY)
    axis.bar(places[1:-1], changes, bottom=before, color=colours, edgecolor=colours)  # an edge shows a change of 0
    axis.hlines(values[:-1], places[:-1] - 0.4, places[1:] + 0.4, color="grey", linewidth=0.8, linestyle=":")
    tops = np.array([values[0], *np.maximum(before, values[1:-1]), values[-1]])
    points = [re.sub(r"[+-](0\.0+)$", r"\1", f"{100 * change:+.1f}") for change in changes]
    texts = [f"{100 * values[0]:.1f} %", *points, f"{100 * values[-1]:.1f} %"]
    for place, top, text in zip(places, tops, texts, strict=True):
        axis.annotate(text, (place, top), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=10)
    axis.set_xticks(places, labels=[textwrap.fill(str(name), 11) for name in names], fontsize=10)
    axis.set(ylim=(low, values.max() + 2 * room), ylabel=_label(value))
    axis.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axis.grid(visible=False, axis="x")
    return _finish(figure, title)


def low_shot_curves(rows: pd.DataFrame, *, value: str, title: str = "") -> Figure:
    """A metric against the number of nominal images, one line a method, with a band of a standard deviation over draws.

    Args:
        rows: columns method, shots and `value`, one row a draw; rows without shots or value are left out.
    """
    rows = rows.dropna(subset=["shots", value])
    if rows.empty:
        return _nothing_to_draw(title)
    figure, axis = plt.subplots(figsize=(7, 3.8))
    _curves(axis, rows, x="shots", y=value, series="method", log=True)
    axis.set(xlabel="nominal images", ylabel=_label(value))
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return _finish(figure, title)


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
        return _nothing_to_draw(title)
    figure, axes = _panels(len(measured), 3, width=4.4, height=3.2)
    for axis, value in zip(axes, measured, strict=True):
        _curves(axis, rows, x=x, y=value, series="series", log=log)
        axis.set(title=_label(value), xlabel=_label(x), ylabel="")
        axis.get_legend().remove()
    if rows["series"].nunique() > 1:
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return _finish(figure, title)


def time_bars(summary: pd.DataFrame, *, title: str = "") -> Figure:
    """Inference time of an image, stacked part by part, one bar a system.

    Args:
        summary: columns system, part, median_ms and p95_ms: the rows of `timing.summarise` for each system, with
            part "total" among them.
    """
    if summary.empty:
        return _nothing_to_draw(title)
    medians = summary.pivot(index="system", columns="part", values="median_ms")
    medians = medians.loc[summary["system"].unique(), summary["part"].unique()]
    totals = summary[summary["part"] == "total"].set_index("system")
    figure, axis = plt.subplots(figsize=(8, 1.5 + 0.45 * len(medians)))
    left = np.zeros(len(medians))
    parts = medians.drop(columns="total").fillna(0)
    for (part, widths), colour in zip(parts.items(), sns.color_palette(SERIES, parts.shape[1]), strict=True):
        axis.barh(medians.index.astype(str), widths, left=left, height=0.65, color=colour, label=part, linewidth=0)
        left += widths.to_numpy()
    for place, (system, end) in enumerate(zip(medians.index, left, strict=True)):
        total = totals.loc[system]
        text = f"{_digits(total['median_ms'])} (95 %: {_digits(total['p95_ms'])})"
        axis.annotate(text, (end, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9)
    axis.set(xlim=(0, 1.3 * left.max()), xlabel="milliseconds per image (median)")
    axis.invert_yaxis()  # the first system on top
    axis.grid(visible=False, axis="y")
    axis.legend(frameon=False, ncols=parts.shape[1], loc="lower left", bbox_to_anchor=(0, 1), fontsize=9)
    return _finish(figure, title)


def _digits(value: float) -> str:
    """Three digits that count, never as a power of ten: "1750", "35.6"."""
    return f"{float(f'{value:.3g}'):g}"


def _curves(axis: Axes, rows: pd.DataFrame, *, x: str, y: str, series: str, log: bool) -> None:
    """Means over equal x, with a band, and ticks where there are values."""
    palette = _palette(rows[series])
    known = rows.dropna(subset=[y])
    sns.lineplot(
        data=known, x=x, y=y, hue=series, hue_order=list(palette), palette=palette, errorbar="sd", marker="o", ax=axis
    )
    if log:
        axis.set_xscale("log")
    places = sorted(known[x].unique())
    axis.set_xticks(places, labels=[f"{place:g}" for place in places], fontsize=10)
    axis.xaxis.set_minor_formatter(NullFormatter())


def _palette(series: pd.Series) -> dict[object, tuple[float, float, float]]:
    """A colour for each name, in order of appearance; no two alike."""
    names = series.unique()
    colours = SERIES if len(names) <= len(sns.color_palette(SERIES)) else "husl"
    return dict(zip(names, sns.color_palette(colours, len(names)), strict=True))


def _label(name: str) -> str:
    """A column's name as text: "image AUROC"."""
    return re.sub(r"\b(auroc|pro)\b", lambda found: found[0].upper(), name.replace("_", " "))


def _panels(count: int, columns: int, *, width: float, height: float) -> tuple[Figure, Sequence[Axes]]:
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(width * columns, height * rows), squeeze=False)
    for axis in axes.flat[count:]:
        axis.remove()
    return figure, axes.flat[:count]


def _nothing_to_draw(title: str) -> Figure:
    """What stands in the place of a figure of which nothing could be measured: a stage's picture is always there."""
    figure, axis = plt.subplots(figsize=(6, 1.2))
    axis.axis("off")
    axis.text(0.5, 0.5, "nothing was measured: see the table for what is missing", ha="center", va="center")
    return _finish(figure, title)


def _finish(figure: Figure, title: str) -> Figure:
    if title:
        figure.suptitle(title)
    figure.tight_layout()
    plt.close(figure)  # otherwise a notebook shows it twice: as a value and as an open figure
    return figure
