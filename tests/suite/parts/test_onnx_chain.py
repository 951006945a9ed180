"""The graph that is exported computes what the model does, in every variant."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_networks import SmallPyramid, pictures
from small_parts import SIZE, decoded, image_files, small_model
from torch import nn

from patchcore_core import PatchCore, PatchCoreConfig
from patchcore_core.neighbours import nearest
from patchcore_core.patches import patch_features
from patchcore_suite.parts.onnx_chain import Chain
from patchcore_suite.parts.onnx_features import PatchFeatures
from patchcore_suite.parts.onnx_runtimes import by_torch
from patchcore_suite.parts.onnx_search import GROUP, Search
from patchcore_suite.parts.region import Region
from patchcore_suite.parts.tiles import Tiles

VARIANTS = {
    "as it is": {},
    "window cut at the border": {"border": "cut", "neighbourhood_size": 5},
    "authors' pooling of whole channels": {"dimension": 6},
    "authors' pooling across channels": {"dimension": 7},
    "stride": {"stride": 3},
    "reweighted": {"score": "reweighted", "reweight_neighbours": 4},
    "reweighted by one": {"score": "reweighted", "reweight_neighbours": 1},
    "squared": {"squared_distances": True},
    "squared maps of reweighted scores": {"squared_distances": True, "score": "reweighted"},
    "nearest upsampling, not smoothed": {"upsampling": "nearest", "smoothing_sigma": 0.0},
    "half precision": {"storage": "float16"},
    "bfloat16": {"storage": "bfloat16", "score": "reweighted"},
    "centroids": {"sampler": "kmeans"},
}


def fitted(network=None, **config):
    network = network or SmallPyramid(hierarchies=(1, 2), channels=(4, 6))
    return PatchCore(PatchCoreConfig(**{"coreset_fraction": 0.3, **config}), network=network).fit(pictures(4))


def assert_equal(model, images):
    with torch.inference_mode():
        scores, maps = Chain(model, tuple(images.shape[2:]))(images)
    said = model.predict(images)
    torch.testing.assert_close(scores, said.scores, rtol=1e-5, atol=0)
    torch.testing.assert_close(maps, said.maps, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_graph_computes_what_the_model_predicts(variant):
    assert_equal(fitted(**VARIANTS[variant]), pictures(3, seed=1))


def test_images_that_the_bank_holds_score_what_the_model_says():
    model = fitted(coreset_fraction=1)
    with torch.inference_mode():
        scores, _ = Chain(model, (32, 48))(pictures(4))
    assert scores.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("config", [{}, {"score": "reweighted", "squared_distances": True}])
@pytest.mark.parametrize("region", [None, np.arange(48)[None].repeat(32, axis=0) > 20])
@pytest.mark.parametrize("tiles", [None, Tiles(32, 8), Tiles(32, 24)])
def test_tiles_and_a_region_are_part_of_the_graph(tiles, region, config, tmp_path):
    model = replace(small_model(**config), tiles=tiles, region=None if region is None else Region(region))
    paths = image_files(tmp_path, 3)
    pixels = np.stack([decoded(path) for path in paths])
    with torch.inference_mode():
        chain = Chain(model.detector, SIZE, tiles=tiles, region=region)
        scores, maps = chain(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)
    said = model.judge(paths, show_progress=False)
    np.testing.assert_allclose(scores, [one.score for one in said], rtol=1e-5)
    np.testing.assert_allclose(maps, np.stack([one.map for one in said]), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(by_torch(model, pixels), [one.score for one in said], rtol=1e-6)


def test_maps_come_in_any_order():
    class Reversed(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = SmallPyramid(hierarchies=(1, 2), channels=(4, 6))

        def forward(self, images):
            return self.network(images)[::-1]

    assert_equal(fitted(Reversed()), pictures(3, seed=1))


def test_a_named_backbone_normalises_its_images():
    config = PatchCoreConfig(backbone="untrained/resnet18", coreset_fraction=0.2)
    model = PatchCore(config).fit(pictures(2, (64, 64)))
    assert_equal(model, pictures(2, (64, 64), seed=1))


@pytest.mark.parametrize("dimension", [1, 4, 6, 7, 10, 24, 100])
@pytest.mark.parametrize("channels", [(6,), (4, 6), (3, 4, 5)])
def test_windows_are_pooled_by_one_convolution(channels, dimension):
    draw = torch.Generator().manual_seed(0)
    maps = [torch.randn(2, c, 8 >> j, 10 >> j, generator=draw) for j, c in enumerate(channels)]
    found = PatchFeatures(channels, PatchCoreConfig(dimension=dimension))(maps)
    torch.testing.assert_close(found, patch_features(maps, dimension=dimension), rtol=1e-4, atol=1e-6)


def test_a_bank_is_searched_in_parts():
    draw = torch.Generator().manual_seed(0)
    bank, queries = torch.randn(3 * GROUP + 5, 7, generator=draw), torch.randn(50, 7, generator=draw)
    search = Search(bank, positions=2**30)
    assert search.rows == GROUP
    assert (len(search.bank), search.bank[-1].tolist()) == (4 * GROUP, bank[-1].tolist())  # whole parts
    distances, rows = search(queries)
    expected, expected_rows = nearest(queries, bank)
    assert rows.tolist() == expected_rows[:, 0].tolist()
    torch.testing.assert_close(distances, expected[:, 0])


def test_neighbours_that_single_precision_cannot_tell_apart_are_ranked_in_double():
    bank = torch.tensor([[1000.0, 0.0], [1000.0, 0.003], [-1000.0, 0.0]])
    queries = torch.tensor([[1000.0, 0.002], [1000.0, 0.001]])
    distances, rows = Search(bank, positions=4)(queries)
    assert rows.tolist() == [1, 0]
    torch.testing.assert_close(distances, torch.tensor([0.001, 0.001]))
