import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from patchcore_core.common.errors import InputError
from patchcore_core.neighbours import nearest
from patchcore_core.scoring import anomaly_maps, image_scores, reweighted_scores


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def reweighted(patch_features, bank, b):
    """Eq. 7 of patch features (n, h, w, d), nearest neighbours included."""
    n, h, w, _ = patch_features.shape
    distances, indices = nearest(patch_features.flatten(0, 2), bank)
    shape = (n, h, w)
    return reweighted_scores(patch_features, distances.view(shape), indices.view(shape), bank, reweight_neighbours=b)


def eq_7_in_plain_words(patch_features, bank, b):
    """One image at a time, one distance at a time, in Python's floats."""
    scores = []
    for image in patch_features.double().flatten(1, 2):
        per_patch = [min((math.dist(patch, row), i) for i, row in enumerate(bank.tolist())) for patch in image.tolist()]
        (s_star, m_star), worst = max((found, patch) for found, patch in zip(per_patch, image.tolist(), strict=True))
        by_nearness = sorted(range(len(bank)), key=lambda i: math.dist(bank[i].tolist(), bank[m_star].tolist()))
        total = sum(math.exp(math.dist(worst, bank[i].tolist())) for i in by_nearness[:b])
        scores.append((1 - math.exp(s_star) / total) * s_star)
    return torch.tensor(scores)


# Image scores, Eq. 6


def test_an_image_scores_its_largest_patch_distance():
    distances = torch.tensor([[[0.0, 3.0], [1.0, 2.0]], [[0.5, 0.25], [0.75, 0.0]]])
    assert image_scores(distances).tolist() == [3.0, 0.75]


# Re-weighted scores, Eq. 7


def test_eq_7_by_hand():
    # m_test = 6; the bank holds 0, 2 and 10. m* = 2 at 4; of 10 the distance is 4 too, of 0 it is 6.
    # N_2(2) = {2, 0}: s = (1 - e^4 / (e^4 + e^6)) 4.   N_3(2) = all: s = (1 - e^4 / (e^4 + e^6 + e^4)) 4.
    bank = torch.tensor([[0.0], [2.0], [10.0]])
    patch, distance, row = torch.tensor([[[[6.0]]]]), torch.tensor([[[4.0]]]), torch.tensor([[[1]]])
    expected = {
        2: 4 * (1 - math.exp(4) / (math.exp(4) + math.exp(6))),
        3: 4 * (1 - math.exp(4) / (2 * math.exp(4) + math.exp(6))),
    }
    assert expected[2] == pytest.approx(3.5231884)  # 4 e^2 / (1 + e^2)
    for b, score in expected.items():
        found = reweighted_scores(patch, distance, row, bank, reweight_neighbours=b)
        assert found.tolist() == pytest.approx([score])


def test_the_neighbourhood_is_that_of_the_memory_not_of_the_test_patch():
    # m_test = 6, m* = 2. Nearest to m* is 0, nearest to m_test but m* is 9: only the former belongs to N_2(m*).
    bank = torch.tensor([[0.0], [2.0], [10.5]])
    expected = 4 * (1 - math.exp(4) / (math.exp(4) + math.exp(6)))
    assert reweighted(torch.tensor([[[[6.0]]]]), bank, 2).tolist() == pytest.approx([expected])


def test_the_worst_patch_decides_wherever_it_is():
    bank = torch.tensor([[0.0], [1.0], [3.0]])
    patches = torch.tensor([0.0, 1.1, 5.0, 3.0]).view(1, 2, 2, 1)  # worst: 5, at 2 from 3; then 1 at 4
    expected = 2 * (1 - math.exp(2) / (math.exp(2) + math.exp(4)))
    assert reweighted(patches, bank, 2).tolist() == pytest.approx([expected])


@pytest.mark.parametrize("b", [2, 3, 9, 40])
def test_eq_7_equals_a_plain_loop(b):
    patches, bank = noise(6, 3, 4, 5), noise(40, 5, seed=1)
    assert reweighted(patches, bank, b).tolist() == pytest.approx(eq_7_in_plain_words(patches, bank, b).tolist())


def test_a_crowded_neighbourhood_damps_the_score():
    # Around m* = 0 the bank is dense, or its next row is far away: the lonely one keeps more of s* = 3.
    crowded = reweighted(torch.full((1, 1, 1, 1), 3.0), torch.tensor([[0.0], [-0.1], [-0.2]]), 3)
    lonely = reweighted(torch.full((1, 1, 1, 1), 3.0), torch.tensor([[0.0], [-9.0], [-10.0]]), 3)
    assert crowded < lonely < 3
    assert float(lonely) == pytest.approx(3, abs=1e-3)


@pytest.mark.parametrize("b", [5, 6, 1000])
def test_a_neighbourhood_larger_than_the_bank_is_the_bank(b):
    patches, bank = noise(3, 2, 2, 4), noise(5, 4, seed=1)
    assert torch.equal(reweighted(patches, bank, b), reweighted(patches, bank, 5))


def test_one_neighbour_leaves_the_score_as_it_is():
    patches, bank = noise(3, 2, 2, 4), noise(5, 4, seed=1)
    distances = nearest(patches.flatten(0, 2), bank)[0].view(3, 2, 2)
    assert torch.equal(reweighted(patches, bank, 1), image_scores(distances))


def test_a_bank_of_one_row_leaves_the_score_as_it_is():
    assert reweighted(torch.full((1, 1, 1, 1), 3.0), torch.tensor([[1.0]]), 3).tolist() == [2.0]


@pytest.mark.parametrize("b", [2, 3, 4])
def test_repeats_of_the_nearest_memory_count_one_by_one(b):
    # The bank holds m* = 0 four times: all of N_b is at s* = 2, so that the weight is 1 - 1 / b.
    bank = torch.tensor([[0.0], [0.0], [9.0], [0.0], [0.0]])
    for row in (0, 1, 3, 4):
        found = reweighted_scores(
            torch.full((1, 1, 1, 1), 2.0),
            torch.full((1, 1, 1), 2.0),
            torch.full((1, 1, 1), row),
            bank,
            reweight_neighbours=b,
        )
        assert found.tolist() == pytest.approx([2 * (1 - 1 / b)])


def test_large_distances_do_not_overflow():
    # As the hand-worked example, moved 500 away: only differences of distances matter to the weight.
    bank = torch.tensor([[0.0], [2.0]])
    expected = 500 * (1 - 1 / (1 + math.exp(2)))
    assert reweighted(torch.full((1, 1, 1, 1), 502.0), bank, 2).tolist() == pytest.approx([expected])
    far = reweighted(torch.full((1, 1, 1, 1), 1e5), bank, 2)
    assert far.tolist() == pytest.approx([(1e5 - 2) * (1 - 1 / (1 + math.exp(2)))])


def test_an_image_like_the_bank_scores_zero():
    bank = noise(6, 4)
    assert reweighted(bank.view(1, 2, 3, 4), bank, 3).tolist() == [0]


def test_several_images_score_as_each_alone():
    patches, bank = noise(7, 4, 5, 8), noise(60, 8, seed=1)
    together = reweighted(patches, bank, 4)
    alone = torch.cat([reweighted(image[None], bank, 4) for image in patches])
    assert torch.allclose(together, alone, rtol=1e-6)
    assert len(together.unique()) == 7


def test_equally_near_neighbours_of_the_memory_give_one_of_their_scores():
    # m* = 0 has two neighbours at 1; m_test = 3 is at 2 or at 4 from them. Either is a valid N_2.
    bank = torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    patch = torch.tensor([-3.0, -0.1]).view(1, 1, 1, 2)
    to = [math.dist((-3, -0.1), row) for row in bank.tolist()]
    valid = [to[0] * (1 - math.exp(to[0]) / (math.exp(to[0]) + math.exp(other))) for other in to[1:]]
    assert min(abs(float(reweighted(patch, bank, 2)) - score) for score in valid) < 1e-6


# Anomaly maps


def test_a_constant_map_stays_constant():
    maps = anomaly_maps(torch.full((2, 7, 5), 3.25), (56, 40))
    assert torch.allclose(maps, torch.full((2, 56, 40), 3.25))


def test_bilinear_upsampling_by_hand():
    # Centres of the two cells lie at pixels 0.5 and 2.5; outside of them the border value continues.
    maps = anomaly_maps(torch.tensor([[[0.0, 4.0]]]), (1, 4), sigma=0)
    assert maps.tolist() == [[[0, 1, 3, 4]]]


def test_nearest_upsampling_by_hand():
    maps = anomaly_maps(torch.tensor([[[0.0, 4.0]], [[1.0, 2.0]]]), (2, 5), sigma=0, upsampling="nearest")
    assert maps.tolist() == [[[0, 0, 0, 4, 4]] * 2, [[1, 1, 1, 2, 2]] * 2]


def test_an_unknown_upsampling_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="upsampling='cubic' must be one of bilinear, nearest"):
        anomaly_maps(torch.zeros(1, 2, 2), (4, 4), upsampling="cubic")


@pytest.mark.parametrize("upsampling", ["bilinear", "nearest"])
@pytest.mark.parametrize("sigma", [0, 0.7, 4.0, 30.0])
@pytest.mark.parametrize(
    ("grid", "size"),
    [((28, 28), (224, 224)), ((12, 20), (96, 160)), ((5, 3), (37, 50)), ((9, 9), (9, 9)), ((1, 6), (8, 48))],
)
def test_maps_equal_upsampling_followed_by_scipys_gaussian(grid, size, sigma, upsampling):
    distances = noise(3, *grid).abs()
    rule = {"bilinear": {"align_corners": False}, "nearest": {}}[upsampling]
    upsampled = F.interpolate(distances[:, None].double(), size=size, mode=upsampling, **rule)[:, 0]
    expected = np.stack([gaussian_filter(image, sigma) if sigma else image for image in upsampled.numpy()])
    found = anomaly_maps(distances, size, sigma=sigma, upsampling=upsampling)
    assert found.shape == (3, *size)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_height_and_width_are_not_exchanged():
    distances = torch.zeros(1, 4, 8)
    distances[0, 0, 7] = 1  # upper right
    maps = anomaly_maps(distances, (40, 80), sigma=2)
    row, column = divmod(int(maps.argmax()), 80)
    assert row < 10
    assert column >= 70


def test_maps_of_several_images_are_those_of_each_alone():
    distances = noise(4, 6, 7).abs()
    together = anomaly_maps(distances, (48, 56))
    for image, alone in zip(together, distances, strict=True):
        assert torch.allclose(image, anomaly_maps(alone[None], (48, 56))[0], rtol=1e-6)
