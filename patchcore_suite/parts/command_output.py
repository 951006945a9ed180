"""What the commands of `patchcore` print, and where they may write."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from patchcore_core.common.errors import InputError

if TYPE_CHECKING:
    from patchcore_suite.datasets.records import Entry
    from patchcore_suite.parts.model import Judgement, PartsModel
    from patchcore_suite.parts.photographs import Photographs

COLUMNS = ("image", "score", "anomalous", "share_of_good_below")


def as_row(judged: "Judgement") -> dict[str, object]:
    """What is written of one image."""
    return {
        "image": str(judged.path),
        "score": judged.score,
        "anomalous": judged.anomalous,
        "share_of_good_below": judged.share,
    }


def show_tested(tested: dict[str, float], thresholds: dict[str, str]) -> None:
    """Print what a model is worth."""
    for name, value in tested.items():
        click.echo(f"{name:20} {value:.4g}")
    for name, rule in thresholds.items():
        click.echo(f"threshold {name:10} {rule}")


def show_json(value: object) -> None:
    """Print a JSON document."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False))


def check_file(path: Path | None, suffix: str) -> None:
    """Refuse a file to write that would take the place of something else, such as an image that `*` put there.

    Raises:
        InputError: it ends otherwise than in `suffix`, or is there, but is no file, such as a device.
    """
    if path is None:
        return
    if path.suffix.lower() != suffix:
        raise InputError(f"{str(path)!r} is no name of a file that ends in {suffix}", remedy=f"end it in {suffix}")
    if os.path.lexists(path) and not os.path.isfile(path):
        raise InputError(f"{path} is there already, and is no file", remedy="name another one")


def tell(text: str) -> None:
    """Say what is no result: to standard error, as progress bars."""
    click.echo(text, err=True)


def tell_found(found: "Photographs") -> None:
    """Say which photographs a model is fitted to, which are not used, and what is worth knowing of them."""
    tell(f"{len(found.good)} good images to fit to, {len(found.tested)} to test with")
    tell_unused(found)


def tell_unused(found: "Photographs") -> None:
    """Say which photographs are not used, and what is worth knowing of the others."""
    for path, why in found.unused.items():
        tell(f"not used: {path}: {why}")
    for remark in found.remarks:
        tell(f"note: {remark}")


def images_of(paths: Sequence[Path]) -> list[Path]:
    """Image files that were named, and those in folders that were; what lies there and is no image is told.

    Raises:
        InputError: as of `photographs.named`.
    """
    from patchcore_suite.parts.photographs import named, passed_over

    found = named(paths)
    for path, why in passed_over(paths).items():
        tell(f"not judged: {path}: {why}")
    return found


def unknown_of(found: "Photographs", model: "PartsModel") -> "list[Entry]":
    """The images of a folder that a model was not fitted to; how many others there are is told.

    Raises:
        InputError: there are none.
    """
    known = {source.sha256 for source in model.sources}
    entries = (*found.tested, *found.good)
    chosen = [entry for entry in entries if entry.image_sha256 not in known]
    if not chosen:
        raise InputError(f"all images of {found.root} are those that the model was fitted to", remedy="give others")
    if left := len(entries) - len(chosen):
        tell(f"note: {left} images are left out, because the model was fitted to them")
    return chosen
