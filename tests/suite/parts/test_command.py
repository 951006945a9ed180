import json

import pytest
from click.testing import CliRunner
from PIL import Image

from patchcore_suite.parts.command import ALARM, main


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


def test_an_image_is_explained_by_its_nearest_good_patch(model, folder, tmp_path):
    image = next((folder / "test/scratch").iterdir())
    said = run("explain", model, image, "--to", tmp_path / "why.png").stdout
    assert "its nearest good patch is of" in said
    assert "not there any more" not in said
    with Image.open(tmp_path / "why.png") as picture:
        assert picture.width > 300


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


def test_help_and_version_are_there():
    assert "patchcore fit photographs/good --to model" in run("--help").stdout
    assert run("--version").stdout.startswith("patchcore, version ")
