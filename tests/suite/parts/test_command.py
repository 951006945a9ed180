import errno
import json
import os
import re
import shlex
import shutil

import click
import numpy as np
import pytest
from click.testing import CliRunner
from clone import ROOT
from PIL import Image

from patchcore_suite.parts.command import ALARM, main
from patchcore_suite.parts.command_options import told
from patchcore_suite.run import targets


def run(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def model(folder):
    made = folder.parent / "model"
    said = run("fit", folder, "--to", made, "--size", 64, 64, "--coreset", 0.5)
    assert "threshold" in said.stdout
    assert "image AUROC" in said.stdout
    return made


def test_images_are_judged_one_a_line_and_written_as_a_table(model, folder, tmp_path):
    said = run("predict", model, folder / "test", "--csv", tmp_path / "table.csv", "--overlays", tmp_path / "drawn")
    images = sorted((folder / "test").rglob("*.png"))
    assert len(said.stdout.splitlines()) == len(images)
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert lines[0] == "image,score,anomalous,share_of_good_below"
    assert len(lines) == 1 + len(images) == 1 + len(list((tmp_path / "drawn").iterdir()))


def test_json_holds_the_same(model, folder):
    said = json.loads(run("predict", model, folder / "test", "--json").stdout)
    assert {row["anomalous"] for row in said["images"]} <= {True, False}
    assert said["failed"] == []
    assert said["threshold"]["value"] > 0


def test_an_alarm_is_an_exit_code(model, folder):
    images = folder / "test/good"
    run("predict", model, images, "--alarm", "--threshold", 1e9)
    run("predict", model, images, "--alarm", "--threshold", 0, code=ALARM)


def test_what_is_judged_is_kept_where_other_images_fail(model, folder, tmp_path):
    (tmp_path / "cut.png").write_bytes(b"\x89PNG")
    said = run("predict", model, folder / "test/good", tmp_path / "cut.png", "--csv", tmp_path / "t.csv", code=1)
    assert "cut.png" in said.stderr
    assert "Remedy:" in said.stderr
    assert "Traceback" not in said.output
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 1 + len(list((folder / "test/good").iterdir()))


def test_a_model_is_tested_with_images_that_it_was_not_fitted_to(model, folder, tmp_path):
    tested = json.loads(run("evaluate", model, folder, "--json").stdout)["tested"]
    assert tested["good images"] == len(list((folder / "test/good").iterdir()))
    assert "image AUROC" in run("evaluate", model, folder).stdout
    said = run("evaluate", model, folder / "train/good", code=1)
    assert "those that the model was fitted to" in said.stderr


def test_what_is_passed_over_is_told(model, folder, tmp_path):
    shutil.copy(next((folder / "test/good").iterdir()), tmp_path / "a.png")
    (tmp_path / "b.heic").write_bytes(b"")
    os.mkfifo(tmp_path / "c.png")
    said = run("predict", model, tmp_path)
    assert len(said.stdout.splitlines()) == 1
    assert f"not judged: {tmp_path / 'b.heic'}: no image of a kind that is read\n" in said.stderr
    assert f"not judged: {tmp_path / 'c.png'}: no file\n" in said.stderr
    shutil.copy(next((folder / "train/good").iterdir()), tmp_path / "known.png")
    said = run("evaluate", model, tmp_path)
    assert "note: 1 images are left out, because the model was fitted to them" in said.stderr
    assert "not used: b.heic: no image of a kind that is read" in said.stderr
    assert "good images          1\n" in said.stdout


def test_names_and_links_that_cannot_be_told_are_refused_before_any_image_is_judged(tmp_path):
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    strange = os.fsdecode(b"\xff.png")
    (tmp_path / strange).touch()
    said = run("predict", "no model", tmp_path, tmp_path / strange, "--json", code=1).stderr
    assert said.count("name that is not UTF-8 (rename it): ") == 2
    assert f"link that leads nowhere: {tmp_path / 'gone.png'}" in said
    assert "\\xff.png" in said


def test_json_is_json_where_an_interval_has_nothing_to_be_drawn_from(model, folder, tmp_path):
    for kind in ("good", "scratch"):
        (tmp_path / kind).mkdir()
        shutil.copy(sorted((folder / "test" / kind).iterdir())[0], tmp_path / kind)
    said = run("evaluate", model, tmp_path, "--json").stdout
    tested = json.loads(said, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))["tested"]
    assert "image AUROC" in tested
    assert "image AUROC, low" not in tested


@pytest.mark.parametrize("cost", [-1, "nan", "inf"])
def test_costs_that_weigh_nothing_are_told_before_any_image_is_judged(cost, model, folder, monkeypatch):
    monkeypatch.setattr("patchcore_suite.parts.model.PartsModel.judge", None)
    assert "must be 0 or more" in run("evaluate", model, folder, "--miss-cost", cost, code=1).stderr


def test_an_image_is_explained_by_its_nearest_good_patch(model, folder, tmp_path):
    image = next((folder / "test/scratch").iterdir())
    said = run("explain", model, image, "--to", tmp_path / "why.png").stdout
    assert "its nearest good patch is of" in said
    assert "not there any more" not in said
    with Image.open(tmp_path / "why.png") as picture:
        assert picture.width > 300


def test_nothing_takes_the_place_of_what_is_no_result(model, folder, tmp_path):
    image = shutil.copy(next((folder / "test/scratch").iterdir()), tmp_path / "part.png")
    vectors = tmp_path / "part.svg"
    vectors.write_text("a drawing")
    os.mkfifo(tmp_path / "pipe.csv")
    before = image.read_bytes()
    for arguments, message in (
        (["predict", model, image, "--csv", image], "no name of a file that ends in .csv"),
        (["predict", model, image, "--csv", tmp_path / "pipe.csv"], "is there already, and is no file"),
        (["explain", model, image, "--to", image], "is the image itself"),
        (["explain", model, image, "--to", vectors], "no name of a file that ends in .png"),
        (["fit", folder, "--to", tmp_path], "is there already, and is no model"),
        (["fit", folder, "--to", tmp_path / ("x" * 300)], "cannot be written: File name too long"),
    ):
        said = run(*arguments, code=1)
        assert message in said.stderr
        assert said.stdout == ""
    run("predict", model, image, "--overlays", tmp_path)
    run("explain", model, image, "--to", tmp_path / "part.svg.png")
    (tmp_path / "why.svg").write_text("a drawing")
    run("explain", model, image, "--to", tmp_path / "why.png")
    assert image.read_bytes() == before
    assert vectors.read_text() == (tmp_path / "why.svg").read_text() == "a drawing"
    assert (tmp_path / "pipe.csv").is_fifo()


def test_values_that_nothing_can_be_made_of_are_told_before_any_image_is_read(tmp_path):
    values = ["--seed", -1, "--false-alarms", "nan", "--miss-cost", "inf", "--coreset", 0, "--size", 7, 64]
    said = run("fit", tmp_path / "nothing", *values, code=1).stderr
    assert said.count("  - ") == 5
    assert "images brought to 7 pixels must have 8 or more" in said
    assert "no such folder" not in said


def test_an_output_without_room_is_told_in_a_line(capsys):
    @told
    def command():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(SystemExit, match="1"):
        command()
    assert "the output cannot be written: No space left on device\nRemedy: make room" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_threshold_that_is_no_score_is_refused(model, folder, value):
    assert (
        f"a threshold of {value} is no score"
        in run("predict", model, folder / "test", "--threshold", value, code=1).stderr
    )


def test_an_image_of_16_bits_that_another_camera_would_fill_is_refused(model, tmp_path):
    for highest, code in ((2**12 - 1, 1), (2**12, 0)):
        Image.fromarray(np.full((24, 32), highest, np.uint16)).save(tmp_path / "i.png")
        said = run("predict", model, tmp_path / "i.png", code=code)
        assert ("it would be read as nearly black" in said.stderr) == (code == 1)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fit", "nothing"], 1, "no such folder: nothing"),
        (["predict", "nothing", "."], 1, "no image in the folder"),
        (["explain", "nothing", "."], 1, "one image"),
        (["predict", "nothing"], 2, "IMAGES"),
        (["fit", ".", "--coreset", "many"], 2, "not a valid float"),
        (["fly"], 2, "No such command"),
    ],
)
def test_wrong_use_is_told_in_a_line(arguments, code, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = run(*arguments, code=code)
    assert message in said.output
    assert "Traceback" not in said.output


def test_the_pipeline_is_run_in_a_clone_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("repro", "preflight", "paper", "results", "times", "soak", "prove", "verify"):
        said = run("bench", name, code=1)
        assert said.stdout == ""
        assert "clone of PatchCore Bench" in said.stderr
        assert "Remedy:" in said.stderr


def test_options_of_a_target_reach_its_steps(monkeypatch):
    asked = []
    monkeypatch.setattr("patchcore_suite.run.targets.run", lambda steps, root: asked.extend(steps))
    monkeypatch.chdir(ROOT)
    said = run("bench", "paper", "--mtd", "tiles", "--device", "cuda")
    assert asked[0].command[-3:] == ("datasets.mtd.source=tiles", "--set", "execution.device=cuda")
    assert "This was the dry run" in said.stdout
    run("bench", "results", "--hazelnut", "nuts")
    assert "datasets.hazelnut_reduced.source=nuts" in asked[1].command


def test_a_machine_is_checked_in_any_folder(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr("patchcore_suite.run.targets.run", lambda steps, root: asked.append((steps, root)))
    monkeypatch.chdir(tmp_path)
    run("bench", "record", "--device", "cuda", "--json", "--write")
    run("bench", "record")
    assert asked == [
        (targets.record(device="cuda", as_json=True, write=True), tmp_path),
        (targets.record(device=None, as_json=False, write=False), tmp_path),
    ]


def test_help_and_version_are_there():
    assert "patchcore fit photographs/good --to model" in run("--help").stdout
    assert run("--version").stdout.startswith("patchcore, version ")


def commands(group, path=()):
    """Every command that does something, by its words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def examples(text):
    """Lines of help or of a document that call the command."""
    lines = re.findall(r"^\s*patchcore (.*?)(?:\s+#.*)?$", text, flags=re.MULTILINE)
    return [shlex.split(line) for line in lines]


def test_every_option_says_what_it_does_and_every_command_of_parts_gives_an_example():
    for words, command in commands(main):
        silent = [option.name for option in command.params if isinstance(option, click.Option) and not option.help]
        assert silent == [], words
        if words[0] != "bench":
            assert words[0] in [example[0] for example in examples(command.help)]


def test_examples_of_help_and_documents_are_understood():
    documents = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/your_parts.md")]
    helps = [command.help for _, command in commands(main)]
    given = [words for text in (main.help, main.commands["bench"].help, *helps, *documents) for words in examples(text)]
    assert len(given) > 15
    for words in given:
        command, context = main, None
        while hasattr(command, "commands"):
            context = click.Context(command, parent=context)
            command, words = command.commands[words[0]], words[1:]
        command.make_context("patchcore", words, parent=context)


def test_weights_are_asked_for_by_the_commands_own_option(folder, tmp_path):
    fit = ("fit", folder, "--to", tmp_path / "model", "--size", 64, 64)
    missing = run(*fit, "--backbone", "wide_resnet50_2", code=1).stderr
    assert "set --weights (or PATCHCORE_WEIGHTS) to a folder that holds wide_resnet50_2.safetensors" in missing
    assert "Remedy: do one of the above" in missing
    absent = run(*fit, "--weights", tmp_path / "absent", code=1).stderr
    assert f"--weights='{tmp_path / 'absent'}' does not exist" in absent
    assert "params.yaml" not in missing + absent
    assert "execution.weights" not in missing + absent
