"""Panels in which a model is fitted, a threshold is chosen, and images are judged."""

import math
from collections.abc import Callable
from dataclasses import replace

import ipywidgets as widgets
import numpy as np

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.images import mask_array, read_mask
from patchcore_suite.datasets.records import Entry
from patchcore_suite.explore import own_views, views
from patchcore_suite.explore.anomalies import Scores
from patchcore_suite.explore.background import Background
from patchcore_suite.explore.categories import Subject
from patchcore_suite.explore.choosers import HIDDEN, SHOWN, WIDE
from patchcore_suite.explore.own_state import OwnState
from patchcore_suite.explore.panel_group import PanelGroup
from patchcore_suite.parts.fitting import fit_described
from patchcore_suite.parts.following import Follow
from patchcore_suite.parts.model import Judgement, refuse_failed
from patchcore_suite.parts.thresholds import Threshold, cost_threshold, f1_threshold, false_alarm_threshold

RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
FALSE_ALARMS, F1, COST, BY_HAND = "rate of false alarms", "best F1 score", "least cost", "by hand"
SHOWN_DIGITS = 1e-5  # relative, of a threshold
STEPS = 500  # between the ends of the scores
SHOWN_AT_ONCE = 6  # images of a gallery


class FitPanel:
    """Fits the model and judges the images to test with.

    Attributes:
        widget: to be shown.
        rows: patch features in the memory bank; 0 for 1 %, and 2,000 at least.
        run: fits it.

    Args:
        fitted: is called once there is another model.
    """

    def __init__(self, state: OwnState, fitted: Callable[[], None]) -> None:
        self._state, self._fitted = state, fitted
        self.rows = widgets.BoundedIntText(
            0, min=0, max=1_000_000, step=500, description="bank rows", style=WIDE, layout={"width": "230px"}
        )
        note = widgets.HTML("0: one in a hundred of the patch features, and 2,000 at least")
        self.run = Background("fit the model", self._run, state.one_at_a_time)
        self.widget = widgets.VBox([widgets.HBox([self.rows, note]), self.run.widget], layout={"display": HIDDEN})
        state.on_photographs(self._show)

    def _show(self) -> None:
        self.widget.layout.display, self.run.said.value = SHOWN, ""

    def _run(self, follow: Follow) -> None:
        state = self._state
        good = state.good(2, "each is scored without its own patches, which chooses the threshold")
        described = state.described("good", good, follow)
        patches = described.features[..., 0].numel()
        fraction = min(1.0, (self.rows.value + 0.5) / patches) if self.rows.value else None
        follow("select what the memory bank keeps", 0, 1)
        model = fit_described(described, replace(state.options, coreset_fraction=fraction), bits=state.photographs.bits)
        tested, judged = state.unseen, []
        paths = [entry.record.image for entry in tested]
        for number, one in enumerate(model.judge_each(paths, show_progress=False)):
            follow("judge images", number, len(paths))
            judged.append(one)
        refuse_failed([one for one in judged if isinstance(one, InputError)])
        state.model, state.tested, state.threshold = model, tested, model.threshold
        state.judged = [one for one in judged if isinstance(one, Judgement)]
        self.run.said.value = own_views.fitted(model, len(judged))
        self._fitted()


class OwnThresholdPanel(PanelGroup):
    """From which score up a part is called anomalous.

    Attributes:
        widget: to be shown.
        rule: what chooses it.
        rate: of false alarms.
        miss: what a missed defect costs, in false alarms.
        level: the threshold itself.
        ends: between which the line can be dragged.

    Args:
        chosen: is called with each threshold.
    """

    def __init__(self, state: OwnState, chosen: Callable[[], None]) -> None:
        super().__init__()
        self._state, self._chosen = state, chosen
        self.scores: Scores | None = None
        self.ends = (0.0, 1.0)
        self.rule = widgets.Dropdown(options=(FALSE_ALARMS, BY_HAND), description="chosen by", style=WIDE)
        self.rate = widgets.SelectionSlider(
            options=[(f"{rate:.1%}", rate) for rate in RATES], value=0.01, description="false alarms", style=WIDE
        )
        self.miss = widgets.BoundedFloatText(10, min=0, max=1e6, description="cost of a miss", style=WIDE)
        # Not a slider, which would bring what a rule chose to its next step.
        self.level = widgets.FloatText(description="threshold", style=WIDE, layout={"width": "260px"})
        self.histogram = views.histogram_figure()
        self.counts, self.said = widgets.HTML(), widgets.HTML()
        rules = widgets.HBox([self.rule, self.rate, self.miss], layout={"flex_flow": "row wrap"})
        drawn = widgets.HBox([self.histogram, self.counts], layout={"flex_flow": "row wrap"})
        self.widget = widgets.VBox([rules, self.said, drawn, self.level], layout={"display": HIDDEN})
        self._panels = (self.widget,)
        for widget in (self.rule, self.rate, self.miss):
            widget.observe(lambda _: None if self._busy else self.choose(), names="value")
        self.level.observe(lambda _: None if self._busy else self._by_hand(), names="value")
        self.histogram.layout.on_change(self._drag, "shapes")
        state.on_photographs(self._hide)

    def open(self) -> None:
        """Show the scores of a model that was just fitted."""
        model, judged = self._state.model, self._state.judged
        labels = np.array([0] * len(model.nominal_scores) + [entry.record.label for entry in self._state.tested])
        scores = np.concatenate([model.nominal_scores, [one.score for one in judged]])
        self.scores = Scores(labels, scores)
        both = len({entry.record.label for entry in self._state.tested}) > 1
        low, high = float(scores.min()), float(scores.max())
        margin = 0.1 * (high - low) or 1.0
        self.ends = low - margin, high + margin
        with self._quietly():
            self.rule.options = (FALSE_ALARMS, F1, COST, BY_HAND) if both else (FALSE_ALARMS, BY_HAND)
            self.level.step = float(f"{(self.ends[1] - self.ends[0]) / STEPS:.1g}")
            views.show_histogram(self.histogram, self.scores)
        self.choose()
        self._show()

    def choose(self) -> None:
        """Let the rule choose."""
        if self.scores is not None and self.rule.value != BY_HAND:
            try:
                self._take(self._by_rule())
            except InputError as error:
                self.said.value = views.message(error)

    def _by_rule(self) -> Threshold:
        state = self._state
        if self.rule.value == FALSE_ALARMS:
            return false_alarm_threshold(state.model.nominal_scores, self.rate.value, seed=state.options.seed)
        labels = np.array([entry.record.label for entry in state.tested])
        scores = np.array([one.score for one in state.judged], dtype=np.float32)
        return (
            f1_threshold(labels, scores)
            if self.rule.value == F1
            else cost_threshold(labels, scores, miss=self.miss.value)
        )

    def _by_hand(self) -> None:
        # What differs by rounding is what a rule chose, as the browser says it again.
        if not math.isclose(self.level.value, self._state.threshold.value, rel_tol=SHOWN_DIGITS):
            with self._quietly():
                self.rule.value = BY_HAND
            self._take(Threshold(float(self.level.value), "chosen by hand"))

    def _take(self, threshold: Threshold) -> None:
        self._state.threshold = threshold
        tested = [entry.record.label for entry in self._state.tested]
        with self._quietly():
            self.level.value = float(f"{threshold.value:.6g}")
            views.move_threshold(self.histogram, threshold.value)
        self.said.value = own_views.threshold_said(threshold)
        of_tested = Scores(tested, [one.score for one in self._state.judged])
        self.counts.value = (
            own_views.counted(of_tested.confusion(threshold.value), threshold.value) if tested else own_views.UNTESTED
        )
        self._chosen()

    def _drag(self, _: object, shapes: tuple) -> None:
        if not self._busy:
            middle = (shapes[0].x0 + shapes[0].x1) / 2
            self.level.value = min(max(middle, self.ends[0]), self.ends[1])


class MapsPanel(PanelGroup):
    """Images that were judged, with their maps.

    Attributes:
        widget: to be shown.
        images: those to choose from, the most anomalous first.
    """

    def __init__(self, state: OwnState) -> None:
        super().__init__()
        self._state = state
        self.images = widgets.Dropdown(description="image", style=WIDE, layout={"width": "560px"})
        self.opacity = widgets.FloatSlider(0.45, min=0, max=1, step=0.05, description="map opacity", style=WIDE)
        self.figure = views.subject_figure()
        self.said, self.errors = widgets.HTML(layout={"width": "380px"}), widgets.HTML()
        above = widgets.HBox(
            [self.figure, widgets.VBox([self.images, self.opacity, self.said])], layout={"flex_flow": "row wrap"}
        )
        self.widget = widgets.VBox([above, self.errors], layout={"display": HIDDEN})
        self._panels = (self.widget,)
        self.images.observe(lambda _: None if self._busy else self._choose(), names="value")
        self.opacity.observe(lambda _: self.figure.data[1].update(opacity=self.opacity.value), names="value")
        self.figure.data[1].update(opacity=self.opacity.value, colorscale="Inferno")
        state.on_photographs(self._hide)

    def open(self) -> None:
        """Show the images of a model that was just fitted; of one without images to test with there are none."""
        state = self._state
        self._thumbnails: dict[int, str] = {}
        order = sorted(range(len(state.judged)), key=lambda number: -state.judged[number].score)
        self._range = own_views.map_range(state.model, state.judged)
        with self._quietly():
            self.images.options = [(self._title(number), number) for number in order]
            self.images.value = order[0] if order else None
        if order:
            self.judge()
            self._show()

    def judge(self) -> None:
        """Say what the threshold makes of all images."""
        if self._state.judged and hasattr(self, "_thumbnails"):
            self._choose()
            self._show_errors()

    def _title(self, number: int) -> str:
        entry: Entry = self._state.tested[number]
        return f"{entry.record.defect} {entry.record.image.stem}, score {self._state.judged[number].score:.3g}"

    def _choose(self) -> None:
        number, state = self.images.value, self._state
        if number is None:
            return
        judged, record = state.judged[number], state.tested[number].record
        mask = mask_array(read_mask(record), state.model.preprocessing) if record.mask is not None else None
        subject = Subject(
            name=f"{record.defect} {record.image.stem}",
            defect=record.defect,
            picture=judged.image,
            mask=mask,
            distances=judged.distances,
            indices=judged.indices,
            score=judged.score,
            anomaly_map=judged.map,
        )
        views.show_subject(self.figure, subject, self._range)
        views.frame_patch(
            self.figure, views.patch_bounds(own_views.worst(judged), judged.distances.shape, judged.map.shape)
        )
        self.said.value = own_views.verdict(judged, record, state.threshold, len(state.model.nominal_scores))

    def _show_errors(self) -> None:
        state = self._state
        scores = Scores([entry.record.label for entry in state.tested], [one.score for one in state.judged])
        parts = []
        for heading, numbers, wrong in (
            ("Defects, the most overlooked first", scores.most_overlooked, False),
            ("Good parts, the worst alarms first", scores.worst_alarms, True),
        ):
            shown = [self._picture(int(number), wrong) for number in numbers[:SHOWN_AT_ONCE]]
            parts.append(f"<h4>{heading}</h4>{views.gallery(shown, empty='There are none.')}")
        self.errors.value = "".join(parts)

    def _picture(self, number: int, wrong: bool) -> views.Picture:
        judged, title = self._state.judged[number], self._title(number)
        if number not in self._thumbnails:
            self._thumbnails[number] = views.thumbnail(judged.image, judged.map, self._range)
        called = judged.score >= self._state.threshold.value
        said = (
            ("FALSE ALARM" if wrong else "MISSED") if called == wrong else f"called {'anomalous' if called else 'good'}"
        )
        return self._thumbnails[number], f"{said}\n{title}", f"{title}, {said}"
