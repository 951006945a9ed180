import numpy as np
import pytest
import torch

from patchcore_core.metrics import pixel_auroc
from patchcore_core.scoring import anomaly_maps
from patchcore_suite.run.controls import DEVIATIONS
from patchcore_suite.run.random_pixels import pixel_auroc_deviation

SIDE = 96


def masks(clean, *defects):
    """Images without a defect, then one with each: (top, left, height, width) in pixels."""
    found = np.zeros((clean + len(defects), SIDE, SIDE), dtype=bool)
    for image, (top, left, height, width) in enumerate(defects, start=clean):
        found[image, top : top + height, left : left + width] = True
    return found


def drawn(truth, grid, sigma, *, draws=60):
    """Pixel AUROCs of random scores."""
    generator = torch.Generator().manual_seed(0)
    distances = (torch.rand(len(truth), *grid, generator=generator) for _ in range(draws))
    return np.array([pixel_auroc(truth, anomaly_maps(of, truth.shape[1:], sigma=sigma).numpy()) for of in distances])


SMALL, LARGE, SCRATCH = (40, 40, 6, 6), (10, 10, 70, 70), (50, 5, 3, 85)


@pytest.mark.parametrize(
    ("truth", "grid", "sigma"),
    [
        (masks(6, SMALL), (12, 12), 4),
        (masks(6, SMALL, SMALL), (12, 12), 4),
        (masks(3, LARGE), (12, 12), 4),
        (masks(0, LARGE, SCRATCH), (12, 12), 4),
        (masks(2, SCRATCH, SCRATCH), (12, 12), 4),
        (masks(2, *[SMALL] * 8), (12, 12), 4),
        (masks(1, (0, 0, SIDE, SIDE - 6)), (12, 12), 4),  # almost no nominal pixel in one image
        (masks(2, LARGE), (6, 12), 2),
        (masks(2, SMALL, LARGE), (24, 24), 0),
    ],
)
def test_the_deviation_is_that_of_a_simulation_and_chance_stays_within_the_bounds(truth, grid, sigma):
    found, expected = drawn(truth, grid, sigma), pixel_auroc_deviation(truth, grid, sigma=sigma)
    # Sixty draws tell a deviation to within a third.
    assert 0.7 < found.std() / expected < 1.35
    assert np.abs(found - 0.5).max() < DEVIATIONS * expected


def test_of_one_small_defect_chance_makes_what_fixed_bounds_refused():
    truth = masks(6, SMALL)
    found = drawn(truth, (12, 12), 4)
    assert ((found < 0.2) | (found > 0.8)).mean() > 0.2  # the bounds of before
    assert DEVIATIONS * pixel_auroc_deviation(truth, (12, 12), sigma=4) > 0.5  # anything may come by chance


def test_the_deviation_by_hand():
    # A defect far smaller than a cell of the grid is one score among many: uniform, with variance 1/12.
    one = pixel_auroc_deviation(masks(200, (40, 40, 1, 1)), (12, 12), sigma=4)
    assert one == pytest.approx((1 / 12) ** 0.5, rel=0.01)
    # Four of them in four images: the mean of four.
    four = pixel_auroc_deviation(masks(200, *[(40, 40, 1, 1)] * 4), (12, 12), sigma=4)
    assert four == pytest.approx(one / 2, rel=0.01)


def test_many_defects_leave_little_to_chance():
    # Of hundreds, scores that know the ground truth a little are found out.
    assert DEVIATIONS * pixel_auroc_deviation(masks(60, *[LARGE] * 60), (12, 12), sigma=4) < 0.06
