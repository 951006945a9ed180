"""What the panels of `bring_your_own` show: tables and sentences in HTML."""

import html
import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import Record
from patchcore_suite.explore import views
from patchcore_suite.explore.anomalies import Confusion
from patchcore_suite.parts.data_check import Cut, DataCheck
from patchcore_suite.parts.few_images import FewImages
from patchcore_suite.parts.frontier import Choice
from patchcore_suite.parts.model import Judgement, PartsModel
from patchcore_suite.parts.thresholds import Threshold

MOST_LISTED = 12  # files of a list
PREVIEW = 320  # pixels of the picture that shows a crop
UNTESTED = "<p>There are no images to test with: the threshold rests on the good ones alone.</p>"


# The data


def checked(check: DataCheck) -> str:
    """What of a folder is used, what is not and why, and what is there twice."""
    sizes = ", ".join(f"{number} of {height} x {width}" for (height, width), number in _most_first(check.sizes))
    rows = [*((use, str(number)) for use, number in check.used.items()), ("defects with a mask", str(check.masks))]
    parts = [table(("images", "number"), rows), f"<p>Sizes (height x width): {sizes}.</p>"]
    parts.append(_files("Not used", [f"{path}: {why}" for path, why in check.unused.items()]))
    parts.append(_files("There more than once", [" = ".join(paths) for paths in check.alike]))
    parts += [f"<p>Note: {html.escape(remark)}.</p>" for remark in check.remarks]
    return "".join(parts)


def prepared(image: Image.Image, preprocessing: Preprocessing, cut: Cut, sizes: set[tuple[int, int]]) -> str:
    """What the network sees of an image, framed in it, and what a crop cuts away."""
    size = preprocessing.resized((image.height, image.width))
    kept = preprocessing.size((image.height, image.width))
    scale = PREVIEW / max(size)
    shown = image.resize((round(scale * size[1]), round(scale * size[0])))
    top, left = (scale * (whole - part) / 2 for whole, part in zip(size, kept, strict=True))
    frame = [left, top, left + scale * kept[1] - 1, top + scale * kept[0] - 1]
    ImageDraw.Draw(shown).rectangle(frame, outline=views.PATCH_COLOUR, width=3)
    said = [f"<p>The network sees images of {_sizes(sizes)} pixels (height x width): what is in the frame.</p>"]
    if len(sizes) > 1:
        said.append(views.message("Images come out at several sizes. Remedy: make all square, or crop them."))
    if cut.kept < 1:
        said.append(f"<p>The crop keeps {cut.kept:.0%} of an image.</p>")
    if cut.defects:
        listed = [f"{path}: {lost:.0%} of its defect" for path, lost in _most_first(cut.defects)]
        said.append(views.message(f"The crop cuts defects away, of {len(cut.defects)} images."))
        said.append(_files("Cut away", listed))
    picture = views.gallery([(views.address(np.asarray(shown) / 255), "the first image", "the first image, framed")])
    return f"<div style='display:flex;flex-wrap:wrap;gap:16px'>{picture}<div>{''.join(said)}</div></div>"


# How many images, and how large


def few_images_table(curve: Sequence[FewImages]) -> str:
    """The same as numbers."""
    rows = [
        (
            str(one.images),
            str(one.draws),
            f"{one.threshold:.4g}",
            f"{one.promised:.1%}",
            f"{one.alarms:.1%} ({one.alarms_low:.1%} to {one.alarms_high:.1%})",
            _interval(one.auroc, one.auroc_low, one.auroc_high),
            "-" if math.isnan(one.missed) else f"{one.missed:.1%}",
        )
        for one in curve
    ]
    heads = ("good images", "models", "threshold", "promised", "false alarms seen", "image AUROC", "defects missed")
    return table(heads, rows)


def enough_images(found: FewImages | None, most: FewImages, rate: float) -> str:
    """How many good images do, in words."""
    promise = math.ceil(1 / rate) - 1
    said = f"<p>A rate of false alarms of {rate:.1%} can be promised from <b>{promise} good images</b> on. "
    if found is None:
        return said + "What is found of defects cannot be told: there are no defective images.</p>"
    return (
        f"{said}What is found: <b>{found.images} images</b> do as well as {most.images}, as far as these test images "
        f"can tell (image AUROC {found.auroc:.1%}; of {most.images} images the interval begins at "
        f"{most.auroc_low:.1%}).</p>"
    )


def frontier_table(choices: Sequence[Choice]) -> str:
    """The same as numbers."""
    rows = [
        (
            str(one.side),
            str(one.rows),
            f"{1000 * one.seconds:.0f} ms",
            _interval(one.auroc, one.low, one.high),
            "beaten by none" if one.best else "",
        )
        for one in choices
    ]
    said = (
        ""
        if any(one.best for one in choices)
        else "<p>Without good and defective images to test with, only times are known.</p>"
    )
    return table(("shorter side", "rows of the bank", "an image", "image AUROC", ""), rows) + said


def choice_name(choice: Choice) -> str:
    """A choice in a line."""
    accuracy = "" if math.isnan(choice.auroc) else f", image AUROC {choice.auroc:.1%}"
    return f"{choice.side} pixels, {choice.rows} rows: {1000 * choice.seconds:.0f} ms{accuracy}"


# The model


def fitted(model: PartsModel, judged: int) -> str:
    """What was fitted, in words."""
    kept = len(model.detector.memory_bank)
    return (
        f"<p>Fitted to {len(model.sources)} good images of {_sizes({model.size})} pixels; the memory bank keeps {kept} "
        f"of {model.patches} patch features. {judged} other images are judged.</p>"
    )


def threshold_said(threshold: Threshold) -> str:
    """A threshold and why it is this one."""
    interval = "" if threshold.low is None else f"; 95 % interval {threshold.low:.4g} to {threshold.high:.4g}"
    return f"<p>Threshold <b>{threshold.value:.4g}</b>: {html.escape(threshold.rule)}{interval}.</p>"


def counted(counts: Confusion, threshold: float) -> str:
    """What a threshold makes of the images that the model was tested with."""
    return f"<p>Of the images to test with:</p>{views.confusion_table(counts, threshold)}"


def verdict(judged: Judgement, record: Record, threshold: Threshold, good: int) -> str:
    """What is said of an image, and why."""
    called = "ANOMALOUS" if judged.score >= threshold.value else "good"
    row, column = worst(judged)
    return (
        f"<p><b>{called}</b>: score {judged.score:.4g}, threshold {threshold.value:.4g}. In truth it is "
        f"<b>{html.escape(record.defect)}</b>.</p><p>It scores higher than {judged.share:.1%} of the {good} good "
        f"images that the model was fitted to. The patch in row {row}, column {column}, framed in blue, decides.</p>"
    )


def worst(judged: Judgement) -> tuple[int, int]:
    """Row and column of the patch that decides about an image."""
    row, column = np.unravel_index(int(judged.distances.argmax()), judged.distances.shape)
    return int(row), int(column)


def map_range(model: PartsModel, judged: Sequence[Judgement]) -> tuple[float, float]:
    """Where the colours of maps begin and end, for all images of a model."""
    low = min((float(np.percentile(one.map, 2)) for one in judged), default=0.0)
    return low, max(float(model.nominal_scores.max()), model.threshold.value)


# Small things


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Text as a table."""
    head = "".join(f"<th scope='col' style='text-align:left'>{html.escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table style='border-spacing:18px 3px'><tr>{head}</tr>{body}</table>"


def _files(heading: str, lines: Sequence[str]) -> str:
    """A list that does not fill the page."""
    if not lines:
        return f"<p>{heading}: nothing.</p>"
    listed = "".join(f"<li>{html.escape(line)}</li>" for line in lines[:MOST_LISTED])
    more = f"<li>and {len(lines) - MOST_LISTED} more</li>" * (len(lines) > MOST_LISTED)
    return f"<p>{heading} ({len(lines)}):</p><ul style='margin:0'>{listed}{more}</ul>"


def _most_first(numbers: Mapping) -> list[tuple]:
    return sorted(numbers.items(), key=lambda item: -item[1])


def _sizes(sizes: set[tuple[int, int]]) -> str:
    return ", ".join(f"{height} x {width}" for height, width in sorted(sizes))


def _interval(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.1%}" + ("" if math.isnan(low) else f" ({low:.1%} to {high:.1%})")
