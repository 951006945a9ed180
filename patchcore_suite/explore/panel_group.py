"""What the two explorers of a category share: panels that come and go together, and widgets that are set in silence."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import ipywidgets as widgets

from patchcore_suite.explore.choosers import HIDDEN, SHOWN


class PanelGroup:
    """Panels that are shown while a category is open."""

    def __init__(self) -> None:
        self._busy = False  # while widgets are being set, they do not call back
        self._panels: Sequence[widgets.Widget] = ()

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        before, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = before

    def _show(self) -> None:
        for panel in self._panels:
            panel.layout.display = SHOWN

    def _hide(self) -> None:
        for panel in self._panels:
            panel.layout.display = HIDDEN
