import math
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from patchcore_core.common.errors import InputError
from patchcore_core.config import PatchCoreConfig
from patchcore_core.coreset import covering_radius, greedy_coreset
from patchcore_core.memory_bank import select_coreset
from patchcore_suite.plugins import CHEAPER, cheaper_coresets
from patchcore_suite.plugins.cheaper_coresets import distance_sampled_coreset, merge_reduce_coreset, two_round_coreset

SAMPLERS = {
    "two_round": two_round_coreset,
    "merge_reduce": lambda features, size, generator, **given: merge_reduce_coreset(features, size, **given),
    "distance_sampling": lambda features, size, generator, shards=8: distance_sampled_coreset(
        features, size, generator=generator
    ),
}
every = pytest.mark.parametrize("sampler", CHEAPER)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(n=300, d=4):
    return torch.randn(n, d, generator=seeded(1))


def loop_greedy(rows, size, start):
    """One pick at a time over a list of rows; of equally far ones, the first."""
    gaps, chosen = [math.inf] * len(rows), []
    pick = start
    for _ in range(size):
        chosen.append(pick)
        gaps = [min(gap, math.dist(row, rows[pick])) for gap, row in zip(gaps, rows, strict=True)]
        gaps[pick] = -1
        pick = max(range(len(rows)), key=lambda number: gaps[number])
    return chosen


def loop_two_rounds(rows, size, shards, generator):
    union, first = [], None
    for number in range(shards):
        of_part = rows[number::shards]
        drawn = int(torch.randint(len(of_part), (), generator=generator))
        kept = [number + shards * pick for pick in loop_greedy(of_part, min(size, len(of_part)), drawn)]
        first = kept[0] if first is None else first
        union += kept
    union.sort()
    return [union[pick] for pick in loop_greedy([rows[row] for row in union], size, union.index(first))]


def loop_reduced(rows, indices, size):
    indices = sorted(indices)
    chosen = [rows[row] for row in indices]
    mean = [math.fsum(column) / len(chosen) for column in zip(*chosen, strict=True)]
    start = max(range(len(chosen)), key=lambda number: math.dist(chosen[number], mean))
    return [indices[pick] for pick in loop_greedy(chosen, min(size, len(chosen)), start)]


def loop_merge_reduce(rows, size, shards):
    """As a binary counter counts: the n-th part is merged as often as n ends in zeros."""
    n, blocks = len(rows), []
    for number in range(shards):
        blocks.append(loop_reduced(rows, range(n * number // shards, n * (number + 1) // shards), size))
        count = number + 1
        while count % 2 == 0:
            newer, older = blocks.pop(), blocks.pop()
            blocks.append(loop_reduced(rows, older + newer, size))
            count //= 2
    return blocks[0] if len(blocks) == 1 else loop_reduced(rows, [row for block in blocks for row in block], size)


# Against plain loops


@pytest.mark.parametrize(("size", "shards"), [(1, 1), (7, 1), (7, 3), (30, 8), (200, 8), (5, 300)])
def test_two_rounds_are_those_of_a_plain_loop(size, shards):
    features = noise()
    expected = loop_two_rounds(features.tolist(), size, shards, seeded(2))
    assert two_round_coreset(features, size, shards=shards, generator=seeded(2)).tolist() == expected


@pytest.mark.parametrize(("size", "shards"), [(1, 1), (7, 1), (7, 2), (30, 7), (200, 8), (3, 11)])
def test_merging_and_reducing_is_that_of_a_plain_loop(size, shards):
    features = noise()
    assert merge_reduce_coreset(features, size, shards=shards).tolist() == loop_merge_reduce(
        features.tolist(), size, shards
    )


def test_on_a_line_two_rounds_by_hand():
    features = torch.tensor([[0.0], [1.0], [10.0], [4.0]])
    # Parts of one row each keep it; the second round begins with the first, 0. Then 10; then 4, at 4 from 0.
    assert two_round_coreset(features, 3, shards=4, generator=seeded()).tolist() == [0, 2, 3]


def test_on_a_line_merging_and_reducing_by_hand():
    features = torch.tensor([[0.0], [1.0], [2.0], [10.0], [20.0], [21.0]])
    # Part {0, 1, 2}: mean 1, of the equally far rows 0 and 2 the first: 0, then 2. Part {10, 20, 21}: 10, then 21.
    # Of 0, 2, 10, 21, with mean 8.25, row 21 is farthest; from it, 0.
    assert merge_reduce_coreset(features, 2, shards=2).tolist() == [5, 0]


def test_with_one_part_two_rounds_are_the_greedy_coreset():
    for seed in range(3):
        expected = greedy_coreset(noise(), 40, generator=seeded(seed))
        assert torch.equal(two_round_coreset(noise(), 40, shards=1, generator=seeded(seed)), expected)


def test_a_row_goes_with_its_drawn_neighbour():
    features, wanted = noise(200), 20
    drawn = 1 - torch.rand(200, generator=seeded(3), dtype=torch.float64)
    rows, reached = features.tolist(), []
    for row, number in zip(rows, drawn.tolist(), strict=True):
        others = sorted(math.dist(row, other) for other in rows if other is not row)
        needed = max(1, math.ceil(1 / number - 1))  # it stays while fewer others than that are nearer than t
        reached.append(others[needed - 1] if needed <= len(others) else math.inf)
    expected = sorted(range(200), key=lambda row: -reached[row])[:wanted]
    assert cheaper_coresets._least_crowded(features, wanted, seeded(3)).tolist() == expected


def test_crowded_rows_give_way_to_rare_ones():
    crowd, rare = 0.01 * torch.randn(900, 4, generator=seeded(4)), 5 + 3 * torch.randn(100, 4, generator=seeded(5))
    kept = distance_sampled_coreset(torch.cat([crowd, rare]), 100, generator=seeded())
    assert (kept >= 900).float().mean() > 0.5  # a tenth, if they were drawn alike


# Bounds


@st.composite
def few_rows(draw):
    """Rows on a grid, many of them equal or equally far, with how many to keep and in how many parts."""
    rows = draw(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=2, max_size=9))
    size = draw(st.integers(1, min(4, len(rows))))
    return torch.tensor(rows, dtype=torch.float32), size, draw(st.integers(1, len(rows))), draw(st.integers(0, 99))


def optimal_radius(features, size):
    """With centres among the rows."""
    distances = torch.cdist(features.double(), features.double(), compute_mode="donot_use_mm_for_euclid_dist")
    chosen = combinations(range(len(features)), size)
    return min(float(distances[:, list(rows)].amin(dim=1).max()) for rows in chosen)


@settings(max_examples=30, deadline=None)
@given(few_rows())
def test_two_rounds_are_those_of_a_plain_loop_where_rows_are_equally_far(case):
    features, size, shards, seed = case
    expected = loop_two_rounds(features.tolist(), size, shards, seeded(seed))
    assert two_round_coreset(features, size, shards=shards, generator=seeded(seed)).tolist() == expected


@settings(max_examples=40, deadline=None)
@given(few_rows())
def test_covering_radii_keep_to_their_bounds(case):
    features, size, shards, seed = case
    optimum = optimal_radius(features, size)
    bounds = {"two_round": 4, "merge_reduce": 2 * (1 + math.ceil(math.log2(shards)))}
    for sampler, bound in bounds.items():
        kept = SAMPLERS[sampler](features, size, generator=seeded(seed), shards=shards)
        assert covering_radius(features, kept) <= bound * optimum + 1e-5, sampler


@settings(max_examples=30, deadline=None)
@given(few_rows(), st.sampled_from(CHEAPER))
def test_as_many_different_rows_are_kept_as_asked_for(case, sampler):
    features, size, shards, seed = case
    kept = SAMPLERS[sampler](features, size, generator=seeded(seed), shards=shards).tolist()
    assert len(set(kept)) == len(kept) == size
    assert set(kept) <= set(range(len(features)))


@pytest.mark.parametrize("size", [1, 2, 49, 50, 99, 100])
def test_subsets_share_out_exactly_what_is_wanted(size, monkeypatch):
    monkeypatch.setattr(cheaper_coresets, "FEWEST", 7)
    kept = distance_sampled_coreset(noise(100), size, generator=seeded())
    assert len(kept.unique()) == size


# What they have in common


@every
def test_one_seed_gives_one_selection_whatever_the_global_state_and_the_threads(sampler):
    features, threads = noise(2500), torch.get_num_threads()
    found = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            torch.manual_seed(count)
            found.append(SAMPLERS[sampler](features, 60, generator=seeded(6)))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


@every
def test_repeated_rows_are_no_obstacle(sampler):
    features = torch.tensor([[0.0, 1.0], [5.0, 5.0], [9.0, 0.0]]).repeat(20, 1)
    kept = SAMPLERS[sampler](features, 5, generator=seeded(), shards=4)
    assert len(kept.unique()) == 5


@every
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_features_that_are_not_finite_are_refused(sampler, value):
    features = noise()
    features[17, 2] = value
    with pytest.raises(InputError, match="1 of 300 patch features hold NaN or infinite values"):
        SAMPLERS[sampler](features, 5, generator=seeded())


@every
@pytest.mark.parametrize("size", [0, 301])
def test_a_size_that_is_no_number_of_rows_is_refused(sampler, size):
    with pytest.raises(InputError, match=rf"size={size} must lie in 1\.\.300"):
        SAMPLERS[sampler](noise(), size, generator=seeded())


@pytest.mark.parametrize("sampler", ["two_round", "merge_reduce"])
@pytest.mark.parametrize("shards", [0, -1, 301])
def test_more_parts_than_rows_are_refused(sampler, shards):
    with pytest.raises(InputError, match=rf"shards={shards} must lie in 1\.\.300"):
        SAMPLERS[sampler](noise(), 5, generator=seeded(), shards=shards)


@every
@pytest.mark.parametrize("storage", ["float32", "float16", "bfloat16"])
def test_variants_select_after_projection_with_their_seed(sampler, storage):
    config = PatchCoreConfig(sampler=sampler, coreset_fraction=0.1, projection_dimension=3, shards=4, storage=storage)
    rows = noise(400, 12).to(getattr(torch, storage))
    first, again, other = (select_coreset(rows, config, seed=seed)[0] for seed in (0, 0, 1))
    assert len(first.unique()) == 40
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@every
def test_a_first_pick_that_is_not_theirs_is_refused(sampler):
    with pytest.raises(InputError, match="first_pick='anchors' is of the greedy coreset"):
        PatchCoreConfig(sampler=sampler, first_pick="anchors")
