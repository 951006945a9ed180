"""What the core needs beside Python, and what it leaves alone until it is used; each in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUITE = ["patchcore_suite"]
LIBRARIES_OF_THE_SUITE = [
    "pandas",
    "yaml",
    "dvc",
    "papermill",
    "matplotlib",
    "seaborn",
    "plotly",
    "jinja2",
    "ipywidgets",
]
SLOW = {"torchvision", "timm", "huggingface_hub", "scipy", "sklearn", "faiss"}

REFUSE = f"""
import sys

REFUSED = {SUITE + LIBRARIES_OF_THE_SUITE}

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in REFUSED:
            raise ModuleNotFoundError(name + " is refused here", name=name)

sys.meta_path.insert(0, Refusing())
"""

FIT_AND_PREDICT = """
import torch
from torch import nn
from patchcore_core import InputError, PatchCore, PatchCoreConfig


class Pyramid(nn.Module):
    def forward(self, images):
        return [images[:, :, ::4, ::4], images[:, :, ::8, ::8]]

images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
model = PatchCore(PatchCoreConfig(coreset_fraction=0.5, score="reweighted"), network=Pyramid()).fit(images[:2])
prediction = model.predict(images)
assert prediction.maps.shape == (4, 32, 32)
"""

ALL_METRICS = """
import numpy as np
from patchcore_core import metrics

draw = np.random.default_rng(0)
labels, scores, maps = np.array([0, 0, 1, 1]), draw.random(4), draw.random((4, 8, 8))
masks = np.zeros((4, 8, 8), dtype=bool)
masks[2:, 2:5, 2:5] = True
values = [
    metrics.image_auroc(labels, scores),
    metrics.pixel_auroc(masks, maps),
    metrics.pro(masks, maps),
    *metrics.pixel_metrics(masks, maps).values(),
]
assert all(0 <= value <= 1 for value in values)
"""


def run(code: str) -> str:
    """What some code prints in a new process, which must succeed."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_by(code: str) -> set[str]:
    """The modules that are there after some code."""
    return set(run(f"{code}\nimport sys\nprint(*sys.modules)").split())


@pytest.mark.parametrize(
    "code", ["import patchcore_core", FIT_AND_PREDICT, ALL_METRICS], ids=["import", "fit and predict", "metrics"]
)
def test_the_core_does_without_what_the_suite_needs(code):
    run(REFUSE + code)


def test_what_is_refused_cannot_be_imported():
    assert (
        run(REFUSE + "try:\n    import yaml\nexcept ImportError as error:\n    print(error)")
        == "yaml is refused here\n"
    )


def test_the_package_alone_loads_nothing_else():
    added = {name.partition(".")[0] for name in loaded_by("import patchcore_core") - loaded_by("")}
    assert added - sys.stdlib_module_names == {"patchcore_core"}


def test_the_method_loads_torch_and_little_beside_it():
    added = loaded_by("from patchcore_core import PatchCore") - loaded_by("import torch")
    own = {name for name in added if name.partition(".")[0] == "patchcore_core"}
    assert {name.partition(".")[0] for name in added} & SLOW == set()
    assert len(added - own) < 30  # psutil and safetensors


@pytest.mark.parametrize("module", ["patchcore_core.metrics", "patchcore_core.config"])
def test_what_computes_with_numbers_alone_loads_neither_torch_nor_opencv(module):
    assert loaded_by(f"import {module}") & {"torch", "cv2"} == set()
