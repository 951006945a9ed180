import numpy as np
import pytest
import torch
from small_networks import SmallPyramid, pictures

from patchcore_core import InputError
from patchcore_core.backbones import feature_maps
from patchcore_suite.baselines.config import NearestImagesConfig
from patchcore_suite.baselines.nearest_images import NearestImages


def nearest_images(**changes):
    return NearestImages(NearestImagesConfig(**{"hierarchies": (1, 3)} | changes), network=SmallPyramid((1, 3)))


@pytest.mark.parametrize(("neighbours", "expected"), [(1, 1), (2, 3), (3, 4), (9, 4)])
def test_by_hand_in_one_dimension(neighbours, expected):
    model = nearest_images(neighbours=neighbours)
    model.fit_described([torch.tensor([[0.0], [4.0], [-1.0]])])
    prediction = model.predict_described([torch.tensor([[5.0]])], (8, 8))  # distances 5, 1, 6
    assert prediction.scores.tolist() == [expected]
    assert prediction.maps is None
    assert prediction.distances is None


@pytest.mark.parametrize("neighbours", [1, 2, 5])
def test_scores_are_what_a_loop_over_images_finds(neighbours):
    def described(images):
        return np.concatenate(
            [fmap.numpy().mean(axis=(2, 3)) for fmap in feature_maps(SmallPyramid((1, 3)), images)], 1
        )

    nominal, test = described(pictures(5)), described(pictures(3, seed=1))
    scores = nearest_images(neighbours=neighbours).fit(pictures(5)).predict(pictures(3, seed=1)).scores
    for image, score in zip(test, scores, strict=True):
        distances = sorted(float(np.linalg.norm(image - other)) for other in nominal)
        assert float(score) == pytest.approx(np.mean(distances[:neighbours]), rel=1e-4)


def test_nominal_images_score_nothing_with_one_neighbour():
    assert nearest_images(neighbours=1).fit(pictures(4)).predict(pictures(4)).scores.abs().max() < 1e-6


def test_the_order_of_the_nominal_images_does_not_matter():
    first = nearest_images().fit(pictures(5)).predict(pictures(2, seed=1)).scores
    second = nearest_images().fit(pictures(5)[[3, 0, 4, 1, 2]]).predict(pictures(2, seed=1)).scores
    assert torch.allclose(first, second, rtol=1e-6)


def test_images_of_another_size_can_be_scored():
    assert nearest_images().fit(pictures(3)).predict(pictures(2, (64, 64))).scores.shape == (2,)


def test_nothing_is_scored_before_fit():
    with pytest.raises(InputError, match="not fitted yet"):
        nearest_images().predict(pictures(1))


def test_images_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="NaN or infinite"):
        nearest_images().fit(pictures(2) / 0)


def test_a_network_with_other_hierarchies_is_refused():
    with pytest.raises(InputError, match=r"3 feature maps for hierarchies=\[1, 3\]"):
        NearestImages(nearest_images().config, network=SmallPyramid()).fit(pictures(2))
