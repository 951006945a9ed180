import numpy as np
import pytest
import torch
from small_networks import SmallPyramid, pictures

from patchcore_core import InputError
from patchcore_core.backbones import feature_maps
from patchcore_suite.baselines.mh_patchcore import MHPatchCore, MHPatchCoreConfig, merged, whitening


def method(**changes):
    values = {"hierarchies": (2, 3), "bank_size": 20, "part_size": 12, "images_a_part": 2, "reweight_neighbours": 4}
    return MHPatchCore(MHPatchCoreConfig(**values | changes), network=SmallPyramid((2, 3)))


def test_whitened_rows_have_the_shrunk_covariance_of_the_components():
    rows = torch.randn(500, 4, generator=torch.manual_seed(0)).double() * torch.tensor([5.0, 2, 1, 0.01])
    rows[:, 1] += rows[:, 0]
    mean, factors = whitening(rows, 0.999, 0)
    assert factors.shape == (4, 3)  # the fourth component has less than a thousandth
    white = ((rows - mean) @ factors).numpy()
    assert np.cov(white, rowvar=False) == pytest.approx(np.eye(3), abs=1e-9)
    _, shrunk = whitening(rows, 1, 0.07)
    inverse = np.linalg.inv(0.93 * np.cov(rows.T) + 0.07 * np.trace(np.cov(rows.T)) / 4 * np.eye(4))
    assert (shrunk @ shrunk.T).numpy() == pytest.approx(inverse, abs=1e-9)  # Mahalanobis distances


def farthest_by_loops(rows, size):
    chosen = [int(np.linalg.norm(rows - rows.mean(axis=0), axis=1).argmax())]
    while len(chosen) < min(size, len(rows)):
        gaps = np.min([np.linalg.norm(rows - rows[pick], axis=1) for pick in chosen], axis=0)
        chosen.append(int(gaps.argmax()))
    return rows[chosen]


def test_parts_are_merged_in_pairs_and_reduced():
    rows = np.random.default_rng(1).normal(size=(5, 30, 3)).astype(np.float32)
    one, two, three, four, five = (farthest_by_loops(part, 8) for part in rows)
    pairs = [farthest_by_loops(np.concatenate(pair), 8) for pair in ((one, two), (three, four))]
    wanted = farthest_by_loops(np.concatenate([five, farthest_by_loops(np.concatenate(pairs), 8)]), 10)
    found = merged((torch.from_numpy(part) for part in rows), size=10, part_size=8)
    assert np.array_equal(found.numpy(), wanted)


def test_scores_are_those_of_plain_loops():
    model = method().fit(pictures(7))
    prediction = model.predict(pictures(3, seed=1))
    nominal, test = (
        torch.cat([m.flatten(0, 2) for m in model.describe(feature_maps(SmallPyramid((2, 3)), images))]).double()
        for images in (pictures(7), pictures(3, seed=1))
    )
    mean, factors = whitening(nominal, 0.99, 0.07)
    bank, queries = model.memory_bank.double(), (test - mean) @ factors
    squared = torch.cdist(queries, bank).square().numpy()
    assert prediction.distances.numpy().ravel() == pytest.approx(squared.min(axis=1), rel=1e-3)
    for number, of_image in enumerate(squared.reshape(3, -1, len(bank))):
        worst = of_image.min(axis=1).argmax()
        best = of_image[worst].argmin()
        around = torch.cdist(bank[best][None], bank)[0].argsort()[:4].numpy()
        weight = 1 - np.exp(of_image[worst, best]) / np.exp(of_image[worst, around]).sum()
        assert float(prediction.scores[number]) == pytest.approx(weight * of_image[worst, best], rel=1e-3)


def test_what_cannot_be_used_is_refused_with_the_limit():
    with pytest.raises(InputError, match="not fitted"):
        method().predict(pictures(1))
    wrong = {"variance_share": 0.0, "shrinkage": 1.5, "bank_size": 0, "part_size": 0, "reweight_neighbours": 0}
    with pytest.raises(InputError) as caught:
        MHPatchCoreConfig(**wrong)
    assert all(name in str(caught.value) for name in wrong)
    assert MHPatchCoreConfig().bank_rows(400) == 400
