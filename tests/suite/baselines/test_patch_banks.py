"""AnomalyDINO, RAD, SubspaceAD and SuperADD against plain implementations."""

import cv2
import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from small_networks import SmallPyramid, pictures

from patchcore_core import InputError
from patchcore_core.backbones import feature_maps
from patchcore_core.patches import rescale
from patchcore_core.scoring import anomaly_maps
from patchcore_suite.baselines.anomaly_dino import AnomalyDino, AnomalyDinoConfig, foreground
from patchcore_suite.baselines.rad import Rad, RadConfig
from patchcore_suite.baselines.subspace_ad import SubspaceAd, SubspaceAdConfig
from patchcore_suite.baselines.super_add import SuperAdd, SuperAddConfig

NETWORK = SmallPyramid((2, 3))
METHODS = [
    (AnomalyDino, AnomalyDinoConfig),
    (Rad, RadConfig),
    (SubspaceAd, SubspaceAdConfig),
    (SuperAdd, SuperAddConfig),
]


def fitted(kind, config, n=5, **options):
    return kind(config(hierarchies=(2, 3), **options), network=NETWORK, seed=2).fit(pictures(n, size=(64, 48)))


def described(n, seed=0, *, one_grid=True):
    """Feature maps of pictures, (n, h, w, c) each, on the finest grid."""
    maps = feature_maps(NETWORK, pictures(n, size=(64, 48), seed=seed))
    on_grid = [rescale(fmap, maps[0].shape[-2:]) if one_grid else fmap for fmap in maps]
    return [fmap.permute(0, 2, 3, 1).double().numpy() for fmap in on_grid]


def length_one(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def highest(values, share):
    flat = np.sort(values.reshape(len(values), -1), axis=1)[:, ::-1]
    return flat[:, : max(int(flat.shape[1] * share), 1)].mean(axis=1)


def test_anomaly_dino_is_the_cosine_distance_to_all_patches():
    model = fitted(AnomalyDino, AnomalyDinoConfig, score_share=0.1)
    found = model.predict(pictures(3, size=(64, 48), seed=1))
    bank, test = (length_one(np.concatenate(described(n, seed), axis=3)) for n, seed in ((5, 0), (3, 1)))
    wanted = 1 - (test @ bank.reshape(-1, bank.shape[-1]).T).max(axis=3)
    assert found.distances.numpy() == pytest.approx(wanted, abs=1e-5)
    assert found.scores.numpy() == pytest.approx(highest(wanted, 0.1), abs=1e-5)
    assert found.maps.shape == (3, 64, 48)


def test_anomaly_dino_leaves_the_background_out():
    model = fitted(AnomalyDino, AnomalyDinoConfig, masking=True, mask_threshold=0.8)
    plain = fitted(AnomalyDino, AnomalyDinoConfig).predict(pictures(3, size=(64, 48), seed=1)).distances.numpy()
    masks = np.stack([foreground(image, 0.8) for image in np.concatenate(described(3, 1), axis=3)])
    assert 0 < masks.mean() < 1
    assert model.predict(pictures(3, size=(64, 48), seed=1)).distances.numpy() == pytest.approx(plain * masks, abs=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_foreground_is_that_of_opencv_and_scikit_learn(sign):
    features = 0.1 * np.random.default_rng(0).normal(size=(16, 20, 6)).astype(np.float32)
    features[4:12, 5:16] += sign * 3 * np.array([1, -2, 0.5, 1, 0, 1], np.float32)
    values = PCA(n_components=1).fit_transform(features.reshape(-1, 6)).reshape(16, 20)
    values *= np.sign(values[8, 10])  # the object is in the middle
    dilated = cv2.dilate((values > 2).astype(np.uint8), np.ones((3, 3), np.uint8))
    wanted = cv2.morphologyEx(dilated, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)).astype(bool)
    assert 0 < wanted.mean() < 1
    assert np.array_equal(foreground(features, 2), wanted)


@pytest.mark.parametrize("radius", [0, 1, 2, None])
def test_rad_looks_near_the_place_in_images_that_are_alike(radius):
    model = fitted(Rad, RadConfig, n=6, radius=radius, neighbour_images=3, score_share=0.05)
    found = model.predict(pictures(2, size=(64, 48), seed=1))
    nominal, test = (described(n, seed) for n, seed in ((6, 0), (2, 1)))
    pooled = [length_one(described(n, seed, one_grid=False)[-1].mean(axis=(1, 2))) for n, seed in ((6, 0), (2, 1))]
    h, w = test[0].shape[1:3]
    wanted = np.zeros((2, h, w))
    for i in range(2):
        alike = np.argsort(-(pooled[0] @ pooled[1][i]))[:3]
        for bank, patches in zip(nominal, test, strict=True):
            cosines = np.einsum("hwc,kabc->hwkab", length_one(patches[i]), length_one(bank[alike]))
            for a in range(h):
                for b in range(w):
                    rows = slice(None) if radius is None else slice(max(0, a - radius), a + radius + 1)
                    columns = slice(None) if radius is None else slice(max(0, b - radius), b + radius + 1)
                    wanted[i, a, b] += (1 - cosines[a, b][:, rows, columns].max()) / 2
    assert found.distances.numpy() == pytest.approx(wanted, abs=1e-5)
    maps = anomaly_maps(torch.from_numpy(wanted), (64, 48), sigma=1).numpy()
    assert found.scores.numpy() == pytest.approx(highest(maps, 0.05), abs=1e-5)


def test_subspace_ad_scores_what_principal_components_leave():
    model = fitted(SubspaceAd, SubspaceAdConfig, variance_share=0.8, score_share=0.1)
    found = model.predict(pictures(3, size=(64, 48), seed=1))
    nominal, test = (np.concatenate(described(n, seed), axis=3) for n, seed in ((5, 0), (3, 1)))
    rows = test.reshape(-1, test.shape[-1])
    components = PCA(n_components=0.8, svd_solver="full").fit(nominal.reshape(-1, nominal.shape[-1]))
    assert 0 < components.n_components_ < rows.shape[1]
    left = rows - components.inverse_transform(components.transform(rows))
    wanted = np.square(left).sum(axis=1).reshape(test.shape[:3])
    assert found.distances.numpy() == pytest.approx(wanted, rel=1e-3, abs=1e-6)
    assert found.scores.numpy() == pytest.approx(highest(wanted, 0.1), rel=1e-3)


def test_super_add_averages_distances_over_hierarchies():
    model = fitted(SuperAdd, SuperAddConfig, score_share=0.05)
    found = model.predict(pictures(3, size=(64, 48), seed=1))
    nominal, test = (described(n, seed, one_grid=False) for n, seed in ((5, 0), (3, 1)))
    of_hierarchies = []
    for bank, patches in zip(nominal, test, strict=True):
        apart = torch.cdist(*(torch.from_numpy(of.reshape(-1, of.shape[-1])) for of in (patches, bank)))
        on_grid = apart.amin(dim=1).view(3, 1, *patches.shape[1:3]) / bank.shape[-1]
        of_hierarchies.append(rescale(on_grid, test[0].shape[1:3])[:, 0].numpy())
    wanted = np.mean(of_hierarchies, axis=0)
    assert found.distances.numpy() == pytest.approx(wanted, abs=1e-5)
    maps = anomaly_maps(torch.from_numpy(wanted), (64, 48), sigma=4).numpy()
    assert found.scores.numpy() == pytest.approx(highest(maps, 0.05), abs=1e-5)


def test_super_add_thins_out_each_bank():
    model = fitted(SuperAdd, SuperAddConfig, bank_size=40)
    assert [len(bank) for bank in model._banks] == [40, 40]
    assert all(
        bool((bank[:, None] == rows.flatten(0, 2)).all(dim=2).any(dim=1).all())
        for bank, rows in zip(
            model._banks, model.describe(feature_maps(NETWORK, pictures(5, size=(64, 48)))), strict=True
        )
    )


@pytest.mark.parametrize(("kind", "config"), METHODS)
def test_what_cannot_be_used_is_refused(kind, config):
    with pytest.raises(InputError, match="not fitted"):
        kind(config(hierarchies=(2, 3)), network=NETWORK).predict(pictures(1))
    for wrong in ({"score_share": 0.0}, {"hierarchies": ()}, {"smoothing_sigma": -1.0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            config(**wrong)
    assert config.from_mapping(config().to_dict()) == config()
