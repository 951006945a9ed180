"""Curves of `bring_your_own` that change in place: few images and many, and what larger images cost and gain."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from patchcore_suite.explore.figure import Figure
from patchcore_suite.explore.own_views import choice_name
from patchcore_suite.explore.views import PLAIN
from patchcore_suite.figures.style import ANOMALOUS_COLOUR, GREY, NOMINAL_COLOUR
from patchcore_suite.parts.few_images import FewImages
from patchcore_suite.parts.frontier import Choice

STILL = {"displayModeBar": False}


def few_images_figure() -> go.FigureWidget:
    """False alarms seen and promised, and image AUROC, over the number of good images."""
    names = ("false alarms seen", "false alarms promised", "image AUROC")
    figure = Figure(
        data=[
            go.Scatter(name=names[0], mode="lines+markers", line={"color": NOMINAL_COLOUR}, error_y=_bars()),
            go.Scatter(name=names[1], mode="lines", line={"color": GREY, "dash": "dash"}),
            go.Scatter(
                name=names[2],
                mode="lines+markers",
                line={"color": ANOMALOUS_COLOUR},
                error_y=_bars(),
                xaxis="x2",
                yaxis="y2",
            ),
        ],
        layout={
            **PLAIN,
            "width": 860,
            "height": 340,
            "legend": {"orientation": "h", "y": 1.14},
            "xaxis": {"domain": [0, 0.45], "title": "good images", "type": "log"},
            "yaxis": {"title": "share of held-out good images", "tickformat": ".0%", "rangemode": "tozero"},
            "xaxis2": {"domain": [0.57, 1], "title": "good images", "type": "log", "anchor": "y2"},
            "yaxis2": {"title": "image AUROC", "anchor": "x2", "tickformat": ".1%"},
        },
    )
    figure._config = STILL
    return figure


def show_few_images(figure: go.FigureWidget, curve: Sequence[FewImages]) -> None:
    """Draw another curve."""
    images, (seen, promised, auroc) = [one.images for one in curve], figure.data
    ticks = {"tickvals": images, "ticktext": [str(number) for number in images]}
    with figure.batch_update():
        seen.update(x=images, y=[one.alarms for one in curve])
        seen.error_y.update(_ends([(one.alarms, one.alarms_low, one.alarms_high) for one in curve]))
        promised.update(x=images, y=[one.promised for one in curve])
        auroc.update(x=images, y=[_known(one.auroc) for one in curve])
        auroc.error_y.update(_ends([(one.auroc, one.auroc_low, one.auroc_high) for one in curve]))
        figure.layout.xaxis.update(ticks)
        figure.layout.xaxis2.update(ticks)
        figure.layout.yaxis2.range = _range([one.auroc for one in curve], [one.auroc_low for one in curve])


def frontier_figure() -> go.FigureWidget:
    """Image AUROC over seconds an image; choices that no other one beats are joined."""
    figure = Figure(
        data=[
            go.Scatter(name="beaten by another", mode="markers", marker={"color": GREY, "size": 9}, error_y=_bars()),
            go.Scatter(
                name="beaten by none",
                mode="lines+markers",
                line={"color": ANOMALOUS_COLOUR, "dash": "dot"},
                marker={"size": 11},
                error_y=_bars(),
            ),
        ],
        layout={
            **PLAIN,
            "width": 760,
            "height": 360,
            "legend": {"orientation": "h", "y": 1.12},
            "xaxis": {"title": "milliseconds an image, from file to map", "rangemode": "tozero"},
            "yaxis": {"title": "image AUROC", "tickformat": ".1%"},
        },
    )
    figure._config = STILL
    return figure


def show_frontier(figure: go.FigureWidget, choices: Sequence[Choice]) -> None:
    """Draw other choices."""
    with figure.batch_update():
        figure.layout.yaxis.range = _range([one.auroc for one in choices], [one.low for one in choices])
        for trace, best in zip(figure.data, (False, True), strict=True):
            of_kind = sorted((one for one in choices if one.best == best), key=lambda one: one.seconds)
            trace.update(
                x=[1000 * one.seconds for one in of_kind],
                y=[_known(one.auroc) for one in of_kind],
                text=[choice_name(one) for one in of_kind],
                hovertemplate="%{text}<extra></extra>",
            )
            trace.error_y.update(_ends([(one.auroc, one.low, one.high) for one in of_kind]))


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _bars() -> dict[str, object]:
    return {"type": "data", "symmetric": False, "array": [], "arrayminus": [], "thickness": 1}


def _ends(found: Sequence[tuple[float, float, float]]) -> dict[str, list[float]]:
    """Lengths of error bars, 0 where an end is not known."""
    above = [0.0 if math.isnan(high) else high - value for value, _, high in found]
    return {"array": above, "arrayminus": [0.0 if math.isnan(low) else value - low for value, low, _ in found]}


def _range(values: Sequence[float], low: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis of shares near 100 %: from a little below the lowest interval to a little above 100 %."""
    known = [value for value in (*values, *low) if not math.isnan(value)]
    margin = 0.05 * (1 - min(known, default=0.0)) or 0.01
    return min(known, default=0.0) - margin, 1 + margin
