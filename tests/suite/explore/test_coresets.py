"""What the panels for coresets compute."""

import numpy as np
import pytest
import torch

from patchcore_core.common.errors import InputError
from patchcore_core.coreset import covering_radius, random_coreset
from patchcore_suite.explore import coresets
from patchcore_suite.explore.coresets import ToyPicks, coverage
from patchcore_suite.results import covering


def rows(n=300, d=7, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_coverage_after_some_picks_is_the_distance_to_the_nearest_of_them(monkeypatch):
    monkeypatch.setattr(coresets, "BLOCK_VALUES", 900)  # three picks at a time
    points = rows()
    picks = random_coreset(points, 40, generator=torch.Generator().manual_seed(1))
    found = coverage(points, picks, [1, 2, 17, 40])
    for line, size in zip(found, (1, 2, 17, 40), strict=True):
        expected = torch.cdist(points.double(), points[picks[:size]].double()).amin(dim=1)
        assert line.tolist() == pytest.approx(expected.tolist(), abs=2e-3)
        assert float(line.max()) == pytest.approx(covering_radius(points, picks[:size]), abs=2e-3)


@pytest.mark.parametrize("sizes", [[], [0, 1], [2, 1], [1, 41]])
def test_coverage_wants_ascending_sizes_within_the_picks(sizes):
    with pytest.raises(InputError, match="ascending"):
        coverage(rows(), torch.arange(40), sizes)


def test_steps_begin_at_one_and_end_at_the_size():
    assert coresets.steps_to(1) == [1]
    assert coresets.steps_to(500)[0] == 1
    assert coresets.steps_to(500)[-1] == 500
    assert coresets.steps_to(500) == sorted(set(coresets.steps_to(500)))


def test_greedy_picks_next_what_is_farthest():
    picks = ToyPicks.draw("multi-modal", points=200, size=12, seed=0)
    for step in (1, 5, 11):
        following, _ = picks.kept("greedy", step + 1)
        assert picks.farthest("greedy", step) == pytest.approx(following[-1])


def test_radii_of_points_in_the_plane_are_covering_radii():
    picks = ToyPicks.draw("uniform", points=200, size=12, seed=3)
    for sampler in ("greedy", "random"):
        assert (np.diff(picks.radii[sampler]) <= 0).all()
        kept, radius = picks.kept(sampler, 7)
        assert kept.shape == (7, 2)
        assert radius == pytest.approx(covering_radius(picks.points, picks.picks[sampler][:7]), abs=1e-4)
    expected = covering.sample(picks.points, "greedy", 12, seed=3)[0]
    assert picks.picks["greedy"].tolist() == expected.tolist()


def test_k_means_is_made_anew_for_each_number_and_has_a_radius():
    picks = ToyPicks.draw("multi-modal", points=200, size=12, seed=0)
    for size in (1, 12):
        kept, radius = picks.kept("k-means", size)
        assert kept.shape == (size, 2)
        assert radius == pytest.approx(float(torch.cdist(picks.points, torch.from_numpy(kept)).amin(1).max()))


def test_curves_have_every_step_of_the_samplers_that_choose():
    curves = ToyPicks.draw("multi-modal", points=200, size=12, seed=0).curves()
    assert list(curves) == list(ToyPicks.SAMPLERS)
    assert curves["greedy"][0] == list(range(1, 13))
    assert len(curves["k-means"][0]) == len(curves["k-means"][1])


@pytest.mark.parametrize("size", [0, 201])
def test_more_picks_than_points_are_refused(size):
    with pytest.raises(InputError, match=f"size={size}"):
        ToyPicks.draw("uniform", points=200, size=size, seed=0)


def test_density_counts_picks_at_each_place_of_the_grid():
    # Two images of 2 x 3 patches: place 4 of both, and place 0 of the first.
    assert coresets.pick_density([4, 10, 0], (2, 3)).tolist() == [[1, 0, 0], [0, 2, 0]]


def test_picks_of_one_image_with_their_rows_in_the_bank():
    found, places = coresets.picks_on_image([4, 10, 0], (2, 3), 0)
    assert found.tolist() == [0, 2]
    assert places.tolist() == [[1, 1], [0, 0]]
    found, places = coresets.picks_on_image([4], (2, 3), 1)
    assert (len(found), places.shape) == (0, (0, 2))


def test_uses_are_counted_for_each_row_of_the_bank():
    assert coresets.uses([[0, 2], [2, 2]], 4).tolist() == [1, 0, 3, 0]


def test_forgotten_patches_are_the_farthest_of_different_images():
    gaps = torch.tensor([0.0, 5.0, 4.0, 1.0, 9.0, 0.0])  # three images of 1 x 2 patches
    assert coresets.forgotten(gaps, (1, 2), 2).tolist() == [4, 1]
    assert len(coresets.forgotten(gaps, (1, 2), 9)) == 3


def test_picks_are_always_among_the_drawn_patches():
    picks = torch.tensor([7, 99])
    shown = coresets.drawn_rows(100, [picks], cap=10, generator=torch.Generator().manual_seed(0))
    assert set(picks.tolist()) <= set(shown.tolist())
    assert 10 <= len(shown) <= 12
    assert len(coresets.drawn_rows(5, [], cap=10, generator=torch.Generator())) == 5


def test_pca_finds_the_directions_of_largest_variance():
    points = rows() * torch.tensor([1.0, 9.0, 1.0, 1.0, 30.0, 1.0, 1.0])
    found = torch.from_numpy(coresets.embedding(points, "PCA"))
    centred = points - points.mean(dim=0)
    assert found[:, 0].abs().tolist() == pytest.approx(centred[:, 4].abs().tolist(), abs=3)
    assert float(found[:, 0].var()) > float(found[:, 1].var()) > 50


@pytest.mark.slow
@pytest.mark.long
def test_umap_is_the_same_for_a_seed_and_keeps_groups_apart(monkeypatch):
    # Of so few points, to compile its loops takes many times as long as to run them as they are.
    monkeypatch.setattr(pytest.importorskip("numba").config, "DISABLE_JIT", True)
    pytest.importorskip("umap")
    points = torch.cat([rows(12), rows(12, seed=1) + 50])
    found = coresets.embedding(points, "UMAP", seed=1)
    assert np.array_equal(found, coresets.embedding(points, "UMAP", seed=1))
    apart = np.linalg.norm(found[:12].mean(axis=0) - found[12:].mean(axis=0))
    assert apart > found[:12].std()


def test_an_unknown_map_and_too_few_patches_are_refused():
    with pytest.raises(InputError, match="t-SNE"):
        coresets.embedding(rows(), "t-SNE")
    with pytest.raises(InputError, match="too few"):
        coresets.embedding(rows(3), "PCA")
