"""Your own parts as a section of the report: what was chosen, what it is worth, and some maps."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from patchcore_suite import figures
from patchcore_suite.datasets.images import mask_array, read_mask
from patchcore_suite.datasets.records import Entry
from patchcore_suite.explore.own_state import OwnState
from patchcore_suite.figures import own_parts
from patchcore_suite.parts.few_images import FewImages
from patchcore_suite.parts.frontier import Choice
from patchcore_suite.parts.model import Judgement, PartsModel
from patchcore_suite.results.quantities import Cell, Interval, Quantity, share
from patchcore_suite.results.section import Picture, Section
from patchcore_suite.results.table import Heading, Table

NOTEBOOK, ORDER = "bring_your_own", 300  # below all datasets
EACH = 4  # images of a kind in the sheet of maps


def section_of(state: OwnState, model: PartsModel) -> Section:
    """What the report shows of a model that is ready to be saved; what was not computed is left out.

    Its files lie with those that differ from run to run: no stage makes them, and DVC does not watch them.
    """
    name = state.photographs.root.resolve().name
    tables = {"own_model": _model_table(model, name)}
    pictures = {}
    if state.curve:
        tables["own_few_images"] = _few_images_table(state.curve, name)
        pictures["own_few_images"] = _few_images_picture(state.curve)
    if state.choices:
        tables["own_frontier"] = _frontier_table(state.choices, name)
        if not any(math.isnan(one.auroc) for one in state.choices):
            pictures["own_frontier"] = _frontier_picture(state.choices)
    if state.judged:
        pictures["own_maps"] = _maps(state.tested, state.judged, model)
    return Section(NOTEBOOK, Heading("Your parts", name), ORDER, tables, pictures, measured=True)


def _model_table(model: PartsModel, name: str) -> Table:
    bank = model.detector.memory_bank
    rows: list[tuple[str, Cell]] = [
        ("backbone", model.detector.config.backbone),
        ("good images", _count(len(model.sources))),
        ("height, width", f"{model.size[0]} x {model.size[1]} pixels"),
        ("rows of the memory bank", _count(len(bank))),
        ("threshold", Quantity(model.threshold.value, form=".4g", note=model.threshold.rule)),
    ]
    rows += [(what, _of_test(what, value)) for what, value in model.tested.items()]
    caption = f"The model of {name}, and what it is worth on images that it was not fitted to."
    return _table(f"The model of {name}", caption, ("of the model", "value"), rows)


def _few_images_table(curve: Sequence[FewImages], name: str) -> Table:
    rows = [
        (
            _count(one.images),
            _count(one.draws),
            Quantity(one.threshold, form=".4g"),
            share(one.promised),
            share(one.alarms),
            Interval(one.alarms_low, one.alarms_high),
            share(one.auroc),
            Interval(one.auroc_low, one.auroc_high),
            share(one.missed),
        )
        for one in curve
    ]
    heads = ("good images", "models", "threshold", "false alarms promised, %", "false alarms seen, %", "95 % interval")
    caption = (
        "Means over models. False alarms on good images that no model saw, with the interval of Clopper and Pearson; "
        "AUROC with a bootstrap interval over test images."
    )
    return _table(
        f"How many good images of {name}", caption, (*heads, "image AUROC, %", "its 95 % interval", "missed, %"), rows
    )


def _frontier_table(choices: Sequence[Choice], name: str) -> Table:
    rows = [
        (
            _count(one.side),
            _count(one.rows),
            Quantity(1000 * one.seconds, unit="ms", form=".0f"),
            share(one.auroc),
            Interval(one.low, one.high),
            "none" if one.best else "another" if not math.isnan(one.auroc) else "-",
        )
        for one in choices
    ]
    heads = ("shorter side", "rows of the bank", "an image", "image AUROC, %", "95 % interval", "beaten by")
    caption = "Times from file to map, one image after another on this machine: medians of some images."
    return _table(f"Image size and memory bank for {name}", caption, heads, rows)


def _few_images_picture(curve: Sequence[FewImages]) -> Picture:
    alarms = np.array([(one.alarms, one.alarms_low, one.alarms_high) for one in curve])
    auroc = np.array([(one.auroc, one.auroc_low, one.auroc_high) for one in curve])
    drawn = own_parts.few_images([one.images for one in curve], alarms, [one.promised for one in curve], auroc)
    return Picture(drawn, "False alarms on held-out good images and image AUROC over the number of good images")


def _frontier_picture(choices: Sequence[Choice]) -> Picture:
    drawn = own_parts.frontier(
        np.array([1000 * one.seconds for one in choices]),
        np.array([(one.auroc, one.low, one.high) for one in choices]),
        np.array([one.best for one in choices]),
        [f"{one.side} px, {one.rows} rows" for one in choices],
    )
    return Picture(drawn, "Image AUROC over milliseconds an image, for image sizes and sizes of the memory bank")


def _maps(tested: Sequence[Entry], judged: Sequence[Judgement], model: PartsModel) -> Picture:
    """The highest scores of each kind of defect and of the good images, one pair of rows a kind."""
    kinds: dict[str, list] = {}
    for number in sorted(range(len(judged)), key=lambda number: -judged[number].score):
        record, one = tested[number].record, judged[number]
        mask = mask_array(read_mask(record), model.preprocessing) if record.mask is not None else None
        of_kind = kinds.setdefault(record.defect, [])
        if len(of_kind) < EACH:
            of_kind.append((f"{record.image.stem}, {one.score:.3g}", one.image, mask, one.map))
    return Picture(
        figures.anomaly_sheet(kinds), "Images with the highest scores of each kind, and their anomaly maps below"
    )


def _table(title: str, caption: str, heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Table:
    return Table(title, caption, False, pd.DataFrame(rows, columns=list(heads), dtype=object))


def _count(number: int) -> Quantity:
    return Quantity(number, form="d")


def _of_test(what: str, value: float) -> Quantity:
    """A number of a test: images are counted, all else are shares."""
    counted = "AUROC" not in what and "PRO" not in what
    return Quantity(value, form=".0f") if counted else Quantity(value, unit="%", note="%")
