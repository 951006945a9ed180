"""Colours, sizes and files that all figures share."""

import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from patchcore_core.common.files import atomic_path

mpl.rcdefaults()  # a `matplotlibrc` in the working directory has been read all the same
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

NOMINAL_COLOUR, ANOMALOUS_COLOUR = "#3b6ea8", "#d9622b"
MASK_COLOUR = "#39e66b"
GREY = "#b8bcc2"
HEAT = "inferno"
SERIES = "deep"  # palette of variants, methods and parts
RISE_COLOUR, FALL_COLOUR = "#029e73", "#d55e00"  # a green and a red that the colour-blind can tell apart


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, and as SVG beside it where it shows no images; the bytes depend on the drawing alone.

    An SVG of that name goes where there is none to write: so in folders of the suite alone.
    """
    save_pixels(figure, path)
    vectors = path.with_suffix(".svg")
    if any(axis.images for axis in figure.axes):  # a sheet of pixels gains nothing from vectors but megabytes
        vectors.unlink(missing_ok=True)
        return
    with atomic_path(vectors) as temporary:
        figure.savefig(temporary, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})


def save_pixels(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, and touch nothing else."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", bbox_inches="tight", metadata={"Software": None})


def three_digits(value: float) -> str:
    """Three digits that count, never as a power of ten: "1750", "35.6"."""
    return f"{float(f'{value:.3g}'):g}"


def palette_of(series: pd.Series) -> dict[object, tuple[float, float, float]]:
    """A colour for each name, in order of appearance; no two alike."""
    names = series.unique()
    colours = SERIES if len(names) <= len(sns.color_palette(SERIES)) else "husl"
    return dict(zip(names, sns.color_palette(colours, len(names)), strict=True))


def axis_label(name: str) -> str:
    """A column's name as text: "image AUROC"."""
    return re.sub(r"\b(auroc|pro)\b", lambda found: found[0].upper(), name.replace("_", " "))


def panel_grid(count: int, columns: int, *, width: float, height: float) -> tuple[Figure, Sequence[Axes]]:
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(width * columns, height * rows), squeeze=False)
    for axis in axes.flat[count:]:
        axis.remove()
    return figure, axes.flat[:count]


def nothing_to_draw(title: str) -> Figure:
    """What stands in the place of a figure of which nothing could be measured: a stage's picture is always there."""
    figure, axis = plt.subplots(figsize=(6, 1.2))
    axis.axis("off")
    axis.text(0.5, 0.5, "nothing was measured: see the table for what is missing", ha="center", va="center")
    return finish(figure, title)


def finish(figure: Figure, title: str) -> Figure:
    if title:
        figure.suptitle(title)
    figure.tight_layout()
    plt.close(figure)  # otherwise a notebook shows it twice: as a value and as an open figure
    return figure
