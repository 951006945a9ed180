import subprocess
import sys
import tracemalloc
from itertools import pairwise, product

import numpy as np
import pytest
from scipy.ndimage import label as label_regions
from sklearn.metrics import f1_score, roc_auc_score

from patchcore_core.metrics import (
    MEMORY_FACTOR,
    Regions,
    image_auroc,
    pixel_auroc,
    pixel_metrics,
    pixels,
    pro,
)
from patchcore_suite.metrics.decisions import f1_optimum
from patchcore_suite.metrics.overlap import pro_per_image
from patchcore_suite.metrics.utilisation import bank_utilisation


def rng(seed=0):
    return np.random.default_rng(seed)


def random_case(seed, *, tied=False, shape=(4, 12, 15)):
    """Masks with several regions, two images without any, and maps that know a little about them."""
    masks = np.zeros(shape, dtype=bool)
    for image in masks[:-2]:
        for _ in range(3):
            top, left = rng(seed).integers(0, shape[1] - 4), rng(seed + 1).integers(0, shape[2] - 5)
            image[top : top + 3, left : left + 2] = True
            seed += 2
    masks[0, -1, -1] = True  # a region of one pixel
    maps = rng(seed).normal(size=shape) + masks
    return masks, np.round(2 * maps) / 2 if tied else maps


def random_scores(seed):
    labels = np.arange(60) % 3 == 0
    return labels, rng(seed).normal(size=60) + labels


def pro_by_loops(masks, maps, max_fpr):
    """The definition: one point of the curve a threshold, integrated by the trapezoidal rule up to the limit."""
    regions = []
    for number, mask in enumerate(masks):
        labelled, count = label_regions(mask, structure=np.ones((3, 3)))
        regions += [(number, labelled == region) for region in range(1, count + 1)]
    curve = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        found = maps >= threshold
        overlap = sum(found[number][region].sum() / region.sum() for number, region in regions) / len(regions)
        curve.append((found[~masks].sum() / (~masks).sum(), overlap))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(curve):
        if x1 > max_fpr:
            y1 = y0 + (y1 - y0) * (max_fpr - x0) / (x1 - x0)
            x1 = max_fpr
        area += (x1 - x0) * (y0 + y1) / 2
        if x1 == max_fpr:
            break
    return area / max_fpr


# Image AUROC


@pytest.mark.parametrize(
    ("labels", "scores", "auroc"),
    [
        ([0, 0, 1, 1], [1, 2, 3, 4], 1),
        ([0, 0, 1, 1], [4, 3, 2, 1], 0),
        ([0, 0, 1, 1], [1, 3, 2, 4], 0.75),  # of four pairs one is in the wrong order
        ([0, 0, 1, 1], [1, 2, 2, 3], 0.875),  # and one is tied
        ([0, 1, 0, 1, 1], [5, 5, 5, 5, 5], 0.5),
        ([1, 0, 0], [0.5, 0.5, 0.1], 0.75),
    ],
)
def test_image_auroc_by_hand(labels, scores, auroc):
    assert image_auroc(labels, scores) == auroc


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_image_auroc_equals_scikit_learn(seed, ties):
    labels = rng(seed).integers(0, 2, 200)
    scores = rng(seed + 10).normal(size=200) + labels
    scores = np.round(scores) if ties else scores
    assert image_auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_image_auroc_tells_nearly_equal_scores_apart():
    scores = np.array([1.0, np.nextafter(1.0, 2)])
    assert image_auroc([0, 1], scores) == 1
    assert image_auroc([0, 1], scores[::-1]) == 0


# Pixel AUROC


def test_pixel_auroc_of_four_pixels_by_hand():
    # Anomalous: 0.9 and 0.4; nominal: 0.5 and 0.1. Three of the four pairs are in order.
    masks = np.array([[[1, 0], [1, 0]]])
    maps = np.array([[[0.9, 0.5], [0.4, 0.1]]])
    assert pixel_auroc(masks, maps) == 0.75


def test_pixel_auroc_counts_the_pixels_of_nominal_images():
    masks = np.array([[[1, 0]], [[0, 0]]])
    maps = np.array([[[2.0, 1.0]], [[3.0, 3.0]]])
    assert pixel_auroc(masks[:1], maps[:1]) == 1
    assert pixel_auroc(masks, maps) == pytest.approx(1 / 3)


@pytest.mark.parametrize("tied", [False, True])
def test_pixel_auroc_equals_scikit_learn(tied):
    masks, maps = random_case(0, tied=tied)
    assert pixel_auroc(masks, maps) == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-12)


# PRO


def test_a_perfect_map_has_pro_1():
    masks, _ = random_case(0)
    assert pro(masks, masks.astype(float)) == pytest.approx(1)
    assert pixel_auroc(masks, masks.astype(float)) == 1


def test_a_constant_map_has_the_pro_of_chance():
    # The curve is the diagonal; its mean height up to the limit is half the limit.
    masks, _ = random_case(0)
    assert pro(masks, np.zeros(masks.shape)) == pytest.approx(0.15)
    assert pro(masks, np.zeros(masks.shape), max_fpr=1) == pytest.approx(0.5)


def test_pro_counts_each_region_once_whatever_its_size():
    # A region of four pixels is found before any nominal pixel, one of a single pixel after all of them.
    masks = np.array([[[1, 1, 1, 1, 0, 1, 0, 0, 0, 0]]])
    maps = np.array([[[9.0, 9, 9, 9, 5, 1, 4, 3, 2.5, 2]]])
    assert pro(masks, maps) == pytest.approx(0.5)
    # The other way round: the small region alone is found.
    maps = np.array([[[1.0, 1, 1, 1, 5, 9, 4, 3, 2.5, 2]]])
    assert pro(masks, maps) == pytest.approx(0.5)


def test_pro_of_two_regions_by_hand():
    # Region A: 8 and 6; region B: 5; nominal: 7, 3, 2, 1. Half of A, so a quarter of the overlap, is found before 7
    # is called; at FPR 1/4 follow the rest of A and all of B.
    masks = np.array([[[1, 1, 0, 0, 1, 0, 0]]])
    maps = np.array([[[8.0, 6.0, 7.0, 3.0, 5.0, 2.0, 1.0]]])
    assert pro(masks, maps, max_fpr=0.25) == pytest.approx(0.25)
    assert pro(masks, maps, max_fpr=0.5) == pytest.approx((0.25 * 0.25 + 0.25 * 1) / 0.5)
    assert pro(masks, maps) == pytest.approx((0.25 * 0.25 + 0.05 * 1) / 0.3)


def test_diagonal_neighbours_are_one_region():
    # Two pixels that touch at a corner, and one apart. As two regions (not three), each weighs one half.
    masks = np.zeros((1, 4, 4), dtype=bool)
    masks[0, [0, 1, 3], [0, 1, 3]] = True
    maps = np.zeros((1, 4, 4))
    maps[0, [0, 1], [0, 1]] = 2  # the pair is found before any nominal pixel
    maps[0, 3, 3] = -1  # the other after all of them
    assert pro(masks, maps) == pytest.approx(0.5)


def test_pro_is_interpolated_at_the_limit():
    # Two nominal pixels and one region tied with the second: the curve goes (0, 0), (1/2, 0), (1, 1).
    masks, maps = np.array([[[0, 0, 1]]]), np.array([[[2.0, 1.0, 1.0]]])
    assert pro(masks, maps, max_fpr=0.5) == 0
    # Up to 3/4 it has risen to 1/2: a triangle of 1/4 times 1/2, halved.
    assert pro(masks, maps, max_fpr=0.75) == pytest.approx(0.0625 / 0.75)
    assert pro(masks, maps, max_fpr=1) == pytest.approx(0.25)


@pytest.mark.parametrize("max_fpr", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_pro_equals_a_plain_loop(seed, tied, max_fpr):
    masks, maps = random_case(10 * seed, tied=tied)
    assert pro(masks, maps, max_fpr) == pytest.approx(pro_by_loops(masks, maps, max_fpr), abs=1e-9)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("cores", [1, 2, 3, 16, None])
def test_metrics_do_not_depend_on_how_many_parts_are_sorted_side_by_side(monkeypatch, cores, tied):
    masks, maps = random_case(5, tied=tied, shape=(7, 12, 15))
    expected = pixel_metrics(masks, maps)
    monkeypatch.setattr(pixels, "PART", 100)
    monkeypatch.setattr(pixels.os, "cpu_count", lambda: cores)
    assert pixel_metrics(masks, maps) == expected


def test_a_part_may_have_no_nominal_pixel(monkeypatch):
    masks, maps = random_case(5, shape=(4, 12, 15))
    masks[1] = True
    expected = pixel_metrics(masks, maps)
    monkeypatch.setattr(pixels, "PART", 1)
    monkeypatch.setattr(pixels.os, "cpu_count", lambda: 4)
    assert pixel_metrics(masks, maps) == expected


def test_regions_do_not_reach_from_one_image_into_the_next():
    masks = np.zeros((2, 3, 3), dtype=bool)
    masks[:, 1, 1] = True
    maps = np.zeros((2, 3, 3))
    maps[0, 1, 1], maps[1, 1, 1] = 1, -1
    assert pro(masks, maps) == pytest.approx(0.5)


@pytest.mark.parametrize("limit", [0, -0.1, 1.1, np.nan])
@pytest.mark.parametrize("metric", [pro, pro_per_image])
def test_a_limit_out_of_range_is_refused(metric, limit):
    with pytest.raises(ValueError, match="max_fpr"):
        metric(*random_case(0), max_fpr=limit)


def test_pixel_metrics_are_the_two_metrics():
    masks, maps = random_case(3)
    assert pixel_metrics(masks, maps) == {"pixel_auroc": pixel_auroc(masks, maps), "pro": pro(masks, maps)}
    assert pixel_metrics(masks, maps, 0.1)["pro"] == pro(masks, maps, 0.1)


# PRO by image


@pytest.mark.parametrize("max_fpr", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_pro_per_image_equals_a_plain_loop(seed, tied, max_fpr):
    masks, maps = random_case(10 * seed, tied=tied)
    of_images = [
        pro_by_loops(mask[None], values[None], max_fpr) for mask, values in zip(masks, maps, strict=True) if mask.any()
    ]
    assert len(of_images) == 2  # of four images two are nominal
    assert pro_per_image(masks, maps, max_fpr) == pytest.approx(np.mean(of_images), abs=1e-9)


def test_pro_per_image_by_hand():
    # In the first image the defect is found before any nominal pixel, in the second after the first of two: nothing
    # is found up to FPR 0.3. In the third there is nothing to find.
    masks = np.array([[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 0]]])
    maps = np.array([[[3.0, 2, 1]], [[9.0, 8, 7]], [[99.0, 99, 99]]])
    assert pro_per_image(masks, maps) == pytest.approx(0.5)
    assert pro_per_image(masks, maps, max_fpr=1) == pytest.approx(0.75)
    assert pro(masks, maps) == 0  # over all images, the third's pixels come first


def test_pro_per_image_of_one_image_is_pro():
    masks, maps = random_case(0)
    assert pro_per_image(masks[:1], maps[:1]) == pro(masks[:1], maps[:1])


def test_pro_per_image_counts_each_image_once_and_pro_each_region():
    # The first image has three regions, all found at once; the second has one that is never found.
    masks = np.array([[[1, 0, 1, 0, 1]], [[1, 0, 0, 0, 0]]])
    maps = np.array([[[9.0, 1, 9, 1, 9]], [[0.0, 1, 1, 1, 1]]])
    assert pro_per_image(masks, maps) == pytest.approx(0.5)
    assert pro(masks, maps) == pytest.approx(0.75)


def test_pro_per_image_ignores_a_level_of_its_own_in_each_image():
    masks, maps = random_case(2)
    shifted = maps + np.array([0.0, 50.0, -3.0, 7.0])[:, None, None]
    assert pro_per_image(masks, shifted) == pytest.approx(pro_per_image(masks, maps), abs=1e-9)
    assert pro(masks, shifted) != pytest.approx(pro(masks, maps), abs=1e-3)


def test_an_image_that_is_one_defect_is_left_out():
    masks, maps = random_case(0)
    without = pro_per_image(masks[:2], maps[:2])
    masks[2] = True
    assert pro_per_image(masks[:3], maps[:3]) == without
    with pytest.raises(ValueError, match="no image has both"):
        pro_per_image(masks[2:], maps[2:])


# Utilisation of the memory bank


def test_bank_utilisation_by_hand():
    indices = np.array([[[3, 3], [0, 3]], [[3, 0], [7, 7]]])  # rows 0, 3 and 7 of ten
    assert bank_utilisation(indices, 10) == 0.3
    assert bank_utilisation(indices.astype(np.int32).ravel(), 10) == 0.3
    assert bank_utilisation(range(4), 4) == 1


@pytest.mark.parametrize(
    ("indices", "message"),
    [([0, 4], r"0\.\.4 must lie in 0\.\.3"), ([-1, 2], r"-1\.\.2"), ([], "one or more"), ([0.5], "whole numbers")],
)
def test_indices_that_are_no_rows_of_the_bank_are_refused(indices, message):
    with pytest.raises(ValueError, match=message):
        bank_utilisation(indices, 4)


# F1


def test_f1_optimum_by_hand():
    # From 3 up: two found, one wrong, one missed: 4/6. From 1 up: three found, two wrong: 6/8, the best.
    optimum = f1_optimum([1, 0, 1, 0, 1, 0], [5, 4, 3, 2, 1, 0])
    assert (optimum.threshold, optimum.f1) == (1, 0.75)
    assert (optimum.false_positives, optimum.false_negatives) == (2, 0)


def test_of_equally_good_thresholds_the_highest_is_taken():
    # From 4 up one of two is found and none is wrong; from 1 up both are found and two are wrong: 2/3 and 4/6.
    optimum = f1_optimum([1, 0, 0, 1], [4, 3, 2, 1])
    assert (optimum.threshold, optimum.f1) == (4, pytest.approx(2 / 3))
    assert (optimum.false_positives, optimum.false_negatives) == (0, 1)


def test_tied_scores_are_called_alike():
    optimum = f1_optimum([1, 0, 0, 1], [2, 2, 1, 2])
    assert (optimum.threshold, optimum.f1) == (2, 0.8)
    assert (optimum.false_positives, optimum.false_negatives) == (1, 0)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_f1_optimum_equals_brute_force(seed, ties):
    labels = rng(seed).integers(0, 2, 40)
    scores = rng(seed + 50).normal(size=40) + labels
    scores = np.round(scores) if ties else scores
    best = max((f1_score(labels, scores >= threshold), threshold) for threshold in scores)
    optimum = f1_optimum(labels, scores)
    assert (optimum.f1, optimum.threshold) == pytest.approx(best)
    called = scores >= optimum.threshold
    assert optimum.false_positives == (called & (labels == 0)).sum()
    assert optimum.false_negatives == (~called & (labels == 1)).sum()


# Properties of all of them

RISING = {
    "affine": lambda x: 1000 * x + 7,
    "exponential": np.exp,
    "tiny": lambda x: 1e-6 * x,
    "single precision": lambda x: x.astype(np.float32),
}


@pytest.mark.parametrize("rising", RISING.values(), ids=RISING)
def test_metrics_ignore_a_monotone_rescaling(rising):
    masks, maps = random_case(5)
    assert pixel_auroc(masks, rising(maps)) == pixel_auroc(masks, maps)
    assert pro(masks, rising(maps)) == pro(masks, maps)
    assert pro_per_image(masks, rising(maps)) == pro_per_image(masks, maps)
    labels, scores = random_scores(5)
    assert image_auroc(labels, rising(scores)) == image_auroc(labels, scores)
    assert f1_optimum(labels, rising(scores)).f1 == f1_optimum(labels, scores).f1


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.uint8, np.int16])
def test_metrics_do_not_depend_on_the_type_of_the_scores(kind):
    masks, maps = random_case(6)
    maps = np.round(20 * (maps - maps.min()))
    maps[0, -1, -1] = 0  # on a defect; the negative of an unsigned number other than 0 is large
    assert pixel_metrics(masks, maps.astype(kind)) == pixel_metrics(masks, maps)
    labels, scores = random_scores(6)
    scores = np.round(20 * (scores - scores.min()))
    assert image_auroc(labels, scores.astype(kind)) == image_auroc(labels, scores)
    assert f1_optimum(labels, scores.astype(kind)) == f1_optimum(labels, scores)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_metrics_do_not_depend_on_the_type_of_the_truth(kind):
    masks, maps = random_case(7)
    assert pixel_metrics(masks.astype(kind), maps) == pixel_metrics(masks, maps)
    labels, scores = random_scores(7)
    assert image_auroc(labels.astype(kind).tolist(), scores.tolist()) == image_auroc(labels, scores)


def test_metrics_leave_masks_and_maps_as_they_were():
    masks, maps = random_case(8)
    before = masks.copy(), maps.copy()
    pixel_metrics(masks, maps)
    assert np.array_equal(masks, before[0])
    assert np.array_equal(maps, before[1])


# Errors

OF_IMAGES, OF_PIXELS = [image_auroc, f1_optimum], [pixel_auroc, pro, pro_per_image, pixel_metrics]
EVERY = [*product(OF_IMAGES, [(6,)]), *product(OF_PIXELS, [(1, 2, 3)])]


@pytest.mark.parametrize(("metric", "shape"), EVERY)
@pytest.mark.parametrize(("truth", "name"), [(0, "nominal"), (1, "anomalous")])
def test_one_class_only_is_an_error_that_says_which(metric, shape, truth, name):
    with pytest.raises(ValueError, match=f"are all {name}: the metric needs both"):
        metric(np.full(shape, truth), np.arange(6.0).reshape(shape))


@pytest.mark.parametrize(("metric", "shape"), EVERY)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(metric, shape, value):
    scores = np.arange(6.0)
    scores[4] = value
    with pytest.raises(ValueError, match="NaN or infinite"):
        metric(np.array([0, 1, 0, 1, 0, 1]).reshape(shape), scores.reshape(shape))


@pytest.mark.parametrize(("metric", "shape"), EVERY)
@pytest.mark.parametrize("odd", [2, -1, 255, 0.5])
def test_truth_of_other_values_than_0_and_1_is_refused(metric, shape, odd):
    with pytest.raises(ValueError, match="must hold 0 and 1 only"):
        metric(np.array([0, 1, 0, odd, 0, 1]).reshape(shape), np.arange(6.0).reshape(shape))


@pytest.mark.parametrize("metric", OF_IMAGES)
def test_labels_and_scores_of_different_lengths_are_refused(metric):
    with pytest.raises(ValueError, match=r"labels \(2,\) and scores \(3,\)"):
        metric([0, 1], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"labels \(1, 2\) must be \(n,\)"):
        metric([[0, 1]], [[1.0, 2.0]])


@pytest.mark.parametrize("metric", OF_PIXELS)
def test_masks_and_maps_of_different_shapes_are_refused(metric):
    with pytest.raises(ValueError, match=r"masks \(1, 2, 3\) and maps \(1, 3, 2\)"):
        metric(np.zeros((1, 2, 3)), np.zeros((1, 3, 2)))
    with pytest.raises(ValueError, match=r"masks \(2, 3\) must be \(n, H, W\)"):
        metric(np.zeros((2, 3)), np.zeros((2, 3)))


@pytest.mark.parametrize("metric", OF_IMAGES)
def test_no_images_are_refused(metric):
    with pytest.raises(ValueError, match="needs both"):
        metric([], [])


# Memory

LARGE = """
import resource
import numpy as np
from patchcore_core.metrics import pixel_metrics

rng = np.random.default_rng(0)
masks = np.zeros((1344, 224, 224), dtype=bool)
masks[::3, 50:90, 100:140] = True
maps = rng.random(masks.shape, dtype=np.float32)
found = pixel_metrics(masks, maps)
assert abs(found["pixel_auroc"] - 0.5) < 0.01, found
assert abs(found["pro"] - 0.15) < 0.01, found
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in kilobytes on Linux only")
def test_pixel_metrics_of_a_large_test_set_stay_below_4_gb():
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 4


def test_regions_labelled_once_give_what_masks_give():
    masks, maps = random_case(0)
    regions = Regions.label(masks)
    for metric in (pixel_auroc, pro, pro_per_image, pixel_metrics):
        assert metric(regions, maps) == metric(masks, maps)


def test_pixel_metrics_hold_no_more_than_they_say(monkeypatch):
    monkeypatch.setattr(pixels, "PART", 2**17)
    monkeypatch.setattr(pixels.os, "cpu_count", lambda: 16)
    masks = np.zeros((60, 224, 224), dtype=bool)
    masks[::2, 40:140, 40:140] = True  # a tenth of all pixels
    maps = rng().random(masks.shape, dtype=np.float32)
    regions = Regions.label(masks)
    tracemalloc.start()
    try:
        pixel_metrics(regions, maps)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEMORY_FACTOR * maps.nbytes


def test_pixels_name_their_region_and_images_their_pixels():
    masks = np.array([[[1, 0, 1], [1, 0, 0]], [[0, 0, 0], [0, 0, 0]], [[0, 0, 1], [0, 1, 0]]])
    regions = Regions.label(masks)
    assert [regions.numbers[place].tolist() for place in regions.of_images()] == [[1, 2, 1], [], [1, 1]]
    assert [regions.shares[place].tolist() for place in regions.of_images()] == [[0.5, 1, 0.5], [], [0.5, 0.5]]
