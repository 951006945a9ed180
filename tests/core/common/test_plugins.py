from importlib.metadata import EntryPoint

import pytest

from patchcore_core.common import plugins

ADDED = [
    EntryPoint("root", "math:sqrt", "patchcore_core.toys"),
    EntryPoint("add", "operator:add", "patchcore_core.toys"),
    EntryPoint("bad", "no_such_module:thing", "patchcore_core.toys"),
]


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    def entry_points(group):
        return [point for point in ADDED if point.group == group]

    plugins._points.cache_clear()
    monkeypatch.setattr(plugins, "entry_points", entry_points)
    yield
    plugins._points.cache_clear()


def test_names_come_in_alphabetical_order_and_each_is_imported_when_it_is_used():
    assert plugins.added("toys") == ("add", "bad", "root")
    assert plugins.load("toys", "root")(9) == 3
    assert plugins.module("toys", "bad") == "no_such_module"
    with pytest.raises(ModuleNotFoundError):
        plugins.load("toys", "bad")


def test_a_kind_to_which_nobody_adds_has_no_names():
    assert plugins.added("samplers") == ()
