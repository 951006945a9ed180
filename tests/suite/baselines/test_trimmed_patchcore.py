import numpy as np
import pytest
import torch
from small_networks import SmallPyramid, pictures

from patchcore_core import InputError, PatchCore, PatchCoreConfig
from patchcore_suite.baselines.trimmed_patchcore import TrimmedPatchCore, TrimmedPatchCoreConfig, trimmed_coreset


def trimmed(**changes):
    values = {"hierarchies": (2, 3), "smoothing_sigma": 1.5, "coreset_fraction": 0.2}
    return TrimmedPatchCore(TrimmedPatchCoreConfig(**values | changes), network=SmallPyramid((2, 3)), seed=3)


@pytest.mark.parametrize("outliers", [0, 1, 7])
def test_picks_are_those_of_a_plain_loop(outliers):
    features = torch.randn(60, 4, generator=torch.manual_seed(0))
    found = trimmed_coreset(features, 20, outliers=outliers, generator=torch.manual_seed(1)).tolist()
    picks, rows = found[:1], features.double().numpy()
    while len(picks) < 20:
        gaps = np.min([np.linalg.norm(rows - rows[pick], axis=1) for pick in picks], axis=0)
        left = [row for row in np.argsort(-gaps) if row not in picks]
        picks.append(int(left[outliers]))
    assert found == picks


def test_five_rows_on_a_line_of_which_one_is_an_outlier():
    features = torch.tensor([[0.0], [1.0], [2.0], [3.0], [100.0]])
    for seed in range(20):
        found = trimmed_coreset(features, 3, outliers=1, generator=torch.manual_seed(seed)).tolist()
        assert len(set(found)) == 3
        assert found[0] == 4 or 4 not in found  # unless it is drawn as the first


def test_with_nothing_left_out_it_is_patchcore():
    config = PatchCoreConfig(hierarchies=(2, 3), smoothing_sigma=1.5, coreset_fraction=0.2, projection_dimension=None)
    patchcore = PatchCore(config, network=SmallPyramid((2, 3)), seed=3).fit(pictures(9))
    model = trimmed(left_out=0.0).fit(pictures(9))
    assert torch.equal(model.coreset_indices, patchcore.coreset_indices)
    wanted, found = (each.predict(pictures(2, seed=1)) for each in (patchcore, model))
    assert torch.allclose(found.maps, wanted.maps)
    assert torch.allclose(found.scores, wanted.scores)


def test_images_of_another_kind_stay_out_of_the_bank():
    images = 0.1 * pictures(20)
    images[[4, 11]] += 0.8
    kept = {share: set((trimmed(left_out=share).fit(images).coreset_indices // 24).tolist()) for share in (0.0, 0.15)}
    assert {4, 11} & kept[0.0]
    assert not {4, 11} & kept[0.15]


def test_what_cannot_be_used_is_refused():
    with pytest.raises(InputError, match="not fitted"):
        trimmed().predict(pictures(1))
    with pytest.raises(InputError) as caught:
        TrimmedPatchCoreConfig(left_out=1.0, coreset_fraction=0.0)
    assert "left_out=1.0" in str(caught.value)
    assert "coreset_fraction=0.0" in str(caught.value)
    assert TrimmedPatchCoreConfig(left_out=0.5, coreset_fraction=1.0).bank_rows(100) == 50
