"""Runs in an environment that has anomalib: its methods, on images or on features that are given.

Questions come on standard input, answers go to standard output, a line each; arrays lie in a folder.
"""

import contextlib
import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import timm
import torch
from anomalib.data.utils import read_image
from anomalib.models.components import KCenterGreedy
from anomalib.models.components.feature_extractors import TimmFeatureExtractor
from anomalib.models.image import Patchcore
from anomalib.models.image.anomaly_dino.torch_model import AnomalyDINOModel
from anomalib.models.image.mh_patchcore.torch_model import MHPatchcoreModel
from anomalib.models.image.patchcore.torch_model import PatchcoreModel
from anomalib.models.image.rad.torch_model import RadModel
from anomalib.models.image.super_add.torch_model import SuperADDModel
from safetensors.torch import load_file
from torch import Tensor

folder = Path(sys.argv[1])
BATCH, SIDE = 8, 256
create = timm.create_model
timm.create_model = lambda *given, pretrained=False, **named: create(*given, **named)  # nothing is fetched


class Given(torch.nn.Module):
    """Stands for a network: whatever the images, it gives the features that it was handed last."""

    def __init__(self, form: Callable[[Tensor], object], **facts: object) -> None:
        super().__init__()
        self.form, self.now = form, None
        vars(self).update(facts)

    def forward(self, _: Tensor) -> object:
        return self.form(self.now)


def read(name: str) -> Tensor:
    return torch.from_numpy(np.load(folder / f"{name}.npy"))


def write(**arrays: Tensor) -> dict[str, list[str]]:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array.detach().numpy())
    return {"written": [*arrays]}


def images(files: list[str], name: str) -> dict[str, list[str]]:
    """Read and resize as anomalib does by default; normalisation is left to `patchcore`."""
    resize = Patchcore.configure_pre_processor().transform.transforms[0]
    return write(**{name: torch.stack([resize(read_image(file, as_tensor=True)) for file in files])})


def load(network: torch.nn.Module, weights: str) -> None:
    state, own = load_file(folder / weights), network.state_dict()
    network.load_state_dict({key: state[key] for key in own})


def normalised(name: str) -> Tensor:
    return Patchcore.configure_pre_processor().transform.transforms[-1](read(name))


def patchcore(backbone: str, layers: list[str], weights: str, fraction: float, seed: int) -> dict[str, object]:
    """All of PatchCore, from resized images."""
    model = PatchcoreModel(layers=layers, backbone=backbone, pre_trained=False, num_neighbors=9)
    load(model.feature_extractor.feature_extractor, weights)
    model.train()
    for batch in normalised("train").split(BATCH):
        model(batch)
    nominal = torch.vstack(model.embedding_store)
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - scikit-learn draws columns of the projection of it
    sampler = KCenterGreedy(embedding=nominal, sampling_ratio=fraction)  # as `subsample_embedding` does
    picks = torch.tensor(sampler.select_coreset_idxs())
    model.memory_bank = nominal[picks]
    model.eval()
    found = [model(batch) for batch in normalised("test").split(BATCH)]
    scores, maps = torch.cat([one.pred_score for one in found]), torch.cat([one.anomaly_map for one in found])[:, 0]
    write(nominal=nominal, projected=sampler.features, picks=picks, scores=scores, maps=maps)
    return {"components": sampler.features.shape[1]}


def tokens(backbone: str, blocks: list[int], weights: str, norm: bool) -> dict[str, list[str]]:
    """Maps of blocks, of the test images."""
    names = [f"blocks.{block}" for block in blocks]
    extractor = TimmFeatureExtractor(backbone=backbone, layers=names, pre_trained=False, norm=norm)
    load(extractor.feature_extractor, weights)
    return write(tokens=torch.stack([extractor(read("probe"))[name] for name in names]))


def predicted(model: torch.nn.Module, given: Given, features: Tensor) -> dict[str, list[str]]:
    """What a method says of images that stand for given features (n, ...)."""
    model.eval()
    found = []
    for batch in features.split(BATCH):
        given.now = batch
        found.append(model(torch.zeros(len(batch), 3, SIDE, SIDE)))
    scores, maps = torch.cat([one.pred_score.flatten() for one in found]), [one.anomaly_map for one in found]
    return write(scores=scores, maps=torch.cat([batch.view(-1, SIDE, SIDE) for batch in maps]))


def fed(model: torch.nn.Module, given: Given, features: Tensor, size: int) -> None:
    """Show a method given features (n, ...) in its training, some at a time."""
    model.train()
    for batch in features.split(size):
        given.now = batch
        model(torch.zeros(len(batch), 3, SIDE, SIDE))


def anomaly_dino(masking: bool) -> dict[str, list[str]]:
    nominal, test = read("nominal"), read("queries")
    model = AnomalyDINOModel()
    given = Given(lambda now: {model.last_layer: now.flatten(1, 2)})
    model.feature_encoder, model.patch_size = given, SIDE // nominal.shape[1]
    fed(model, given, nominal, BATCH)
    model.fit()
    model.masking = masking
    return predicted(model, given, test)


def mh_patchcore(images_a_part: int, bank_size: int) -> dict[str, object]:
    nominal, test = read("nominal"), read("queries")
    model = MHPatchcoreModel(backbone="resnet18", layers=["layer1"], pre_trained=False, memory_bank_size=bank_size)
    given = Given(lambda now: {"layer1": now.permute(0, 3, 1, 2)})
    model.feature_extractor = given
    model.generate_embedding = lambda features: features["layer1"].permute(0, 2, 3, 1).flatten(0, 2)
    parts = [part.flatten(0, 2) for part in nominal.split(images_a_part)]
    for stage, seen in (
        (model.pca, lambda part: part),
        (model.covariance, model.pca),
        (model.memory_bank, lambda part: model.covariance(model.pca(part))),
    ):
        for part in parts:
            stage.update(seen(part))
        stage.finalize()
    return {"components": int(model.pca.num_components), **predicted(model, given, test)}


def rad(neighbour_images: int) -> dict[str, list[str]]:
    """Of blocks (n, L, h, w, c), with the mean (n, c) of each image's last block in place of its class token."""
    count, side = read("nominal").shape[1:3]
    model = RadModel(backbone="test_vit", pre_trained=False, layers=[*range(count)], k_image=neighbour_images)
    given = Given(lambda now: {f"blocks.{j}": now[:, j] for j in range(count)}, num_prefix_tokens=1)
    given.register_parameter("somewhere", torch.nn.Parameter(torch.zeros(1)))
    model.feature_extractor, model.patch_size = given, SIDE // side
    with_means = {
        kind: torch.cat([read(f"{kind}_means")[:, None, None].expand(-1, count, 1, -1), read(kind).flatten(2, 3)], 2)
        for kind in ("nominal", "queries")
    }
    fed(model, given, with_means["nominal"], BATCH)
    model.build_memory_bank()
    return predicted(model, given, with_means["queries"])


def super_add() -> dict[str, list[str]]:
    """Of blocks (n, L, h, w, c)."""
    nominal = read("nominal")
    model = SuperADDModel(backbone="test_vit", layers=[*range(nominal.shape[1])], patch_size=64)
    given = Given(lambda now: [*now.transpose(0, 1)])
    model.patch_exec = given
    fed(model, given, nominal, BATCH)
    model.subsample_embedding()
    return predicted(model, given, read("queries"))


tasks = {
    "version": lambda: {"version": version("anomalib")},
    **{task.__name__: task for task in (images, patchcore, tokens, anomaly_dino, mh_patchcore, rad, super_add)},
}
if __name__ == "__main__":
    for line in sys.stdin:
        asked = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr), torch.no_grad():  # progress bars and messages are no answers
            answer = tasks[asked.pop("task")](**asked)
        print(json.dumps(answer), flush=True)
