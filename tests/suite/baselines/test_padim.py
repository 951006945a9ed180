import numpy as np
import pytest
import torch
from small_networks import SmallPyramid, pictures

from patchcore_core import InputError
from patchcore_core.backbones import feature_maps
from patchcore_core.patches import rescale
from patchcore_core.scoring import anomaly_maps
from patchcore_suite.baselines import padim as padim_module
from patchcore_suite.baselines.config import PadimConfig
from patchcore_suite.baselines.padim import Padim, position_distances, position_gaussians, random_dimensions


def padim(seed=0, **changes):
    values = {"hierarchies": (1, 2, 3), "dimensions": 5, "smoothing_sigma": 1.5}
    return Padim(PadimConfig(**values | changes), network=SmallPyramid(), seed=seed)


# By hand


def test_two_images_of_one_dimension_by_hand():
    # mean 1, variance ((0-1)^2 + (2-1)^2) / (2-1) = 2, with the ridge 4: three standard deviations of 2 from 1 is 7.
    mean, factors = position_gaussians(torch.tensor([[[0.0]], [[2.0]]]), ridge=2)
    assert mean.tolist() == [[1]]
    assert factors.tolist() == [[[2]]]
    assert position_distances(torch.tensor([[[7.0]], [[-3.0]], [[1.0]]]), mean, factors).tolist() == [[3], [2], [0]]


def test_one_nominal_image_has_the_ridge_alone_for_a_covariance():
    model = padim(ridge=0.25, dimensions=99).fit(pictures(1))
    (nominal,), (test,) = (model.describe(feature_maps(SmallPyramid(), pictures(1, seed=seed))) for seed in (0, 1))
    distances = model.predict(pictures(1, seed=1)).distances
    assert torch.allclose(distances, (test - nominal).norm(dim=3) / 0.5, rtol=1e-5)


# Against plain loops


@pytest.mark.parametrize("n", [2, 4, 30])
@pytest.mark.parametrize("block_values", [1, 700, 2**24])
def test_padim_is_what_a_loop_over_positions_finds(monkeypatch, n, block_values):
    monkeypatch.setattr(padim_module, "BLOCK_VALUES", block_values)
    model = padim(seed=3).fit(pictures(n))
    prediction = model.predict(pictures(3, seed=1))

    kept = random_dimensions(3 + 4 + 5, 5, seed=3).numpy()

    def described(images):
        fine, *coarser = feature_maps(SmallPyramid(), images)
        stacked = torch.cat([fine, *(rescale(fmap, fine.shape[-2:]) for fmap in coarser)], dim=1)
        return stacked.numpy().astype(np.float64)[:, kept]

    nominal, test = described(pictures(n)), described(pictures(3, seed=1))
    expected = np.zeros((3, 8, 12))
    for a in range(8):
        for b in range(12):
            at_position = nominal[:, :, a, b]
            inverse = np.linalg.inv(np.cov(at_position, rowvar=False) + 0.01 * np.eye(5))
            for i in range(3):
                difference = test[i, :, a, b] - at_position.mean(axis=0)
                expected[i, a, b] = np.sqrt(difference @ inverse @ difference)
    assert np.allclose(prediction.distances.numpy(), expected, rtol=1e-4)
    maps = anomaly_maps(torch.tensor(expected, dtype=torch.float32), (32, 48), sigma=1.5)
    assert torch.allclose(prediction.maps, maps, rtol=1e-3)
    assert torch.equal(prediction.scores, prediction.maps.amax(dim=(1, 2)))  # of the smoothed map


# The random subset of dimensions


def test_dimensions_are_distinct_ascending_and_at_most_all():
    drawn = random_dimensions(50, 20, seed=0)
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert len(drawn) == 20
    assert random_dimensions(5, 20, seed=0).tolist() == [0, 1, 2, 3, 4]


def test_each_dimension_is_drawn_equally_often():
    often = torch.stack([random_dimensions(10, 3, seed=seed) for seed in range(2000)]).flatten().bincount()
    assert often.min() > 500  # 600 expected, standard deviation 20
    assert often.max() < 700


def test_the_seed_alone_decides_which_dimensions_are_kept():
    maps = feature_maps(SmallPyramid(), pictures(2))
    first, again, other = (padim(seed=seed).describe(maps)[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert first.shape == (2, 8, 12, 5)
    assert not torch.equal(first, other)
    batchwise = torch.cat([padim().describe([fmap[i : i + 1] for fmap in maps])[0] for i in range(2)])
    assert torch.allclose(first, batchwise)


@pytest.mark.parametrize("seed", range(8))
def test_one_dimension_keeps_the_finest_grid_whichever_it_is(seed):
    assert padim(seed=seed, dimensions=1).describe(feature_maps(SmallPyramid(), pictures(1)))[0].shape == (1, 8, 12, 1)


# Properties


def test_the_order_of_the_nominal_images_does_not_matter():
    first = padim().fit(pictures(5)).predict(pictures(2, seed=1))
    second = padim().fit(pictures(5)[[3, 0, 4, 1, 2]]).predict(pictures(2, seed=1))
    assert torch.allclose(first.distances, second.distances, rtol=1e-5)


def test_positions_are_compared_with_themselves_only():
    nominal, test = pictures(6), pictures(1, seed=1)
    before = padim(dimensions=99, hierarchies=(1,)).config
    model = Padim(before, network=SmallPyramid((1,))).fit(nominal)
    changed = nominal.clone()
    changed[:, :, :4, :4] **= 3  # the first position of stride 4
    other = Padim(before, network=SmallPyramid((1,))).fit(changed)
    differs = (model.predict(test).distances - other.predict(test).distances).abs()[0] > 1e-4
    assert differs.nonzero().tolist() == [[0, 0]]


# Bad input


def test_nothing_is_scored_before_fit():
    with pytest.raises(InputError, match="not fitted yet"):
        padim().predict(pictures(1))


def test_images_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="NaN or infinite"):
        padim().fit(pictures(2) / 0)


def test_a_ridge_below_the_rounding_of_the_covariance_is_refused():
    with pytest.raises(InputError, match=r"ridge=1e-30 is too small for the covariance of 2 images in 5 dimensions"):
        padim(ridge=1e-30).fit(pictures(2))


def test_images_of_another_grid_are_refused():
    with pytest.raises(InputError, match=r"test images are described by \[\(12, 12, 5\)\], nominal ones by"):
        padim().fit(pictures(2)).predict(pictures(1, (48, 48)))


def test_a_network_with_other_hierarchies_is_refused():
    with pytest.raises(InputError, match=r"2 feature maps for hierarchies=\[1, 2, 3\]"):
        Padim(padim().config, network=SmallPyramid((1, 2))).fit(pictures(2))
