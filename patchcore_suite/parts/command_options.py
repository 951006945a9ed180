"""Options that several commands of `patchcore` have, and how all of them tell an error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

import click

from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.common.files import FULL

if TYPE_CHECKING:
    from patchcore_suite.parts.tiles import Tiles

WEIGHTS_KEY = "execution.weights"  # in messages

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
device = click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
weights = click.option("--weights", help="File or folder of the backbone's weights, where the model has none with it.")
networks = click.option(
    "--networks",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Python file that gives networks of your own; it is run.",
)
good = click.option(
    "--good", metavar="NAME", help='Which folder holds the good images, such as "ok"; "." says that all are good.'
)
layout = click.option(
    "--layout",
    metavar="NAME",
    help="Read the folder as the dataset of this name lies: mtd, visa, csv, ... (data/README.md).",
)
category = click.option("--category", metavar="NAME", help="Which of the layout's categories is meant.")
tiles = click.option(
    "--tiles", type=int, metavar="SIZE", help="Let the network see large images in squares of this size."
)
overlap = click.option("--overlap", type=int, help="Pixels by which tiles overlap. [default: a quarter of SIZE]")
region_of_fit = click.option(
    "--region",
    type=click.Path(path_type=Path),
    help="Mask of what is looked at (255), all else being 0; or a folder with a mask for each image.",
)
region = click.option(
    "--region", type=click.Path(path_type=Path), help="Folder of masks, where the model has a region for each image."
)
miss_cost = click.option(
    "--miss-cost", default=10.0, show_default=True, help="What a defect that is not found costs, in false alarms."
)


def told(command: Callable[..., None]) -> Callable[..., None]:
    """End a command on an error that the user can act on: its text, exit code 1."""

    @wraps(command)
    def wrapped(*given: object, **named: object) -> None:
        with exit_on_input_error(), _weights_as_option(), _full_output_told():
            command(*given, **named)

    return wrapped


@contextmanager
def _weights_as_option() -> Iterator[None]:
    """Let an error name --weights where it names the key of params.yaml that says the same: here is no such file."""
    try:
        yield
    except InputError as error:
        said = [error.problem, *error.offenders, error.remedy]
        if not any(WEIGHTS_KEY in text for text in said):
            raise
        problem, *offenders, remedy = (
            text.replace(f"{WEIGHTS_KEY} in params.yaml", "--weights").replace(WEIGHTS_KEY, "--weights")
            for text in said
        )
        raise InputError(problem, offenders=offenders, remedy=remedy) from None


@contextmanager
def _full_output_told() -> Iterator[None]:
    """Raise InputError where standard output has no room; such an error names no file."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL or error.filename is not None:
            raise
        raise InputError(
            f"the output cannot be written: {error.strerror}",
            remedy="make room, or send it elsewhere; files that were written are kept",
        ) from None


def laid(size: int | None, overlap: int | None) -> "Tiles | None":
    """The tiles that were asked for, if any.

    Raises:
        InputError: they cannot be laid, or overlap without a size.
    """
    from patchcore_suite.parts.tiles import Tiles

    if size is None:
        if overlap is not None:
            raise InputError(f"--overlap {overlap} says nothing without tiles", remedy="give --tiles SIZE too")
        return None
    return Tiles(size, size // 4 if overlap is None else overlap)
