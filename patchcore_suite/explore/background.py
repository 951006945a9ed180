"""Long work beside the widgets: in a thread, with a bar, a button that ends it, and a place for words."""

import html
from collections.abc import Callable
from threading import Event, Lock, Thread

import ipywidgets as widgets

from patchcore_core.common.errors import InputError
from patchcore_suite.explore import views
from patchcore_suite.explore.choosers import HIDDEN, SHOWN
from patchcore_suite.parts.following import Follow


class Stopped(Exception):
    """Somebody pressed the button that ends the work."""


class Background:
    """One piece of work at a time; while it runs, widgets go on answering.

    Attributes:
        widget: the button that starts, the bar, the button that stops, and what came of it.
        said: the place for words.

    Args:
        name: what the button that starts says.
        work: is given whom to tell how far it is; that call raises once it is to stop.
        one_at_a_time: shared by all that must not run beside each other.
    """

    def __init__(self, name: str, work: Callable[[Follow], None], one_at_a_time: Lock) -> None:
        self._work, self._lock = work, one_at_a_time
        self._stopping = Event()
        self._thread: Thread | None = None
        self.button = widgets.Button(description=name, button_style="primary", layout={"width": "auto"})
        self.stop = widgets.Button(description="stop", tooltip="ends it before its next step")
        self.bar = widgets.IntProgress(layout={"width": "240px"})
        self.step = widgets.HTML()
        self.said = widgets.HTML()
        self._while_running = widgets.HBox([self.bar, self.stop, self.step], layout={"display": HIDDEN})
        self.widget = widgets.VBox([widgets.HBox([self.button, self._while_running]), self.said])
        self.button.on_click(lambda _: self.start())
        self.stop.on_click(lambda _: self._stopping.set())

    def start(self) -> None:
        """Begin, unless other work is running."""
        if not self._lock.acquire(blocking=False):
            self.said.value = "<p>Something else is running: wait for it, or stop it.</p>"
            return
        self._stopping.clear()
        self.said.value, self.step.value, self.button.disabled = "", "", True
        self.bar.value, self._while_running.layout.display = 0, SHOWN
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Return once nothing is running any more."""
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._work(self._follow)
        except Stopped:
            self.said.value = "<p>Stopped. What was there before is still there.</p>"
        except InputError as error:
            self.said.value = views.message(error)
        except Exception as error:  # else the bar would stand for ever
            self.said.value = views.message(f"{type(error).__name__}: {error}")
            raise
        finally:
            self._lock.release()
            self.button.disabled, self._while_running.layout.display = False, HIDDEN

    def _follow(self, what: str, done: int, total: int) -> None:
        if self._stopping.is_set():
            raise Stopped
        self.bar.max, self.bar.value = max(total, 1), done
        self.step.value = f"{html.escape(what)}, {done} of {total}"
