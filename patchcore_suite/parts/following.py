"""Whom long work tells how far it is, so that it can be watched and ended."""

from collections.abc import Callable

Follow = Callable[[str, int, int], None]  # is told what is being done, and how much of how much is done


def silently(what: str, done: int, total: int) -> None:
    """Tell nobody."""
