"""Drawings of coresets that change in place: points and circles in the plane, maps of a memory bank, densities."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from patchcore_suite.explore.coresets import ToyPicks
from patchcore_suite.explore.figure import Figure
from patchcore_suite.explore.views import PLAIN, address
from patchcore_suite.figures.style import ANOMALOUS_COLOUR, GREY, NOMINAL_COLOUR

SAMPLER_COLOURS = {"greedy": ANOMALOUS_COLOUR, "random": NOMINAL_COLOUR, "k-means": "#8a5fb0"}
CIRCLE = np.exp(1j * np.linspace(0, 2 * np.pi, 41))
STILL = {"displayModeBar": False}


# Points in the plane


def points_figure() -> go.FigureWidget:
    """One sampler at work: all points, circles of the covering radius, the kept points, and the farthest one."""
    figure = Figure(
        data=[
            go.Scatter(name="all points", mode="markers", marker={"color": GREY, "size": 4}, hoverinfo="skip"),
            _circles("covered"),
            go.Scatter(name="kept", mode="markers", marker={"size": 8}, hoverinfo="skip"),
            go.Scatter(
                name="newest", mode="markers", marker={"size": 14, "symbol": "circle-open", "line": {"width": 3}}
            ),
            go.Scatter(
                name="farthest from all kept",
                mode="markers",
                marker={"size": 13, "symbol": "x", "color": "#111"},
                hoverinfo="skip",
            ),
        ],
        layout={**PLAIN, "width": 620, "height": 560, "legend": {"orientation": "h", "y": -0.02}, "dragmode": False},
    )
    _square(figure, 1)
    figure._config = STILL
    return figure


def show_points(figure: go.FigureWidget, points: NDArray) -> None:
    """Put other points into a figure of `points_figure` or `side_by_side_figure`."""
    with figure.batch_update():
        for trace in figure.data:
            if trace.name == "all points":
                trace.x, trace.y = points.T


def show_step(figure: go.FigureWidget, picks: ToyPicks, sampler: str, step: int) -> None:
    """Draw what a sampler keeps after some picks."""
    kept, radius = picks.kept(sampler, step)
    colour = SAMPLER_COLOURS[sampler]
    _, circles, centres, newest, farthest = figure.data
    with figure.batch_update():
        circles.x, circles.y = _outlines(kept, radius)
        circles.update(fillcolor=_faint(colour), line={"color": colour, "width": 0.6})
        centres.update(x=kept[:, 0], y=kept[:, 1], marker={"color": colour})
        last = kept[-1:] if sampler != "k-means" else kept[:0]
        newest.update(x=last[:, 0], y=last[:, 1], marker={"color": colour})
        figure.layout.title = f"{sampler}, {step} kept: covering radius {radius:.2f}"
    # By itself: what a batch changes in some traces, here the colour, it resets in the others.
    x, y = picks.farthest(sampler, step)
    farthest.update(x=[x], y=[y])


def side_by_side_figure() -> go.FigureWidget:
    """The three samplers beside each other, with as many kept points."""
    traces, layout = [], {**PLAIN, "width": 960, "height": 360, "showlegend": False, "dragmode": False}
    for number, (sampler, colour) in enumerate(SAMPLER_COLOURS.items(), start=1):
        axes = {"xaxis": f"x{number}", "yaxis": f"y{number}"} if number > 1 else {}
        traces += [
            go.Scatter(name="all points", mode="markers", marker={"color": GREY, "size": 3}, hoverinfo="skip", **axes),
            _circles(sampler).update(fillcolor=_faint(colour), line={"color": colour, "width": 0.5}, **axes),
            go.Scatter(name="kept", mode="markers", marker={"color": colour, "size": 5}, hoverinfo="skip", **axes),
        ]
        layout[f"xaxis{number}"] = {"domain": [(number - 1) / 3 + 0.01, number / 3 - 0.01], "title": {"text": sampler}}
        layout[f"yaxis{number}"] = {"anchor": f"x{number}"}
    figure = Figure(data=traces, layout=layout)
    for number in range(1, len(SAMPLER_COLOURS) + 1):
        _square(figure, number)
    figure._config = STILL
    return figure


def show_side_by_side(figure: go.FigureWidget, picks: ToyPicks, step: int) -> None:
    """Draw what each sampler keeps after as many picks."""
    with figure.batch_update():
        for number, sampler in enumerate(SAMPLER_COLOURS):
            kept, radius = picks.kept(sampler, step)
            circles, centres = figure.data[3 * number + 1], figure.data[3 * number + 2]
            circles.x, circles.y = _outlines(kept, radius)
            centres.x, centres.y = kept.T
            figure.layout[f"xaxis{number + 1 if number else ''}"].title = f"{sampler}: radius {radius:.2f}"


# Radii


def radii_figure(samplers: Sequence[str], unit: str) -> go.FigureWidget:
    """Covering radius over the number of kept rows, one line a sampler, and a line at the chosen number."""
    figure = Figure(
        data=[
            go.Scatter(name=name, mode="lines+markers", line={"color": SAMPLER_COLOURS[name]}, marker={"size": 4})
            for name in samplers
        ],
        layout={
            **PLAIN,
            "width": 620,
            "height": 320,
            "xaxis": {"title": f"kept {unit}", "type": "log", "dtick": "D2"},
            "yaxis": {"title": "covering radius", "rangemode": "tozero"},
            "shapes": [
                {
                    "type": "line",
                    "x0": 1,
                    "x1": 1,
                    "y0": 0,
                    "y1": 1,
                    "yref": "paper",
                    "line": {"dash": "dot", "width": 1},
                }
            ],
        },
    )
    figure._config = STILL
    return figure


def show_radii(figure: go.FigureWidget, curves: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> None:
    """Draw other curves into the figure of `radii_figure`."""
    with figure.batch_update():
        for trace in figure.data:
            trace.x, trace.y = curves[trace.name]


def mark_number(figure: go.FigureWidget, number: int) -> None:
    """Move the line of `radii_figure`."""
    figure.layout.shapes[0].update(x0=number, x1=number)


# A memory bank


def bank_figure() -> go.FigureWidget:
    """A memory bank in the plane: all of it grey, the picks coloured."""
    figure = Figure(
        data=[
            go.Scatter(name="nominal patches", mode="markers", marker={"color": GREY, "size": 4}, hoverinfo="skip"),
            *(
                go.Scatter(
                    name=f"{name} picks",
                    mode="markers",
                    marker={"color": SAMPLER_COLOURS[name], "size": 7, "symbol": symbol},
                    hoverinfo="skip",
                )
                for name, symbol in (("random", "diamond"), ("greedy", "circle"))
            ),
        ],
        layout={**PLAIN, "width": 680, "height": 540, "legend": {"orientation": "h", "y": -0.02}},
    )
    figure.update_xaxes(showticklabels=False, zeroline=False)
    figure.update_yaxes(showticklabels=False, zeroline=False)
    figure._config = {"displaylogo": False}
    return figure


def show_bank(figure: go.FigureWidget, background: NDArray, random: NDArray, greedy: NDArray, *, title: str) -> None:
    """Draw a bank's map: positions (n, 2) of all patches that are drawn, and of the picks of both samplers."""
    with figure.batch_update():
        for trace, positions in zip(figure.data, (background, random, greedy), strict=True):
            trace.x, trace.y = positions.T
        figure.layout.title = title


def density_figure() -> go.FigureWidget:
    """Where on the image grid the picks lie: greedy on the left, random on the right, on one colour scale."""
    figure = Figure(
        data=[
            go.Heatmap(coloraxis="coloraxis", hovertemplate="row %{y}, column %{x}: %{z} picks<extra></extra>", **axes)
            for axes in ({}, {"xaxis": "x2", "yaxis": "y2"})
        ],
        layout={
            **PLAIN,
            "width": 760,
            "height": 370,
            "coloraxis": {"colorscale": "Viridis", "colorbar": {"title": "picks", "thickness": 12}},
            "xaxis": {"domain": [0, 0.46], "title": "greedy"},
            "xaxis2": {"domain": [0.54, 1], "title": "random"},
            "yaxis2": {"anchor": "x2"},
        },
    )
    for number in ("", "2"):
        figure.layout[f"xaxis{number}"].update(showticklabels=False, constrain="domain")
        figure.layout[f"yaxis{number}"].update(
            showticklabels=False, autorange="reversed", scaleanchor=f"x{number}", constrain="domain"
        )
    figure._config = STILL
    return figure


def show_density(figure: go.FigureWidget, greedy: NDArray, random: NDArray) -> None:
    """Draw other counts (h, w)."""
    with figure.batch_update():
        figure.data[0].z, figure.data[1].z = greedy, random


def picks_figure(side: int = 430) -> go.FigureWidget:
    """One training image with the patches of it that the bank keeps."""
    figure = Figure(
        data=[
            go.Image(hoverinfo="skip"),
            *(
                go.Scatter(
                    name=name,
                    mode="markers",
                    marker={"color": colour, "size": 8, "symbol": symbol, "line": {"width": 1, "color": "#fff"}},
                    hovertemplate="nearest of %{customdata} test patches<extra></extra>",
                )
                for name, colour, symbol in (
                    ("used by test patches", ANOMALOUS_COLOUR, "circle"),
                    ("never used", NOMINAL_COLOUR, "diamond"),
                )
            ),
        ],
        layout={**PLAIN, "width": side, "height": side + 50, "legend": {"orientation": "h", "y": -0.02}},
    )
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(visible=False, scaleanchor="x", autorange="reversed", constrain="domain")
    figure._config = STILL
    return figure


def show_picks(
    figure: go.FigureWidget, picture: NDArray, places: NDArray, used: NDArray, grid: tuple[int, int], title: str
) -> None:
    """Draw another training image, with the places (k, 2) of its kept patches and how often (k,) each is used."""
    height, width = picture.shape[0] / grid[0], picture.shape[1] / grid[1]
    y, x = ((places + 0.5) * (height, width) - 0.5).T
    with figure.batch_update():
        figure.data[0].source = address(picture)
        for trace, chosen in ((figure.data[1], used > 0), (figure.data[2], used == 0)):
            trace.update(x=x[chosen], y=y[chosen], customdata=used[chosen])
        figure.layout.title = title


def uses_figure() -> go.FigureWidget:
    """How often the rows of the bank are the nearest, the busiest first."""
    figure = Figure(
        data=[go.Scatter(mode="lines", fill="tozeroy", line={"color": ANOMALOUS_COLOUR, "shape": "hv"})],
        layout={
            **PLAIN,
            "width": 560,
            "height": 300,
            "xaxis": {"title": "rows of the memory bank, the busiest first"},
            "yaxis": {"title": "test patches + 1", "type": "log"},
        },
    )
    figure._config = STILL
    return figure


def show_uses(figure: go.FigureWidget, counts: NDArray, title: str) -> None:
    """Draw the counts (l,) of another bank."""
    with figure.batch_update():
        figure.data[0].update(x=np.arange(1, len(counts) + 1), y=np.sort(counts)[::-1] + 1)
        figure.layout.title = title


def _circles(name: str) -> go.Scatter:
    return go.Scatter(name=name, mode="lines", fill="toself", hoverinfo="skip", showlegend=False)


def _outlines(centres: NDArray, radius: float) -> tuple[NDArray, NDArray]:
    """Circles as one broken line, so that one trace draws them all."""
    outlines = centres[:, :1] + 1j * centres[:, 1:] + radius * CIRCLE
    gaps = np.full((len(centres), 1), np.nan + 1j * np.nan)
    line = np.concatenate([outlines, gaps], axis=1).ravel()
    return line.real, line.imag


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.08)"


def _square(figure: go.FigureWidget, number: int) -> None:
    """Equal units on both axes, fixed to the points and what their circles need; no ticks."""
    suffix = "" if number == 1 else str(number)
    figure.layout[f"xaxis{suffix}"].update(range=[-5, 5], showticklabels=False, zeroline=False, constrain="domain")
    figure.layout[f"yaxis{suffix}"].update(
        range=[-5, 5], showticklabels=False, zeroline=False, constrain="domain", scaleanchor=f"x{suffix}"
    )
