"""Drawings that change in place, and small galleries in HTML: what the panels show. Nothing is computed here."""

import base64
import html
import re
from collections.abc import Sequence
from io import BytesIO

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from patchcore_suite.explore.anomalies import Confusion, Reweighting, Scores
from patchcore_suite.explore.categories import Subject
from patchcore_suite.explore.figure import Figure
from patchcore_suite.figures.style import ANOMALOUS_COLOUR, GREY, MASK_COLOUR, NOMINAL_COLOUR

COLOUR_SCALES = ("Inferno", "Viridis", "Cividis", "Greys", "RdBu_r")
PATCH_COLOUR = "#00b7ff"
SURROUNDINGS = 3  # patches that a cut-out shows on each side of the one that is meant
CUT_OUT, THUMBNAIL = 136, 120  # pixels of the pictures in galleries
PLAIN = {"template": "plotly_white", "margin": {"l": 10, "r": 10, "t": 36, "b": 10}, "font": {"size": 12}}

Picture = tuple[str, str, str]  # address, caption, alternative text


# Anomalies


def subject_figure(side: int = 470) -> go.FigureWidget:
    """An image, its anomaly map above it, the outline of its ground truth, and a frame around one patch."""
    figure = Figure(
        data=[
            go.Image(hoverinfo="skip"),
            go.Heatmap(hovertemplate="pixel %{y}, %{x}: %{z:.2f}<extra></extra>", colorbar={"thickness": 12}),
            go.Contour(
                contours={"start": 0.5, "end": 0.5, "size": 1, "coloring": "none"},
                line={"color": MASK_COLOUR, "width": 2},
                showscale=False,
                hoverinfo="skip",
            ),
        ],
        layout={**PLAIN, "width": side + 60, "height": side, "shapes": [_frame()], "dragmode": False},
    )
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(visible=False, scaleanchor="x", autorange="reversed", constrain="domain")
    _plain_buttons(figure)
    return figure


def show_subject(figure: go.FigureWidget, subject: Subject, colour_range: tuple[float, float]) -> None:
    """Put another image into the figure of `subject_figure`."""
    mask = np.zeros((2, 2)) if subject.mask is None else subject.mask.astype(np.uint8)
    with figure.batch_update():
        figure.data[0].source = address(subject.picture)
        figure.data[1].update(z=subject.anomaly_map, zmin=colour_range[0], zmax=colour_range[1])
        figure.data[2].z = mask
        figure.layout.title = f"{subject.name}: score {subject.score:.2f}"


def frame_patch(figure: go.FigureWidget, bounds: tuple[float, float, float, float]) -> None:
    """Move the frame in the figure of `subject_figure` to a patch with (left, top, right, bottom)."""
    left, top, right, bottom = (value - 0.5 for value in bounds)  # pixels have their centres at whole numbers
    figure.layout.shapes[0].update(x0=left, x1=right, y0=top, y1=bottom)


def patch_bounds(place: tuple[int, int], grid: tuple[int, int], size: tuple[int, int]) -> tuple[float, ...]:
    """Left, top, right and bottom of a patch, in pixels of an image of `size` (H, W)."""
    (row, column), height, width = place, size[0] / grid[0], size[1] / grid[1]
    return column * width, row * height, (column + 1) * width, (row + 1) * height


def cut_out(picture: NDArray, place: tuple[int, int], grid: tuple[int, int]) -> str:
    """A patch with its surroundings, framed, as an address for `gallery`; near the border it is off the middle."""
    height, width = picture.shape[:2]
    left, top, right, bottom = patch_bounds(place, grid, (height, width))
    x0, x1 = _window(left, right, width)
    y0, y1 = _window(top, bottom, height)
    scale = CUT_OUT / max(x1 - x0, y1 - y0)
    shown = _image(picture[y0:y1, x0:x1]).resize(
        (round(scale * (x1 - x0)), round(scale * (y1 - y0))), Image.Resampling.BICUBIC
    )
    corners = [scale * value for value in (left - x0, top - y0, right - x0, bottom - y0)]
    ImageDraw.Draw(shown).rectangle(corners, outline=PATCH_COLOUR, width=2)
    return _address(shown)


def thumbnail(picture: NDArray, anomaly_map: NDArray, colour_range: tuple[float, float]) -> str:
    """An image in which the hot part of its map glows, as an address for `gallery`."""
    low, high = colour_range
    heat = np.clip((anomaly_map - low) / max(high - low, 1e-9), 0, 1)[..., None] ** 2
    glow = np.array([1.0, 0.25, 0.1])
    return _address(_image(picture * (1 - 0.75 * heat) + 0.75 * heat * glow).resize((THUMBNAIL, THUMBNAIL)))


def reweighting_figure() -> go.FigureWidget:
    """Bars for the terms of Eq. 7."""
    figure = Figure(
        data=[go.Bar(marker={"color": [NOMINAL_COLOUR]}, hovertemplate="%{x}: %{y:.1%} of the sum<extra></extra>")],
        layout={**PLAIN, "width": 430, "height": 230, "yaxis": {"tickformat": ".0%", "range": [0, 1]}},
    )
    _plain_buttons(figure)
    return figure


def show_reweighting(figure: go.FigureWidget, terms: Reweighting) -> None:
    """Draw the share that each neighbour of m* has in the sum."""
    names = [f"m{'*' if number == 0 else f' {number}'}<br>{d:.2f}" for number, d in enumerate(terms.distances)]
    with figure.batch_update():
        figure.data[0].update(x=names, y=terms.shares, marker={"color": [ANOMALOUS_COLOUR] + [GREY] * len(names)})
        figure.layout.title = "share of exp(distance) in the sum of Eq. 7"


# Thresholds


def histogram_figure() -> go.FigureWidget:
    """Histograms of the image scores and a threshold that can be dragged."""
    figure = Figure(
        data=[
            go.Histogram(name=name, marker={"color": colour}, opacity=0.65, bingroup="scores", nbinsx=40)
            for name, colour in (("nominal", NOMINAL_COLOUR), ("anomalous", ANOMALOUS_COLOUR))
        ],
        layout={
            **PLAIN,
            "barmode": "overlay",
            "width": 620,
            "height": 280,
            "xaxis": {"title": "image score"},
            "yaxis": {"title": "images"},
            "legend": {"orientation": "h", "y": 1.12},
            "dragmode": False,
            "shapes": [
                {
                    "type": "line",
                    **{"x0": 0, "x1": 0, "y0": 0, "y1": 1, "yref": "paper"},
                    "line": {"width": 4, "color": "#222", "dash": "dash"},
                }
            ],
        },
    )
    figure._config = {"edits": {"shapePosition": True}, "displayModeBar": False}  # makes the line draggable
    return figure


def show_histogram(figure: go.FigureWidget, scores: Scores) -> None:
    """Draw the scores of another test set."""
    with figure.batch_update():
        figure.data[0].x, figure.data[1].x = scores.nominal, scores.anomalous


def move_threshold(figure: go.FigureWidget, threshold: float) -> None:
    """Put the line of `histogram_figure` at a threshold, upright and from bottom to top."""
    figure.layout.shapes[0].update(x0=threshold, x1=threshold, y0=0, y1=1)


def curves_figure() -> go.FigureWidget:
    """The ROC curve with the chosen threshold on it, and the PRO curve beside it."""
    figure = Figure(
        data=[
            go.Scatter(mode="lines", line={"color": NOMINAL_COLOUR}, name="ROC", showlegend=False),
            go.Scatter(mode="markers", marker={"color": ANOMALOUS_COLOUR, "size": 11}, showlegend=False),
            go.Scatter(mode="lines", line={"color": NOMINAL_COLOUR}, xaxis="x2", yaxis="y2", showlegend=False),
        ],
        layout={
            **PLAIN,
            "width": 760,
            "height": 330,
            "xaxis": {"domain": [0, 0.44], "title": "nominal images called anomalous", "range": [-0.02, 1.02]},
            "yaxis": {"title": "anomalous images found", "range": [-0.02, 1.02]},
            "xaxis2": {"domain": [0.56, 1], "title": "nominal pixels called anomalous", "anchor": "y2"},
            "yaxis2": {"title": "mean overlap of regions", "anchor": "x2", "range": [-0.02, 1.02]},
        },
    )
    _plain_buttons(figure)
    return figure


def confusion_table(counts: Confusion, threshold: float) -> str:
    """The confusion counts as a table."""
    rows = (("anomalous", counts.found, counts.missed), ("nominal", counts.false_alarms, counts.passed))
    body = "".join(
        f"<tr><th scope='row' style='text-align:left'>{name}</th><td>{called}</td><td>{not_called}</td></tr>"
        for name, called, not_called in rows
    )
    return (
        f"<p>Called anomalous: images that score <b>{threshold:.3g}</b> or more.</p>"
        "<table style='border-spacing:14px 3px;text-align:right'><tr><th></th><th scope='col'>called anomalous</th>"
        f"<th scope='col'>called nominal</th></tr>{body}</table>"
        f"<p><b>{counts.missed} missed, {counts.false_alarms} false alarms.</b></p>"
    )


# Texts and galleries


def gallery(pictures: Sequence[Picture], *, empty: str = "Nothing to show.") -> str:
    """Pictures in a row that wraps, each with a caption and an alternative text."""
    if not pictures:
        return f"<p>{html.escape(empty)}</p>"
    items = "".join(
        "<figure style='margin:0 10px 10px 0;text-align:center'>"
        f"<img src='{source}' alt='{html.escape(text, quote=True)}'>"
        f"<figcaption style='font-size:12px;line-height:1.3;max-width:{CUT_OUT + 20}px'>"
        f"{html.escape(caption).replace(chr(10), '<br>')}</figcaption></figure>"
        for source, caption, text in pictures
    )
    return f"<div style='display:flex;flex-wrap:wrap'>{items}</div>"


def message(text: object) -> str:
    """What went wrong and what helps, as the program says it."""
    lines = re.sub("`([^`]*)`", r"<code>\1</code>", html.escape(str(text))).replace("\n", "<br>")
    return (
        "<div role='alert' style='border-left:4px solid #d9622b;padding:6px 12px;background:#fff4ec;color:#222;"
        f"line-height:1.5'>{lines}</div>"
    )


def address(picture: NDArray) -> str:
    """An image (H, W, 3) with values in [0, 1] as a data address."""
    return _address(_image(picture))


def _image(picture: NDArray) -> Image.Image:
    return Image.fromarray((np.clip(picture, 0, 1) * 255).round().astype(np.uint8))


def _address(image: Image.Image) -> str:
    buffer = BytesIO()
    image.save(buffer, format="png", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _window(start: float, stop: float, length: int) -> tuple[int, int]:
    """Pixels of one axis that show a patch from `start` to `stop` with its surroundings, as many wherever it lies."""
    side = min(length, round((2 * SURROUNDINGS + 1) * (stop - start)))
    first = min(max(0, round((start + stop - side) / 2)), length - side)
    return first, first + side


def _frame() -> dict[str, object]:
    return {"type": "rect", "x0": 0, "x1": 0, "y0": 0, "y1": 0, "line": {"color": PATCH_COLOUR, "width": 3}}


def _plain_buttons(figure: go.FigureWidget) -> None:
    figure._config = {"displayModeBar": False}
