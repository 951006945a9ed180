"""What is wrong with `params.yaml`, gathered block by block and said all at once."""

import re
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TypeVar

from pydantic import ValidationError

from patchcore_core.common.errors import InputError
from patchcore_suite.settings.checked import MESSAGE, WANTED_LIST
from patchcore_suite.settings.yaml_file import Document, KeyPath, dotted

SCHEMA_FILE = "params.schema.json"
MOST_KNOWN = 30  # names in a message
FIELD = re.compile(r"(\w+)=")  # how a configuration begins what it says of one of its fields

T = TypeVar("T")


def one_line(error: InputError) -> str:
    """All that an error says, as one of several in a list that has a remedy of its own."""
    problem = error.problem + (f" ({'; '.join(error.offenders)})" if error.offenders else "")
    return "; ".join(filter(None, (problem, error.remedy)))


class Problems:
    """The problems of one document, each with the place and the path of its key.

    Its methods read blocks: what can be used is returned, what cannot is kept to be said by `raise_any`.

    Args:
        document: what is read.
        homes: for keys that are known somewhere, where they belong.
    """

    def __init__(self, document: Document, homes: Mapping[str, str] | None = None) -> None:
        self._document, self._homes = document, homes or {}
        self._order = {path: index for index, path in enumerate(document.places)}
        self._found: dict[KeyPath, list[str]] = {}
        for path, text in document.problems:
            self._found.setdefault(path, []).append(text)
        self._unreadable = frozenset(self._found)

    def add(self, path: KeyPath, text: str) -> None:
        """Keep a sentence about a key, unless it could not even be read."""
        if path not in self._unreadable:
            self._found.setdefault(path, []).append(text)

    def add_value(self, path: KeyPath, value: object, text: str) -> None:
        """Keep a sentence about a key that begins with its path and its value."""
        self.add(path, f"{dotted(path)}={_shown(value)} {text}")

    def raise_any(self) -> None:
        """Say all problems in the order of the file, if there are any.

        Raises:
            InputError: there are.
        """
        if self._found:
            paths = sorted(self._found, key=lambda path: self._order.get(self._placed(path), -1))
            raise InputError(
                f"{self._document.name} cannot be used",
                offenders=[f"{self._place(path)}{text}" for path in paths for text in dict.fromkeys(self._found[path])],
                remedy=f"correct what is named here; {SCHEMA_FILE} lists every key and what it takes",
            )

    def mapping(self, value: object, path: KeyPath) -> Mapping[str, object]:
        """A mapping of names to values; null and what is none are read as an empty one."""
        if isinstance(value, Mapping):
            return value
        if value is not None:
            self.add_value(path, value, "must be a mapping of names to values")
        return {}

    def known(self, given: Mapping[str, object], keys: Iterable[str], path: KeyPath) -> dict[str, object]:
        """The part of a mapping whose keys are known."""
        keys = list(keys)
        for key in given:
            if key not in keys:
                self.add((*path, str(key)), f"unknown key {dotted((*path, str(key)))}{self._hint(key, keys)}")
        return {key: value for key, value in given.items() if key in keys}

    def named(self, name: object, path: KeyPath, pattern: re.Pattern[str], remedy: str) -> None:
        """Refuse a name that a file, a shell or DVC would not take."""
        if not isinstance(name, str) or not pattern.fullmatch(name):
            self.add((*path, str(name)), f"{dotted((*path, str(name)))} is no usable name: {remedy}")

    def built(self, kind: Callable[..., T], values: Mapping[str, object], path: KeyPath) -> T | None:
        """`kind(**values)`, or None where it refuses them; what it says is about the keys under `path`."""
        try:
            return kind(**values)
        except ValidationError as error:
            for item in error.errors(include_url=False):
                self._add_refused((*path, *item["loc"]), item)
        except InputError as error:
            for text in error.offenders or [one_line(error)]:
                field = FIELD.match(text)
                where = (*path, field[1]) if field else path
                self.add(where, f"{dotted(path)}.{text}" if field else f"{dotted(path)}: {text}")
        return None

    def _hint(self, key: object, keys: Sequence[str]) -> str:
        if key in self._homes and not _nearest(key, keys, 0.8):
            return f"; it belongs to {self._homes[key]}"
        return hint(key, keys)

    def _add_refused(self, path: KeyPath, item: Mapping[str, object]) -> None:
        if item["type"] == "missing":
            self.add(path, f"{dotted(path)} is missing")
        else:
            wanted = item["msg"] if item["type"] == MESSAGE else WANTED_LIST
            self.add_value(path, item["input"], f"must be {wanted}")

    def _placed(self, path: KeyPath) -> KeyPath:
        """The nearest part of a path that is written in the file."""
        while path and path not in self._document.places:
            path = path[:-1]
        return path

    def _place(self, path: KeyPath) -> str:
        place = self._document.places.get(self._placed(path))
        return f"{place}: " if place else ""


def hint(name: object, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one as a question, or all of them if few."""
    known = [str(one) for one in known]
    near = _nearest(name, known)
    if near:
        return f" (did you mean {near}?)"
    return f"; known here: {', '.join(known[:MOST_KNOWN])}" + (", ..." if len(known) > MOST_KNOWN else "")


def _nearest(name: object, known: Sequence[str], similarity: float = 0.6) -> str | None:
    return next(iter(get_close_matches(str(name), [str(one) for one in known], 1, similarity)), None)


def _shown(value: object) -> str:
    """A value as YAML writes it, as short as a message needs it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    shown = reprlib.Repr()
    shown.maxstring = shown.maxother = 80
    return shown.repr(value)
