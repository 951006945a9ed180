"""A YAML file as values, with the line of each key, and all that two readers of it would disagree about.

DVC reads `params.yaml` as YAML 1.2 and this module as YAML 1.1. The two differ on a few scalars (1e-3, on, 010, 12:30);
those are problems wherever they would be read differently, and so is a key that is there twice.
"""

import codecs
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from patchcore_core.common.errors import InputError

DEEPEST = 30  # levels of nesting; params.yaml has 6, and parsers fail at some thousands
MOST = 100_000  # values; aliases of aliases multiply

KeyPath = tuple[str | int, ...]  # names of keys, and indices of lists
Problem = tuple[KeyPath, str]  # of what, and what is wrong with it

BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# libyaml's is 20 times as fast; not every build of PyYAML has it.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# What the core schema of YAML 1.2 takes for a number, and PyYAML (YAML 1.1) for a string, or the other way round.
AMBIGUOUS = re.compile(
    r"[-+]?(\d+|\d*\.\d+|\d+\.)[eE][-+]?\d+|[-+]?0o?[\d_]+|[-+]\.\d+|[-+]?[\d_]+(:[\d_]+)+(\.[\d_]*)?"
    r"|[-+]?\d+(_\d+)+|y|n|yes|no|on|off",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Document:
    """What a YAML file says, and where.

    Attributes:
        name: what the file is called in messages.
        values: the mapping that it holds.
        places: for each key and item, where it is written, such as "line 12"; in the order of the file.
        problems: what is wrong with the file as YAML, whatever its keys mean.
    """

    name: str
    values: Mapping[str, object]
    places: Mapping[KeyPath, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def read_yaml(path: Path, *, remedy: str) -> Document:
    """Read a file that must hold one mapping.

    Args:
        path: of the file.
        remedy: what to do where there is none.

    Raises:
        InputError: no such file, not UTF-8, no YAML, empty, no mapping, or nested too deep. What single values are
            wrong is among the document's problems.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", remedy=remedy) from None
    builder = _Builder(str(path))
    values = builder.read(_decoded(data, path))
    if values is None:
        raise InputError(f"{path} is empty", remedy="write keys and values, or restore it: git checkout FILE")
    if not isinstance(values, dict):
        raise InputError(f"{path} must be a mapping of names to values", remedy="begin its lines with `name:`")
    return Document(path.name, values, builder.places, tuple(builder.problems))


def read_value(text: str, name: str) -> object:
    """Read a single value, as it would stand behind a key.

    Raises:
        InputError: it is no YAML, or would be read differently by DVC.
    """
    builder = _Builder(name)
    value = builder.read(text)
    if builder.problems:
        raise InputError(f"{name} cannot be used", offenders=[text for _, text in builder.problems])
    return value


def _decoded(data: bytes, path: Path) -> str:
    if data.startswith(BYTE_ORDER_MARKS):
        raise InputError(f"{path} begins with a byte order mark", remedy="save it as UTF-8 without a byte order mark")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path} is not UTF-8: line {line}", remedy="save it as UTF-8") from None


def _said(error: yaml.YAMLError) -> str:
    """What a parser says, with the line first."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    parts = [getattr(error, name, None) for name in ("context", "problem")]
    text = ", ".join(part for part in parts if part) or " ".join(str(error).split())
    return text if mark is None else f"line {mark.line + 1}: {text}"


class _Builder:
    """From nodes to values, as PyYAML's safe loader makes them, keeping the line of each."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.places: dict[KeyPath, str] = {}
        self.problems: list[Problem] = []

    def read(self, text: str) -> object:
        """The value of a document, None where there is none."""
        try:
            self._refuse_depth(text)
            self.loader = LOADER(text)
            node = self.loader.get_single_node()
            return None if node is None else self.build(node, ())
        except yaml.YAMLError as error:
            raise InputError(f"{self.name} is not YAML: {_said(error)}", remedy="correct that line") from None

    def _refuse_depth(self, text: str) -> None:
        """Refuse what no reader would survive that calls itself for each level."""
        depth = 0
        for event in yaml.parse(text, Loader=LOADER):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > DEEPEST:
                raise self._too_deep(event.start_mark.line)

    def _too_deep(self, line: int) -> InputError:
        problem = f"{self.name} is nested more than {DEEPEST} deep: line {line + 1}"
        return InputError(problem, remedy="close brackets earlier")

    def build(self, node: yaml.Node, path: KeyPath) -> object:
        if len(path) > DEEPEST:  # an alias of what it stands in
            raise self._too_deep(node.start_mark.line)
        if len(self.places) > MOST:
            raise InputError(f"{self.name} holds more than {MOST:,} values", remedy="use fewer aliases")
        if isinstance(node, yaml.MappingNode) and node.tag.endswith(":map"):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag.endswith(":seq"):
            return [self._placed(item, item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _placed(self, at: yaml.Node, node: yaml.Node, path: KeyPath) -> object:
        self.places.pop(path, None)  # a key that is there twice stands where it is last
        self.places[path] = _line(at)
        return self.build(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[Hashable, object]:
        self._refuse_repeated(node, path)
        self.loader.flatten_mapping(node)  # puts what `<<` merges before the mapping's own keys, which override it
        values = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append((path, f"{_line(key_node)} has a list or a mapping for a key: write a name"))
                continue
            key = self._scalar(key_node, (*path, key_node.value))
            values[key] = self._placed(key_node, value_node, (*path, str(key)))
        return values

    def _refuse_repeated(self, node: yaml.MappingNode, path: KeyPath) -> None:
        first: dict[str, yaml.Node] = {}
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name in first:
                text = f"{dotted((*path, name))} is there twice: in {_line(first[name])} too"
                self._at(key, (*path, name), text)
            elif name is not None:
                first[name] = key

    def _scalar(self, node: yaml.Node, path: KeyPath) -> object:
        plain = isinstance(node, yaml.ScalarNode) and not node.style
        if plain and node.value != "0" and AMBIGUOUS.fullmatch(node.value):
            hint = "write 0.001 instead of 1e-3, true or false, and quote what is not a number"
            self._at(node, path, f"{node.value} is read differently by DVC and by the notebooks: {hint}")
        try:
            return self.loader.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError, LookupError, AttributeError):  # an unknown tag; a date of no calendar
            shown = node.value if isinstance(node, yaml.ScalarNode) else node.tag
            self._at(node, path, f"{shown} is no value that can be read: quote it")
            return None

    def _at(self, node: yaml.Node, path: KeyPath, text: str) -> None:
        self.places.setdefault(path, _line(node))
        self.problems.append((path, text))


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"


def dotted(path: KeyPath) -> str:
    """A key's path as it is written in messages: datasets.mvtec.studies.low_shot.shots[2]."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")
