import numpy as np
import torch
from torch import nn

from patchcore_core.config import PatchCoreConfig
from patchcore_core.patchcore import PatchCore
from patchcore_suite.baselines.config import NearestImagesConfig
from patchcore_suite.baselines.nearest_images import NearestImages
from patchcore_suite.run.model_size import model_bytes


def test_a_memory_bank_counts_with_its_picks():
    model = PatchCore(PatchCoreConfig(coreset_fraction=0.5))
    before = model_bytes(model)
    model.fit_described([torch.rand(2, 3, 3, 5)])
    assert model_bytes(model) - before == 9 * 5 * 4 + 9 * 8


def test_described_images_count_once_and_networks_never():
    model = NearestImages(NearestImagesConfig())
    before = model_bytes(model)
    model.fit_described([torch.zeros(4, 8)])
    model.again, model.other, model.network = [model._nominal[0]], {"a": np.zeros(3)}, nn.Linear(50, 50)
    assert model_bytes(model) - before == 4 * 8 * 4 + 3 * 8


def test_of_a_view_only_what_it_shows_counts():
    model = NearestImages(NearestImagesConfig())
    before = model_bytes(model)
    model.fit_described([torch.zeros(100, 8)[:4]])
    assert model_bytes(model) - before == 4 * 8 * 4
