"""Plotly's figures for pages that are slow to load the module that draws them."""

from copy import deepcopy
from typing import Any

import plotly.graph_objects as go
from traitlets import observe

NOTHING = "export default {};"
DRAWING = str(go.FigureWidget._esm)  # 5 MB of JavaScript


class Figure(go.FigureWidget):
    """A figure that comes up as it is now, however late the page draws it.

    A page that cannot load a widget's module within two seconds ignores for ever what the kernel tells that widget: on
    a busy machine the figure stays empty. So it begins with a module that draws nothing and is there at once, and is
    given the one that draws as a later state. Until that one has drawn it, what changes is in the data and the layout
    that the page keeps, which plotly alone would leave as they were when the figure was made. Then changes alone are
    sent.
    """

    _esm = NOTHING
    drawn = False  # by a page

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._esm = DRAWING

    @observe("_js2py_traceDeltas")  # what a page says of a figure that it drew
    def _note_drawn(self, change: dict[str, Any]) -> None:
        self.drawn = self.drawn or change["new"] is not None

    def _send_restyle_msg(self, *args: Any, **kwargs: Any) -> None:
        self._keep()
        super()._send_restyle_msg(*args, **kwargs)

    def _send_relayout_msg(self, *args: Any, **kwargs: Any) -> None:
        self._keep()
        super()._send_relayout_msg(*args, **kwargs)

    def _send_update_msg(self, *args: Any, **kwargs: Any) -> None:
        self._keep()
        super()._send_update_msg(*args, **kwargs)

    def _keep(self) -> None:
        """Tell a page that has not drawn it all that the figure is, before it is told what changes."""
        if self.drawn:
            return
        self._widget_data, self._widget_layout = deepcopy(self._data), deepcopy(self._layout_obj._props)
