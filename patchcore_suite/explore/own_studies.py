"""Panels that answer how many images a part needs, and how large they and the memory bank must be."""

from collections.abc import Callable
from dataclasses import replace

import ipywidgets as widgets

from patchcore_suite.explore import own_charts, own_views
from patchcore_suite.explore.background import Background
from patchcore_suite.explore.choosers import HIDDEN, SHOWN, WIDE
from patchcore_suite.explore.own_state import OwnState
from patchcore_suite.parts.few_images import FEWEST, enough, few_images_curve
from patchcore_suite.parts.following import Follow
from patchcore_suite.parts.frontier import Choice, frontier

SIDES = (96, 128, 192, 256, 320, 384, 512)
ROWS = (500, 1000, 2000, 5000, 10000, 20000)
KEEP = ""  # a dropdown shows nothing for None
AT_ONCE = {"rows": 7, "style": WIDE, "layout": {"width": "230px"}}


class FewImagesPanel:
    """How many good images are enough.

    Attributes:
        widget: to be shown.
        draws: models of each number of images.
        run: fits them.
    """

    def __init__(self, state: OwnState) -> None:
        self._state = state
        self.draws = widgets.BoundedIntText(
            3, min=1, max=20, description="draws of each", style=WIDE, layout={"width": "200px"}
        )
        self.run = Background("fit models of few and of many", self._run, state.one_at_a_time)
        self.figure = own_charts.few_images_figure()
        self.table = widgets.HTML()
        self._shown = widgets.VBox([self.figure, self.table], layout={"display": HIDDEN})
        self.widget = widgets.VBox([self.draws, self.run.widget, self._shown], layout={"display": HIDDEN})
        state.on_photographs(self._reset)

    def _reset(self) -> None:
        self.widget.layout.display, self._shown.layout.display = SHOWN, HIDDEN
        self.run.said.value = ""

    def _run(self, follow: Follow) -> None:
        state = self._state
        good = state.good(FEWEST, "some are held out from all models")
        tested = state.unseen
        state.curve = few_images_curve(
            state.described("good", good, follow),
            state.described("tested", tested, follow) if tested else None,
            state.options,
            draws=self.draws.value,
            follow=follow,
        )
        own_charts.show_few_images(self.figure, state.curve)
        self.table.value = own_views.few_images_table(state.curve)
        self.run.said.value = own_views.enough_images(enough(state.curve), state.curve[-1], state.options.false_alarms)
        self._shown.layout.display = SHOWN


class FrontierPanel:
    """What image size and bank size cost and gain; one of the choices may be taken.

    Args:
        take: is given the choice that a model shall be fitted with.

    Attributes:
        widget: to be shown.
        sides, rows: what is tried.
        most: good images that are used, so that it does not take too long.
        run: fits and times a model of each.
        taken: the choice that is taken.
    """

    def __init__(self, state: OwnState, take: Callable[[Choice], None]) -> None:
        self._state, self._take_choice = state, take
        self.sides = widgets.SelectMultiple(options=SIDES, value=(128, 192, 256), description="image sides", **AT_ONCE)
        self.rows = widgets.SelectMultiple(options=ROWS, value=(500, 2000, 5000), description="bank rows", **AT_ONCE)
        self.most = widgets.BoundedIntText(
            60, min=2, max=100_000, description="good images", style=WIDE, layout={"width": "230px"}
        )
        self.run = Background("fit and time them", self._run, state.one_at_a_time)
        self.figure = own_charts.frontier_figure()
        self.table = widgets.HTML()
        self.taken = widgets.Dropdown(description="take", style=WIDE, layout={"width": "520px"})
        self._shown = widgets.VBox([self.figure, self.table, self.taken], layout={"display": HIDDEN})
        choices = widgets.HBox([self.sides, self.rows, self.most], layout={"flex_flow": "row wrap"})
        self.widget = widgets.VBox([choices, self.run.widget, self._shown], layout={"display": HIDDEN})
        self.taken.observe(lambda _: self._take(), names="value")
        state.on_photographs(self._reset)

    def _reset(self) -> None:
        self.widget.layout.display, self._shown.layout.display = SHOWN, HIDDEN
        self.run.said.value, self.taken.options = "", ()

    def _run(self, follow: Follow) -> None:
        state = self._state
        good = state.good(2, "a model is fitted to them")[: self.most.value]
        options = replace(state.options, coreset_fraction=None)
        state.choices = frontier(
            good, state.unseen, options, sides=self.sides.value, rows=self.rows.value, follow=follow
        )
        own_charts.show_frontier(self.figure, state.choices)
        self.table.value = own_views.frontier_table(state.choices)
        offered = sorted(state.choices, key=lambda one: not one.best)
        self.taken.options = [
            ("the settings as they are", KEEP),
            *((own_views.choice_name(one), one) for one in offered),
        ]
        self.taken.value = KEEP
        self._shown.layout.display = SHOWN

    def _take(self) -> None:
        if isinstance(self.taken.value, Choice):
            self._take_choice(self.taken.value)
