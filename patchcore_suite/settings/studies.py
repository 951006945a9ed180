"""Studies of `params.yaml`: which variants are run, with which seeds and on which nominal images."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from patchcore_suite.settings.checked import BLOCK, Several, Wanted, one_of
from patchcore_suite.settings.problems import Problems, hint
from patchcore_suite.settings.yaml_file import KeyPath

STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}")  # part of names of files
Seed = Annotated[int, Field(ge=0), Wanted("a whole number of 0 or more")]
Count = Annotated[int, Field(ge=1)]
NESTED, BLOCKS = DRAWS = ("nested", "blocks")


@dataclass(frozen=True, kw_only=True, config=BLOCK)
class Study:
    """A part of the grid: variants x seeds x shots, on some categories of a dataset.

    Attributes:
        variants: their names.
        seeds: of everything that is drawn.
        categories: their names, or how many of the first ones; None for all that are there.
        shots: numbers of nominal images; None stands for all of them. Each seed draws its own.
        covering_radius: whether the covering radius of each memory bank is measured (one more search).
    """

    variants: Several[Annotated[str, Wanted("the name of a variant")]]
    seeds: Several[Seed]
    categories: Annotated[
        Several[str] | Count | None, Wanted("null for all, different names, or how many of the first ones")
    ] = None
    shots: Several[Annotated[Count | None, Wanted("a whole number of at least 1, or null for all images")]] = (None,)
    covering_radius: Annotated[bool, Wanted("true or false")] = False

    def chosen(self, available: Sequence[str]) -> tuple[str, ...]:
        """The categories that it runs on; names that are not available are among them."""
        if isinstance(self.categories, int):
            return tuple(available[: self.categories])
        return self.categories or tuple(available)


@dataclass(frozen=True, kw_only=True, config=BLOCK)
class Protocol:
    """What all studies of a dataset do alike with its nominal images.

    Attributes:
        draw: how `shots` are drawn. nested: with the seed, more shots holding the fewer; blocks, as AnomalyDINO does:
            seed s takes the images from s * shots on, in the order of their files' names.
        together: whether one model learns all categories of the dataset, and each is tested with it; `shots` are of
            each category.
    """

    draw: Annotated[Literal[DRAWS], one_of(*DRAWS)] = NESTED
    together: Annotated[bool, Wanted("true or false")] = False


STUDY_KEYS = tuple(item.name for item in fields(Study))
PROTOCOL_KEYS = tuple(item.name for item in fields(Protocol))


def read_study(
    given: Mapping[str, object], path: KeyPath, variants: Collection[str], problems: Problems
) -> Study | None:
    """A study from its block, or None where it cannot be used; `variants` are the names that there are."""
    given = problems.known(given, STUDY_KEYS, path)
    names = given.get("variants")
    for index, name in enumerate(names if isinstance(names, list) else ()):
        if isinstance(name, str) and name not in variants:
            problems.add_value((*path, "variants", index), name, f"is no variant{hint(name, variants)}")
    return problems.built(Study, given, path)
