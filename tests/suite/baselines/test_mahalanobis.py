import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis as mahalanobis_of_scipy
from sklearn.covariance import ledoit_wolf
from small_networks import SmallPyramid, pictures

from patchcore_core import InputError
from patchcore_core.backbones import feature_maps
from patchcore_suite.baselines.config import MahalanobisConfig
from patchcore_suite.baselines.mahalanobis import Mahalanobis, mahalanobis_distances, shrunk_gaussian


def mahalanobis():
    return Mahalanobis(MahalanobisConfig(hierarchies=(1, 2, 3)), network=SmallPyramid())


def test_distances_by_hand():
    precision = torch.tensor([[0.25, 0.0], [0.0, 1.0]], dtype=torch.float64)  # standard deviations 2 and 1
    features = torch.tensor([[7.0, 1.0], [1.0, 4.0], [7.0, 5.0]])
    assert mahalanobis_distances(features, torch.ones(2).double(), precision).tolist() == [3, 3, 5]


def test_in_one_dimension_nothing_is_shrunk():
    mean, precision = shrunk_gaussian(torch.tensor([[0.0], [4.0]]))  # variance 4, of n and not of n - 1
    assert mean.tolist() == [2]
    assert precision.tolist() == [[0.25]]


@pytest.mark.parametrize("n", [2, 3, 40])
def test_scores_are_the_sum_over_blocks_of_what_scikit_learn_and_scipy_find(n):
    nominal, test = pictures(n), pictures(4, seed=1)
    scores = mahalanobis().fit(nominal).predict(test).scores
    expected = np.zeros(4)
    for block, test_block in zip(
        feature_maps(SmallPyramid(), nominal), feature_maps(SmallPyramid(), test), strict=True
    ):
        pooled, test_pooled = (fmap.numpy().astype(np.float64).mean(axis=(2, 3)) for fmap in (block, test_block))
        covariance = ledoit_wolf(pooled)[0]
        # The covariance of two images is not shrunk, and has one direction only.
        inverse = np.linalg.pinv(covariance, rcond=1e-10, hermitian=True) if n == 2 else np.linalg.inv(covariance)
        for i in range(4):
            expected[i] += mahalanobis_of_scipy(test_pooled[i], pooled.mean(axis=0), inverse)
    assert np.allclose(scores.numpy(), expected, rtol=1e-3)


def test_it_gives_no_maps():
    prediction = mahalanobis().fit(pictures(3)).predict(pictures(2))
    assert prediction.maps is None
    assert prediction.distances is None
    assert prediction.scores.shape == (2,)


def test_fewer_images_than_dimensions_still_give_finite_scores():
    model = Mahalanobis(MahalanobisConfig(hierarchies=(1,)), network=SmallPyramid((1,), channels=(64,)))
    scores = model.fit(pictures(3)).predict(pictures(5, seed=1)).scores
    assert torch.isfinite(scores).all()
    assert scores.min() > 0


def test_the_order_of_the_nominal_images_does_not_matter():
    first = mahalanobis().fit(pictures(5)).predict(pictures(2, seed=1)).scores
    second = mahalanobis().fit(pictures(5)[[3, 0, 4, 1, 2]]).predict(pictures(2, seed=1)).scores
    assert torch.allclose(first, second, rtol=1e-4)


def test_equal_nominal_images_leave_finite_scores():
    model = mahalanobis().fit(torch.zeros(3, 3, 32, 48))
    assert torch.isfinite(model.predict(pictures(2)).scores).all()


def test_one_nominal_image_is_too_few():
    with pytest.raises(InputError, match="1 nominal images are too few: at least 2"):
        mahalanobis().fit(pictures(1))


def test_nothing_is_scored_before_fit():
    with pytest.raises(InputError, match="not fitted yet"):
        mahalanobis().predict(pictures(1))


def test_images_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="NaN or infinite"):
        mahalanobis().fit(pictures(2) / 0)


def test_blocks_of_another_network_are_refused():
    model = mahalanobis().fit(pictures(3))
    with pytest.raises(InputError, match="test images are described by"):
        model.predict_described([torch.zeros(1, 3), torch.zeros(1, 4)], (32, 48))
