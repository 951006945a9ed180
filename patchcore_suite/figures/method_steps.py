"""The drawings that explain the method on one image, step by step; `figures` has those of results."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from patchcore_suite.figures.style import ANOMALOUS_COLOUR, HEAT, MASK_COLOUR, NOMINAL_COLOUR, finish, panel_grid

FEATURES = "viridis"  # of feature maps, so that they are not taken for anomaly maps


def feature_channels(image: NDArray, maps: Sequence[tuple[str, NDArray]], *, count: int = 4, title: str = "") -> Figure:
    """An image, and below it the channels of its feature maps that vary most from place to place.

    Args:
        image: (H, W, 3) in [0, 1].
        maps: (name, map (c, h, w)), one row of panels each.
        count: channels a map.
    """
    figure, axes = plt.subplots(
        len(maps), count + 1, figsize=(1.9 * (count + 1), 2.1 * len(maps)), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.axis("off")
    axes[0, 0].imshow(image)
    axes[0, 0].set_title("image", fontsize=9)
    for row, (name, fmap) in zip(axes, maps, strict=True):
        widest = np.argsort(-fmap.std(axis=(1, 2)), kind="stable")[:count]
        for axis, channel in zip(row[1:], widest, strict=False):
            axis.imshow(fmap[channel], cmap=FEATURES)
            axis.set_title(f"{name}, channel {channel}", fontsize=9)
    return _finish_without_margins(figure, title)


def heat_panels(panels: Sequence[tuple[str, NDArray]], *, cmap: str = FEATURES, title: str = "") -> Figure:
    """Values on a grid beside each other, in one scale of colours.

    Args:
        panels: (title, values (h, w)).
    """
    figure, axes = panel_grid(len(panels), 4, width=3.1, height=3)
    low, high = min(values.min() for _, values in panels), max(values.max() for _, values in panels)
    for axis, (name, values) in zip(axes, panels, strict=True):
        drawn = axis.imshow(values, cmap=cmap, vmin=low, vmax=high)
        axis.set_title(name, fontsize=10)
        axis.axis("off")
    figure.colorbar(drawn, ax=list(axes), shrink=0.8)
    return _finish_without_margins(figure, title)


def kept_patches(
    images: Sequence[NDArray], places: Sequence[NDArray], grid: tuple[int, int], *, title: str = ""
) -> Figure:
    """Nominal images with a dot on each patch that the coreset keeps of them.

    Args:
        images: (H, W, 3) each.
        places: for each image the rows and columns (k, 2) of its patches on the grid.
        grid: (h, w).
    """
    figure, axes = panel_grid(len(images), 4, width=3, height=3.2)
    for axis, image, kept in zip(axes, images, places, strict=True):
        axis.imshow(image)
        scale = np.array(image.shape[:2]) / grid
        rows, columns = ((kept + 0.5) * scale - 0.5).T
        axis.scatter(columns, rows, s=11, color=MASK_COLOUR, edgecolors="black", linewidths=0.3)
        axis.set_title(f"{len(kept)} of {grid[0] * grid[1]} patches kept", fontsize=10)
        axis.axis("off")
    return finish(figure, title)


def patch_distances(
    image: NDArray,
    mask: NDArray | None,
    distances: NDArray,
    worst: tuple[int, int],
    nominal_image: NDArray,
    nearest: tuple[int, int],
    *,
    title: str = "",
) -> Figure:
    """The distance of each patch to the memory bank, the farthest one, and the nominal patch that is nearest to it.

    Args:
        image: (H, W, 3), a test image.
        mask: (H, W), its ground truth, outlined.
        distances: (h, w).
        worst: row and column of the farthest patch on the grid.
        nominal_image: (H, W, 3), the image that the nearest nominal patch comes from.
        nearest: row and column of that patch.
    """
    figure, axes = panel_grid(3, 3, width=3.9, height=3.9)
    grid = distances.shape
    axes[0].imshow(image)
    if mask is not None and mask.any():
        axes[0].contour(mask, levels=[0.5], colors=MASK_COLOUR, linewidths=1)
    _frame_patch(axes[0], worst, grid, image.shape[:2])
    axes[0].set_title("test image, its farthest patch framed")
    drawn = axes[1].imshow(distances, cmap=HEAT)
    _frame_patch(axes[1], worst, grid, grid)
    axes[1].set_title(f"distance of each patch; the largest: {distances[worst]:.2f}")
    figure.colorbar(drawn, ax=axes[1], shrink=0.75)
    axes[2].imshow(nominal_image)
    _frame_patch(axes[2], nearest, grid, nominal_image.shape[:2])
    axes[2].set_title("nominal image with its nearest patch")
    for axis in axes:
        axis.axis("off")
    return finish(figure, title)


def neighbour_shares(distances: NDArray, *, title: str = "") -> Figure:
    """The terms of Eq. 7: what each neighbour of the nearest nominal patch adds to the sum of exponentials.

    Args:
        distances: (b,) of the test patch to N_b(m*), m* first.
    """
    exponentials = np.exp(distances - distances.max())
    shares = exponentials / exponentials.sum()
    figure, axis = plt.subplots(figsize=(7, 1.2 + 0.4 * len(shares)))
    names = ["m*", *(f"neighbour {number} of m*" for number in range(1, len(shares)))]
    bars = axis.barh(names, shares, height=0.65, color=[ANOMALOUS_COLOUR, *[NOMINAL_COLOUR] * (len(shares) - 1)])
    axis.bar_label(
        bars, [f"{share:.2f} (distance {far:.2f})" for share, far in zip(shares, distances, strict=True)], padding=4
    )
    axis.set(xlim=(0, 1.45), xticks=[0, 0.25, 0.5, 0.75, 1], xlabel="share of the sum of exponentials")
    axis.invert_yaxis()
    axis.grid(visible=False, axis="y")
    return finish(figure, title)


def from_grid_to_map(
    image: NDArray, mask: NDArray | None, steps: Sequence[tuple[str, NDArray]], *, title: str = ""
) -> Figure:
    """An image with the outline of its ground truth, and how its anomaly map is made of the patch distances.

    Args:
        steps: (name, values), from the grid (h, w) to the map (H, W); all in one scale of colours.
    """
    figure, axes = panel_grid(1 + len(steps), 4, width=3.2, height=3.4)
    axes[0].imshow(image)
    axes[0].set_title("test image and ground truth")
    low, high = min(values.min() for _, values in steps), max(values.max() for _, values in steps)
    for axis, (name, values) in zip(axes[1:], steps, strict=True):
        axis.imshow(values, cmap=HEAT, vmin=low, vmax=high)
        axis.set_title(name)
    for axis in axes:
        if mask is not None and mask.any() and axis.images[0].get_array().shape[:2] == mask.shape:
            axis.contour(mask, levels=[0.5], colors=MASK_COLOUR, linewidths=1)
        axis.axis("off")
    return finish(figure, title)


def _frame_patch(axis: Axes, place: tuple[int, int], grid: tuple[int, int], size: tuple[int, int]) -> None:
    """Frame the patch at (row, column) of a grid that lies on a picture of `size`."""
    height, width = size[0] / grid[0], size[1] / grid[1]
    corner = (place[1] * width - 0.5, place[0] * height - 0.5)
    axis.add_patch(plt.Rectangle(corner, width, height, fill=False, edgecolor="white", linewidth=3.5))
    axis.add_patch(plt.Rectangle(corner, width, height, fill=False, edgecolor=ANOMALOUS_COLOUR, linewidth=2))


def _finish_without_margins(figure: Figure, title: str) -> Figure:
    """Finish a figure that lays itself out."""
    figure.set_layout_engine("constrained")
    if title:
        figure.suptitle(title)
    plt.close(figure)
    return figure
