"""Figures of bars: by category, by group, step by step, by part of the time."""

import re
import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from patchcore_suite.figures.style import (
    FALL_COLOUR,
    GREY,
    NOMINAL_COLOUR,
    RISE_COLOUR,
    SERIES,
    axis_label,
    finish,
    nothing_to_draw,
    palette_of,
    three_digits,
)


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
        return nothing_to_draw(title)
    groups = rows[group].unique()
    figure, axis = plt.subplots(figsize=(max(6, 1.1 * len(groups) + 2), 3.4))
    sns.barplot(data=rows, x=group, y=value, hue=hue, errorbar="sd", ax=axis, palette=palette_of(rows[hue]))
    low = rows[value].min()
    axis.set(ylim=(max(0, low - 0.25 * (1 - low) - 0.02), 1), xlabel="", ylabel=axis_label(value))
    if max(len(str(name)) for name in groups) > 11:
        plt.setp(axis.get_xticklabels(), rotation=20, ha="right", rotation_mode="anchor")
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return finish(figure, title)


def waterfall(steps: pd.DataFrame, *, value: str, title: str = "") -> Figure:
    """How a metric changes from one profile to another, switch by switch, in percentage points.

    Args:
        steps: columns step and `value`, a fraction, in order: the start profile, each step with the value after it,
            and the end profile with the last step's value. Of several rows a step, such as seeds, the mean is shown.
    """
    if steps.empty:
        return nothing_to_draw(title)
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
    axis.set(ylim=(low, values.max() + 2 * room), ylabel=axis_label(value))
    axis.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axis.grid(visible=False, axis="x")
    return finish(figure, title)


def time_bars(summary: pd.DataFrame, *, title: str = "") -> Figure:
    """Inference time of an image, stacked part by part, one bar a system.

    Args:
        summary: columns system, part, median_ms and p95_ms: the rows of `timing.summarise` for each system, with
            part "total" among them.
    """
    if summary.empty:
        return nothing_to_draw(title)
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
        text = f"{three_digits(total['median_ms'])} (95 %: {three_digits(total['p95_ms'])})"
        axis.annotate(text, (end, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9)
    axis.set(xlim=(0, 1.3 * left.max()), xlabel="milliseconds per image (median)")
    axis.invert_yaxis()  # the first system on top
    axis.grid(visible=False, axis="y")
    axis.legend(frameon=False, ncols=parts.shape[1], loc="lower left", bbox_to_anchor=(0, 1), fontsize=9)
    return finish(figure, title)
