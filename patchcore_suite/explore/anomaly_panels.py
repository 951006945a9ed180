"""Panels to look into test images: which patch decides, what it is compared with, and what a threshold makes of it."""

import html
from collections.abc import Callable

import ipywidgets as widgets
import numpy as np
import torch
from torch import Tensor

from patchcore_core.neighbours import nearest
from patchcore_suite.explore import views
from patchcore_suite.explore.anomalies import reweighting, sources, worst_place
from patchcore_suite.explore.categories import Category, Subject, title
from patchcore_suite.explore.choosers import HIDDEN, SHOWN, WIDE, CategoryChooser
from patchcore_suite.explore.panel_group import PanelGroup
from patchcore_suite.explore.threshold_panels import ThresholdPanels
from patchcore_suite.settings.project import Project

UPLOADED = -1  # number of the uploaded image among those of the test set


class AnomalyExplorer(PanelGroup):
    """Panels that share one choice of category, image and patch. Each is a widget for a cell of its own.

    What cannot be opened is told by the chooser, with what to run; nothing is raised.

    Attributes:
        chooser: dataset, category, variant.
        picture: an image with its map, in which a click chooses a patch, and the nominal patches nearest to that.
        reweighted: what Eq. 7 makes of the score.
        thresholds: what a threshold makes of all images, in panels of its own.
        upload: an image of your own.

    Args:
        params: the project's.
        dataset, category, variant: what is opened first; None for the first that there is.
    """

    def __init__(
        self, project: Project, dataset: str, category: str | None = None, variant: str | None = None, image: int = 0
    ) -> None:
        self.category: Category | None = None
        self.subject: Subject | None = None
        self.place = (0, 0)
        self._first_image = image
        self._own: tuple[Subject, Tensor] | None = None  # an uploaded image and its patch features
        super().__init__()
        self.chooser = CategoryChooser(project, opened=self.show_category, closed=self._hide)
        self._build()
        self._connect()
        self.chooser.open(dataset, category, variant)

    def show_category(self, category: Category) -> None:
        """Look at a category that is open already."""
        self.category, self._own = category, None
        with self._quietly():
            self.thresholds.show(category)
            self.images.options = [(title(record), number) for number, record in enumerate(category.test)]
            self.images.value = min(self._first_image, len(category.test) - 1)
            self.rows.max, self.columns.max = (side - 1 for side in category.grid)
            self.count.max = min(9, len(category.result.coreset_indices))
        self._choose_image()
        self._show()

    # Building

    def _build(self) -> None:
        self.images = widgets.Dropdown(description="image", style=WIDE)
        self.miss = widgets.Button(description="worst miss", tooltip="the anomalous image with the lowest score")
        self.alarm = widgets.Button(description="worst false alarm", tooltip="the nominal image with the highest score")
        self.opacity = widgets.FloatSlider(0.45, min=0, max=1, step=0.05, description="map opacity", style=WIDE)
        self.scale = widgets.Dropdown(options=views.COLOUR_SCALES, description="colour scale", style=WIDE)
        self.outline = widgets.Checkbox(True, description="outline the ground truth", style=WIDE)
        self.rows = widgets.IntSlider(description="patch row", style=WIDE)
        self.columns = widgets.IntSlider(description="patch column", style=WIDE)
        self.farthest = widgets.Button(description="farthest patch", tooltip="the patch that decides about the image")
        self.why = widgets.HTML(layout={"width": "420px"})
        self.figure = views.subject_figure()
        controls = widgets.VBox(
            [
                self.images,
                widgets.HBox([self.miss, self.alarm]),
                self.opacity,
                self.scale,
                self.outline,
                self.rows,
                self.columns,
                self.farthest,
                self.why,
            ]
        )
        self.count = widgets.IntSlider(1, min=1, max=9, description="neighbours k", style=WIDE)
        self.found = widgets.HTML()
        above = widgets.HBox([self.figure, controls], layout={"flex_flow": "row wrap"})
        self.picture = widgets.VBox([above, self.count, self.found])

        self.terms = widgets.HTML()
        self.take_apart = widgets.Button(description="show the terms", tooltip="reads the training images once")
        self.bars = views.reweighting_figure()
        self._bars_box = widgets.VBox([self.bars], layout={"display": HIDDEN})
        self.reweighted = widgets.VBox([self.terms, self.take_apart, self._bars_box])

        self.thresholds = ThresholdPanels()
        self.file = widgets.FileUpload(accept="image/*", description="choose a file", multiple=False)
        self.verdict = widgets.HTML()
        self.upload = widgets.VBox([self.file, self.verdict])
        self._panels = (
            self.picture,
            self.reweighted,
            self.thresholds.choice,
            self.thresholds.errors,
            self.thresholds.curves,
            self.upload,
        )

    def _connect(self) -> None:
        self._on(self.images, self._choose_image)
        self._on(self.rows, lambda: self._choose_place((self.rows.value, self.columns.value)))
        self._on(self.columns, lambda: self._choose_place((self.rows.value, self.columns.value)))
        self._on(self.count, self._show_neighbours)
        self._on(self.opacity, lambda: self.figure.data[1].update(opacity=self.opacity.value))
        self._on(self.scale, lambda: self.figure.data[1].update(colorscale=self.scale.value))
        self._on(self.outline, lambda: self.figure.data[2].update(visible=self.outline.value))
        self._on(self.file, self._score_upload)
        self._on(self.thresholds.level, self._explain)
        self.miss.on_click(lambda _: self._go_to(self.category.scores.most_overlooked))
        self.alarm.on_click(lambda _: self._go_to(self.category.scores.worst_alarms))
        self.farthest.on_click(lambda _: self._choose_place(worst_place(self.subject.distances)))
        self.take_apart.on_click(lambda _: self._take_apart())
        self.figure.data[1].update(opacity=self.opacity.value, colorscale=self.scale.value)
        self.figure.data[1].on_click(self._click)

    def _on(self, widget: widgets.Widget, callback: Callable[[], object]) -> None:
        widget.observe(lambda _: None if self._busy else callback(), names="value")

    # Image and patch

    def _choose_image(self) -> None:
        with self.chooser.telling(self.why):
            number = self.images.value
            self.subject = self._own[0] if number == UPLOADED else self.category.subject(number)
            views.show_subject(self.figure, self.subject, self.category.map_range)
            self._choose_place(worst_place(self.subject.distances))
            self._show_reweighting()

    def _go_to(self, numbers: np.ndarray) -> None:
        if len(numbers):
            self.images.value = int(numbers[0])

    def _click(self, _: object, points: object, __: object) -> None:
        if points.xs:
            height, width = self.subject.picture.shape[:2]
            grid = self.subject.distances.shape
            self._choose_place((int(points.ys[0] * grid[0] / height), int(points.xs[0] * grid[1] / width)))

    def _choose_place(self, place: tuple[int, int]) -> None:
        grid = self.subject.distances.shape
        self.place = (min(place[0], grid[0] - 1), min(place[1], grid[1] - 1))
        with self._quietly():
            self.rows.value, self.columns.value = self.place
        views.frame_patch(self.figure, views.patch_bounds(self.place, grid, self.subject.picture.shape[:2]))
        self._explain()
        self._show_neighbours()

    def _explain(self) -> None:
        subject, scores = self.subject, self.category.scores
        row, column = worst_place(subject.distances)
        verdict, threshold = self.thresholds.verdict(subject.score), self.thresholds.level.value
        truth = {None: "nobody knows", "good": "nominal"}.get(subject.defect, f"anomalous ({subject.defect})")
        others = (
            f"{scores.rank(subject.score):.0%} of the nominal test images score less. " if len(scores.nominal) else ""
        )
        no_mask = "" if subject.mask is not None or subject.defect in (None, "good") else " It has no mask."
        self.why.value = (
            f"<p><b>Why this score?</b> The patch in row {row}, column {column} is the farthest from all that the "
            f"memory bank knows: {subject.distances.max():.2f}. It alone makes the score {subject.score:.2f}. "
            f"{others}At the threshold {threshold:.3g} the image is called <b>{verdict}</b>; in truth it is "
            f"{html.escape(truth)}.{no_mask}</p>"
        )

    # Neighbours and Eq. 7

    def _show_neighbours(self) -> None:
        with self.chooser.telling(self.found):
            category, subject, k = self.category, self.subject, self.count.value
            if k == 1:
                distances, rows = [float(subject.distances[self.place])], [int(subject.indices[self.place])]
            else:
                found = nearest(self._patch(self.place)[None], category.model(self.chooser.report).memory_bank, k=k)
                distances, rows = (part[0].tolist() for part in found)
            shown = [
                (
                    views.cut_out(subject.picture, self.place, subject.distances.shape),
                    f"this patch\nrow {self.place[0]}, column {self.place[1]}",
                    "the chosen patch of the test image, framed",
                )
            ]
            places = sources(rows, category.result.coreset_indices, category.grid)
            for number, (distance, place) in enumerate(zip(distances, places, strict=True), start=1):
                picture = category.picture("train", place.image)
                caption = f"{number}. distance {distance:.2f}\n{title(category.train[place.image])}"
                shown.append(
                    (
                        views.cut_out(picture, (place.row, place.column), category.grid),
                        f"{caption}\nrow {place.row}, column {place.column}",
                        f"nominal patch number {number}, framed, at distance {distance:.2f}",
                    )
                )
            self.found.value = views.gallery(shown)

    def _patch(self, place: tuple[int, int]) -> Tensor:
        """(d,) features of a patch of the image that is shown."""
        number = self.images.value
        features = self._own[1] if number == UPLOADED else self.category.test_features(number)
        return features[place]

    def _show_reweighting(self) -> None:
        """What the results say of Eq. 7; the terms of it wait for a click, or for features that are there already."""
        if self.images.value == UPLOADED or self.category.has_features:
            self._take_apart()
            return
        with self._quietly():
            self._bars_box.layout.display = HIDDEN
            self.take_apart.layout.display = SHOWN
        reweighted = self.category.result.reweighted_scores
        raw = float(self.subject.distances.max())
        if reweighted is not None:
            score = float(reweighted[self.images.value])
            self.terms.value = _equation(raw, score / raw if raw else 1.0, score)

    def _take_apart(self) -> None:
        with self.chooser.telling(self.terms):
            bank = self.category.model(self.chooser.report).memory_bank
            place = worst_place(self.subject.distances)
            row = int(self.subject.indices[place])
            terms = reweighting(self._patch(place), row, bank, neighbours=self.category.config.reweight_neighbours)
            self.terms.value = _equation(terms.raw_score, terms.weight, terms.score)
            views.show_reweighting(self.bars, terms)
            self.take_apart.layout.display, self._bars_box.layout.display = HIDDEN, None

    # Upload

    def _score_upload(self) -> None:
        if not self.file.value:
            return
        given = self.file.value[0]
        self.verdict.value = "scoring ..."
        with self.chooser.telling(self.verdict), torch.inference_mode():
            self._own = self.category.uploaded(given["name"], bytes(given["content"]), self.chooser.report)
            subject = self._own[0]
            with self._quietly():
                others = [option for option in self.images.options if option[1] != UPLOADED]
                self.images.options = [(f"your image: {subject.name}", UPLOADED), *others]
                self.images.value = UPLOADED
            self._choose_image()
            called = self.thresholds.verdict(subject.score)
            self.verdict.value = (
                f"<p><b>{html.escape(subject.name)}</b> scores {subject.score:.2f}: called <b>{called}</b> at the "
                f"threshold {self.thresholds.level.value:.3g}. It is shown in the panels above.</p>"
            )


def _equation(raw: float, weight: float, score: float) -> str:
    return f"<p>s* = {raw:.3f}, weight = {weight:.3f}, s = {weight:.3f} × {raw:.3f} = <b>{score:.3f}</b></p>"
