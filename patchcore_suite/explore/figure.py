"""Plotly's figures for pages that are slow to load the module that draws them."""

from copy import deepcopy
from typing import Any

import plotly.graph_objects as go

NOTHING = "export default {};"
DRAWING = str(go.FigureWidget._esm)  # 5 MB of JavaScript


class Figure(go.FigureWidget):
    """A figure that comes up as it is now, however late the page draws it.

    A page that cannot load a widget's module within two seconds ignores for ever what the kernel tells that widget: on
    a busy machine the figure stays empty. So it begins with a module that draws nothing and is there at once, and is
    given the one that draws as a later state. What changes before that one is loaded is in the data and the layout
    that the page keeps, which plotly alone would leave as they were when the figure was made.
    """

    _esm = NOTHING

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._esm = DRAWING

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
        """Tell the page all that the figure is, before it is told what changes."""
        self._widget_data, self._widget_layout = deepcopy(self._data), deepcopy(self._layout_obj._props)
