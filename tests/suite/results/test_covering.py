import pytest
import torch

from patchcore_suite.datasets.synthetic import plane_points
from patchcore_suite.results import covering


def test_points_are_those_of_the_seed():
    first, again, other = (plane_points.distributions(50, seed=seed) for seed in (3, 3, 4))
    assert list(first) == ["multi-modal", "uniform"]
    for name, points in first.items():
        assert points.shape == (50, 2)
        assert torch.equal(points, again[name])
        assert not torch.equal(points, other[name])


def test_every_mode_has_its_share_of_the_points():
    points = plane_points.multimodal_points(20_000, generator=torch.Generator().manual_seed(0))
    centres = torch.tensor([mode[0] for mode in plane_points.MODES])
    nearest = torch.cdist(points, centres).argmin(dim=1)
    shares = torch.bincount(nearest, minlength=len(centres)) / len(points)
    assert shares.tolist() == pytest.approx([mode[2] for mode in plane_points.MODES], abs=0.02)


def test_uniform_points_fill_a_square_evenly():
    points = plane_points.uniform_points(20_000, generator=torch.Generator().manual_seed(0))
    assert float(points.min()) >= -3
    assert float(points.max()) <= 3
    quadrants = (points > 0).float().mean(dim=0)
    assert quadrants.tolist() == pytest.approx([0.5, 0.5], abs=0.02)


def test_a_sample_comes_with_its_covering_radius():
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [4.0, 0.0]])
    picks, radius = covering.sample(points, "greedy", 2, seed=0)
    distances = torch.cdist(points, points[torch.from_numpy(picks)]).amin(dim=1)
    assert len(set(picks.tolist())) == 2
    assert radius == pytest.approx(float(distances.max()))


def test_a_study_has_a_row_for_each_combination_and_greedy_covers_better():
    study = covering.radius_study(plane_points.distributions(300, seed=0), sizes=[5, 40], seeds=[0, 1])
    assert len(study) == 2 * 2 * 2 * 2
    means = study.groupby(["distribution", "sampler", "size"])["covering_radius"].mean()
    assert means["multi-modal", "greedy", 40] < means["multi-modal", "random", 40]
    assert means["uniform", "greedy", 40] < means["uniform", "greedy", 5]
