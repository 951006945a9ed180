"""`make clean` in a copy of Makefile and data/: what the suite made goes, and nothing else."""

import os
import shutil
import subprocess
import time

import pytest
from toy_folders import mvtec_folder
from whole_project import ROOT

from patchcore_suite.datasets import synthetic
from patchcore_suite.datasets.spec import DatasetSpec
from patchcore_suite.run import prepare

OWN = b"an image that exists nowhere else"


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy with a dataset that was drawn, and one whose images lie in a folder of data/."""
    monkeypatch.setattr(synthetic, "generate", lambda layout, root, *, seed: mvtec_folder(root))
    shutil.copy(ROOT / "Makefile", tmp_path)
    monkeypatch.chdir(tmp_path)
    mvtec_folder(tmp_path / "data/parts")
    prepare.prepare("drawn", DatasetSpec(source="synthetic", layout="mvtec"), "data")
    prepare.prepare("parts", DatasetSpec(source="data/parts", layout="mvtec"), "data")
    (tmp_path / "data/README.md").write_text("read me")
    return tmp_path


def clean(folder):
    done = subprocess.run(["make", "clean"], cwd=folder, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def own(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(OWN)
    return path


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def test_drawn_images_and_manifests_go_and_images_of_ones_own_stay(copy):
    before = files(copy / "data/parts") - {"manifest.json"}
    kept = [own(copy / f"data/{name}") for name in ("my image.png", "my images/washer/000.png", "drawn/notes.txt")]
    kept += [own(copy / f"data/washers/{name}/good/0.png") for name in ("synthetic", "download")]
    kept.append(own(copy / "data/washers/manifest.json"))
    clean(copy)
    assert files(copy / "data/parts") == before
    assert files(copy / "data/drawn") == {"notes.txt"}
    assert all(path.read_bytes() == OWN for path in kept)
    assert (copy / "data/README.md").is_file()
    for path in kept:
        path.unlink()
    clean(copy)
    assert not (copy / "data/drawn").exists()


@pytest.mark.parametrize("kind", ["new", "old", "link"])
def test_images_of_ones_own_among_drawn_ones_keep_all_of_them_there(copy, kind):
    time.sleep(0.02)  # file systems tell times apart that are some milliseconds from each other
    path = copy / "data/drawn/synthetic/part/train/good/my.png"
    if kind == "link":
        path.symlink_to(copy / "data/README.md")
    else:
        own(path)
    if kind == "old":
        os.utime(path, (0, 0))
    said = clean(copy)
    assert "data/drawn/synthetic is kept: it holds what is newer than its record:" in said
    assert "my.png" in said
    assert os.path.lexists(path)


def test_links_are_not_followed(copy, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.move(copy / "data/drawn", elsewhere / "drawn")
    (copy / "data/drawn").symlink_to(elsewhere / "drawn")
    (copy / "data/other").mkdir()
    (copy / "data/other/synthetic").symlink_to(elsewhere / "drawn/synthetic")
    before = files(elsewhere)
    clean(copy)
    assert files(elsewhere) == before


def test_of_the_cache_named_folders_go(copy):
    for name in ("cells/a.safetensors", "features/a.npy", "failed/a.ipynb", "params.demonstration.yaml"):
        own(copy / ".cache" / name)
    clean(copy)
    assert files(copy / ".cache") == {"params.demonstration.yaml"}  # the way back from another params.yaml
