"""Panels in which a folder of photographs is chosen and looked at, and its images are brought to size."""

import os
from dataclasses import replace
from pathlib import Path

import ipywidgets as widgets

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.images import read_image
from patchcore_suite.explore import own_views, views
from patchcore_suite.explore.background import Background
from patchcore_suite.explore.choosers import HIDDEN, SHOWN, WIDE
from patchcore_suite.explore.own_state import OwnState
from patchcore_suite.parts.data_check import check_data, cut_by
from patchcore_suite.parts.following import Follow
from patchcore_suite.parts.photographs import look_at

UP = ".. (up)"
BY_LAYOUT = "as the folder says"
ALL = "all images are good"


class FolderPanel:
    """Where the photographs lie, and which of them are good.

    Attributes:
        widget: to be shown.
        path: the folder.
        good: which of its folders holds the good images.
        look: looks at every image of it.
    """

    def __init__(self, state: OwnState, folder: str | None) -> None:
        self._state = state
        self._busy = False  # while folders are listed, none is gone to
        self.path = widgets.Text(
            value=str(Path(folder or ".").expanduser().absolute()),
            description="folder",
            continuous_update=False,
            style=WIDE,
            layout={"width": "620px"},
        )
        self.inside = widgets.Select(description="go to", rows=7, style=WIDE, layout={"width": "620px"})
        self.good = widgets.Dropdown(description="good images", style=WIDE, layout={"width": "420px"})
        self.look = Background("look at the photographs", self._look, state.one_at_a_time)
        self.check = widgets.HTML()
        self.widget = widgets.VBox([self.path, self.inside, self.good, self.look.widget, self.check])
        self.path.observe(lambda _: self._list(), names="value")
        self.inside.observe(lambda _: self._enter(), names="value")
        self._list()

    def _list(self) -> None:
        """Show what folders lie in the one that is named."""
        folder = Path(self.path.value).expanduser()
        try:
            inside = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")
        except OSError as error:
            inside = []
            self.look.said.value = views.message(f"{folder} cannot be opened: {error.strerror}")
        else:
            self.look.said.value = ""
        self._busy = True
        self.inside.options = [UP, *inside]
        self.inside.value = None
        self._busy = False
        self.good.options = [
            (BY_LAYOUT, ""),
            (ALL, "."),
            *((f"those in the folder {name}", name) for name in inside),
        ]
        self.good.value = ""  # a dropdown chooses nothing by itself

    def _enter(self) -> None:
        if not self._busy and self.inside.value is not None:
            folder = Path(self.path.value).expanduser()
            self.path.value = str(folder.parent if self.inside.value == UP else folder / self.inside.value)

    def _look(self, follow: Follow) -> None:
        self.check.value = ""
        found = look_at(self.path.value, good=self.good.value or None, follow=follow)
        self._state.take(found)
        self.check.value = own_views.checked(check_data(found))


class PreparationPanel:
    """How images are brought to size, and what a crop cuts away.

    Attributes:
        widget: to be shown.
        side: shorter side, in pixels.
        square: whether both sides become that long, whatever the proportions are.
        crop: side of the square at the centre that is kept; 0 for the whole image.
    """

    def __init__(self, state: OwnState) -> None:
        self._state = state
        self.side = widgets.BoundedIntText(
            256, min=32, max=2048, step=32, description="shorter side", style=WIDE, layout={"width": "230px"}
        )
        self.square = widgets.Checkbox(False, description="make all images square", indent=False)
        self.crop = widgets.BoundedIntText(
            0, min=0, max=2048, step=32, description="crop (0: none)", style=WIDE, layout={"width": "230px"}
        )
        self.said = widgets.HTML()
        choices = widgets.HBox([self.side, self.crop, self.square], layout={"flex_flow": "row wrap"})
        self.widget = widgets.VBox([choices, self.said], layout={"display": HIDDEN})
        for widget in (self.side, self.square, self.crop):
            widget.observe(lambda _: self._prepare(), names="value")
        state.on_photographs(self._show)

    def _show(self) -> None:
        self.widget.layout.display = SHOWN
        self._prepare()

    def _prepare(self) -> None:
        """Take the settings, and show what they leave of the first image."""
        state, side = self._state, self.side.value
        try:
            options = replace(
                state.options, resize=(side, side) if self.square.value else side, crop=self.crop.value or None
            )
            found, preprocessing = state.photographs, options.preprocessing
            entry = (*found.good, *found.tested)[0]
            cut = cut_by(found, preprocessing)
            sizes = {preprocessing.size(one.size) for one in (*found.good, *found.tested)}
            picture = read_image(entry.record)
        except InputError as error:
            self.said.value = views.message(error)
            return
        state.prepare(options)
        self.said.value = own_views.prepared(picture, preprocessing, cut, sizes)
