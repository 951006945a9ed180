"""What the commands of `patchcore` print, and where they may write."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from patchcore_core.common.errors import InputError

if TYPE_CHECKING:
    from patchcore_suite.parts.model import Judgement
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
    tell(
        f"{len(found.good)} good images to fit to, {len(found.tested)} to test with"
        + "".join(f"\nnot used: {path}: {why}" for path, why in found.unused.items())
        + "".join(f"\nnote: {remark}" for remark in found.remarks)
    )
