"""What other packages add to the core by name: entry points of the groups `patchcore_core.KIND`."""

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

SAMPLERS, FIRST_PICKS, SEARCHES, NETWORKS = "samplers", "first_picks", "searches", "networks"  # kinds


def added(kind: str) -> tuple[str, ...]:
    """Names in alphabetical order."""
    return tuple(_points(kind))


def load(kind: str, name: str) -> Any:
    """What is added under a name; it is imported now."""
    return _points(kind)[name].load()


def module(kind: str, name: str) -> str:
    """The module of what is added under a name."""
    return _points(kind)[name].module


@cache
def _points(kind: str) -> dict[str, EntryPoint]:
    found = {point.name: point for point in entry_points(group=f"patchcore_core.{kind}")}
    return dict(sorted(found.items()))
