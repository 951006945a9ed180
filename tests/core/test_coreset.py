from itertools import combinations, pairwise

import pytest
import torch

from patchcore_core.common.errors import InputError
from patchcore_core.coreset import (
    coreset_size,
    covering_radius,
    greedy_coreset,
    random_coreset,
    random_projection,
)
from patchcore_suite.plugins.first_picks import anchor_gaps


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def sequential_greedy(features, size, start):
    """Algorithm 1 one pick at a time, in double precision: what the shipped form must agree with."""
    features = features.double()
    gap = features.new_full((len(features),), torch.inf)  # distance to the coreset so far
    pick, chosen = start, []
    for _ in range(size):
        chosen.append(pick)
        gap = torch.minimum(gap, (features - features[pick]).norm(dim=1))
        gap[pick] = -1  # a duplicate has gap 0; a chosen row must rank below it
        pick = int(gap.argmax())
    return chosen


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_anchors_of_half_precision_are_measured_in_single(kind):
    features = torch.randn(40, 5, generator=seeded(1)).to(kind)
    assert torch.equal(anchor_gaps(features, generator=seeded(2)), anchor_gaps(features.float(), generator=seeded(2)))


def authors_greedy(features, size, anchors):
    """The authors' approximate sampler, one pick at a time: capped from the outset by the mean distance to anchors."""
    features = features.double()
    gap = torch.stack([(features - features[row]).norm(dim=1) for row in anchors]).mean(dim=0)
    chosen = []
    for _ in range(size):
        pick = int(gap.argmax())
        chosen.append(pick)
        gap = torch.minimum(gap, (features - features[pick]).norm(dim=1))
        gap[pick] = -1
    return chosen


def noise(n=700, d=8):
    return torch.randn(n, d, generator=seeded(1))


def clusters(n=700, d=8):
    """Seven tight clusters, some far away, of very different sizes."""
    centres = 5 * torch.randn(7, d, generator=seeded(2))
    which = (torch.rand(n, generator=seeded(3)) ** 3 * 7).long()
    return centres[which] + 0.05 * torch.randn(n, d, generator=seeded(4))


def repeats(n=700, d=8):
    """A hundred different rows, each about seven times."""
    rows = torch.randn(100, d, generator=seeded(5))
    return rows[torch.randint(100, (n,), generator=seeded(6))]


def offset(n=700, d=8):
    """Distances are a thousandth of the norms."""
    return noise(n, d) + 1e3


def unequal_scales(n=700, d=8):
    """Rows whose norms span six orders of magnitude."""
    return noise(n, d) * torch.logspace(-3, 3, n)[torch.randperm(n, generator=seeded(7))][:, None]


# By hand


def test_on_a_line_each_pick_is_the_farthest_point():
    features = torch.tensor([[0.0], [1.0], [2.0], [5.0], [9.0]])
    # From 0: 9 is farthest; then 5, at 4 from 9; then 2, at 2 from 0; 1 is left.
    assert greedy_coreset(features, 5, start=0).tolist() == [0, 4, 3, 2, 1]
    assert covering_radius(features, torch.tensor([0, 4])) == pytest.approx(4)
    assert covering_radius(features, torch.tensor([0, 4, 3])) == pytest.approx(2)


def test_of_equally_far_rows_the_first_is_picked():
    features = torch.tensor([[0.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    assert greedy_coreset(features, 3, start=0).tolist() == [0, 1, 2]


def test_when_only_repeats_are_left_they_follow_in_order():
    features = torch.tensor([[3.0], [3.0], [7.0], [3.0], [7.0]])
    assert greedy_coreset(features, 5, start=3).tolist() == [3, 2, 0, 1, 4]


def test_rows_that_are_all_equal_are_picked_once_each():
    chosen = greedy_coreset(torch.full((400, 5), 0.1), 300, start=17)
    assert chosen[0] == 17
    assert len(chosen.unique()) == 300
    assert covering_radius(torch.full((400, 5), 0.1), chosen) == 0


# Against the sequential form


@pytest.mark.parametrize("make", [noise, clusters, repeats, offset, unequal_scales])
@pytest.mark.parametrize("size", [1, 2, 3, 63, 64, 65, 200, 500, 699, 700])
def test_picks_are_those_of_the_sequential_algorithm(make, size):
    features = make()
    assert greedy_coreset(features, size, start=11).tolist() == sequential_greedy(features, size, 11)


def lattice():
    """Thousands of rows equally far from the picks, at distances that binary numbers only come near to."""
    return torch.cartesian_prod(*[torch.linspace(0, 1, 11)] * 3)


def corners():
    return 0.1 * torch.cartesian_prod(*[torch.arange(2.0)] * 11)


def ring():
    angles = torch.arange(3000) * 2 * torch.pi / 3000
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def few_values():
    return torch.randint(0, 3, (4000, 4), generator=seeded(9)).float()


@pytest.mark.parametrize("make", [lattice, corners, ring, few_values])
def test_of_more_equals_than_candidates_the_first_ones_are_picked(make):
    features = make()
    exact, gap, expected = features.double(), torch.full((len(features),), torch.inf).double(), [5]
    while len(expected) < 400:  # by differences, as distances are compared
        row = exact[expected[-1:]]
        gap = gap.minimum(torch.cdist(exact, row, compute_mode="donot_use_mm_for_euclid_dist")[:, 0].square())
        gap[expected[-1]] = -1
        expected.append(int(gap.argmax()))
    assert greedy_coreset(features, 400, start=5).tolist() == expected


@pytest.mark.parametrize("seed", range(20))
def test_picks_are_those_of_the_sequential_algorithm_on_small_sets(seed):
    n, d = [int(torch.randint(1, most, (), generator=seeded(seed))) for most in (40, 6)]
    features = torch.randn(n, d, generator=seeded(seed + 100))
    start = int(torch.randint(n, (), generator=seeded(seed + 200)))
    assert greedy_coreset(features, n, start=start).tolist() == sequential_greedy(features, n, start)


def test_picks_are_those_of_the_sequential_algorithm_over_many_rounds():
    features = torch.randn(6000, 32, generator=seeded())
    assert greedy_coreset(features, 1500, start=0).tolist() == sequential_greedy(features, 1500, 0)


def test_rows_too_close_for_single_precision_are_told_apart():
    # Seen from the heap's distance the 500 rows lie within 1e-5 of each other; copies of the far row must not win.
    features = torch.cat([torch.full((3000, 8), 1e3), 1e-2 * noise(500)])
    chosen = greedy_coreset(features, 501, start=0)
    assert int((chosen < 3000).sum()) == 1
    assert chosen.tolist() == sequential_greedy(features, 501, start=0)


def test_double_precision_features_are_picked_alike():
    features = noise().double()
    assert greedy_coreset(features, 300, start=5).tolist() == sequential_greedy(features, 300, 5)


# Gaps from the outset


def test_with_gaps_the_row_farthest_from_covered_comes_first_by_hand():
    features = torch.tensor([[0.0], [1.0], [2.0], [5.0], [9.0]])
    # 2 has the largest gap. Then 9 is at 7, but covered within 2; 5 at 3 within 2.5; 0 at 2 within 1; 1 at 1.
    gaps = torch.tensor([1.0, 1.0, 3.0, 2.5, 2.0])
    assert greedy_coreset(features, 5, gaps=gaps).tolist() == [2, 3, 4, 0, 1]


@pytest.mark.parametrize("make", [noise, clusters, repeats, offset, unequal_scales])
@pytest.mark.parametrize("size", [1, 2, 64, 200, 699, 700])
def test_picks_from_anchors_are_those_of_the_authors_sampler(make, size):
    features = make().double()
    anchors = random_coreset(features, 10, generator=seeded(8))
    gaps = anchor_gaps(features, generator=seeded(8))
    assert greedy_coreset(features, size, gaps=gaps).tolist() == authors_greedy(features, size, anchors)


def test_picks_from_anchors_are_those_of_the_authors_sampler_in_single_precision_over_many_rounds():
    features = torch.randn(6000, 32, generator=seeded())
    anchors = random_coreset(features, 10, generator=seeded(8))
    gaps = anchor_gaps(features, generator=seeded(8))
    assert greedy_coreset(features, 1500, gaps=gaps).tolist() == authors_greedy(features, 1500, anchors)


def test_gaps_hold_where_single_precision_gives_way_to_double():
    features = torch.cat([torch.full((3000, 8), 1e3), 1e-2 * noise(500)])
    gaps = torch.full((3500,), 1e-2)  # below most distances within the heap of 500
    gaps[::7] = 2e-2
    gap, expected = gaps.double(), []
    for _ in range(501):
        expected.append(int(gap.argmax()))
        gap = torch.minimum(gap, (features.double() - features[expected[-1]].double()).norm(dim=1))
        gap[expected[-1]] = -1
    assert greedy_coreset(features, 501, gaps=gaps).tolist() == expected


def test_among_equal_gaps_rows_come_in_order():
    features = 100 * torch.eye(300)
    assert greedy_coreset(features, 200, gaps=torch.ones(300)).tolist() == list(range(200))


def test_gaps_without_limit_are_a_start_at_the_first_row():
    features = noise()
    unlimited = greedy_coreset(features, 200, gaps=torch.full((700,), torch.inf))
    assert torch.equal(unlimited, greedy_coreset(features, 200, start=0))


def test_rows_covered_from_the_outset_follow_in_order():
    gaps = torch.zeros(5)
    gaps[3] = 1
    assert greedy_coreset(noise(5), 4, gaps=gaps).tolist() == [3, 0, 1, 2]


def test_anchor_gaps_are_mean_distances_to_the_rows_drawn():
    features = offset()
    anchors = random_coreset(features, 10, generator=seeded(3))
    expected = torch.cdist(features.double(), features[anchors].double()).mean(dim=1)
    gaps = anchor_gaps(features, generator=seeded(3))
    assert gaps.dtype == features.dtype
    assert torch.allclose(gaps.double(), expected, rtol=1e-5)
    assert not torch.equal(gaps, anchor_gaps(features, generator=seeded(4)))


def test_with_fewer_rows_than_anchors_all_rows_are_anchors():
    features = torch.tensor([[0.0], [3.0], [9.0]])
    assert anchor_gaps(features).tolist() == [4, 3, 5]


@pytest.mark.parametrize(
    ("gaps", "message"),
    [
        (torch.ones(4), r"gaps \(4,\) must be \(5,\)"),
        (torch.ones(5, 1), r"gaps \(5, 1\) must be \(5,\)"),
        (torch.tensor([1.0, -1.0, 0.0, torch.nan, 1.0]), "2 of 5 gaps are negative or NaN"),
    ],
)
def test_gaps_that_are_no_distances_are_refused(gaps, message):
    with pytest.raises(InputError, match=message):
        greedy_coreset(torch.zeros(5, 2), 2, gaps=gaps)


def test_gaps_and_a_start_exclude_each_other():
    with pytest.raises(InputError, match="start=0 cannot be given together with gaps"):
        greedy_coreset(torch.zeros(5, 2), 2, start=0, gaps=torch.ones(5))


def test_anchors_are_refused_where_there_can_be_none():
    with pytest.raises(InputError, match="anchors=0"):
        anchor_gaps(torch.zeros(5, 2), anchors=0)
    with pytest.raises(InputError, match=r"must lie in 1\.\.0"):
        anchor_gaps(torch.zeros(0, 2))


# Properties


@pytest.mark.parametrize("seed", range(5))
def test_greedy_coreset_covers_within_twice_the_optimum(seed):
    features = torch.randn(9, 2, generator=seeded(seed))
    chosen = greedy_coreset(features, size=3, generator=seeded(seed))

    def radius(rows):
        return torch.cdist(features, features[torch.as_tensor(rows)]).amin(1).max()

    best = min(radius(rows) for rows in combinations(range(9), 3))
    assert radius(chosen) <= 2 * best  # Gonzalez (1985)


@pytest.mark.parametrize("make", [noise, clusters, repeats, offset])
def test_picks_are_distinct_begin_with_the_start_and_cover_ever_better(make):
    features = make()
    chosen = greedy_coreset(features, 400, start=123)
    assert chosen.dtype == torch.long
    assert chosen[0] == 123
    assert len(chosen.unique()) == len(chosen) == 400
    radii = [covering_radius(features, chosen[:size]) for size in range(1, 400, 20)]
    assert all(after <= before for before, after in pairwise(radii))
    assert radii[-1] < radii[0] / 2


def test_a_smaller_coreset_is_the_beginning_of_a_larger_one():
    features = noise()
    assert torch.equal(greedy_coreset(features, 600, start=3)[:70], greedy_coreset(features, 70, start=3))


def test_greedy_covers_better_than_chance():
    features = clusters()
    greedy = covering_radius(features, greedy_coreset(features, 10, generator=seeded()))
    chance = [covering_radius(features, random_coreset(features, 10, generator=seeded(s))) for s in range(10)]
    assert greedy < min(chance)


def test_covering_radius_is_the_largest_distance_to_the_nearest_kept_row():
    features = offset()
    rows = random_coreset(features, 50, generator=seeded())
    brute = torch.cdist(features.double(), features[rows].double()).amin(dim=1).max()
    assert covering_radius(features, rows) == pytest.approx(float(brute), rel=1e-9)
    assert covering_radius(features, torch.arange(len(features))) == 0


def test_the_features_are_left_as_they_were():
    features = noise()
    before = features.clone()
    greedy_coreset(features, 100, start=0)
    assert torch.equal(features, before)


@pytest.mark.parametrize("select", [greedy_coreset, random_coreset])
def test_one_generator_seed_gives_one_coreset(select):
    features = noise()
    first, again, other = (select(features, 30, generator=seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_global_random_state_has_no_say():
    features = noise()
    torch.manual_seed(0)
    first = greedy_coreset(features, 30, generator=seeded())
    torch.manual_seed(1)
    assert torch.equal(greedy_coreset(features, 30, generator=seeded()), first)


def test_random_coreset_keeps_distinct_rows_and_every_row_at_full_size():
    features = noise()
    assert len(random_coreset(features, 500, generator=seeded()).unique()) == 500
    assert random_coreset(features, 700, generator=seeded()).sort().values.tolist() == list(range(700))


def test_random_coreset_draws_every_row_equally_often():
    features = torch.zeros(10, 1)
    generator = seeded()
    drawn = torch.cat([random_coreset(features, 3, generator=generator) for _ in range(2000)])
    counts = torch.bincount(drawn, minlength=10)
    assert (counts - 600).abs().max() < 100  # 600 expected, standard deviation 20


# Projection


def test_random_projection_nearly_keeps_distances():
    features = torch.randn(60, 1024, generator=seeded())
    projected = random_projection(features, 256, generator=seeded(1))
    assert projected.shape == (60, 256)
    ratios = torch.pdist(projected) / torch.pdist(features)
    assert ratios.mean() == pytest.approx(1, abs=0.02)
    assert ratios.std() < 0.06  # 1 / sqrt(2 * 256) = 0.044


@pytest.mark.parametrize("dimension", [8, 9, 128])
def test_random_projection_leaves_features_of_few_dimensions_alone(dimension):
    assert torch.equal(random_projection(noise(), dimension, generator=seeded()), noise())


def test_random_projection_is_reproducible_and_linear():
    features = noise(d=40)
    first, again, other = (random_projection(features, 4, generator=seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    doubled = random_projection(2 * features, 4, generator=seeded())
    assert torch.allclose(doubled, 2 * first, rtol=1e-5)


# Sizes and errors


@pytest.mark.parametrize(
    ("n", "fraction", "size"), [(1000, 0.01, 10), (1999, 0.001, 1), (50, 0.01, 1), (7, 1.0, 7), (10, 0.25, 2)]
)
def test_a_fraction_is_rounded_down_but_keeps_at_least_one_row(n, fraction, size):
    assert coreset_size(n, fraction) == size


@pytest.mark.parametrize("select", [greedy_coreset, random_coreset])
@pytest.mark.parametrize("size", [0, -1, 6])
def test_a_size_out_of_range_is_refused_with_the_range(select, size):
    with pytest.raises(InputError, match=rf"size={size} must lie in 1..5"):
        select(torch.zeros(5, 2), size)


@pytest.mark.parametrize("start", [-1, 5])
def test_a_start_out_of_range_is_refused(start):
    with pytest.raises(InputError, match=rf"start={start} must be a row in 0..4"):
        greedy_coreset(torch.zeros(5, 2), 2, start=start)


@pytest.mark.parametrize("select", [greedy_coreset, random_coreset])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_features_that_are_not_finite_are_refused_and_counted(select, value):
    features = noise().clone()
    features[[3, 4], 2] = value
    with pytest.raises(InputError, match="2 of 700 patch features hold NaN or infinite"):
        select(features, 10)
