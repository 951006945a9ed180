"""What the commands of `patchcore` print."""

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from patchcore_suite.parts.model import Judgement

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


def tell(text: str) -> None:
    """Say what is no result: to standard error, as progress bars."""
    click.echo(text, err=True)
