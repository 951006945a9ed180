"""The keys of params.yaml as a page, from the schema that editors read."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

SCHEMA = Path(__file__).parents[1] / "params.schema.json"
SAID = """# params.yaml

Every knob of the pipeline. Keys are checked as a whole when the file is read: what is unknown, misplaced or out of
range is said at once, each with its line. `params.schema.json` lets an editor complete and check them.
"""


def settings_page() -> str:
    """A table of keys for each block."""
    return SAID + "".join(f"\n{part}\n" for part in blocks("", json.loads(SCHEMA.read_text(encoding="utf-8"))))


def blocks(path: str, schema: Mapping[str, object]) -> Iterator[str]:
    """Headings and tables of a block and of those in it."""
    keys = schema.get("properties", {})
    if keys:
        yield f"## {path or 'Blocks'}"
        yield "| key | values | what it says |\n|---|---|---|\n" + "\n".join(
            row(name, given) for name, given in keys.items()
        )
    for name, given in keys.items():
        yield from blocks(f"{path}.{name}".lstrip("."), given)
    named = schema.get("additionalProperties")
    if isinstance(named, Mapping):
        yield from blocks(f"{path}.NAME", named)


def row(name: str, schema: Mapping[str, object]) -> str:
    """One key."""
    said = str(schema.get("description", "")).replace("|", "\\|")
    return f"| `{name}` | {values(schema)} | {said} |"


def values(schema: Mapping[str, object]) -> str:
    """What a key may hold."""
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"]).replace('"', "")
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(values(one) for one in schema["anyOf"]))
    if "const" in schema:
        return f"`{schema['const']}`"
    kinds = schema.get("type", "any")
    return " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
