import os

import pytest
from toy_folders import mtd_folder, mvtec_folder

from patchcore_core.common.errors import InputError
from patchcore_suite.run import prepare
from patchcore_suite.run.sources import check_sources, forget_lists
from patchcore_suite.settings.project import load_project

BLOCK = "  {name}: {{layout: {layout}, paper: null, source: {source}, resize: 32, variants: [one], seeds: [0]{more}}}\n"


def project(folder, **sources):
    """A project whose datasets have these sources, and keys after them."""
    text = "datasets:\n"
    for name, (layout, source, more) in sources.items():
        text += BLOCK.format(name=name, layout=layout, source=source, more=more)
    (folder / "params.yaml").write_text(text + "variants:\n  one: {}\n", encoding="utf-8")
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


def test_a_manifest_divided_by_another_list_than_there_is_now_goes(tmp_path, monkeypatch):
    mtd_folder(tmp_path / "tiles")
    names = tmp_path / "list.txt"
    names.write_text("exp1_num_0.jpg\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    tiles = project(tmp_path, tiles=("mtd", "tiles", ", train_list: list.txt")).dataset("tiles")
    prepare.prepare("tiles", tiles.spec, "data")
    forget_lists(tiles.project)
    assert tiles.manifest_file.is_file()
    names.write_text("exp1_num_1.jpg\n", encoding="utf-8")
    forget_lists(tiles.project)
    assert not tiles.manifest_file.exists()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("~/parts", "must be written in full: /"),
        ("s3://parts", "must be the path of a folder, not an address"),
        ("data/own", "holds data/own, into which the suite writes"),
        ("data", "holds data/own"),
        (".", "holds data/own"),
        ("..", "holds data/own"),
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
