"""Everything that a GPU would compute is walked through without one: no tensor may be left on the CPU."""

import numpy as np
import pytest
import torch
from absent_gpu import GPU, absent_gpu
from small_networks import SmallPyramid, pictures

from patchcore_core import InputError, PatchCore, PatchCoreConfig
from patchcore_core.coreset import covering_radius, greedy_coreset, random_coreset, random_projection
from patchcore_core.fast import products
from patchcore_core.fast.nearest_picks import Gaps
from patchcore_core.neighbours import nearest
from patchcore_suite.plugins.first_picks import anchor_gaps


@pytest.fixture(autouse=True)
def memory(monkeypatch):
    """The GPU's, which torch asks the driver for."""
    free = [2**30]
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[0], 2**30))
    return free


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


FEATURES = torch.randn(600, 20, generator=draw())
FEATURES[5] = FEATURES[17]


@pytest.mark.parametrize(
    "meet",
    [
        lambda here, there: here @ there,
        lambda here, there: torch.cat([there, here]),
        lambda here, there: torch.where(there > 0, here, there),
        lambda here, there: here[there[0].long().clamp(0, 1)],
        lambda here, there: there.index_select(0, torch.tensor([0])),
        lambda here, there: torch.mm(there, there, out=here),
        lambda here, there: there.index_put_((torch.tensor([0]),), here[:1]),
        lambda here, there: torch.randn(2, generator=draw(), device=there.device),
    ],
)
def test_tensors_of_two_devices_may_not_meet(meet):
    with absent_gpu() as gpu, pytest.raises(RuntimeError):
        meet(torch.ones(2, 2), torch.ones(2, 2, device=gpu))


def test_what_may_meet_does_and_values_are_those_of_the_cpu():
    with absent_gpu() as gpu:
        there = torch.arange(6.0, device=gpu).view(2, 3)
        there[1:] = torch.full((1, 3), 7.0)  # is copied over
        there[torch.tensor([0])] += torch.tensor(0.5)  # an index, and a single number
        assert there.is_cuda
        assert there.sum(dim=1).tolist() == [4.5, 21.0]
        assert there[torch.tensor([False, True])].cpu().tolist() == [[7.0, 7.0, 7.0]]
        with pytest.raises((RuntimeError, TypeError)):
            there.numpy()
        with pytest.raises((RuntimeError, TypeError)):
            np.asarray(there)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.float16])
def test_the_greedy_coreset_is_selected_where_its_features_lie(kind):
    features = FEATURES.to(kind)
    with absent_gpu() as gpu:
        there = features.to(gpu)
        picks = greedy_coreset(there, 100, start=3)
        assert picks.device == gpu
        assert picks.tolist() == greedy_coreset(features, 100, start=3).tolist()
        assert covering_radius(there, picks) == pytest.approx(covering_radius(features, picks.cpu()))


def test_rows_that_repeat_each_other_are_selected_on_a_gpu_too():
    features = FEATURES[:4].repeat(50, 1)  # first in single precision, then in double, then in order
    with absent_gpu() as gpu:
        assert greedy_coreset(features.to(gpu), 60, start=0).tolist() == greedy_coreset(features, 60, start=0).tolist()


def test_anchors_projections_and_random_picks_follow_the_features():
    with absent_gpu() as gpu:
        there = FEATURES.to(gpu)
        gaps = anchor_gaps(there, generator=draw())
        assert torch.equal(gaps.cpu(), anchor_gaps(FEATURES, generator=draw()))
        assert greedy_coreset(there, 9, gaps=gaps).device == gpu
        for act in (
            lambda x: random_projection(x, 8, generator=draw()),
            lambda x: random_coreset(x, 8, generator=draw()),
        ):
            assert act(there).device == gpu
            assert torch.equal(act(there).cpu(), act(FEATURES))


def test_gaps_are_kept_where_the_features_lie():
    with absent_gpu() as gpu:
        gaps = Gaps(FEATURES.to(gpu), outset=torch.full((600,), 9.0, device=gpu))
        gaps.add(torch.arange(100, device=gpu))
        assert {gaps.squared.device, gaps.nearest.device, gaps.exact(torch.arange(4, device=gpu)).device} == {gpu}


@pytest.mark.parametrize("search", ["torch", "faiss", "hnsw"])
@pytest.mark.parametrize("k", [1, 3])
def test_neighbours_are_found_on_a_gpu(search, k):
    bank = FEATURES[:200]
    with absent_gpu() as gpu:
        distances, indices = nearest(FEATURES.to(gpu), bank.to(gpu), k, search=search)
        assert (distances.device, indices.device) == (gpu, gpu)
        expected = nearest(FEATURES, bank, k, search=search)
        assert torch.equal(indices.cpu(), expected[1])
        torch.testing.assert_close(distances.cpu(), expected[0])


def test_a_gpu_that_is_out_of_memory_gets_smaller_blocks(monkeypatch):
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    seen = []

    def work(block):
        if block.stop - block.start > 100:
            raise torch.OutOfMemoryError
        seen.append(block)

    with absent_gpu() as gpu:
        products.in_blocks(300, 256, work, torch.zeros(300, 2, device=gpu))
    assert [(block.start, block.stop) for block in seen] == [(0, 64), (64, 128), (128, 192), (192, 256), (256, 300)]


VARIANTS = {
    "default": {},
    "all": {"coreset_fraction": 1},
    "random": {"sampler": "random"},
    "kmeans": {"sampler": "kmeans"},
    "two_round": {"sampler": "two_round", "shards": 3},
    "merge_reduce": {"sampler": "merge_reduce", "shards": 3},
    "distance_sampling": {"sampler": "distance_sampling"},
    "anchors": {"first_pick": "anchors"},
    "authors": {"dimension": 8, "projection_dimension": 4},
    "pooled": {"dimension": 9},
    "half": {"storage": "float16"},
    "cut": {"border": "cut", "stride": 2, "upsampling": "nearest", "smoothing_sigma": 0},
    "reweighted": {"score": "reweighted", "squared_distances": True},
}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_a_model_is_fitted_scores_and_is_kept_on_a_gpu(variant, tmp_path):
    config = PatchCoreConfig(**{"coreset_fraction": 0.3, **variant})

    def fitted(device):
        return PatchCore(config, network=SmallPyramid((2, 3)), device=device).fit(pictures(6))

    expected = fitted("cpu").predict(pictures(3, seed=1))
    with absent_gpu() as gpu:
        model = fitted(gpu)
        model.save(tmp_path / "model")
        loaded = PatchCore.load(tmp_path / "model", network=SmallPyramid((2, 3)), device=gpu)
        for found in (model.predict(pictures(3, seed=1)), loaded.predict(pictures(3, seed=1))):
            for name, values in vars(found).items():
                assert values.device == gpu
                torch.testing.assert_close(values.cpu(), getattr(expected, name))


def test_a_model_grows_on_a_gpu():
    def grown(device):
        model = PatchCore(PatchCoreConfig(coreset_fraction=0.3), network=SmallPyramid((2, 3)), device=device)
        model.fit(pictures(4)).extend(pictures(3, seed=1))
        return model

    expected = grown("cpu")
    with absent_gpu() as gpu:
        model = grown(gpu)
        assert (model.memory_bank.device, model.coreset_indices.device) == (gpu, gpu)
        assert model.coreset_indices.tolist() == expected.coreset_indices.tolist()
        assert model.covering_radius == pytest.approx(expected.covering_radius)


def test_images_may_lie_on_the_gpu_already():
    with absent_gpu() as gpu:
        model = PatchCore(network=SmallPyramid((2, 3)), device=gpu).fit(pictures(6).to(gpu))
        assert model.predict([pictures(2).to(gpu), pictures(1)]).scores.device == gpu


def test_what_does_not_fit_into_the_gpus_memory_is_refused(memory):
    memory[0] = 1000
    with absent_gpu() as gpu, pytest.raises(InputError, match=f"are free on {GPU}"):
        PatchCore(network=SmallPyramid((2, 3)), device=gpu).fit(pictures(6))
