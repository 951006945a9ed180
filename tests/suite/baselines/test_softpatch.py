import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.covariance import EmpiricalCovariance
from sklearn.neighbors import LocalOutlierFactor
from small_networks import SmallPyramid, pictures

from patchcore_core import InputError, PatchCore, PatchCoreConfig
from patchcore_core.backbones import feature_maps
from patchcore_suite.baselines import softpatch as module
from patchcore_suite.baselines.softpatch import SoftPatch, SoftPatchConfig, outlyingness


def softpatch(**changes):
    values = {"hierarchies": (2, 3), "smoothing_sigma": 1.5, "coreset_fraction": 0.5}
    return SoftPatch(SoftPatchConfig(**values | changes), network=SmallPyramid((2, 3)), seed=3)


@pytest.mark.parametrize("block_values", [1, 2**23])
def test_outlyingness_is_what_scikit_learn_finds_at_each_position(monkeypatch, block_values):
    monkeypatch.setattr(module, "BLOCK_VALUES", block_values)
    features = torch.randn(4, 12, 3, generator=torch.manual_seed(0))
    features[:, 5] += 4  # one image is unlike the others
    lof, nearest, gaussian = (outlyingness(features, name, 5) for name in ("lof", "nearest", "gaussian"))
    for place, rows in enumerate(features.double().numpy()):
        factors = -LocalOutlierFactor(n_neighbors=5).fit(rows).negative_outlier_factor_
        assert lof[place].numpy() == pytest.approx(factors, rel=1e-4)
        apart = cdist(rows, rows) + np.diag(np.full(12, np.inf))
        assert nearest[place].numpy() == pytest.approx(1 + apart.min(axis=1), rel=1e-5)
        covariance = np.cov(rows, rowvar=False) + module.RIDGE * np.eye(3)
        centred = rows - EmpiricalCovariance().fit(rows).location_
        wanted = 1 + np.sqrt(np.einsum("nd,de,ne->n", centred, np.linalg.inv(covariance), centred))
        assert gaussian[place].numpy() == pytest.approx(wanted, rel=1e-4)
        assert {int(each[place].argmax()) for each in (lof, nearest, gaussian)} == {5}


@pytest.mark.parametrize("discriminator", module.DISCRIMINATORS)
def test_an_image_of_another_kind_has_no_patch_in_the_bank(discriminator):
    images = 0.1 * pictures(12)
    images[4] += 0.8
    model = softpatch(discriminator=discriminator, coreset_fraction=1).fit(images)
    per_image = 8 * 12 // 4  # patches of stride 8 of 32 x 48 pixels
    assert 4 not in set((model.coreset_indices // per_image).tolist())
    assert len(model.memory_bank) == 1 + int(0.85 * (12 * per_image - 1))


@pytest.mark.parametrize("soft_weights", [True, False])
def test_scores_are_distances_to_the_bank_times_the_weight_of_the_nearest_row(soft_weights):
    model = softpatch(soft_weights=soft_weights).fit(pictures(9))
    prediction = model.predict(pictures(2, seed=1))
    (test,) = model.describe(feature_maps(SmallPyramid((2, 3)), pictures(2, seed=1)))
    apart = torch.cdist(test.flatten(0, 2).double(), model.memory_bank.double())
    wanted = apart.amin(dim=1)
    if soft_weights:
        (nominal,) = model.describe(feature_maps(SmallPyramid((2, 3)), pictures(9)))
        n, h, w, d = nominal.shape
        weights = outlyingness(nominal.view(n, h * w, d).transpose(0, 1), "lof", 5).T.flatten()
        wanted = wanted * weights[model.coreset_indices][apart.argmin(dim=1)]
    assert prediction.distances.flatten() == pytest.approx(wanted.float(), rel=1e-4)
    assert torch.equal(prediction.scores, prediction.distances.flatten(1).amax(dim=1))
    assert prediction.maps.shape == (2, 32, 48)


def test_without_noise_and_weights_it_is_patchcore():
    model = softpatch(noise_share=0, soft_weights=False).fit(pictures(9))
    config = PatchCoreConfig(hierarchies=(2, 3), smoothing_sigma=1.5, coreset_fraction=0.5, projection_dimension=None)
    patchcore = PatchCore(config, network=SmallPyramid((2, 3)), seed=3).fit(pictures(9))
    assert torch.equal(model.coreset_indices, patchcore.coreset_indices)
    wanted, found = (each.predict(pictures(2, seed=1)) for each in (patchcore, model))
    assert torch.allclose(found.maps, wanted.maps)


def test_what_cannot_be_used_is_refused_with_the_limit():
    with pytest.raises(InputError, match="5 nominal images are too few: at least 6"):
        softpatch().fit(pictures(5))
    with pytest.raises(InputError, match="not fitted"):
        softpatch().predict(pictures(1))
    wrong = {"discriminator": "far", "noise_share": 1.0, "coreset_fraction": 0.0, "lof_neighbours": 0}
    with pytest.raises(InputError) as caught:
        SoftPatchConfig(**wrong, neighbourhood_size=2)
    assert all(name in str(caught.value) for name in (*wrong, "neighbourhood_size=2"))
