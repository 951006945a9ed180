"""Panels in which a threshold is moved: how many images it gets wrong, which ones, and where it lies on the curves."""

import ipywidgets as widgets
import numpy as np

from patchcore_core.common.errors import InputError
from patchcore_suite.explore import views
from patchcore_suite.explore.anomalies import pro_curve
from patchcore_suite.explore.categories import Category, title
from patchcore_suite.metrics.decisions import f1_optimum

SHOWN = 6  # images of each kind in the gallery of errors
STEPS = 500  # of the slider


class ThresholdPanels:
    """Panels that share one threshold. Each is a widget for a cell of its own.

    Attributes:
        level: the slider.
        choice: histogram with a line that can be dragged, the slider, and the confusion counts.
        errors: the worst misses and false alarms.
        curves: ROC, with the threshold on it, and PRO.
    """

    def __init__(self) -> None:
        self.category: Category | None = None
        self._thumbnails: dict[int, str] = {}
        self._line_moves = False  # while the slider moves the line, the line does not move the slider
        self.histogram = views.histogram_figure()
        self.level = widgets.FloatSlider(
            description="threshold",
            readout_format=".3g",
            layout={"width": "600px"},
            style={"description_width": "70px"},
        )
        self.counts = widgets.HTML()
        self.choice = widgets.HBox(
            [widgets.VBox([self.histogram, self.level]), self.counts], layout={"flex_flow": "row wrap"}
        )
        self.errors = widgets.HTML()
        self.curve_figure = views.curves_figure()
        self.curve_note = widgets.HTML()
        self.curves = widgets.VBox([self.curve_figure, self.curve_note])
        self.level.observe(lambda _: self._move(), names="value")
        self.histogram.layout.on_change(self._drag, "shapes")

    def show(self, category: Category) -> None:
        """Look at another category, at its F1-optimal threshold."""
        self.category = None  # the slider's ends move its value, which means nothing yet
        self._thumbnails.clear()
        low, high = float(category.result.scores.min()), float(category.result.scores.max())
        margin = 0.05 * (high - low) or 1.0
        self.level.max = max(self.level.max, high + margin)  # the ends must not pass each other
        self.level.min, self.level.max = low - margin, high + margin
        self.level.step = (high - low + 2 * margin) / STEPS
        self.level.value = _first_threshold(category)
        self.category = category
        views.show_histogram(self.histogram, category.scores)
        self._draw_curves()
        self._move()

    def verdict(self, score: float) -> str:
        """What an image with this score is called."""
        return "anomalous" if score >= self.level.value else "nominal"

    def _drag(self, _: object, shapes: tuple) -> None:
        if self._line_moves:
            return
        middle = (shapes[0].x0 + shapes[0].x1) / 2
        inside = min(max(middle, self.level.min), self.level.max)
        if abs(inside - self.level.value) > self.level.step / 2:
            self.level.value = inside
        else:
            self._move_line()  # upright again, where it was dragged upwards only

    def _move(self) -> None:
        if self.category is None:
            return
        scores, value = self.category.scores, self.level.value
        self._move_line()
        self.counts.value = views.confusion_table(scores.confusion(value), value)
        false, true = scores.rates(value)
        self.curve_figure.data[1].update(x=[false], y=[true])
        self._show_errors()

    def _move_line(self) -> None:
        self._line_moves = True
        views.move_threshold(self.histogram, self.level.value)
        self._line_moves = False

    def _show_errors(self) -> None:
        scores = self.category.scores
        kinds = (
            ("Anomalous, the most overlooked first", scores.most_overlooked, "MISSED", "nominal"),
            ("Nominal, the worst alarms first", scores.worst_alarms, "FALSE ALARM", "anomalous"),
        )
        parts = []
        for heading, numbers, mistake, wrong in kinds:
            shown = []
            for number in map(int, numbers[:SHOWN]):
                score, name = scores.scores[number], title(self.category.test[number])
                said = mistake if self.verdict(score) == wrong else f"called {self.verdict(score)}"
                shown.append((self._thumbnail(number), f"{said}\n{name}\nscore {score:.2f}", f"{name}, {said}"))
            parts.append(f"<h4>{heading}</h4>{views.gallery(shown, empty='There are none.')}")
        self.errors.value = "".join(parts)

    def _thumbnail(self, number: int) -> str:
        if number not in self._thumbnails:
            subject = self.category.subject(number)
            self._thumbnails[number] = views.thumbnail(subject.picture, subject.anomaly_map, self.category.map_range)
        return self._thumbnails[number]

    def _draw_curves(self) -> None:
        category, (roc, _, overlap) = self.category, self.curve_figure.data
        notes = []
        for trace, points in (
            (roc, category.scores.roc),
            (overlap, lambda: pro_curve(category.all_masks(), category.maps)),
        ):
            try:
                trace.x, trace.y = points()
            except InputError as error:
                trace.x = trace.y = []
                notes.append(views.message(error))
        self.curve_note.value = "".join(notes)


def _first_threshold(category: Category) -> float:
    """With the best F1 score, halfway to the next lower score; the median score where a class is absent.

    At the optimal score itself the slider, which knows steps only, would put that image on either side.
    """
    scores = category.scores.scores
    try:
        best = f1_optimum(category.scores.labels, scores).threshold
    except ValueError:
        return float(np.median(scores))
    return (best + scores[scores < best].max(initial=category.scores.scores.min())) / 2
