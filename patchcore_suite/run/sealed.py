"""JSON files that carry the checksum of what they hold, so that a damaged one is told from what was written."""

import json
from collections.abc import Mapping
from pathlib import Path

from patchcore_core.common.files import sha256_json, write_json

SEAL = "sha256"


def sealed(value: Mapping[str, object]) -> dict[str, object]:
    """A value with its checksum."""
    return {**value, SEAL: sha256_json(value)}


def unsealed(value: object) -> dict[str, object]:
    """A value without its checksum.

    Raises:
        ValueError: it has none, or not this one.
    """
    rest = dict(value) if isinstance(value, dict) else {}
    if rest.pop(SEAL, None) != sha256_json(rest):
        raise ValueError("its content is not what was written")
    return rest


def write_sealed(path: Path, value: Mapping[str, object]) -> None:
    """Write a value with its checksum, whole or not at all."""
    write_json(path, sealed(value))


def read_sealed(path: Path) -> dict[str, object]:
    """Read what `write_sealed` wrote.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged.
    """
    return unsealed(read_json(path))


def read_json(path: Path) -> object:
    """Read a JSON file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deep") from None
