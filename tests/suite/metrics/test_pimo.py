import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from patchcore_core import InputError
from patchcore_suite.metrics.pimo import aupimo, aupimo_of_images
from patchcore_suite.metrics.rates import pixels_needed


def drawn(seed, *, tied=False, images=6, side=160):
    """Masks of which the first three have no defect, and smooth maps that know a little about the others."""
    generator = np.random.default_rng(seed)
    masks = np.zeros((images, side, side), dtype=bool)
    for mask in masks[3:]:
        (top, left), (height, width) = generator.integers(0, side // 2, 2), generator.integers(3, side // 3, 2)
        mask[top : top + height, left : left + width] = True
    maps = np.stack([gaussian_filter(image, 3) for image in generator.normal(size=masks.shape)])
    maps = maps / maps.std() + 3 * masks
    return masks, (np.round(4 * maps) / 4 if tied else maps).astype(np.float32)


def by_thresholds(masks, maps, bounds):
    """The area as the authors' code has it, at every score of a nominal image and midway to the next one."""
    nominal = maps[~masks.any(axis=(1, 2))]
    scores = np.unique(np.append(maps[maps >= np.quantile(nominal, 1 - 2 * bounds[1])], nominal.max()))
    scores = scores[scores <= nominal.max()]
    thresholds = np.sort(np.append(scores, (scores[1:] + scores[:-1]) / 2))
    rates = np.array([(nominal >= threshold).mean() for threshold in thresholds])
    high, low = (int(np.abs(rates - bound).argmin()) for bound in reversed(bounds))
    areas = []
    for mask, values in zip(masks, maps, strict=True):
        found = [(values[mask] >= threshold).mean() if mask.any() else math.nan for threshold in thresholds]
        area = np.trapezoid(found[high : low + 1][::-1], np.log(rates[high : low + 1][::-1]))
        areas.append(area / math.log(bounds[1] / bounds[0]))
    return np.clip(areas, 0, 1)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("bounds", [(1e-3, 1e-2), (2e-3, 0.05)])
def test_aupimo_is_the_area_over_all_thresholds(tied, bounds):
    masks, maps = drawn(1, tied=tied, side=48)
    found = aupimo_of_images(masks, maps, bounds)
    assert found == pytest.approx(by_thresholds(masks, maps, bounds), abs=1e-12, nan_ok=True)
    assert np.isnan(found[:3]).all()
    assert 0 < aupimo(masks, maps, bounds) < 1
    assert aupimo(masks, maps, bounds) == pytest.approx(found[3:].mean())


def test_five_rates_by_hand():
    # Ten nominal pixels, 10 to 1. Of the defect's four pixels one is above 10, one above 8, one is 7 and one is low.
    maps = np.array([[[10, 9, 8, 7, 6], [5, 4, 3, 2, 1]], [[10.5, 8.5, 7, 0, 0], [0, 0, 0, 0, 0]]])
    masks = np.zeros_like(maps, dtype=bool)
    masks[1, 0, :4] = True
    # From a rate of 0.1 to 0.2 a quarter is found, to 0.3 a half, to 0.4 it rises from a half to three quarters.
    area = 0.25 * math.log(2) + 0.5 * math.log(3 / 2) + 0.625 * math.log(4 / 3)
    assert aupimo(masks, maps, (0.1, 0.4)) == pytest.approx(area / math.log(4))


def test_defects_above_all_nominal_pixels_are_found_whole():
    masks, maps = drawn(2, images=7)
    masks[3] = False  # four nominal images of 160 x 160: a pixel is a rate of nearly 1e-5, ten are ten times that
    maps[masks] += 100
    assert aupimo(masks, maps) == pytest.approx(1)
    assert aupimo(masks, np.exp(maps / 50)) == pytest.approx(1)
    maps[masks] -= 200
    assert aupimo(masks, maps) == 0


def test_only_the_order_of_scores_counts():
    masks, maps = drawn(3)
    bounds = (1e-4, 1e-2)
    assert aupimo(masks, np.exp(maps.astype(np.float64)), bounds) == pytest.approx(
        aupimo(masks, maps, bounds), abs=1e-9
    )


def test_a_score_that_many_nominal_pixels_share_leaves_no_low_rate():
    masks, maps = drawn(4)
    maps[0, :2] = maps.max()  # 320 pixels of 76,800
    assert math.isnan(aupimo(masks, maps, (1e-4, 1e-2)))
    assert not math.isnan(aupimo(masks, maps, (5e-3, 1e-2)))


def test_too_few_nominal_pixels_are_refused_with_the_number_that_is_needed():
    masks, maps = drawn(5)
    with pytest.raises(InputError, match=r"76,800 pixels .* too few .* 1e-05[^$]*Remedy: .* 100,000 pixels"):
        aupimo(masks, maps)
    with pytest.raises(InputError, match="no nominal images"):
        aupimo(masks[3:], maps[3:])
    assert (pixels_needed(), pixels_needed((0.3, 1))) == (100_000, 4)


@pytest.mark.parametrize("bounds", [(0, 0.1), (0.2, 0.1), (0.1, 0.1), (0.1, 1.1)])
def test_bounds_that_are_no_rising_rates_are_refused(bounds):
    with pytest.raises(ValueError, match="rising rates"):
        aupimo(*drawn(6, side=24), bounds)
