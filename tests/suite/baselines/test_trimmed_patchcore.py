import pytest
import torch
from small_networks import SmallPyramid, pictures

from patchcore_core import InputError, PatchCore, PatchCoreConfig
from patchcore_suite.baselines import trimmed_greedy
from patchcore_suite.baselines.trimmed_greedy import trimmed_coreset
from patchcore_suite.baselines.trimmed_patchcore import TrimmedPatchCore, TrimmedPatchCoreConfig


def trimmed(**changes):
    values = {"hierarchies": (2, 3), "smoothing_sigma": 1.5, "coreset_fraction": 0.2}
    return TrimmedPatchCore(TrimmedPatchCoreConfig(**values | changes), network=SmallPyramid((2, 3)), seed=3)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(n=200, d=8, seed=1):
    return torch.randn(n, d, generator=seeded(seed))


def plain_picks(features, size, outliers, first):
    """One row after the other, by differences in double precision; of equally far rows the first."""
    rows, picks = features.double(), [first]
    gaps = rows.new_full((len(rows),), torch.inf)
    for _ in range(size - 1):
        gaps = gaps.minimum((rows - rows[picks[-1]]).square().sum(dim=1))
        gaps[picks] = -1
        picks.append(int((gaps == gaps.sort(descending=True).values[outliers]).nonzero()[0]))
    return picks


MADE = {
    "noise": noise(),
    "far from the origin": noise() + 1e3,
    "unequal": noise() * torch.logspace(-2, 2, 200)[torch.randperm(200, generator=seeded(2))][:, None],
    "repeats": noise(40)[torch.randint(40, (300,), generator=seeded(3))],
    "all equal": torch.full((100, 5), 0.1),
    "lattice": torch.cartesian_prod(*[torch.arange(6.0)] * 3),
    "corners": torch.cartesian_prod(*[torch.arange(2.0)] * 8),
    "one dimension": torch.arange(90.0)[:, None],
    "float16": noise().half(),
    "float64": noise().double(),
}


@pytest.mark.parametrize("name", MADE)
def test_picks_are_those_of_a_plain_loop(name):
    features = MADE[name]
    before = features.clone()
    for outliers in (0, 1, len(features) // 20, len(features) // 2):
        size = len(features) - outliers  # all there are; fewer picks are the first of them
        found = trimmed_coreset(features, size, outliers=outliers, generator=seeded()).tolist()
        assert found == plain_picks(features, size, outliers, found[0])
        for fewer in (1, 2, size // 3):
            assert trimmed_coreset(features, fewer, outliers=outliers, generator=seeded()).tolist() == found[:fewer]
    assert torch.equal(features, before)


def test_picks_are_the_same_in_small_blocks_and_by_any_number_of_threads(monkeypatch):
    features = noise(900)
    whole = trimmed_coreset(features, 200, outliers=45, generator=seeded())
    monkeypatch.setattr(trimmed_greedy, "MOST_ROWS", 64)
    threads = torch.get_num_threads()
    for count in (1, 3):
        torch.set_num_threads(count)
        try:
            assert torch.equal(trimmed_coreset(features, 200, outliers=45, generator=seeded()), whole)
        finally:
            torch.set_num_threads(threads)


def test_few_rows_are_compared_again_with_each_pick(monkeypatch):
    """Bounds of gaps that are too low to count stay as they are: that is what makes it fast."""
    compared, exactly = [], trimmed_greedy.shifted

    def counted(rows, centre):
        compared.append(len(rows))
        return exactly(rows, centre)

    monkeypatch.setattr(trimmed_greedy, "shifted", counted)
    features = noise(4000, 3)
    trimmed_coreset(features, 400, outliers=200, generator=seeded())
    assert sum(compared) < 0.1 * 400 * len(features)


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
