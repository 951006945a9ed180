"""Figures of test images: score histograms, sheets of anomaly maps."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from patchcore_suite.figures.style import (
    ANOMALOUS_COLOUR,
    HEAT,
    MASK_COLOUR,
    NOMINAL_COLOUR,
    finish,
    nothing_to_draw,
    panel_grid,
)


def score_histograms(scores: Mapping[str, tuple[NDArray, NDArray]], *, columns: int = 3, title: str = "") -> Figure:
    """Image scores of nominal against anomalous test images, one panel a category.

    Args:
        scores: for each category, labels (n,) and scores (n,).
    """
    if not scores:
        return nothing_to_draw(title)
    figure, axes = panel_grid(len(scores), columns, width=4.2, height=2.7)
    for axis, (category, (labels, values)) in zip(axes, scores.items(), strict=True):
        bins = np.histogram_bin_edges(values, bins=24)
        for label, name, colour in ((0, "nominal", NOMINAL_COLOUR), (1, "anomalous", ANOMALOUS_COLOUR)):
            chosen = values[labels == label]
            axis.hist(chosen, bins=bins, color=colour, alpha=0.65, label=name, density=len(chosen) > 0)
        axis.set(title=category, xlabel="image score", ylabel="density")
    axes[0].legend(frameon=False)
    return finish(figure, title)


def anomaly_sheet(
    examples: Mapping[str, Sequence[tuple[str, NDArray, NDArray | None, NDArray]]], *, title: str = ""
) -> Figure:
    """Images with the outline of their ground truth, and their anomaly maps below, one pair of rows a category.

    All maps of a category share one colour scale, so that a nominal image does not light up.

    Args:
        examples: for each category a list of (caption, image (H, W, 3), mask (H, W) or None, map (H, W)).
    """
    if not examples:
        return nothing_to_draw(title)
    columns = max(len(row) for row in examples.values())
    figure, axes = plt.subplots(
        2 * len(examples),
        columns,
        figsize=(1.55 * columns, 3.3 * len(examples)),
        squeeze=False,
        subplot_kw={"xticks": [], "yticks": []},  # none is shown, and to place hundreds of them takes seconds
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


def judged_image(
    image: NDArray, anomaly_map: NDArray, *, high: float, mask: NDArray | None = None, caption: str = ""
) -> Figure:
    """An image beside itself under its anomaly map, on a scale that does not depend on the image.

    Args:
        image: (H, W, 3).
        anomaly_map: (H, W).
        high: where the scale ends; it begins at 0.
        mask: (H, W) ground truth, outlined.
    """
    figure, axes = panel_grid(2, 2, width=3.2, height=3.4)
    for axis in axes:
        axis.imshow(image)
        if mask is not None and mask.any():
            axis.contour(mask, levels=[0.5], colors=MASK_COLOUR, linewidths=1)
        axis.axis("off")
    drawn = axes[1].imshow(anomaly_map, cmap=HEAT, vmin=0, vmax=high, alpha=0.6)
    figure.colorbar(drawn, ax=axes[1], shrink=0.75, extend="max")
    return finish(figure, caption)
