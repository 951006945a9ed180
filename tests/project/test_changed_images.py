"""What DVC notices of a folder of images, and that a dataset's name never reaches the shell."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from toy_folders import mvtec_folder, save_image
from whole_project import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.long]


class Watched:
    """A copy of the project with a dataset `parts` in a folder of its own."""

    def __init__(self, root):
        self.root, self.images = root / "project", mvtec_folder(root / "my parts #1") / "part"
        self.root.mkdir()
        for package in ("patchcore_core", "patchcore_suite"):
            (self.root / package).symlink_to(ROOT / package)
        for name in ("dvc.yaml", ".dvcignore", ".gitignore", "synthetic", "download", "installed"):
            shutil.copy(ROOT / name, self.root)
        for name in ("lists", "measured"):
            shutil.copytree(ROOT / name, self.root / name)
        self.call("git", "init", "--quiet")
        self.call("dvc", "init", "--quiet")
        self.name("parts")

    def name(self, name, **execution):
        values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        values["datasets"][name] = {
            **{"layout": "mvtec", "paper": None, "source": str(self.images.parent), "resize": 32},
            **{"variants": ["patchcore-1"], "seeds": [0]},
        }
        values["execution"] |= execution
        (self.root / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")

    def call(self, *command):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        settings = {"PATH": path, "PYTHONPATH": str(ROOT), "DVC_SITE_CACHE_DIR": str(self.root / ".cache/dvc")}
        settings |= {"DVC_NO_ANALYTICS": "1", "GIT_CONFIG_GLOBAL": os.devnull}
        return subprocess.run(command, cwd=self.root, env=os.environ | settings, text=True, capture_output=True)

    def repro(self):
        """The manifest after `dvc repro data@parts`, and whether the stage ran."""
        done = self.call("dvc", "repro", "data@parts")
        assert done.returncode == 0, done.stderr
        ran = re.findall(r"^Running stage '(.+)'", done.stdout, flags=re.MULTILINE)
        assert ran or "Data and pipelines are up to date." in done.stdout
        return json.loads((self.root / "data/parts/manifest.json").read_text(encoding="utf-8")), ran


@pytest.fixture
def watched(tmp_path):
    return Watched(tmp_path)


def digest(manifest):
    return manifest["categories"]["part"]["digest"]


def test_a_folder_is_looked_at_again_whenever_its_images_change(watched):
    first, ran = watched.repro()
    assert ran == ["data@parts"]
    assert watched.repro() == (first, [])

    os.utime(watched.images / "train/good/000.png", (1, 1))  # the same image at another time
    assert watched.repro() == (first, [])

    save_image(watched.images / "train/good/900.png", seed=9)
    more, ran = watched.repro()
    assert ran
    assert more["categories"]["part"]["counts"]["train"] == {"good": 4}

    (watched.images / "test/good/001.png").rename(watched.images / "test/scratch/900.png")
    (watched.images / "ground_truth/scratch/000_mask.png").unlink()
    (watched.images / "ground_truth/scratch/001_mask.png").unlink()
    relabelled, ran = watched.repro()
    assert ran
    assert relabelled["categories"]["part"]["counts"]["test"] == {"good": 1, "scratch": 3}

    sizes = set()
    for seed in range(2):  # another image of the same size in its place
        path = watched.images / "train/good/900.bmp"
        save_image(path, seed=seed)
        sizes.add(path.stat().st_size)
        replaced, ran = watched.repro()
        assert ran
        digests = digest(replaced), digest(first), digest(more), digest(relabelled)
        assert len(set(digests)) == len(digests)
    assert len(sizes) == 1


def test_weights_and_lists_that_are_replaced_under_their_name_are_noticed(watched):
    weights, names = watched.root.parent / "weights", watched.root / "lists/names.txt"
    weights.mkdir()
    (weights / "resnet18.pth").write_text("one")
    names.write_text("0.jpg\n")
    watched.name("parts", weights=str(weights))
    shutil.copytree(ROOT / "notebooks", watched.root / "notebooks")
    index = watched.root / "reports/scores/parts/index.json"
    index.parent.mkdir(parents=True)
    index.write_text("{}")
    watched.repro()
    watched.call("dvc", "commit", "--force", "score@parts")
    asked = ("dvc", "status", "data@parts", "score@parts")
    assert "up to date" in watched.call(*asked).stdout

    (weights / "resnet18.pth").write_text("two")
    names.write_text("1.jpg\n")
    said = watched.call(*asked).stdout
    assert f"modified:           {weights}" in said
    assert "modified:           lists" in said


def test_a_name_that_is_a_command_is_refused_and_never_run(watched):
    for number, name in enumerate(("x; touch {} #", "x'; touch {} #", "x\ntouch {}")):
        made = watched.root / f"made-{number}"
        watched.name(name.format(made.name))
        done = watched.call("dvc", "repro", f"data@{name.format(made.name)}")
        assert done.returncode != 0
        assert not made.exists()
    assert "is no usable name" in watched.call(sys.executable, "-m", "patchcore_suite.run.sources").stderr
