"""The drawings that notebooks and report share. No other module draws."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from patchcore_core.files import atomic_path

NOMINAL_COLOUR, ANOMALOUS_COLOUR = "#3b6ea8", "#d9622b"
MASK_COLOUR = "#39e66b"
GREY = "#b8bcc2"
HEAT = "inferno"

sns.set_theme(
    context="notebook",
    style="whitegrid",
    rc={"figure.dpi": 110, "savefig.dpi": 130, "axes.titlesize": "medium", "font.family": "DejaVu Sans"},
)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG whose bytes depend on the drawing alone."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", bbox_inches="tight", metadata={"Software": None})


def score_histograms(scores: Mapping[str, tuple[NDArray, NDArray]], *, columns: int = 3, title: str = "") -> Figure:
    """Image scores of nominal against anomalous test images, one panel a category.

    Args:
        scores: for each category, labels (n,) and scores (n,).
    """
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
        axis.scatter(*points.T, s=5, color=GREY, linewidths=0, label="all points")
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
    return _finish(grid.figure, title)


def category_bars(rows: pd.DataFrame, *, value: str, title: str = "") -> Figure:
    """A metric by category and variant, with its spread over seeds.

    Args:
        rows: columns category, variant and `value`, one row a seed.
    """
    figure, axis = plt.subplots(figsize=(max(6, 1.1 * rows["category"].nunique() + 2), 3.4))
    sns.barplot(data=rows, x="category", y=value, hue="variant", errorbar="sd", ax=axis, palette="deep")
    low = rows[value].min()
    axis.set(
        ylim=(max(0, low - 0.25 * (1 - low) - 0.02), 1),
        xlabel="",
        ylabel=value.replace("_", " ").replace("auroc", "AUROC"),
    )
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return _finish(figure, title)


def _panels(count: int, columns: int, *, width: float, height: float) -> tuple[Figure, Sequence[Axes]]:
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(width * columns, height * rows), squeeze=False)
    for axis in axes.flat[count:]:
        axis.remove()
    return figure, axes.flat[:count]


def _finish(figure: Figure, title: str) -> Figure:
    if title:
        figure.suptitle(title)
    figure.tight_layout()
    plt.close(figure)  # otherwise a notebook shows it twice: as a value and as an open figure
    return figure
