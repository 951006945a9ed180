import pytest
import torch
from small_networks import pictures

from patchcore_core import InputError
from patchcore_core.metrics import image_auroc
from patchcore_core.scoring import anomaly_maps
from patchcore_suite.baselines.config import MeanImageConfig, RandomScoresConfig
from patchcore_suite.baselines.controls import MeanImage, RandomScores


def same(first, second):
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in ("scores", "maps", "distances"))


# Random scores


def test_random_scores_depend_on_the_seed_and_on_nothing_else():
    first = RandomScores(RandomScoresConfig(), seed=4).fit(pictures(2)).predict(pictures(3))
    again = RandomScores(RandomScoresConfig(), seed=4).fit(pictures(5, seed=1)).predict(pictures(3, seed=2))
    other = RandomScores(RandomScoresConfig(), seed=5).fit(pictures(2)).predict(pictures(3))
    assert same(first, again)
    assert not torch.equal(first.scores, other.scores)
    assert first.distances.shape == (3, 4, 6)
    assert torch.equal(first.maps, anomaly_maps(first.distances, (32, 48)))


def test_random_scores_are_uniform_and_worth_one_half():
    model = RandomScores(RandomScoresConfig()).fit_described([torch.zeros(1, 5, 5)])
    prediction = model.predict_described([torch.zeros(4000, 5, 5)], (5, 5))
    for drawn in (prediction.scores, prediction.distances):
        assert 0 <= drawn.min() < 0.01
        assert 0.99 < drawn.max() < 1
        assert drawn.mean() == pytest.approx(0.5, abs=0.02)
    labels = torch.arange(4000) % 2
    assert image_auroc(labels.numpy(), prediction.scores.numpy()) == pytest.approx(0.5, abs=0.03)
    by_worst_patch = prediction.distances.flatten(1).amax(dim=1)
    assert torch.corrcoef(torch.stack([prediction.scores, by_worst_patch]))[0, 1].abs() < 0.05


def test_random_scores_do_not_disturb_the_global_generator():
    before = torch.random.get_rng_state()
    RandomScores(RandomScoresConfig()).fit(pictures(1)).predict(pictures(1))
    assert torch.equal(torch.random.get_rng_state(), before)


# Mean image


def test_mean_image_by_hand():
    model = MeanImage(MeanImageConfig(smoothing_sigma=0))
    nominal = torch.tensor([[0.0, 1.0], [1.0, 3.0]]).view(2, 1, 2, 1).expand(2, 1, 2, 4)  # mean 0.5, 2
    model.fit_described([nominal])
    test = torch.tensor([[2.0, 2.0], [0.5, 4.0]]).view(2, 1, 2, 1).expand(2, 1, 2, 4)
    prediction = model.predict_described([test], (1, 2))
    assert prediction.distances.tolist() == [[[3, 0]], [[0, 4]]]
    assert prediction.scores.tolist() == [3, 4]
    assert torch.equal(prediction.maps, prediction.distances)


def test_mean_image_is_what_a_loop_over_squares_finds():
    nominal, test = pictures(5), pictures(2, seed=1)
    prediction = MeanImage(MeanImageConfig(hierarchies=(2,))).fit(nominal).predict(test)
    mean = nominal.mean(dim=0)
    for i in range(2):
        for a in range(4):
            for b in range(6):
                square = (test[i] - mean)[:, 8 * a : 8 * a + 8, 8 * b : 8 * b + 8]
                assert prediction.distances[i, a, b] == pytest.approx(float(square.mean(dim=(1, 2)).norm()), abs=1e-5)
    assert torch.allclose(prediction.scores, prediction.distances.square().sum(dim=(1, 2)).sqrt())


def test_several_hierarchies_lie_side_by_side():
    model = MeanImage(MeanImageConfig(hierarchies=(2, 3)))
    assert model.describe_images(pictures(2))[0].shape == (2, 4, 6, 6)


def test_the_order_of_the_nominal_images_does_not_matter():
    first = MeanImage(MeanImageConfig()).fit(pictures(5)).predict(pictures(2, seed=1))
    second = MeanImage(MeanImageConfig()).fit(pictures(5)[[3, 0, 4, 1, 2]]).predict(pictures(2, seed=1))
    assert same(first, second)


# Both


@pytest.mark.parametrize(("method", "config"), [(RandomScores, RandomScoresConfig()), (MeanImage, MeanImageConfig())])
def test_bad_input_is_refused(method, config):
    with pytest.raises(InputError, match="not fitted yet"):
        method(config).predict(pictures(1))
    with pytest.raises(InputError, match="test images are described by"):
        method(config).fit(pictures(1)).predict(pictures(1, (64, 64)))


def test_a_mean_of_images_that_are_not_finite_is_refused():
    with pytest.raises(InputError, match="NaN or infinite"):
        MeanImage(MeanImageConfig()).fit(pictures(2) / 0)
