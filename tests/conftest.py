"""What several test modules share."""

from contextlib import chdir
from pathlib import Path

import huggingface_hub
import pytest
import torch
import yaml
from PIL import Image
from toy_folders import mvtec_folder, save_image

from patchcore_core import weights
from patchcore_core.datasets import DatasetSpec, build_manifest
from patchcore_core.params import Params, load_params

torch.set_num_threads(1)  # the tensors are small, and threads that wait for each other cost most of the time


@pytest.fixture(autouse=True, scope="session")
def nothing_from_outside(tmp_path_factory):
    """No network, no cache of weights and no setting of the machine that runs the tests has a say in them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(weights.WEIGHTS_VARIABLE, raising=False)
        patch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("torch")))
        patch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))
        patch.setattr(weights, "_reachable", lambda url: False)
        yield


class ToyProject:
    """A project on disk with the dataset "toy": categories `bolt` and `nut` in MVTec's layout, at 64 x 64 pixels.

    `variants`, `dataset` and `execution` go into params.yaml each time that `params` reads it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.variants: dict[str, dict[str, object]] = {
            "tenth": {"coreset_fraction": 0.1},
            "all": {"coreset_fraction": 1},
        }
        self.dataset: dict[str, object] = {"resize": [64, 64], "seeds": [0, 1]}
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

    @property
    def params(self) -> Params:
        toy = {"layout": "mvtec", "source": "images", "variants": list(self.variants)} | self.dataset
        values = {"datasets": {"toy": toy}, "variants": self.variants, "execution": self.execution}
        (self.root / "params.yaml").write_text(yaml.safe_dump(values))
        return load_params(self.root / "params.yaml")


@pytest.fixture
def project(tmp_path):
    """A toy project whose dataset is prepared; nothing has been computed."""
    (tmp_path / "fresh").mkdir()
    return ToyProject(tmp_path / "fresh").draw()
