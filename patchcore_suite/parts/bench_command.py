"""The commands `patchcore bench ...`: the targets of the pipeline, for those without make."""

from collections.abc import Callable
from pathlib import Path

import click

from patchcore_core.common.errors import exit_on_input_error
from patchcore_suite.parts.command_options import as_json
from patchcore_suite.run import targets

# Option of a dataset, and what it sets in params.yaml.
SOURCES = {
    "mvtec": "datasets.mvtec.source",
    "mtd": "datasets.mtd.source",
    "mstc": "datasets.mstc.source",
    "hazelnut": "datasets.hazelnut_reduced.source",
    "train_list": "datasets.mtd.train_list",
    "device": "execution.device",
}
train_list = click.option("--train-list", metavar="FILE", help="Names of mtd's training images: a file in lists/.")
device = click.option("--device", help="Where to compute: cpu, cuda or cuda:N.")


def folders(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Options that say where datasets lie."""

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        for name in reversed(names):
            command = click.option(f"--{name}", metavar="FOLDER", help=f"Where the images of {name} lie.")(command)
        return command

    return decorated


@click.group(short_help="Run the pipeline, as make does.")
def bench() -> None:
    """Run the pipeline and its measurements, as `make` does, in a clone of the project; `record` runs in any folder.

    \b
    patchcore bench repro                            # make repro
    patchcore bench paper --mvtec images/mvtec --go  # make paper GO=1 MVTEC=images/mvtec
    patchcore bench record                           # make record
    """


@bench.command()
def repro() -> None:
    """Compute what is not up to date, from images to reports/index.html (7 minutes at first, then nothing)."""
    begun = "repro: data -> score -> evaluate -> tables and figures -> report; nothing where all is fresh"
    run(targets.pipeline, under_git=True, begun=begun)
    click.echo("repro: done; open reports/index.html")


@bench.command()
def preflight() -> None:
    """Say what the run of params.yaml takes, and all that would fail."""
    run(lambda _: [targets.module("patchcore_suite.preflight.messages")])


@bench.command()
@folders("mvtec", "mtd", "mstc")
@train_list
@device
@click.option("--go", is_flag=True, help="Run it; without this, only say what it takes.")
def paper(go: bool, **given: str | None) -> None:
    """Say what the paper's grid takes, or run it, on the folders of images that are given.

    With --go the merged params.yaml is written; the way back is `git checkout params.yaml dvc.lock`.
    """
    run(lambda root: targets.paper(root, settings_of(given), go=go), under_git=go)
    if go:
        click.echo("paper: done; open reports/index.html. The way back: git checkout params.yaml dvc.lock")
    else:
        click.echo(
            "\nThis was the dry run. To start:\n"
            "make paper GO=1 MVTEC=path MTD=path MSTC=path (DEVICE=cuda for a GPU), or\n"
            "patchcore bench paper --go --mvtec path --mtd path --mstc path (--device cuda).\n"
            "It writes the merged params.yaml and runs dvc repro. The way back: git checkout params.yaml dvc.lock"
        )


@bench.command()
@folders("mvtec", "mtd", "mstc", "hazelnut")
@train_list
@device
@click.option("--finished", is_flag=True, help="Compute nothing: write what a run that was ended has left.")
def results(finished: bool, **given: str | None) -> None:
    """Measure real images, and write measured/ and docs/results.md (some hours on two cores).

    A run that was ended goes on where it was when it is started again.
    """
    run(lambda root: targets.results(root, settings_of(given), finished=finished))


@bench.command()
@click.argument("file", metavar="FILE")
@click.option("--dataset", metavar="NAME", help="Dataset of params.yaml that they are of. [default: the first]")
@click.option("--variant", metavar="NAME", help="Ours to compare with. [default: the first of the dataset]")
@click.option("--theirs", metavar="NAME", help="Which of their variants, where FILE has a column `variant`.")
def compare(file: str, **given: str | None) -> None:
    """Set results of other code, in the CSV file FILE, beside ours in the report."""
    run(lambda _: targets.compare(file, given))


@bench.command()
@click.option("--to", metavar="FOLDER", help="Folder of the tables.")
def publish(to: str | None) -> None:
    """Write all results as one tidy table, CSV and parquet, with what made each."""
    run(lambda _: [targets.module("patchcore_suite.results.publish", *targets.options({"--to": to}))])


@bench.command()
@click.option("--mtd", metavar="FOLDER", required=True, help="Where the images of Magnetic Tile Defects lie.")
def scale(mtd: str) -> None:
    """Measure cheaper selections, and a bank that grows, on real tiles (some minutes)."""
    run(lambda _: targets.scale(mtd))


@bench.command()
@click.option("--mtd", metavar="FOLDER", help="Where the images of Magnetic Tile Defects lie; else features are drawn.")
@device
@click.option("--quick", is_flag=True, help="Only show that everything runs: few images, few repeats.")
def times(mtd: str | None, device: str | None, quick: bool) -> None:
    """Time the method, and write reports/benchmarks.md (25 minutes)."""
    run(lambda root: targets.times(root, mtd=mtd, device=device, quick=quick))


@bench.command()
def soak() -> None:
    """Measure the memory of 20,000 small images, from files to metrics (10 minutes)."""
    run(lambda _: [targets.module("benchmarks.soak")])


@bench.command()
def prove() -> None:
    """Show that threads, batch sizes and processes change no byte of a raw result (2 minutes)."""
    run(lambda _: [targets.module("benchmarks.determinism")])


@bench.command()
def verify() -> None:
    """Check every file that carries a checksum; exit code 1 if one is not as it was written."""
    run(lambda _: [targets.module("patchcore_suite.report.verify")])


@bench.command()
@device
@as_json
@click.option("--write", is_flag=True, help="Keep what this machine gives as its record, in a clone.")
def record(device: str | None, as_json: bool, write: bool) -> None:
    """Check that this machine computes what others did, from images to metrics (a minute; offline, in any folder).

    Prints picks, scores and metrics of a small fixed set of cells beside the records that come with the suite; exit
    code 1 where something lies outside of what docs/guarantees.md promises.
    """
    with exit_on_input_error():
        targets.run(targets.record(device=device, as_json=as_json, write=write), Path.cwd())


def run(steps: Callable[[Path], list[targets.Step]], *, under_git: bool = False, begun: str = "") -> None:
    """Run the steps for the clone in this folder."""
    with exit_on_input_error():
        root = targets.find_clone(Path.cwd())
        if under_git:
            targets.check_under_git(root)
        if begun:
            click.echo(begun)
        targets.run(steps(root), root)


def settings_of(given: dict[str, str | None]) -> dict[str, str]:
    """What the options set in params.yaml."""
    return {SOURCES[name]: value for name, value in given.items() if value is not None}
