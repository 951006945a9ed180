"""What CONTRIBUTING promises: a method, a layout and its stand-in are a file each, and run without any other edit."""

import json
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from whole_project import ROOT

METHOD = '''
"""How bright an image is, beside the nominal ones."""

from dataclasses import dataclass
from typing import ClassVar

from patchcore_core.detector import Detector, Prediction
from patchcore_suite.baselines.config import BaselineConfig


@dataclass(frozen=True, kw_only=True)
class BrightnessConfig(BaselineConfig):
    """Compares means."""

    method: ClassVar[str] = "brightness"
    implementation: ClassVar[str] = "patchcore_suite.baselines.brightness:Brightness"

    backbone: str = "pixels"
    hierarchies: tuple[int, ...] = (1,)
    power: int = 1


class Brightness(Detector):
    """The distance of means."""

    def describe(self, maps):
        return [maps[0].mean(dim=(1, 2, 3))]

    def fit_described(self, nominal):
        self._mean = nominal[0].mean()
        return self

    def predict_described(self, test, size):
        return Prediction(scores=(test[0] - self._mean).abs() ** self.config.power)
'''

LAYOUT = '''
"""Nominal images in ok/, others in bad/; one nominal image in `each` is for test."""

from dataclasses import dataclass

from patchcore_suite.datasets.layout import Layout
from patchcore_suite.datasets.listing import Scan, files
from patchcore_suite.datasets.records import NOMINAL, Record
from patchcore_suite.datasets.spec import DatasetSpec


@dataclass(frozen=True, kw_only=True)
class Spec(DatasetSpec):
    """Which nominal images are for test."""

    each: int = 3


def categories(root):
    return ["part"] if (root / "ok").is_dir() else []


def scan(root, chosen, spec):
    nominal = [
        Record(image, "part", "test" if index % spec.each == 0 else "train", 0, NOMINAL)
        for index, image in enumerate(files(root / "ok"))
    ]
    return Scan([*nominal, *(Record(image, "part", "test", 1, "bad") for image in files(root / "bad"))], [])


LAYOUT = Layout(
    pattern="ok/*, bad/*",
    holds="ok/ and bad/",
    categories=categories,
    scan=scan,
    spec=Spec,
    division=lambda spec: {"each": spec.each},
)
'''

STAND_IN = '''
"""Grey images; bad ones are lighter."""

from functools import partial

import numpy as np

from patchcore_suite.datasets.synthetic.writers import write_png


def _write(folder, index, shade, root):
    write_png(root / folder / f"{index}.png", np.full((32, 32, 3), shade + index, np.uint8))


def jobs(seed):
    for index in range(9):
        yield partial(_write, "ok", index, 40)
        yield partial(_write, "bad", index, 200)
'''

PARAMS = """
datasets:
  mine:
    layout: boxes
    source: synthetic
    each: 2
    resize: [32, 32]
    variants: [bright, tenth]
    seeds: [0]
defaults:
  brightness: {power: 3}
  patchcore: {backbone: pixels, hierarchies: [1, 2], coreset_fraction: 0.1}
variants:
  bright: {method: brightness}
  tenth: {}
execution: {batch_size: 4}
"""


RUN = """
import sys
from patchcore_suite.preflight import messages
from patchcore_suite.run import evaluate, prepare, score
from patchcore_suite.settings.project import load_project

messages.main()
mine = load_project().dataset("mine")
prepare.prepare("mine", mine.spec, "data")
score.collect(score.score_dataset(mine, show_progress=False))
sys.argv = ["evaluate", "mine"]
evaluate.main()
"""


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory):
    """A copy of both packages with the three files, beside a project that has been run; and what that printed."""
    root = tmp_path_factory.mktemp("newcomer")
    for package in ("patchcore_core", "patchcore_suite"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    files = {
        "patchcore_suite/baselines/brightness.py": METHOD,
        "patchcore_suite/datasets/layouts/boxes.py": LAYOUT,
        "patchcore_suite/datasets/synthetic/boxes.py": STAND_IN,
        "params.yaml": PARAMS,
    }
    for name, text in files.items():
        (root / name).write_text(text, encoding="utf-8")
    environment = {"PATH": "", "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", RUN], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return root, done.stdout


def test_a_file_each_makes_a_method_a_layout_and_its_stand_in(newcomer):
    root, _ = newcomer
    rows = pd.read_csv(root / "reports/metrics/mine.csv")
    found = rows[rows["metric"] == "image_auroc"].set_index("variant")["value"]
    assert found.to_dict() == {"bright": 1, "tenth": 1}
    manifest = json.loads((root / "data/mine/manifest.json").read_text(encoding="utf-8"))
    assert (manifest["layout"], manifest["division"]) == ("boxes", {"each": 2})


def test_what_a_run_of_them_takes_is_told_before_it_is_begun(newcomer):
    _, said = newcomer
    assert "mine: SYNTHETIC images, to be drawn" in said
    assert "Would fail" not in said
