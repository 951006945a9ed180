import pytest
import torch

from patchcore_core import gaps
from patchcore_core.coreset import greedy_coreset
from patchcore_core.gaps import Gaps


def noise(n=3000, d=24, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def heaps(n=3000, d=24):
    """Rows close together in heaps far apart: norms are large, gaps are small."""
    return 30 * noise(12, d, seed=1)[torch.arange(n) % 12] + 0.3 * noise(n, d)


def unequal(n=3000, d=24):
    """Norms span six orders of magnitude."""
    return noise(n, d) * torch.logspace(-3, 3, n)[:, None]


def large(n=3000, d=24):
    return 1e15 * noise(n, d)


def brute_force(features, picks):
    distances = (features.double()[:, None] - features.double()[picks]).square().sum(dim=2)
    return distances.min(dim=1)


@pytest.fixture(params=[False, True], ids=["in full", "screened"])
def screening(request, monkeypatch):
    monkeypatch.setattr(gaps, "bfloat16_pays", lambda device: request.param)
    monkeypatch.setattr(gaps, "FEWEST_TO_SCREEN", 1)
    monkeypatch.setattr(gaps, "MOST_TO_SCREEN", 1.0)
    return request.param


@pytest.mark.parametrize("make", [noise, heaps, unequal, large])
def test_gaps_are_distances_to_the_nearest_pick(make, screening):
    features = make()
    draw = torch.randperm(len(features), generator=torch.Generator().manual_seed(3))
    state = Gaps(features)
    picks = draw[:700]
    for some in picks.split([1, 39, 260, 1, 399]):
        state.add(some)
    expected = brute_force(features, picks)
    others = draw[700:]
    assert (state.squared[picks] == -1).all()
    exact = state.exact(others)
    # The pick that is named is the nearest one, or one that is as near to within rounding.
    assert torch.allclose(exact, expected.values[others], rtol=1e-4, atol=state.rounding)
    assert torch.allclose(state.squared[others].double(), exact, rtol=1e-3, atol=state.rounding)


def test_screening_passes_every_row_that_a_pick_comes_nearer_to():
    features = heaps()
    state = Gaps(features)
    for picks in torch.randperm(len(features), generator=torch.Generator().manual_seed(4))[:400].split(100):
        centres, offsets = state._centred(features[picks]), state._half_norms[picks]
        x = state._centred(features)
        low = 2 * (gaps._lower_products(x, state._half_norms, gaps._bounds(centres, offsets)) + state._half_norms)
        true = brute_force(features, picks).values
        assert (low.double() - state.rounding <= true).all()
        assert (low.double() > 0.5 * true - 0.1 * state._half_norms.max()).all()  # and it is no empty promise
        state.add(picks)


@pytest.mark.parametrize("make", [noise, heaps, unequal])
def test_screening_leaves_the_picks_as_they_are(make, monkeypatch):
    monkeypatch.setattr(gaps, "FEWEST_TO_SCREEN", 1)
    picks = []
    for screens in (False, True):
        monkeypatch.setattr(gaps, "bfloat16_pays", lambda device, screens=screens: screens)
        picks.append(greedy_coreset(make(), 900, start=7))
    assert torch.equal(*picks)


def test_many_blocks_give_what_one_gives(screening, monkeypatch):
    features, picks = noise(), torch.arange(0, 3000, 11)
    whole, parts = Gaps(features), None
    whole.add(picks)
    monkeypatch.setattr(gaps, "BLOCK_VALUES", 9000)
    parts = Gaps(features)
    parts.add(picks)
    assert torch.allclose(whole.squared, parts.squared, rtol=1e-4, atol=whole.rounding)


def test_what_is_covered_from_the_outset_stays_so():
    features = torch.tensor([[0.0], [4.0], [10.0]])
    state = Gaps(features, outset=torch.tensor([torch.inf, 1.0, torch.inf], dtype=torch.float64))
    assert state.exact(torch.tensor([1])).tolist() == [1]
    state.add(torch.tensor([0]))
    assert state.exact(torch.tensor([1, 2])).tolist() == [1, 100]
    assert state.nearest.tolist() == [0, -1, 0]


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_features_in_half_precision_are_picked_as_they_are_stored(kind):
    features = noise(900).to(kind)
    assert torch.equal(greedy_coreset(features, 300, start=0), greedy_coreset(features.float(), 300, start=0))
