import io
import time

from patchcore_core.common import progress
from patchcore_core.common.progress import progress_bar


def shown(monkeypatch, act):
    """What is written to standard error."""
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    act()
    return written.getvalue()


def walk(wait=0.0):
    with progress_bar(2, "walk", wait=wait) as bar:
        time.sleep(min(wait, 0.1))
        bar.update(2)


def test_a_bar_that_waits_is_not_shown_for_what_is_quick(monkeypatch):
    assert "walk: 100%" in shown(monkeypatch, walk)
    assert shown(monkeypatch, lambda: walk(wait=60)) == ""


def test_a_bar_that_has_waited_is_shown(monkeypatch):
    monkeypatch.setattr(progress, "LOG_INTERVAL", 0)
    assert "walk: 100%" in shown(monkeypatch, lambda: walk(wait=0.05))
