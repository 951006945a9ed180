"""What several test modules share."""

import fcntl
import os
import shutil
from contextlib import chdir
from pathlib import Path

# What tests compute is small, and threads that wait for each other cost most of the time. Libraries read this when they
# are imported, here and in the processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"

import faiss
import huggingface_hub.constants
import pytest
import torch
import yaml
from PIL import Image
from sealed_files import rewrite
from toy_folders import mvtec_folder, save_image
from whole_project import make_project, score_project

from patchcore_core.backbones import weights
from patchcore_suite.datasets.inspection import build_manifest
from patchcore_suite.datasets.spec import DatasetSpec
from patchcore_suite.run.raw_results import ScoreIndex
from patchcore_suite.run.score import collect, score_dataset
from patchcore_suite.settings.params import Params, load_params
from patchcore_suite.settings.project import Project, ProjectDataset

torch.set_num_threads(1)
faiss.omp_set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def nothing_from_outside(tmp_path_factory):
    """No network, no cache of weights and no setting of the machine that runs the tests has a say in them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(weights.WEIGHTS_VARIABLE, raising=False)
        patch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("torch")))
        patch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))
        patch.setattr(weights, "reachable", lambda url: False)
        yield


@pytest.fixture(autouse=True)
def one_thread():
    """Whatever a test asks for, the next one has one thread again."""
    yield
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)


class ToyProject:
    """A project on disk with the dataset "toy": categories `bolt` and `nut` in MVTec's layout, at 64 x 64 pixels.

    `variants`, `dataset` (with its studies), `tables` and `execution` go into params.yaml whenever `params` reads it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.variants: dict[str, dict[str, object]] = {
            "tenth": {"coreset_fraction": 0.1},
            "all": {"coreset_fraction": 1},
        }
        self.dataset: dict[str, object] = {"resize": [64, 64], "seeds": [0, 1]}
        self.tables: dict[str, dict[str, object]] = {}
        self.execution: dict[str, object] = {"batch_size": 4}

    def draw(self) -> "ToyProject":
        for category in ("bolt", "nut"):
            mvtec_folder(self.root / "images", category)
        save_image(self.root / "images" / "nut" / "train" / "good" / "000.png", seed=50)  # not those of the bolt
        for mask in (self.root / "images" / "nut" / "ground_truth" / "scratch").iterdir():
            Image.linear_gradient("L").resize((32, 24)).save(mask)  # the lower half; a bolt's defect is a corner
        return self.prepare()

    def prepare(self) -> "ToyProject":
        """Write the manifest of what is in the folder now; its root is relative, so that the project can be moved."""
        with chdir(self.root):
            build_manifest("toy", Path("images"), DatasetSpec(source="images", layout="mvtec")).write(
                "data/toy/manifest.json"
            )
        return self

    def call(self, paper: str | None) -> "ToyProject":
        """Let the manifest say which dataset of the paper the images are, which nothing checks then."""
        rewrite(self.root / "data/toy/manifest.json", paper=paper)
        return self

    def score(self, **options: object) -> ScoreIndex:
        """Compute what is not there yet, and collect the results; options are those of `score_dataset`."""
        return collect(score_dataset(self.toy, show_progress=False, **options))

    @property
    def toy(self) -> ProjectDataset:
        """The dataset, with the settings as they are now."""
        return Project(self.params).dataset("toy")

    @property
    def params(self) -> Params:
        toy = {"layout": "mvtec", "paper": None, "source": "images", "variants": list(self.variants)} | self.dataset
        values = {"datasets": {"toy": toy}, "variants": self.variants, "execution": self.execution}
        values |= {"tables": self.tables} if self.tables else {}
        (self.root / "params.yaml").write_text(yaml.safe_dump(values))
        return load_params(self.root / "params.yaml")


@pytest.fixture
def project(tmp_path):
    """A toy project whose dataset is prepared; nothing has been computed."""
    (tmp_path / "fresh").mkdir()
    return ToyProject(tmp_path / "fresh").draw()


@pytest.fixture(scope="session")
def scored_once(tmp_path_factory):
    """A toy project with results: two categories, two variants, two seeds. Not to be changed; see `scored`."""
    root = tmp_path_factory.mktemp("scored") / "project"
    root.mkdir()
    project = ToyProject(root).draw()
    project.score()
    return project


@pytest.fixture
def scored(scored_once, tmp_path):
    """A copy of that project, to be changed by the test."""
    shutil.copytree(scored_once.root, tmp_path / "project")
    return ToyProject(tmp_path / "project")


@pytest.fixture(scope="session")
def whole_project_once(tmp_path_factory, worker_id):
    """The whole project on toy images, with its metrics and no table yet; made once for all. Not to be changed."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "whole_project"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
        if not folder.is_dir():
            made = make_project(folder.with_suffix(".part"))
            score_project(made)
            made.rename(folder)
    return folder


@pytest.fixture(scope="session")
def browser():
    """Chromium, driven by playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("there is no Chromium on this machine")
    with playwright.sync_playwright() as running:
        found = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield found
        found.close()
