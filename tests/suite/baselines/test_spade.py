import numpy as np
import pytest
import torch
from small_networks import SmallPyramid, pictures

from patchcore_core import InputError
from patchcore_core.backbones import feature_maps
from patchcore_core.patches import rescale
from patchcore_core.scoring import anomaly_maps
from patchcore_suite.baselines.config import SpadeConfig
from patchcore_suite.baselines.nearest_images import nearest_images
from patchcore_suite.baselines.spade import Spade, correspondence_distances


def spade(**changes):
    values = {"hierarchies": (1, 2), "pooled_hierarchy": 3, "neighbour_images": 2, "smoothing_sigma": 1.5}
    return Spade(SpadeConfig(**values | changes), network=SmallPyramid((1, 2, 3)))


# By hand


def test_an_image_is_scored_by_its_mean_distance_to_the_nearest_images():
    nominal = torch.tensor([[0.0, 0.0], [3.0, 4.0], [100.0, 0.0]])
    scores, images = nearest_images(torch.zeros(1, 2), nominal, 2)
    assert scores.tolist() == [2.5]
    assert images.tolist() == [[0, 1]]
    assert nearest_images(torch.zeros(1, 2), nominal, 50)[0].tolist() == [35.0]  # of all three


def test_a_pixel_may_correspond_to_any_pixel_of_the_gallery():
    gallery = torch.tensor([[[[0.0], [10.0]]], [[[4.0], [30.0]]]])  # two images of 1 x 2 pixels
    queries = torch.tensor([[[[11.0], [3.0]]]])
    assert correspondence_distances(queries, gallery, 1).tolist() == [[[1, 1]]]
    assert correspondence_distances(queries, gallery, 2).tolist() == [[[4, 2]]]
    assert correspondence_distances(queries, gallery, 9).tolist() == [[[(11 + 1 + 7 + 19) / 4, (3 + 7 + 1 + 27) / 4]]]


# Against plain loops


@pytest.mark.parametrize(("k", "kappa"), [(1, 1), (2, 3), (4, 2), (50, 1)])
def test_spade_is_what_loops_over_images_and_pixels_find(k, kappa):
    model = spade(neighbour_images=k, neighbour_pixels=kappa).fit(pictures(4))
    test = pictures(3, seed=1)
    prediction = model.predict(test)

    def described(images):
        fine, middle, coarse = feature_maps(SmallPyramid((1, 2, 3)), images)
        stacked = torch.cat([fine, rescale(middle, fine.shape[-2:])], dim=1).numpy()
        return coarse.numpy().mean(axis=(2, 3)), stacked

    nominal_pooled, nominal_pyramid = described(pictures(4))
    pooled, pyramid = described(test)
    n, _, h, w = pyramid.shape
    expected = np.zeros((n, h, w), np.float32)
    for i in range(n):
        to_images = np.sqrt(((pooled[i] - nominal_pooled) ** 2).sum(axis=1))
        resembling = np.argsort(to_images)[:k]
        assert prediction.scores[i] == pytest.approx(to_images[resembling].mean(), rel=1e-5)
        for a in range(h):
            for b in range(w):
                difference = nominal_pyramid[resembling] - pyramid[i, :, a, b][None, :, None, None]
                expected[i, a, b] = np.sort(np.sqrt((difference**2).sum(axis=1)).ravel())[:kappa].mean()
    assert np.allclose(prediction.distances.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert torch.allclose(prediction.maps, anomaly_maps(torch.tensor(expected), (32, 48), sigma=1.5), atol=1e-4)
    assert prediction.reweighted_scores is None
    assert prediction.indices is None


# Properties


def test_a_nominal_image_scores_nothing_with_one_neighbour():
    prediction = spade(neighbour_images=1).fit(pictures(3)).predict(pictures(3))
    assert prediction.scores.abs().max() < 1e-5
    assert prediction.maps.abs().max() < 1e-5


def test_the_order_of_the_nominal_images_does_not_matter():
    first = spade().fit(pictures(5)).predict(pictures(2, seed=1))
    second = spade().fit(pictures(5)[[3, 0, 4, 1, 2]]).predict(pictures(2, seed=1))
    assert torch.allclose(first.scores, second.scores, rtol=1e-6)
    assert torch.allclose(first.distances, second.distances, rtol=1e-5, atol=1e-6)


def test_a_test_image_is_scored_alike_alone_and_among_others():
    model, test = spade().fit(pictures(4)), pictures(3, seed=1)
    together = model.predict(test)
    alone = model.predict(test[2:])
    assert torch.allclose(together.distances[2], alone.distances[0], rtol=1e-6)


def test_the_pooled_hierarchy_may_be_one_of_the_pyramid():
    model = Spade(SpadeConfig(hierarchies=(1, 2), pooled_hierarchy=2), network=SmallPyramid((1, 2)))
    pooled, pyramid = model.describe(feature_maps(model.network, pictures(2)))
    assert pooled.shape == (2, 4)
    assert pyramid.shape == (2, 8, 12, 7)


def test_progress_is_shown_where_asked_for(capsys):
    Spade(SpadeConfig(hierarchies=(1,), pooled_hierarchy=2), network=SmallPyramid((1, 2)), progress=True).fit(
        pictures(2)
    ).predict(pictures(2))
    assert "SPADE correspondences" in capsys.readouterr().err
    spade().fit(pictures(2)).predict(pictures(2))
    assert capsys.readouterr().err == ""


def test_images_that_resemble_the_same_nominal_ones_in_another_order_share_a_search(monkeypatch):
    searched = []

    def counted(queries, gallery, k):
        searched.append(len(queries))
        return correspondence_distances(queries, gallery, k)

    monkeypatch.setattr("patchcore_suite.baselines.spade.correspondence_distances", counted)
    spade(neighbour_images=50).fit(pictures(4)).predict(pictures(3, seed=1))
    assert searched == [3]


# Bad input


def test_nothing_is_scored_before_fit():
    with pytest.raises(InputError, match="not fitted yet"):
        spade().predict(pictures(1))


def test_images_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="NaN or infinite"):
        spade().fit(pictures(2) / 0)


def test_a_network_with_other_hierarchies_is_refused():
    with pytest.raises(InputError, match=r"2 feature maps for hierarchies=\[1, 2, 3\]"):
        Spade(spade().config, network=SmallPyramid((1, 2))).fit(pictures(2))


def test_test_images_of_another_size_are_refused():
    with pytest.raises(InputError, match="test images are described by"):
        spade().fit(pictures(2)).predict(pictures(1, (48, 48)))
