from functools import partial

import pytest
import torch

from patchcore_core.coreset import greedy_coreset
from patchcore_core.fast.lower_bounds import Screen
from patchcore_core.fast.nearest_picks import Gaps


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
    exact = (features.double(), features[picks].double())
    return torch.cdist(*exact, compute_mode="donot_use_mm_for_euclid_dist").square().min(dim=1)


def sequential(features, size, start):
    """Greedy picks one by one, in double precision."""
    exact, picks = features.double(), [start]
    gaps = torch.full((len(features),), torch.inf, dtype=torch.float64)
    while len(picks) < size:
        gaps = gaps.minimum((exact - exact[picks[-1]]).square().sum(dim=1))
        picks.append(int(gaps.argmax()))
    return torch.tensor(picks)


def screening(kind):
    """Screen first, whatever it costs."""
    return partial(Screen, kind=kind, dearest=10, most_to_pass=1)


@pytest.fixture(
    params=[Screen, screening(torch.bfloat16), screening(torch.float32)], ids=["usual", "bfloat16", "float32"]
)
def way(request):
    return request.param


@pytest.mark.parametrize("make", [noise, heaps, unequal, large])
def test_gaps_are_distances_to_the_nearest_pick(make, way):
    features = make()
    draw = torch.randperm(len(features), generator=torch.Generator().manual_seed(3))
    state = Gaps(features, screening=way)
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


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_screening_leaves_the_picks_as_they_are(scale):
    features = scale * noise(d=64) * torch.logspace(0.5, -2, 64)
    assert Screen(features, features.mean(dim=0)).pays
    assert torch.equal(greedy_coreset(features, 900, start=7), sequential(features, 900, start=7))


def test_rows_of_many_blocks_have_the_gaps_that_they_should(way):
    features, picks = noise(9000), torch.arange(0, 9000, 33)  # three blocks with so many picks
    state = Gaps(features, screening=way)
    state.add(picks)
    others = torch.ones(9000, dtype=torch.bool).index_fill(0, picks, False)
    expected = brute_force(features, picks).values
    assert torch.allclose(state.squared[others].double(), expected[others], rtol=1e-3, atol=state.rounding)


def test_what_is_covered_from_the_outset_stays_so():
    features = torch.tensor([[0.0], [4.0], [10.0]])
    state = Gaps(features, outset=torch.tensor([torch.inf, 1.0, torch.inf], dtype=torch.float64))
    assert state.exact(torch.tensor([1])).tolist() == [1]
    state.add(torch.tensor([0]))
    assert state.exact(torch.tensor([1, 2])).tolist() == [1, 100]
    assert state.nearest.tolist() == [0, -1, 0]


def test_what_is_covered_from_the_outset_is_not_changed_by_picks():
    features = noise(50).double()
    outset = torch.full((50,), 30.0, dtype=torch.float64)
    state = Gaps(features, outset=outset)
    state.add(torch.arange(10))
    assert (outset == 30).all()


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_equal_rows_have_equal_gaps_wherever_they_stand(precision):
    features = noise(60).to(precision)[torch.randint(60, (999,), generator=torch.Generator().manual_seed(5))]
    state = Gaps(features)
    state.add(torch.tensor([3]))
    rows = torch.arange(4, 999)
    exact = state.exact(rows)
    kinds = features[rows].unique(dim=0, return_inverse=True)[1]
    assert all(len(exact[kinds == kind].unique()) == 1 for kind in range(60) if (kinds == kind).any())


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_features_in_half_precision_are_picked_as_they_are_stored(kind):
    features = noise(900).to(kind)
    assert torch.equal(greedy_coreset(features, 300, start=0), greedy_coreset(features.float(), 300, start=0))
