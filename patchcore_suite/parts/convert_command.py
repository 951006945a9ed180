"""The command `patchcore convert`."""

from pathlib import Path

import click

from patchcore_suite.parts.command_options import told


@click.command(short_help="Bring weights of other code to timm's names.")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("network")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("weights"),
    show_default=True,
    help="Folder of the file that is written, as --weights and execution.weights take it.",
)
@told
def convert(file: Path, network: str, folder: Path) -> None:
    """Write the weights of FILE, as other code saved them, under the names that timm's NETWORK has.

    \b
    patchcore convert dinov2_vits14_pretrain.pth vit_small_patch14_dinov2 --to weights
    patchcore fit photographs/good --crop 224 --backbone vit_small_patch14_dinov2 --weights weights
    """
    from patchcore_suite.parts.foreign_weights import convert as convert_weights

    click.echo(f"weights: {convert_weights(file, network, folder)}")
