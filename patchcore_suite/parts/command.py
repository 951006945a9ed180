"""The command `patchcore`: from a folder of good photographs to a model that judges new ones."""

import sys
from dataclasses import asdict
from pathlib import Path

import click

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import write_text
from patchcore_core.config import DEFAULT_BACKBONE, PatchCoreConfig
from patchcore_suite.parts import command_options as options
from patchcore_suite.parts import command_output as output
from patchcore_suite.parts.bench_command import bench
from patchcore_suite.parts.convert_command import convert

ALARM = 3  # exit code of `predict --alarm` where an image is anomalous


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="patchcore-bench", prog_name="patchcore")
def main() -> None:
    """Find what is unusual in photographs of a part, from photographs of good ones alone.

    \b
    patchcore fit photographs/good --to model
    patchcore predict model new-photographs/
    patchcore explain model new-photographs/1.png
    patchcore export model new-photographs/

    Begin with `fit`; `patchcore fit --help` says more, and so with each command. Images may be of any size, grey or in
    colour. Progress and notes go to standard error, results to standard output.

    Exit codes: 0 done; 1 an error that is told with its remedy; 2 the command was not understood; 3 `predict --alarm`
    found something unusual.
    """


@main.command(short_help="Fit a model to a folder of good images.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "model",
    type=click.Path(path_type=Path),
    default=Path("model"),
    show_default=True,
    help="Folder of the model.",
)
@options.good
@options.layout
@options.category
@click.option("--size", type=int, nargs=2, metavar="HEIGHT WIDTH", help="Bring all images to this size, uncropped.")
@click.option("--resize", type=int, default=256, show_default=True, help="Shorter side, where no --size is given.")
@click.option("--crop", type=int, help="Side of the square at the centre that is kept.")
@options.tiles
@options.overlap
@options.region_of_fit
@click.option("--coreset", type=float, help="Share of patch features to keep. [default: 0.01, but 2,000 at least]")
@click.option("--backbone", default=DEFAULT_BACKBONE, show_default=True, help="Of torchvision, timm or --networks.")
@click.option(
    "--hierarchy",
    "hierarchies",
    type=int,
    multiple=True,
    default=PatchCoreConfig.hierarchies,
    show_default=True,
    help="Whose feature maps are used, ascending, once for each; of a transformer, its blocks.",
)
@click.option(
    "--false-alarms", default=0.01, show_default=True, help="Share of good images that may be called anomalous."
)
@options.miss_cost
@click.option("--seed", default=0, show_default=True, help="Of what is drawn at random.")
@options.weights
@options.networks
@click.option("--with-weights", is_flag=True, help="Copy the backbone's weights into the model.")
@options.device
@options.as_json
@options.told
def fit(folder: Path, model: Path, good: str | None, size: tuple[int, int] | None, as_json: bool, **chosen) -> None:
    """Fit a model to the good images of FOLDER, and test it where FOLDER has defects.

    FOLDER holds good images; or folders of them, one called "good" (or --good NAME) and the others after defects; or
    train/, test/ and ground_truth/ as MVTec AD has them; or it lies as --layout says. Ten good images do for a first
    look, two hundred are better. No setting is needed; the threshold follows from the good images alone.

    \b
    patchcore fit photographs/good --to model
    patchcore fit photographs --good ok --size 256 256 --false-alarms 0.001
    patchcore fit photographs/good --crop 224 --backbone vit_small_patch14_dinov2 --hierarchy 8 --hierarchy 11
    """
    from patchcore_suite.parts.fitting import FitOptions
    from patchcore_suite.parts.fitting import fit as fit_model
    from patchcore_suite.parts.model_files import EXPORT_FOLDER, check_replaceable
    from patchcore_suite.parts.model_network import without_own
    from patchcore_suite.parts.photographs import look_at
    from patchcore_suite.run.own_networks import is_built_in

    with_weights, laid_tiles = chosen.pop("with_weights"), options.laid(chosen.pop("tiles"), chosen.pop("overlap"))
    if with_weights and chosen["networks"] is not None and not is_built_in(chosen["backbone"]):
        raise without_own(chosen["backbone"])
    resize, fraction = chosen.pop("resize"), chosen.pop("coreset")
    check_replaceable(model)
    arranged = {name: chosen.pop(name) for name in ("layout", "category")}
    options_of_fit = FitOptions(resize=size or resize, coreset_fraction=fraction, tiles=laid_tiles, **chosen)
    found = look_at(folder, good=good, **arranged)
    output.tell_found(found)
    fitted = fit_model(found, options_of_fit)
    exported = (model / EXPORT_FOLDER).exists()
    fitted.save(model, with_weights=with_weights)
    if exported and not (model / EXPORT_FOLDER).exists():
        output.tell(
            f"note: {model / EXPORT_FOLDER} was an export of the model before, and is gone: export this one too"
        )
    if as_json:
        output.show_json(
            {
                "model": str(model),
                "good_images": len(found.good),
                "threshold": asdict(fitted.threshold),
                "thresholds": {name: asdict(one) for name, one in fitted.thresholds.items()},
                "tested": fitted.tested,
                "unused": found.unused,
                "remarks": found.remarks,
            }
        )
        return
    click.echo(f"model: {model} ({model / 'README.md'} says what it is)")
    click.echo(f"threshold {fitted.threshold.value:.4g}: {fitted.threshold.rule}")
    output.show_tested(fitted.tested, {name: one.rule for name, one in fitted.thresholds.items()})


@main.command(short_help="Judge new images by a model.")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--threshold", type=float, help="Judge by this score instead of the model's.")
@click.option("--csv", "table", type=click.Path(path_type=Path), help="Write a table of all images.")
@click.option("--overlays", type=click.Path(path_type=Path), help="Folder for each image with its anomaly map.")
@options.region
@click.option("--alarm", is_flag=True, help=f"Exit with {ALARM} if any image is anomalous.")
@options.weights
@options.networks
@options.device
@options.as_json
@options.told
def predict(model: Path, images: tuple[Path, ...], threshold: float | None, as_json: bool, **chosen) -> None:
    """Judge IMAGES, files or folders, by MODEL.

    Says of each image whether it is good or anomalous, its score, and how many of the good images that the model knows
    score lower.

    \b
    patchcore predict model new-photographs/
    patchcore predict model new-photographs/ --csv table.csv --overlays drawn
    patchcore predict model 1.png 2.png --json --alarm
    """
    import pandas as pd

    from patchcore_suite.datasets.names import csv_text
    from patchcore_suite.parts import pictures
    from patchcore_suite.parts.model import PartsModel, refuse_failed
    from patchcore_suite.parts.thresholds import Threshold

    output.check_file(chosen["table"], ".csv")
    files = output.images_of(images)
    where = {name: chosen[name] for name in ("weights", "networks", "device")}
    loaded = PartsModel.load(model, **where).with_region(chosen["region"])
    if threshold is not None:
        loaded = loaded.with_threshold(Threshold(threshold, "given"))
    rows: list[dict[str, object]] = []
    failed: list[InputError] = []
    for one in loaded.judge_each(files):
        if isinstance(one, InputError):
            failed.append(one)
            continue
        rows.append(output.as_row(one))
        if chosen["overlays"] is not None:
            pictures.overlay(loaded, one, chosen["overlays"])
        if not as_json:
            verdict = "ANOMALOUS" if one.anomalous else "good"
            click.echo(f"{verdict:9} {one.score:10.4g}  above {100 * one.share:5.1f} % of good  {one.path}")
    if as_json:
        output.show_json({"threshold": asdict(loaded.threshold), "images": rows, "failed": [e.problem for e in failed]})
    if chosen["table"] is not None:
        write_text(chosen["table"], csv_text(pd.DataFrame(rows, columns=output.COLUMNS)))
    refuse_failed(failed)
    if chosen["alarm"] and any(row["anomalous"] for row in rows):
        sys.exit(ALARM)


@main.command(short_help="Test a model with images that it has not seen.")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@options.good
@options.layout
@options.category
@options.miss_cost
@options.region
@options.weights
@options.networks
@options.device
@options.as_json
@options.told
def evaluate(model: Path, folder: Path, good: str | None, miss_cost: float, as_json: bool, **chosen) -> None:
    """Test MODEL with the images of FOLDER, which is made as for `fit`; images that it was fitted to are left out.

    Says how well scores part good images from defects (AUROC, with its interval), how many of each are on the wrong
    side of the threshold, and, where there are masks, how well maps find defects.

    \b
    patchcore evaluate model labelled-photographs/
    """
    from patchcore_suite.parts.fitting import evaluate as evaluate_model
    from patchcore_suite.parts.model import PartsModel
    from patchcore_suite.parts.photographs import look_at

    arranged = {name: chosen.pop(name) for name in ("layout", "category")}
    loaded = PartsModel.load(model, **{name: chosen[name] for name in ("weights", "networks", "device")})
    loaded = loaded.with_region(chosen["region"])
    found = look_at(folder, good=good, **arranged)
    output.tell_unused(found)
    tested_as, thresholds = evaluate_model(loaded, output.unknown_of(found, loaded), miss_cost=miss_cost)
    if as_json:
        output.show_json({"tested": tested_as, "thresholds": {name: asdict(one) for name, one in thresholds.items()}})
        return
    output.show_tested(tested_as, {name: f"{one.value:.4g}, {one.rule}" for name, one in thresholds.items()})


@main.command(short_help="Show why an image scores as it does.")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("image", type=click.Path(path_type=Path))
@click.option(
    "--to", "picture", type=click.Path(path_type=Path), help="File of the picture. [default: IMAGE-why.png here]"
)
@options.region
@options.weights
@options.networks
@options.device
@options.told
def explain(model: Path, image: Path, picture: Path | None, region: Path | None, **where) -> None:
    """Show which patch of IMAGE is farthest from all good ones, and which good one comes nearest.

    \b
    patchcore explain model new-photographs/1.png --to why.png
    """
    from patchcore_suite import figures
    from patchcore_suite.parts import pictures
    from patchcore_suite.parts.model import PartsModel

    if image.is_dir():
        raise InputError(f"{image} is a folder, and one image is explained at a time", remedy="name an image in it")
    (file,) = output.images_of([image])
    target = picture or Path(f"{file.stem}-why.png")
    output.check_file(target, ".png")
    if target.exists() and target.samefile(file):
        raise InputError(f"{target} is the image itself", remedy="name another file for the picture")
    loaded = PartsModel.load(model, **where).with_region(region)
    (judged,) = loaded.judge([file], show_progress=False)
    figure, said = pictures.explanation(loaded, judged)
    figures.save_pixels(figure, target)
    click.echo("\n".join([*said, f"picture: {target}"]))


@main.command(short_help="Write a model as ONNX, for where torch is not.")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--to", "folder", type=click.Path(path_type=Path), help="Folder of the exported model. [default: MODEL/onnx]"
)
@click.option("--latency", "times", is_flag=True, help="Time torch and the runtimes that are installed, side by side.")
@options.weights
@options.networks
@options.told
def export(model: Path, images: tuple[Path, ...], folder: Path | None, times: bool, **where) -> None:
    """Write MODEL as ONNX, once it scores IMAGES as MODEL does; run_onnx.py in the folder runs it without torch.

    IMAGES are some of yours, good or not: a dozen will do. What was found is written into the README.md of both
    folders. It needs the extra `export`: pip install '.[export]' in the clone.

    \b
    patchcore export model new-photographs/
    python model/onnx/run_onnx.py new-photographs/1.png
    """
    from patchcore_suite.parts.export import EXPORT_FOLDER, export_saved

    found = export_saved(model, output.images_of(images), folder, times=times, **where)
    click.echo(f"{found}\n\npython {(folder or model / EXPORT_FOLDER) / 'run_onnx.py'} IMAGE... needs no torch")


main.add_command(bench)
main.add_command(convert)

if __name__ == "__main__":
    main()
