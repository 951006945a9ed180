"""A JSON schema of `params.yaml`, by which editors complete keys and mark what is wrong while it is typed.

    python -m patchcore_suite.settings.schema

writes it beside `params.yaml`. It knows keys, types and choices; ranges and what goes together are checked on loading.
"""

import inspect
import json
import re
from collections.abc import Iterable, Mapping

from pydantic import TypeAdapter

from patchcore_core.common.errors import exit_on_input_error
from patchcore_core.common.files import write_text
from patchcore_core.config import CHOICES, PatchCoreConfig
from patchcore_suite.baselines.config import EnsembleConfig, methods
from patchcore_suite.datasets.preprocessing import MASK_RULES, Preprocessing
from patchcore_suite.settings.dataset_params import ASKED, DATASET_NAME, MAIN_KEYS, NEEDED, SPECS
from patchcore_suite.settings.execution import Execution, Ray
from patchcore_suite.settings.params import find_params
from patchcore_suite.settings.problems import SCHEMA_FILE
from patchcore_suite.settings.studies import STUDY_NAME, Protocol, Study
from patchcore_suite.settings.variants import VARIANT_NAME, Ensemble, Learning, Profile

Schema = dict[str, object]

NAMED_VALUES = {**CHOICES, "layout": tuple(SPECS), "masks": MASK_RULES}  # what the annotation `str` does not tell
COMMENT = re.compile(r"^    (\w+): .*?  # (.*)$", flags=re.MULTILINE)  # behind a field
ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n     +.*)*)", flags=re.MULTILINE)  # in the docstring of a class


def schema() -> Schema:
    """The schema of the whole file."""
    dataset = {
        **{name: field for spec in SPECS.values() for name, field in _fields(spec).items()},
        **_fields(Preprocessing),
        **{key: _fields(Study)[key] for key in MAIN_KEYS},
        "studies": _named({"anyOf": [_block(_fields(Study), required=MAIN_KEYS), {"type": "null"}]}, STUDY_NAME),
        "overrides": _block(_fields(PatchCoreConfig)),
        **_fields(Protocol),
        "metrics": {
            "anyOf": [{"type": "array", "items": {"enum": list(ASKED)}, "uniqueItems": True}, {"type": "null"}],
            "description": "besides those that every dataset has",
        },
    }
    sections = {
        "datasets": _named(_block(dataset, required=[*NEEDED, *MAIN_KEYS]), DATASET_NAME),
        "defaults": _block({method: _block(_fields(config)) for method, config in methods().items()}),
        "variants": _named({"$ref": "#/definitions/variant"}, VARIANT_NAME),
        "tables": _named({"type": ["object", "null"]}),
        "execution": _block(_fields(Execution) | {"ray": _block(_fields(Ray))}),
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "params.yaml of PatchCore Bench",
        **_block(sections),
        "definitions": {"variant": _variant()},
    }


def _variant() -> Schema:
    """A variant: its method says which other keys there are."""
    kinds = {
        method: {**_fields(config), **_fields(Preprocessing), **_fields(Learning)}
        for method, config in methods().items()
    }
    kinds[PatchCoreConfig.method] |= _fields(Profile)
    kinds[EnsembleConfig.method] = _fields(Ensemble)
    return {
        "type": ["object", "null"],
        "properties": {"method": {"enum": list(kinds), "default": PatchCoreConfig.method}},
        "allOf": [
            {
                "if": {
                    "properties": {"method": {"const": method}},
                    "required": [] if method == PatchCoreConfig.method else ["method"],
                },
                "then": _block({"method": {}, **properties}),
            }
            for method, properties in kinds.items()
        ],
    }


def _block(properties: Mapping[str, object], *, required: Iterable[str] = ()) -> Schema:
    """A mapping of known keys, or null for one with none of them if it may be so."""
    kind = {"type": "object", "required": list(required)} if required else {"type": ["object", "null"]}
    return {**kind, "properties": dict(properties), "additionalProperties": False}


def _named(item: Schema, pattern: re.Pattern[str] | None = None) -> Schema:
    """A mapping of names to blocks of one kind."""
    names = {"propertyNames": {"pattern": f"^{pattern.pattern}$"}} if pattern else {}
    return {"type": ["object", "null"], "additionalProperties": item, **names}


def _fields(kind: type) -> dict[str, Schema]:
    """The fields of a configuration or block, each with its type, its choices and what is said of it in its source."""
    said: dict[str, str] = {}
    for home in reversed(kind.__mro__[:-1]):  # fields of a base are described there
        said |= dict(ATTRIBUTE.findall(inspect.getdoc(home) or "")) | dict(COMMENT.findall(inspect.getsource(home)))
    found = {}
    for name, field in TypeAdapter(kind).json_schema()["properties"].items():
        described = "; ".join(
            " ".join(text.split()).rstrip(".") for text in (said.get(name), field.get("description")) if text
        )
        choices = {"enum": list(NAMED_VALUES[name])} if name in NAMED_VALUES else {}
        found[name] = _tidy(field) | choices | ({"description": described} if described else {})
    return found


def _tidy(value: object) -> object:
    """Without titles, which repeat the names of keys, and in the words of draft 7, which editors know."""
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if not isinstance(value, dict):
        return value
    tidied = {key: _tidy(item) for key, item in value.items() if key != "title"}
    if "prefixItems" in tidied:
        tidied["items"] = tidied.pop("prefixItems")[0]
    return tidied


def text() -> str:
    """The schema as its file holds it."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the schema beside `params.yaml`."""
    path = find_params().parent / SCHEMA_FILE
    write_text(path, text())
    print(f"written: {path}")


if __name__ == "__main__":
    with exit_on_input_error():
        main()
