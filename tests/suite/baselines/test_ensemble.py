from dataclasses import replace

import numpy as np
import pytest
import torch
from small_networks import SmallPyramid, pictures

from patchcore_core import InputError, PatchCore, PatchCoreConfig
from patchcore_core.scoring import anomaly_maps
from patchcore_suite.baselines.config import EnsembleConfig
from patchcore_suite.baselines.ensemble import Ensemble, Scale, leave_one_out, mean_scaled

HALF = PatchCoreConfig(hierarchies=(1, 2), coreset_fraction=0.5, smoothing_sigma=1.5)
TENTH = replace(HALF, coreset_fraction=0.1, neighbourhood_size=1)


def networks():
    return [SmallPyramid((1, 2), seed=0), SmallPyramid((1, 2), channels=(5, 8), seed=1)]


def ensemble(first=HALF, second=TENTH, seed=0):
    return Ensemble(EnsembleConfig(models=(first, second)), networks=networks(), seed=seed)


# The scale


def test_a_scale_by_hand():
    scale = Scale.of(torch.tensor([[2.0], [6.0]]))
    assert scale == Scale(mean=4, deviation=2)
    assert scale.apply(torch.tensor([4.0, 10.0])).tolist() == [0, 3]


@pytest.mark.parametrize("values", [[3.0, 3.0], [3.0, 3.0000002], [0.0, 0.0], [5.0]])
def test_values_without_spread_are_only_shifted(values):
    scale = Scale.of(torch.tensor(values))
    assert scale.deviation == 1
    assert scale.apply(torch.tensor([7.0])).item() == pytest.approx(7 - values[0])


def test_scaled_values_are_averaged_by_hand():
    said = [torch.tensor([1.0, 3.0]), torch.tensor([100.0, 300.0])]
    assert mean_scaled(said, [Scale(1, 1), Scale(200, 50)]).tolist() == [-1, 2]


# Leaving an image out


def leave_one_out_by_loops(model, features):
    """Distances (n, h, w) of each nominal patch to the rows of the bank that come from other images."""
    n, h, w, _ = features.shape
    bank = [(int(row) // (h * w), features.flatten(0, 2)[row].numpy()) for row in model.coreset_indices]
    distances = np.full((n, h, w), np.inf)
    for i in range(n):
        for a in range(h):
            for b in range(w):
                for owner, row in bank:
                    if owner != i:
                        distance = np.linalg.norm(features[i, a, b].numpy() - row)
                        distances[i, a, b] = min(distances[i, a, b], distance)
    return distances


@pytest.mark.parametrize("config", [HALF, TENTH, replace(HALF, coreset_fraction=1), replace(HALF, sampler="random")])
def test_an_image_is_not_compared_with_itself(config):
    model = PatchCore(config, network=networks()[0])
    features = model.describe_images(pictures(3, (16, 24)))[0]
    scores, distances = leave_one_out(model.fit_described([features]), features)
    expected = leave_one_out_by_loops(model, features)
    assert np.allclose(distances.numpy(), expected, rtol=1e-4)
    assert np.allclose(scores.numpy(), expected.max(axis=(1, 2)), rtol=1e-4)


def test_leaving_out_by_hand():
    # One patch an image at 0, 1 and 5; with the whole bank, the others are 1, 1 and 4 away.
    model = PatchCore(PatchCoreConfig(coreset_fraction=1))
    features = torch.tensor([0.0, 1.0, 5.0]).view(3, 1, 1, 1)
    scores, distances = leave_one_out(model.fit_described([features]), features)
    assert scores.tolist() == [1, 1, 4]
    assert distances.flatten().tolist() == [1, 1, 4]


def test_a_bank_of_centroids_is_taken_whole():
    model = PatchCore(replace(HALF, sampler="kmeans"), network=networks()[0])
    features = model.describe_images(pictures(3))[0]
    scores, distances = leave_one_out(model.fit_described([features]), features)
    prediction = model.predict_described([features], (32, 48))
    assert torch.allclose(distances, prediction.distances, atol=1e-4)
    assert torch.allclose(scores, prediction.scores, rtol=1e-4)


def test_an_image_that_fills_the_bank_alone_has_no_say():
    model = PatchCore(PatchCoreConfig(coreset_fraction=1))
    model.fit_described([torch.tensor([0.0, 1.0, 5.0]).view(3, 1, 1, 1)])
    model.memory_bank, model.coreset_indices = model.memory_bank[:1], model.coreset_indices[:1]
    scores, distances = leave_one_out(model, torch.tensor([0.0, 1.0, 5.0]).view(3, 1, 1, 1))
    assert scores.tolist() == [1, 5]
    assert distances.shape == (2, 1, 1)


@pytest.mark.parametrize(("name", "value"), [("score", "reweighted"), ("squared_distances", True)])
def test_nominal_images_are_scored_as_test_images_are(name, value):
    model = PatchCore(replace(HALF, coreset_fraction=1, **{name: value}), network=networks()[0])
    first, second = model.describe_images(pictures(2))[0].split(1)
    scores, distances = leave_one_out(model.fit_described([torch.cat([first, second])]), torch.cat([first, second]))
    other = model.fit_described([second]).predict_described([first], (32, 48))
    assert torch.allclose(scores[:1], other.scores, rtol=1e-4)
    assert torch.allclose(distances[:1], other.distances, rtol=1e-4)


# The whole


def test_an_ensemble_is_the_mean_of_its_scaled_models():
    nominal, test = pictures(4), pictures(3, seed=1)
    prediction = ensemble().fit(nominal).predict(test)
    scores, distances = [], []
    for config, network in zip((HALF, TENTH), networks(), strict=True):
        model = PatchCore(config, network=network).fit(nominal)
        left_out = leave_one_out_by_loops(model, model.describe_images(nominal)[0])
        alone = model.predict(test)
        worst = left_out.max(axis=(1, 2))
        scores.append((alone.scores.numpy() - worst.mean()) / worst.std())
        distances.append((alone.distances.numpy() - left_out.mean()) / left_out.std())
    assert np.allclose(prediction.scores.numpy(), np.mean(scores, axis=0), rtol=1e-3, atol=1e-3)
    assert np.allclose(prediction.distances.numpy(), np.mean(distances, axis=0), rtol=1e-3, atol=1e-3)
    maps = anomaly_maps(prediction.distances, (32, 48), sigma=1.5)
    assert torch.allclose(prediction.maps, maps, rtol=1e-3, atol=1e-3)
    assert prediction.reweighted_scores is None
    assert prediction.indices is None


def test_the_unit_of_a_models_features_does_not_matter():
    model = ensemble()
    nominal, test = model.describe_images(pictures(4)), model.describe_images(pictures(3, seed=1))
    first = model.fit_described(nominal).predict_described(test, (32, 48))
    larger = [1024 * nominal[0], nominal[1]], [1024 * test[0], test[1]]
    second = ensemble().fit_described(larger[0]).predict_described(larger[1], (32, 48))
    assert torch.allclose(first.scores, second.scores, rtol=1e-3, atol=1e-3)
    assert torch.allclose(first.maps, second.maps, rtol=1e-3, atol=1e-3)


def test_other_test_images_have_no_say():
    model = ensemble().fit(pictures(4) / 9)
    test = pictures(3, seed=1) / 9
    alone = model.predict(test[:1])
    together = model.predict(torch.cat([test[:1], 9 * test[1:]]))
    assert torch.allclose(alone.scores, together.scores[:1], rtol=1e-4)


def test_images_may_come_in_batches_once():
    whole = ensemble().fit(pictures(4)).predict(pictures(2, seed=1))
    batchwise = ensemble().fit(iter(pictures(4).split(3))).predict(iter(pictures(2, seed=1).split(1)))
    assert torch.allclose(whole.scores, batchwise.scores, rtol=1e-3)


def test_the_order_of_the_nominal_images_does_not_matter_for_whole_banks():
    whole, other = replace(HALF, coreset_fraction=1), replace(TENTH, coreset_fraction=1)
    first = ensemble(whole, other).fit(pictures(5)).predict(pictures(2, seed=1))
    second = ensemble(whole, other).fit(pictures(5)[[3, 0, 4, 1, 2]]).predict(pictures(2, seed=1))
    assert torch.allclose(first.scores, second.scores, rtol=1e-3)


def test_the_seed_reaches_every_model():
    first, again, other = (ensemble(seed=seed).fit(pictures(3)) for seed in (0, 0, 1))
    for a, b, c in zip(first.models, again.models, other.models, strict=True):
        assert torch.equal(a.memory_bank, b.memory_bank)
        assert not torch.equal(a.memory_bank, c.memory_bank)


# Bad input


def test_one_nominal_image_is_too_few():
    with pytest.raises(InputError, match="1 nominal images are too few: at least 2"):
        ensemble().fit(pictures(1))


def test_models_with_different_grids_are_refused_with_their_sizes():
    with pytest.raises(InputError, match="see different grids") as caught:
        ensemble(second=replace(TENTH, stride=2)).fit(pictures(2))
    assert "tf_efficientnet_lite0: 8 x 12 patches" in str(caught.value)
    assert "tf_efficientnet_lite0: 4 x 6 patches" in str(caught.value)


def test_nothing_is_scored_before_fit():
    with pytest.raises(InputError, match="not fitted yet"):
        ensemble().predict(pictures(1))


def test_other_numbers_of_networks_or_tensors_are_refused():
    with pytest.raises(InputError, match="1 networks for 2 models"):
        Ensemble(EnsembleConfig(models=(HALF, TENTH)), networks=networks()[:1])
    with pytest.raises(InputError, match="1 tensors of features for 2 models"):
        ensemble().fit_described([torch.zeros(2, 2, 2, 3)])


def test_images_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="NaN or infinite"):
        ensemble().fit(pictures(2) / 0)


def test_an_ensemble_describes_no_maps():
    with pytest.raises(InputError, match="no feature maps of its own"):
        ensemble().describe([torch.zeros(1, 1, 1, 1)])
