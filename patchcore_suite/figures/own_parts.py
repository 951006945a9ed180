"""Figures of own parts: how many images are enough, and what larger images and memory banks cost and gain."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter
from numpy.typing import ArrayLike, NDArray

from patchcore_suite.figures.style import ANOMALOUS_COLOUR, GREY, NOMINAL_COLOUR, finish, panel_grid


def few_images(
    images: Sequence[int], alarms: NDArray, promised: Sequence[float], auroc: NDArray, *, title: str = ""
) -> Figure:
    """False alarms and image AUROC over the number of good images, with intervals.

    Args:
        images: (n,) of each model.
        alarms, auroc: (n, 3) share, and both ends of its interval; an AUROC of NaN has no panel.
        promised: (n,) rate of false alarms.
    """
    known = auroc[:, 0] == auroc[:, 0]
    figure, axes = panel_grid(2 if known.any() else 1, 2, width=4.8, height=3.4)
    _with_intervals(axes[0], images, alarms, colour=NOMINAL_COLOUR, label="seen on held-out good images")
    axes[0].plot(images, promised, color=GREY, linestyle="--", label="promised")
    axes[0].set(ylabel="false alarms", ylim=(0, None))
    axes[0].legend(frameon=False)
    if known.any():
        _with_intervals(axes[1], images, auroc, colour=ANOMALOUS_COLOUR, label="")
        axes[1].set(ylabel="image AUROC")
    for axis in axes:
        axis.set(xlabel="good images", xscale="log")
        axis.set_xticks(images, labels=[str(number) for number in images])
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    return finish(figure, title)


def frontier(milliseconds: NDArray, auroc: NDArray, best: NDArray, names: Sequence[str], *, title: str = "") -> Figure:
    """Image AUROC over milliseconds an image; choices that no other one beats are joined and named.

    Args:
        milliseconds: (n,).
        auroc: (n, 3) share, and both ends of its interval.
        best: (n,) whether no other choice is as fast and as accurate.
        names: (n,) of the choices.
    """
    figure, (axis,) = panel_grid(1, 1, width=7.5, height=4)
    _with_intervals(axis, milliseconds[~best], auroc[~best], colour=GREY, label="beaten by another", line="none")
    order = milliseconds[best].argsort()
    chosen, of_chosen = milliseconds[best][order], auroc[best][order]
    _with_intervals(axis, chosen, of_chosen, colour=ANOMALOUS_COLOUR, label="beaten by none", line=":")
    for x, y, name in zip(chosen, of_chosen[:, 0], [names[i] for i in best.nonzero()[0][order]], strict=True):
        axis.annotate(name, (x, y), xytext=(6, -12), textcoords="offset points", fontsize=8)
    axis.set(xlabel="milliseconds an image, from file to map", ylabel="image AUROC", xlim=(0, None))
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    axis.legend(frameon=False, loc="lower right")
    return finish(figure, title)


def _with_intervals(axis: Axes, x: ArrayLike, shares: NDArray, *, colour: str, label: str, line: str = "-") -> None:
    """Points (n, 3) with bars from their lower to their upper end."""
    value, low, high = shares.T
    axis.errorbar(
        x, value, [value - low, high - value], color=colour, linestyle=line, marker="o", capsize=2, label=label
    )
