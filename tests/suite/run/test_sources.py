import os
from contextlib import nullcontext

import pytest
from toy_folders import mvtec_folder

from patchcore_core.common.errors import InputError
from patchcore_suite.run.sources import check_sources
from patchcore_suite.settings.project import load_project

BLOCK = "  {name}: {{layout: {layout}, paper: null, source: {source}, resize: 32, variants: [one], seeds: [0]{more}}}\n"


def project(folder, *, execution="{}", **sources):
    """A project whose datasets have these sources, and keys after them."""
    text = "datasets:\n"
    for name, (layout, source, more) in sources.items():
        text += BLOCK.format(name=name, layout=layout, source=source, more=more)
    (folder / "params.yaml").write_text(text + f"variants:\n  one: {{}}\nexecution: {execution}\n", encoding="utf-8")
    return load_project(folder / "params.yaml")


def test_folders_that_dvc_cannot_watch_are_all_named(tmp_path):
    for name in ("links", "names", "ignored"):
        mvtec_folder(tmp_path / name)
    (tmp_path / "links/part/test/dent").symlink_to("/not/mounted")
    os.rename(tmp_path / "names/part/train/good/000.png", os.fsencode(tmp_path / "names") + b"/d\xe9faut.png")
    (tmp_path / "ignored/.dvcignore").touch()
    names = ("links", "names", "ignored", "missing")
    with pytest.raises(InputError) as caught:
        check_sources(project(tmp_path, **{name: ("mvtec", name, "") for name in names}))
    said = caught.value.offenders
    assert [line.split(":")[0] for line in said] == [f"datasets.{name}.source" for name in names]
    assert "dent -> /not/mounted" in said[0]
    assert r"d\xe9faut.png" in said[1]


def test_what_can_be_watched_passes(tmp_path):
    mvtec_folder(tmp_path / "images")
    check_sources(project(tmp_path, own=("mvtec", "images", ""), drawn=("mvtec", "synthetic", "")))


def test_weights_that_dvc_cannot_watch_are_named_with_the_images(tmp_path):
    mvtec_folder(tmp_path / "images")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/resnet18.pth").symlink_to("/not/mounted")
    for weights, said in (("weights", "link that leads nowhere"), ("none", "no such file or folder")):
        found = project(tmp_path, execution=f"{{weights: {weights}}}", own=("mvtec", "images", ""))
        with pytest.raises(InputError) as caught:
            check_sources(found)
        (line,) = caught.value.offenders
        assert line.startswith(f"execution.weights: {said}")


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("null", "must be a path, or installed"),
        ("''", "must be a path, or installed"),
        ("~/weights", "must be written in full: /"),
        (".", "holds or is what the suite writes"),
        ("reports/weights", "holds or is what the suite writes"),
        ("s3://weights", "not an address"),
        ("'weights '", "begins or ends with a space"),
    ],
)
def test_weights_that_dvc_takes_for_something_else_are_refused(tmp_path, weights, said):
    with pytest.raises(InputError, match=r"execution\.weights") as caught:
        project(tmp_path, execution=f"{{weights: {weights}}}", own=("mvtec", "images", ""))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("source", "given", "watched"),
    [
        ("tiles", "tiles/list.txt", True),
        ("tiles", "lists/list.txt", True),
        ("synthetic", "lists/deep/list.txt", True),
        ("tiles", "list.txt", False),
        ("tiles", "lists/../list.txt", False),
        ("download", "data/own/list.txt", False),
        ("synthetic", "synthetic", False),
    ],
)
def test_a_list_of_training_images_lies_where_dvc_watches(tmp_path, source, given, watched):
    wanted = pytest.raises(InputError, match=r"train_list.*must lie in lists") if not watched else nullcontext()
    with wanted:
        project(tmp_path, own=("mtd", source, f", train_list: {given}"))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("~/parts", "must be written in full: /"),
        ("s3://parts", "not an address"),
        ("data/own", "holds data/own, into which the suite writes"),
        ("data", "holds data/own"),
        (".", "holds data/own"),
        ("..", "holds data/own"),
        ("reports", "/reports, into which the suite writes"),
        (".git/images", "/.git, into which the suite writes"),
        (".cache/features", "/.cache/features, into which the suite writes"),
        ("'parts '", "begins or ends with a space"),
        ('"a\\0b"', "a folder's path"),
    ],
)
def test_a_source_that_dvc_takes_for_something_else_is_refused(tmp_path, source, said):
    with pytest.raises(InputError, match=r"line 2: datasets\.own\.") as caught:
        project(tmp_path, own=("mvtec", source, ""))
    assert said in str(caught.value)


def test_a_folder_in_that_of_the_dataset_and_one_with_odd_characters_may_be_a_source(tmp_path):
    found = project(tmp_path, own=("mvtec", "data/own/images", ""), odd=("mvtec", '"it\'s #1 ü"', ""))
    assert found.dataset("odd").spec.source == "it's #1 ü"
