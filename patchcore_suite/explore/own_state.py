"""What the panels of `bring_your_own` work on together: photographs, settings, and what was found of them."""

from collections.abc import Callable, Sequence
from threading import Lock

from patchcore_suite.datasets.records import Entry
from patchcore_suite.parts.data_check import refuse_few, unseen
from patchcore_suite.parts.describing import Described, FitOptions, describe
from patchcore_suite.parts.few_images import FewImages
from patchcore_suite.parts.following import Follow
from patchcore_suite.parts.frontier import Choice
from patchcore_suite.parts.model import Judgement, PartsModel
from patchcore_suite.parts.photographs import Photographs
from patchcore_suite.parts.thresholds import Threshold
from patchcore_suite.settings.project import Project


class OwnState:
    """Photographs of one kind of part, and what the panels have made of them so far.

    Attributes:
        found: the photographs; None before a folder was looked at.
        options: with which a model is fitted.
        curve, choices: what the studies found; empty before they ran, and of other photographs.
        model, tested, judged: the fitted model, and what it says of the images that it was tested with.
        threshold: by which it shall judge.
        one_at_a_time: held by what computes.
    """

    def __init__(self, project: Project) -> None:
        execution = project.params.execution
        self.project = project
        self.found: Photographs | None = None
        self.options = FitOptions(weights=execution.own_weights, device=execution.device)
        self.one_at_a_time = Lock()
        self._listeners: list[Callable[[], None]] = []
        self._described: dict[tuple[str, object], Described] = {}
        self._forget()

    def on_photographs(self, listener: Callable[[], None]) -> None:
        """Have a panel told when other photographs are there."""
        self._listeners.append(listener)

    def take(self, found: Photographs) -> None:
        """Work on other photographs."""
        self.found = found
        self._described.clear()
        self._forget()
        for listener in self._listeners:
            listener()

    def prepare(self, options: FitOptions) -> None:
        """Work with other settings; what was found with the former ones stays until it is computed anew."""
        self.options = options

    def good(self, least: int, purpose: str) -> tuple[Entry, ...]:
        """The good images, each content once.

        Raises:
            InputError: no folder was looked at yet, or there are fewer than `least`.
        """
        return refuse_few(self.photographs, least, purpose)

    @property
    def unseen(self) -> tuple[Entry, ...]:
        """Images to test with that no model is fitted to."""
        return unseen(self.photographs)

    @property
    def photographs(self) -> Photographs:
        """What was found in the folder; panels are shown once it is there."""
        assert self.found is not None
        return self.found

    def described(self, kind: str, entries: Sequence[Entry], follow: Follow) -> Described:
        """Patch features of images, "good" or "tested", as they are prepared now; kept until that changes.

        Raises:
            InputError: as of `describe`.
        """
        key = (kind, (self.options.preprocessing, self.options.backbone))
        if key not in self._described:
            self._described = {known: one for known, one in self._described.items() if known[1] == key[1]}
            self._described[key] = describe(entries, self.options, follow=follow)
        return self._described[key]

    def _forget(self) -> None:
        self.curve: list[FewImages] = []
        self.choices: list[Choice] = []
        self.model: PartsModel | None = None
        self.tested: tuple[Entry, ...] = ()
        self.judged: list[Judgement] = []
        self.threshold: Threshold | None = None
