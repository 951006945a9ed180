"""Panels to look into coresets: picks in the plane one by one, and the memory bank of a category."""

import ipywidgets as widgets
import numpy as np
import torch
from numpy.typing import NDArray

from patchcore_core.coreset import coreset_size, random_coreset
from patchcore_core.detector import generator
from patchcore_suite.datasets.synthetic import plane_points
from patchcore_suite.explore import coreset_views, views
from patchcore_suite.explore.available import is_coreset
from patchcore_suite.explore.categories import Category, title
from patchcore_suite.explore.choosers import WIDE, CategoryChooser
from patchcore_suite.explore.coresets import (
    EMBEDDINGS,
    ToyPicks,
    coverage,
    drawn_rows,
    embedding,
    forgotten,
    pick_density,
    picks_on_image,
    steps_to,
    uses,
)
from patchcore_suite.explore.panel_group import PanelGroup
from patchcore_suite.settings.project import Project

FRACTIONS = (0.005, 0.01, 0.02, 0.05, 0.1)  # of the points in the plane
FIRST_STEP = 10
MOST_COMPARED = 500  # picks for which radii are computed, for time
MOST_DRAWN = 3000  # patches of a bank that are drawn besides the picks
MOST_FORGOTTEN = 6


class ToyPanels:
    """Figure 3 of the paper with the hand on the slider. Each attribute is a widget for a cell of its own.

    Attributes:
        live: distribution, sampler, fraction, seed and step, which can be played, and the sampler at work.
        comparison: the three samplers beside each other.
        radii: how the covering radius falls.

    Args:
        points: how many points there are.
    """

    def __init__(self, *, points: int = 2000, fraction: float = 0.02, seed: int = 0) -> None:
        self._points = points
        self.distribution = widgets.Dropdown(
            options=list(plane_points.distributions(1, seed=0)), description="distribution", style=WIDE
        )
        self.sampler = widgets.Dropdown(options=ToyPicks.SAMPLERS, description="sampler", style=WIDE)
        fractions = sorted({*FRACTIONS, fraction})
        self.fraction = widgets.SelectionSlider(
            options=[(f"{value:.1%}", value) for value in fractions], value=fraction, description="fraction", style=WIDE
        )
        self.seed = widgets.BoundedIntText(seed, min=0, max=999, description="seed", style=WIDE)
        self.step = widgets.IntSlider(
            FIRST_STEP, min=1, description="kept points", style=WIDE, layout={"width": "480px"}
        )
        self.play = widgets.Play(FIRST_STEP, min=1, interval=500, tooltip="pick one after the other")
        self.text = widgets.HTML()
        self.figure = coreset_views.points_figure()
        self.comparison = coreset_views.side_by_side_figure()
        self.radii = coreset_views.radii_figure(ToyPicks.SAMPLERS, "points")
        widgets.jslink((self.play, "value"), (self.step, "value"))
        self.live = widgets.VBox(
            [
                widgets.HBox([self.distribution, self.sampler], layout={"flex_flow": "row wrap"}),
                widgets.HBox([self.fraction, self.seed], layout={"flex_flow": "row wrap"}),
                widgets.HBox([self.play, self.step], layout={"flex_flow": "row wrap"}),
                self.text,
                self.figure,
            ]
        )
        for widget in (self.distribution, self.fraction, self.seed):
            widget.observe(lambda _: self._draw(), names="value")
        for widget in (self.sampler, self.step):
            widget.observe(lambda _: self._show_step(), names="value")
        self._draw()

    def _draw(self) -> None:
        size = coreset_size(self._points, self.fraction.value)
        self.picks = ToyPicks.draw(self.distribution.value, points=self._points, size=size, seed=self.seed.value)
        points = self.picks.points.numpy()
        coreset_views.show_points(self.figure, points)
        coreset_views.show_points(self.comparison, points)
        coreset_views.show_radii(self.radii, self.picks.curves())
        self.step.max = self.play.max = size  # a step beyond moves, and is drawn then
        self._show_step()

    def _show_step(self) -> None:
        step, picks = min(self.step.value, self.picks.size), self.picks
        coreset_views.show_step(self.figure, picks, self.sampler.value, step)
        coreset_views.show_side_by_side(self.comparison, picks, step)
        coreset_views.mark_number(self.radii, step)
        found = ", ".join(f"{name} {picks.kept(name, step)[1]:.2f}" for name in ToyPicks.SAMPLERS)
        self.text.value = f"<p>{step} of {self._points} points kept. Covering radius: <b>{found}</b>.</p>"


class BankPanels(PanelGroup):
    """The memory bank of a category, and what random picks would have left out of it.

    What cannot be opened is told by the chooser, with what to run; nothing is raised.

    Attributes:
        chooser: dataset, category, variant (those with a greedy coreset).
        map: the bank in the plane, with as many greedy and random picks.
        radii: covering radius of both.
        forgotten: the nominal patches that random picks leave farthest away.
        density: where on the image grid the picks lie.
        images: the kept patches of single training images.
        utilisation: which rows of the bank are ever the nearest to a test patch.

    Args:
        drawn: patches of the bank that are drawn besides the picks.
    """

    def __init__(
        self,
        project: Project,
        dataset: str,
        category: str | None = None,
        variant: str | None = None,
        *,
        drawn: int = MOST_DRAWN,
    ) -> None:
        self.category: Category | None = None
        self._drawn = drawn
        self._positions: dict[str, NDArray] = {}  # of the drawn patches, by embedding
        super().__init__()
        self.chooser = CategoryChooser(project, opened=self.show_category, closed=self._hide, suits=is_coreset)
        self.size = widgets.SelectionSlider(options=[1], description="picks", style=WIDE, layout={"width": "480px"})
        self.embedding = widgets.Dropdown(options=EMBEDDINGS, description="map", style=WIDE)
        self.note = widgets.HTML()
        self.figure = coreset_views.bank_figure()
        self.map = widgets.VBox([self.size, self.embedding, self.note, self.figure])
        self.radii_figure = coreset_views.radii_figure(("greedy", "random"), "patches")
        self.radii = widgets.VBox([self.radii_figure])
        self.forgotten = widgets.HTML()
        self.density_figure = coreset_views.density_figure()
        self.density = widgets.VBox([self.density_figure])
        self.image = widgets.IntSlider(0, min=0, description="training image", style=WIDE, layout={"width": "480px"})
        self.picks_figure = coreset_views.picks_figure()
        self.images = widgets.VBox([self.image, self.picks_figure])
        self.uses_figure = coreset_views.uses_figure()
        self.uses_note = widgets.HTML()
        self.utilisation = widgets.VBox([self.uses_note, self.uses_figure])
        self._panels = (self.map, self.radii, self.forgotten, self.density, self.images, self.utilisation)
        for widget, callback in (
            (self.size, self._show_size),
            (self.embedding, self._show_size),
            (self.image, self._show_image),
        ):
            widget.observe(lambda _, call=callback: None if self._busy else call(), names="value")
        self.chooser.open(dataset, category, variant)

    def show_category(self, category: Category) -> None:
        """Look at a category that is open already."""
        self.category = category
        self._rows = category.nominal_features(self.chooser.report)
        kept = torch.from_numpy(category.result.coreset_indices.astype(np.int64))
        draw = generator(category.seed, "random coreset")
        self._picks = {"greedy": kept, "random": random_coreset(self._rows, len(kept), generator=draw)}
        self._sizes = steps_to(min(len(kept), MOST_COMPARED))
        self._gaps = {name: coverage(self._rows, picks, self._sizes) for name, picks in self._picks.items()}
        self._choose_drawn()
        with self._quietly():
            self.size.options = self._sizes
            self.size.value = self._sizes[3 * len(self._sizes) // 4]
            self.embedding.value = EMBEDDINGS[0]
            self.image.max, self.image.value = len(category.train) - 1, 0
        curves = {name: (self._sizes, gaps.amax(dim=1).tolist()) for name, gaps in self._gaps.items()}
        coreset_views.show_radii(self.radii_figure, curves)
        coreset_views.show_density(
            self.density_figure, *(pick_density(self._picks[name], category.grid) for name in ("greedy", "random"))
        )
        self._show_uses()
        self._show_size()
        self._show_image()
        self._show()

    def _choose_drawn(self) -> None:
        always = [picks[: self._sizes[-1]] for picks in self._picks.values()]
        draw = generator(self.category.seed, "drawn patches")
        self._shown = drawn_rows(len(self._rows), always, cap=self._drawn, generator=draw)
        # Where each pick stands among the drawn patches.
        self._among = {
            name: torch.searchsorted(self._shown, picks).numpy()  # numpy takes a tensor of one pick for a number
            for name, picks in zip(self._picks, always, strict=True)
        }
        self._positions.clear()

    def _show_size(self) -> None:
        with self.chooser.telling(self.note):
            method, size = self.embedding.value, self.size.value
            if method not in self._positions:
                self.note.value = f"<p>computing the {method} of {len(self._shown)} patches ...</p>"
                self._positions[method] = embedding(self._rows[self._shown], method, seed=self.category.seed)
            positions = self._positions[method]
            random, greedy = (positions[self._among[name][:size]] for name in ("random", "greedy"))
            coreset_views.show_bank(self.figure, positions, random, greedy, title=f"{method}, {size} picks of each")
            step = self._sizes.index(size)
            radius = {name: float(gaps[step].max()) for name, gaps in self._gaps.items()}
            self.note.value = (
                f"<p>{len(self._shown)} of {len(self._rows)} nominal patches are drawn. After {size} picks the "
                f"covering radius is <b>{radius['greedy']:.2f}</b> with greedy and "
                f"<b>{radius['random']:.2f}</b> with random picks.</p>"
            )
            coreset_views.mark_number(self.radii_figure, size)
            self._show_forgotten(step)

    def _show_forgotten(self, step: int) -> None:
        grid, shown = self.category.grid, []
        by_random, by_greedy = (self._gaps[name][step] for name in ("random", "greedy"))
        for patch in forgotten(by_random, grid, MOST_FORGOTTEN):
            image, row, column = (int(part) for part in np.unravel_index(patch, (len(self.category.train), *grid)))
            caption = f"random {by_random[patch]:.2f}\ngreedy {by_greedy[patch]:.2f}"
            name = title(self.category.train[image])
            shown.append(
                (
                    self._cut_out(image, row, column),
                    f"{caption}\n{name}\nrow {row}, column {column}",
                    f"nominal patch of {name}, framed: {by_random[patch]:.2f} from the nearest random pick",
                )
            )
        self.forgotten.value = views.gallery(shown)

    def _cut_out(self, image: int, row: int, column: int) -> str:
        return views.cut_out(self.category.picture("train", image), (row, column), self.category.grid)

    def _show_image(self) -> None:
        category, image, (h, w) = self.category, self.image.value, self.category.grid
        with self.chooser.telling(self.uses_note):
            rows, places = picks_on_image(self._picks["greedy"], category.grid, image)
            coreset_views.show_picks(
                self.picks_figure,
                category.picture("train", image),
                places,
                self._uses[rows],
                category.grid,
                title=f"{title(category.train[image])}: {len(rows)} of {h * w} patches kept",
            )

    def _show_uses(self) -> None:
        indices, size = self.category.result.indices, len(self._picks["greedy"])
        self._uses = uses(indices, size)
        used = int((self._uses > 0).sum())
        busiest = np.sort(self._uses)[::-1][: max(1, size // 10)].sum() / indices.size
        coreset_views.show_uses(self.uses_figure, self._uses, f"{used} of {size} rows are used")
        self.uses_note.value = (
            f"<p><b>{used / size:.0%}</b> of the {size} kept patches are the nearest of at least one of "
            f"{indices.size} test patches; the busiest tenth of them answers {busiest:.0%} of all.</p>"
        )
