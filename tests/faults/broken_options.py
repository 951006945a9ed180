"""Options and arguments of the command `patchcore`, run in this process."""

from collections.abc import Iterator
from pathlib import Path

from click.testing import CliRunner
from faults.broken_models import Models
from faults.inputs import Gives, Input, Make, Refused, Use, nothing
from toy_folders import save_image

from patchcore_core.common.errors import InputError
from patchcore_suite.parts.command import ALARM, main

SMALL = ("--backbone", "pixels", "--size", 32, 32)
# Values of options of `fit`, and words of the refusal; no value: the option as it stands.
FIT = (
    (("--coreset", 0), "a coreset of 0.0"),
    (("--coreset", -1), "a coreset of -1.0"),
    (("--coreset", 2), "a coreset of 2.0"),
    (("--coreset", "nan"), "a coreset of nan"),
    (("--coreset", "inf"), "a coreset of inf"),
    (("--coreset", "abc"), "'--coreset': 'abc'"),
    (("--coreset", ""), "'--coreset': ''"),
    (("--coreset", "0,1"), "'--coreset': '0,1'"),
    (("--false-alarms", 0), "a rate of false alarms of 0.0"),
    (("--false-alarms", 1), "a rate of false alarms of 1.0"),
    (("--false-alarms", -1), "a rate of false alarms of -1.0"),
    (("--false-alarms", "nan"), "a rate of false alarms of nan"),
    (("--false-alarms", "1%"), "'--false-alarms': '1%'"),
    (("--miss-cost", -1), "a miss that costs -1.0"),
    (("--miss-cost", "nan"), "a miss that costs nan"),
    (("--miss-cost", "inf"), "a miss that costs inf"),
    (("--seed", -1), "a seed of -1"),
    (("--seed", 1.5), "'--seed': '1.5'"),
    (("--seed", ""), "'--seed': ''"),
    (("--size", 0, 0), "resize=(0, 0) is not a size"),
    (("--size", -5, 5), "resize=(-5, 5) is not a size"),
    (("--size", 32, 100000), "resize=(32, 100000) is not a size"),
    (("--size", "nan", 1), "'nan'"),
    (("--size", 32), "'--size' requires 2 arguments"),
    (("--crop", 0), "crop=0 is not a size"),
    (("--crop", 33), "crop=33 does not fit"),
    (("--crop", "nan"), "'--crop': 'nan'"),
    (("--backbone", ""), "backbone=''"),
    (("--backbone", "pixels "), "did you mean pixels?"),
    (("--backbone", "PIXELS"), "backbone='PIXELS' is neither"),
    (("--backbone", "../x"), "backbone='../x' is neither"),
    (("--backbone", "resnet18; touch x"), "backbone='resnet18; touch x' is neither"),
    (("--backbone", "untrained/"), "backbone='untrained/' is neither"),
    (("--device", ""), "device='' is none"),
    (("--device", "gpu"), "device='gpu' is none"),
    (("--device", "meta"), "device='meta' is none"),
    (("--device", "cuda:99"), "device='cuda:99' is none"),
    (("--good", ""), "no folder '' of good images"),
    (("--good", ".."), "no folder '..' of good images"),
    (("--good", "/"), "no folder '/' of good images"),
    (("--good", "none"), "its folders"),
    (("--layout", ""), "layout='' must be one of"),
    (("--layout", "mvtek"), "did you mean mvtec?"),
    (("--layout", "csv"), "labels.csv"),
    (("--layout", "mtd"), "no images in the layout mtd"),
    (("--layout", "folders"), "folders of"),
    (("--layout", "mvtec", "--good", "good"), "says which images are good"),
    (("--category", ""), "categories=('',)"),
    (("--category", "none"), "no category none"),
    (("--category", ".."), "no category .."),
    (("--tiles", 0), "tiles of 0 pixels"),
    (("--tiles", 16), "tiles of 16 pixels"),
    (("--tiles", 64), "tiles of 64 pixels are larger"),
    (("--tiles", 32, "--overlap", 32), "overlap by 32"),
    (("--tiles", 32, "--overlap", -1), "overlap by -1"),
    (("--overlap", 8), "--overlap 8 says nothing without tiles"),
    (("--region", "none.png"), "no such image"),
    (("--networks", "none.py"), "the file of networks none.py cannot be read"),
    (("--networks", "."), "cannot be read"),
    (("--none",), "No such option"),
)


def run(*arguments: object, code: int = 0) -> str:
    """What a command prints; what it says where it is refused, an InputError."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code != code:
        raise InputError(result.stderr)
    return result.stdout


def command(*arguments: object, code: int = 0) -> Use:
    """Run a command; what is written `{}` in an argument is the folder of the input."""
    return lambda root: run(*(str(argument).replace("{}", str(root)) for argument in arguments), code=code)


def beside(root: Path) -> None:
    """An image, a text, and a folder with an image, of which nothing may be lost."""
    save_image(root / "image.png", size=(32, 32))
    save_image(root / "folder/image.png", size=(32, 32))
    (root / "notes.txt").write_text("mine")


def inputs(shared: Path) -> Iterator[Input]:
    models = Models(shared)
    yield from fits(models)
    yield from predictions(models)
    yield from other_commands(models)


def fits(models: Models) -> Iterator[Input]:
    begin = ("fit", models.parts, "--to", "{}/model", *SMALL)
    for options, words in FIT:
        yield Input(f"fit {' '.join(map(str, options))}", nothing, command(*begin, *options), Refused([words]))
    for name, options, words in (
        ("a photograph for a region", ("--region", "{}/image.png"), "is no mask of a region"),
        ("photographs for regions", ("--region", "{}/folder"), "region"),
        ("a photograph for networks", ("--networks", "{}/image.png"), "image.png fails"),
        ("a text for networks", ("--networks", "{}/notes.txt"), "notes.txt"),
        ("a device for the model", ("--to", "/dev/null"), "/dev/null is there already, and is no model"),
        ("an image for the model", ("--to", "{}/image.png"), "image.png is there already, and is no model"),
        ("images for the model", ("--to", "{}/folder"), "folder is there already, and is no model"),
        ("a file's folder for the model", ("--to", "{}/notes.txt/model"), "cannot be written"),
        ("a name that is too long", ("--to", "{}/" + 300 * "x"), "cannot be written"),
        ("nothing for the model", ("--to", "{}"), "is there already, and is no model"),
    ):
        yield Input(f"fit, {name}", beside, command(*begin, *options), Refused([words]))
    for name, folder, words in (
        ("that is not there", "{}/none", "no such folder"),
        ("that is an image", "{}/image.png", "no such folder"),
        ("that is a device", "/dev/null", "no such folder"),
        ("of folders of any meaning", "{}", "cannot be told"),
        ("of one image", "{}/folder", "give at least two"),
        ("of a model", models.one, "no image"),
    ):
        use = command("fit", folder, "--to", "{}/model", *SMALL)
        yield Input(f"fit to a folder {name}", beside, use, Refused([words]))


def predictions(models: Models) -> Iterator[Input]:
    begin = ("predict", models.one, models.image)
    for name, arguments, words in (
        ("a threshold that is NaN", (*begin, "--threshold", "nan"), "a threshold of nan is no score"),
        ("a threshold that is infinite", (*begin, "--threshold", "inf"), "a threshold of inf is no score"),
        ("a threshold that overflows", (*begin, "--threshold", "1e400"), "a threshold of inf is no score"),
        ("a threshold in words", (*begin, "--threshold", "high"), "'--threshold': 'high'"),
        ("a table over an image", (*begin, "--csv", "{}/image.png"), "no name of a file that ends in .csv"),
        ("a table without a name", (*begin, "--csv", ""), "no name of a file that ends in .csv"),
        ("a table over a folder", (*begin, "--csv", "{}/folder"), "no name of a file that ends in .csv"),
        ("a table in a text", (*begin, "--csv", "{}/notes.txt/t.csv"), "cannot be written"),
        ("pictures in an image", (*begin, "--overlays", "{}/image.png"), "cannot be written"),
        ("a region that the model has not", (*begin, "--region", "{}/folder"), "without a mask for each image"),
        ("a device that is not there", (*begin, "--device", "gpu"), "device='gpu' is none"),
        ("an image that is not there", (*begin, "{}/none.png"), "no such file or folder"),
        ("a folder without images", ("predict", models.one, models.one / "none"), "no such file or folder"),
        ("a text for an image", ("predict", models.one, "{}/notes.txt"), "notes.txt: not an image"),
        ("no image", ("predict", models.one), "Missing argument 'IMAGES...'"),
        ("a model that is not there", ("predict", "{}/none", models.image), "holds no model of parts"),
        ("a folder for a model", ("predict", "{}/folder", models.image), "holds no model of parts"),
        ("an image for a model", ("predict", "{}/image.png", models.image), "holds no model of parts"),
    ):
        yield Input(f"predict, {name}", beside, command(*arguments), Refused([words]))
    twice = command("predict", models.one, models.image, models.image)
    yield Input("predict, an image twice", nothing, twice, Gives(run("predict", models.one, models.image)))
    alarmed = command(*begin, "--alarm", "--threshold", -1, code=ALARM)
    yield Input(
        "predict, an alarm", nothing, alarmed, Gives(run("predict", models.one, models.image, "--threshold", -1))
    )


def other_commands(models: Models) -> Iterator[Input]:
    known = models.parts / "train/good"
    cases: tuple[tuple[str, Make, Use, str], ...] = (
        ("evaluate by known images", nothing, command("evaluate", models.one, known), "was fitted to"),
        (
            "evaluate, a cost of NaN",
            nothing,
            command("evaluate", models.one, models.parts, "--miss-cost", "nan"),
            "nan",
        ),
        ("explain a folder", beside, command("explain", models.one, "{}/folder"), "one image is explained at a time"),
        (
            "explain, over the image",
            beside,
            command("explain", models.one, "{}/image.png", "--to", "{}/image.png"),
            "is the image itself",
        ),
        (
            "explain, over a text",
            beside,
            command("explain", models.one, models.image, "--to", "{}/notes.txt"),
            "no name of a file that ends in .png",
        ),
        ("a command that there is not", nothing, command("train", models.parts), "No such command 'train'"),
    )
    for name, make, use, words in cases:
        yield Input(name, make, use, Refused([words]))
