"""The panel in which a model is saved, with its page, and handed to the report."""

import html
from dataclasses import replace
from pathlib import Path

import ipywidgets as widgets

from patchcore_suite.explore.background import Background
from patchcore_suite.explore.choosers import HIDDEN, SHOWN, WIDE
from patchcore_suite.explore.own_section import section_of
from patchcore_suite.explore.own_state import OwnState
from patchcore_suite.parts.fitting import at_threshold, worth
from patchcore_suite.parts.following import Follow
from patchcore_suite.parts.model import PartsModel
from patchcore_suite.parts.model_files import CARD_FILE

CARD_STYLE = "white-space:pre-wrap;max-width:100ch;border-left:3px solid #ccc;padding-left:10px"


class SavingPanel:
    """Saves the model with the chosen threshold; lets the report show it.

    Attributes:
        widget: to be shown.
        folder: where the model is saved.
        with_weights: whether the network's weights are copied into it.
        save, report: what is done.
    """

    def __init__(self, state: OwnState) -> None:
        self._state = state
        self.folder = widgets.Text(description="model folder", style=WIDE, layout={"width": "620px"})
        self.with_weights = widgets.Checkbox(
            False,
            description="with the network's weights, for machines that lack them",
            indent=False,
            layout={"width": "620px"},
        )
        self.save = Background("save the model", self._save, state.one_at_a_time)
        self.report = Background("show it in the report", self._report, state.one_at_a_time)
        self.widget = widgets.VBox(
            [self.folder, self.with_weights, self.save.widget, self.report.widget], layout={"display": HIDDEN}
        )
        state.on_photographs(self._reset)

    def open(self) -> None:
        """Offer to save a model that was just fitted."""
        name = self._state.photographs.root.resolve().name
        self.folder.value = self.folder.value or str(self._state.project.path(f"models/{name}"))
        self.widget.layout.display = SHOWN

    def _reset(self) -> None:
        self.widget.layout.display, self.folder.value = HIDDEN, ""
        self.save.said.value = self.report.said.value = ""

    def _ready(self) -> PartsModel:
        """The model with the chosen threshold, and what it is worth by that."""
        state = self._state
        model = state.model.with_threshold(state.threshold)
        if not state.judged:
            return model
        records = [entry.record for entry in state.tested]
        tested, thresholds = worth(model, records, at_threshold(state.judged, state.threshold))
        return replace(model, tested=tested, thresholds=thresholds)

    def _save(self, follow: Follow) -> None:
        folder = Path(self.folder.value).expanduser()
        follow("metrics of the test", 0, 1)
        self._ready().save(folder, with_weights=self.with_weights.value)
        card = html.escape((folder / CARD_FILE).read_text(encoding="utf-8"))
        self.save.said.value = (
            f"<p>Saved in <code>{html.escape(str(folder))}</code>. New photographs are judged by "
            f"<code>patchcore predict {html.escape(str(folder))} IMAGES</code>. Its page says:</p>"
            f"<pre style='{CARD_STYLE}'>{card}</pre>"
        )

    def _report(self, follow: Follow) -> None:
        follow("metrics of the test", 0, 2)
        section = section_of(self._state, self._ready())
        follow("tables and figures", 1, 2)
        section.write(self._state.project.reports)
        self.report.said.value = (
            "<p>Written. <code>python -m patchcore_suite.report.page</code> puts it into "
            f"<code>{html.escape(str(self._state.project.page))}</code>, below all datasets.</p>"
        )
