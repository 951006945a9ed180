import pytest
import torch

from patchcore_core.fast.lower_bounds import Screen


def decaying(n=3000, d=40, seed=0):
    """Few directions hold most variance, as in patch features."""
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) * torch.logspace(1, -2, d)


def heaps(n=3000, d=40):
    """Rows close together in heaps far apart: norms are large, distances within a heap are small."""
    return 300 * decaying(12, d, seed=1)[torch.arange(n) % 12] + decaying(n, d)


def unequal(n=3000, d=40):
    """Norms span six orders of magnitude."""
    return (
        decaying(n, d)
        * torch.logspace(-3, 3, n)[torch.randperm(n, generator=torch.Generator().manual_seed(2))][:, None]
    )


def nearest(features, picks):
    return torch.cdist(features.double(), features[picks].double()).amin(dim=1).square()


@pytest.fixture(params=[torch.bfloat16, torch.float32], ids=["bfloat16", "float32"])
def kind(request):
    return request.param


PICKS = torch.randperm(3000, generator=torch.Generator().manual_seed(3))[:100]


@pytest.mark.parametrize("make", [decaying, heaps, unequal])
@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_every_row_that_a_pick_comes_nearer_to_passes(make, offset, kind):
    features = make() + offset
    centre = features.mean(dim=0)
    screen, true = Screen(features, centre, kind=kind, most_to_pass=1), nearest(features - centre, PICKS)
    for share in (1.0, 1.01, 1.5, 4.0):
        passed = screen.passing(features[PICKS], (share * true).float(), rounding=0.0)
        must = (true < (share * true).float()).nonzero()[:, 0]
        assert torch.isin(must, passed).all()
        assert torch.equal(passed, passed.unique())  # once each, in order


def test_most_rows_that_no_pick_comes_near_to_do_not_pass(kind):
    features = decaying()
    true = nearest(features, PICKS)
    passed = Screen(features, features.mean(dim=0), kind=kind).passing(
        features[PICKS], (0.6 * true).float(), rounding=0.0
    )
    assert len(passed) < 0.1 * len(features)


def test_what_rounding_may_lose_is_granted(kind):
    features = decaying()
    true = nearest(features, PICKS)
    screen = Screen(features, features.mean(dim=0), kind=kind, most_to_pass=1)
    passed = screen.passing(features[PICKS], (0.5 * true).float(), rounding=float(true.max()))
    assert len(passed) == len(features)


def test_where_most_rows_pass_none_is_chosen(kind):
    features = decaying()
    screen = Screen(features, features.mean(dim=0), kind=kind)
    assert screen.passing(features[PICKS], torch.full((3000,), torch.inf), rounding=0.0) is None


def test_rows_of_many_blocks_pass_once_each_and_in_order(kind):
    features = decaying(50_000)  # three blocks of products with 100 picks
    true = nearest(features, PICKS)
    passed = Screen(features, features.mean(dim=0), kind=kind).passing(
        features[PICKS], (0.8 * true).float(), rounding=0.0
    )
    within = Screen(features, features.mean(dim=0), kind=kind).passing(
        features[PICKS], (1.01 * true).float(), rounding=0.0
    )
    assert within is None or torch.isin((true > 0).nonzero()[:, 0], within).all()
    assert torch.equal(passed, passed.unique())
    assert passed[-1] > 42_000  # in the last block


@pytest.mark.parametrize("storage", [torch.float16, torch.bfloat16])
def test_features_may_be_stored_in_half_precision(storage, kind):
    features = decaying().to(storage)
    true = nearest(features, PICKS)
    screen = Screen(features, features.float().mean(dim=0), kind=kind, most_to_pass=1)
    assert torch.isin(
        (true > 0).nonzero()[:, 0], screen.passing(features[PICKS], (1.01 * true).float(), rounding=0.0)
    ).all()


def test_it_pays_where_few_directions_hold_most_variance(kind):
    centre = torch.zeros(128)
    even = torch.randn(3000, 128, generator=torch.Generator().manual_seed(0))
    assert Screen(decaying(d=128), centre, kind=kind).pays
    # All components are needed: only fewer bits make it cheaper.
    assert Screen(even, centre, kind=kind).pays == (kind == torch.bfloat16)
    assert not Screen(decaying(d=4), torch.zeros(4), kind=kind).pays


def test_equal_rows_come_nearer_where_there_is_a_gap(kind):
    screen = Screen(torch.full((200, 64), 3.0), torch.full((64,), 3.0), kind=kind, most_to_pass=1)
    assert screen.passing(torch.full((100, 64), 3.0), torch.zeros(200), rounding=0.0).tolist() == []
    assert screen.passing(torch.full((100, 64), 3.0), torch.ones(200), rounding=0.0).tolist() == list(range(200))
