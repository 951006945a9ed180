"""Your own parts, from a folder of photographs to a verdict: the panels of the notebook `bring_your_own`."""

from patchcore_suite.explore.own_folder import FolderPanel, PreparationPanel
from patchcore_suite.explore.own_model import FitPanel, MapsPanel, OwnThresholdPanel
from patchcore_suite.explore.own_saving import SavingPanel
from patchcore_suite.explore.own_state import OwnState
from patchcore_suite.explore.own_studies import FewImagesPanel, FrontierPanel
from patchcore_suite.parts.frontier import Choice
from patchcore_suite.settings.project import Project


class OwnParts:
    """Panels that share one folder of photographs. The `widget` of each is for a cell of its own.

    What cannot be done is told where it was asked for; nothing is raised. What takes long runs beside the widgets,
    shows how far it is, and can be stopped.

    Attributes:
        photographs: the folder, and what is wrong with it.
        preparation: how images are brought to size.
        few_images: how many are enough.
        frontier: how large they and the memory bank must be.
        fit: the model.
        threshold: from which score up a part is anomalous.
        maps: images that were judged.
        saving: the model as a folder, and its section of the report.

    Args:
        folder: where to begin to look; the working directory by default.
    """

    def __init__(self, project: Project, folder: str | None = None) -> None:
        self.state = OwnState(project)
        self.photographs = FolderPanel(self.state, folder)
        self.preparation = PreparationPanel(self.state)
        self.few_images = FewImagesPanel(self.state)
        self.frontier = FrontierPanel(self.state, self._take)
        self.fit = FitPanel(self.state, self._fitted)
        self.maps = MapsPanel(self.state)
        self.threshold = OwnThresholdPanel(self.state, self.maps.judge)
        self.saving = SavingPanel(self.state)

    def _take(self, choice: Choice) -> None:
        self.preparation.side.value = choice.side
        self.preparation.crop.value = choice.options.crop or 0
        self.fit.rows.value = choice.rows

    def _fitted(self) -> None:
        self.maps.open()
        self.threshold.open()
        self.saving.open()
