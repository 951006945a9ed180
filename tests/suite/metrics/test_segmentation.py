import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve

from patchcore_core import metrics
from patchcore_core.metrics.pixels import curve_of, regions_and_maps
from patchcore_suite.metrics.segmentation import average_precision, f1_max, low_pro, seg_f1


def drawn(seed, *, tied=False):
    generator = np.random.default_rng(seed)
    masks = np.zeros((5, 24, 32), dtype=bool)
    masks[2, 3:9, 4:12] = masks[3, 10:20, 20:30] = masks[4, 0:2, 0:2] = masks[4, 12:22, 2:5] = True
    maps = (generator.normal(size=masks.shape) + 1.5 * masks).astype(np.float32)
    return masks, np.round(2 * maps) if tied else maps


@pytest.mark.parametrize("tied", [False, True])
def test_precision_and_recall_are_those_of_scikit_learn(tied):
    masks, maps = drawn(0, tied=tied)
    curve = curve_of(*regions_and_maps(masks, maps))
    assert average_precision(curve) == pytest.approx(average_precision_score(masks.ravel(), maps.ravel()), abs=1e-12)
    precision, recall, _ = precision_recall_curve(masks.ravel(), maps.ravel())
    best = (2 * precision * recall / np.maximum(precision + recall, 1e-12)).max()
    assert f1_max(curve) == pytest.approx(best, abs=1e-12)
    assert low_pro(curve) == pytest.approx(metrics.pro(masks, maps, max_fpr=0.05), abs=1e-12)


def test_six_pixels_by_hand():
    maps = np.array([[[6.0, 5, 4, 3, 2, 1]]])
    masks = np.array([[[True, False, True, False, False, False]]])
    curve = curve_of(*regions_and_maps(masks, maps))
    assert average_precision(curve) == pytest.approx((1 + 2 / 3) / 2)
    assert f1_max(curve) == pytest.approx(0.8)  # from 4 up: two of two, one false


def test_seg_f1_calls_what_is_three_deviations_above_the_mean_of_nominal_images():
    masks, maps = drawn(1)
    threshold = maps[:2].mean() + 3 * maps[:2].std()
    wanted = f1_score(masks.ravel(), maps.ravel() > threshold)
    assert 0 < wanted < 1
    assert seg_f1(masks, maps) == pytest.approx(wanted, abs=1e-12)
    assert seg_f1(masks, 7 - 1000 * (1 - maps)) == pytest.approx(wanted, abs=1e-3)  # scale and level have no say
    assert math.isnan(seg_f1(masks[2:], maps[2:]))  # nothing to choose the threshold by
