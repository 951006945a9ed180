"""Fields that pydantic checks, with what each wants in words: for messages, and for the schema that editors read."""

from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

BLOCK = ConfigDict(extra="forbid", strict=True)  # true is no number, and "3" is none
MESSAGE = "wanted"  # the kind of error whose text is what is wanted
WANTED_LIST = "a list of one or more different values"

T = TypeVar("T")


@dataclass(frozen=True)
class Wanted:
    """Says of a field what it takes, in place of pydantic's own words."""

    text: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.custom_error_schema(handler(source), MESSAGE, custom_error_message=self.text)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "description": self.text}


def one_of(*names: str) -> Wanted:
    """What a field wants that takes one of some names."""
    return Wanted(f"one of {', '.join(names)}")


def _several(values: tuple[T, ...]) -> tuple[T, ...]:
    if not values or len(set(values)) != len(values):
        raise PydanticCustomError(MESSAGE, WANTED_LIST)
    return values


# YAML gives lists, and frozen values hold tuples.
Several = Annotated[
    tuple[T, ...],
    Field(strict=False, json_schema_extra={"minItems": 1, "uniqueItems": True, "description": WANTED_LIST}),
    AfterValidator(_several),
]
