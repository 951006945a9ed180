"""Bootstrap intervals against scikit-learn and the exact pixel metrics on the same resamples, and against the truth of
simulated scores."""

from statistics import NormalDist

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from patchcore_core import metrics
from patchcore_suite.metrics.overlap import pro_per_image
from patchcore_suite.run import pixel_intervals
from patchcore_suite.run.image_intervals import (
    auroc_replicates,
    bootstrap_auroc,
    bootstrap_mean_auroc,
    resampled_auroc,
    stratified_counts,
)
from patchcore_suite.run.percentiles import percentile_interval
from patchcore_suite.run.pixel_intervals import (
    PIXEL_METRICS,
    pixel_replicates,
    pixel_statistics,
    resampled_pixel_metrics,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def case(seed, *, nominal=13, anomalous=21, tied=False, seeds=None, shift=1.0):
    """Labels in no order, and scores that know a little about them."""
    labels = rng(seed).permutation(np.arange(nominal + anomalous) >= nominal)
    shape = labels.shape if seeds is None else (seeds, len(labels))
    scores = rng(seed + 100).normal(size=shape) + shift * labels
    return labels, np.round(scores) if tied else scores


def auroc_by_loops(labels, scores, counts):
    """Scikit-learn on the images themselves, each as often as it is drawn."""
    return [roc_auc_score(np.repeat(labels, drawn), np.repeat(scores, drawn)) for drawn in counts]


def located(seed, *, images=20, size=48, shift=1.0, sigma=2.0, level=0.5):
    """Masks of which the second half have one to three defects, and smooth maps that know a little about them."""
    generator = rng(seed)
    masks = np.zeros((images, size, size), dtype=bool)
    for mask in masks[images // 2 :]:
        for _ in range(generator.integers(1, 4)):
            (height, width), (top, left) = generator.integers(1, size // 3, 2), generator.integers(0, 2 * size // 3, 2)
            mask[top : top + height, left : left + width] = True
    noise = np.stack([gaussian_filter(image, sigma) for image in generator.normal(size=masks.shape)])
    maps = noise / noise.std() + shift * masks + level * generator.normal(size=(images, 1, 1))
    return masks, maps.astype(np.float32)


def labels_of(masks):
    return masks.any(axis=(1, 2))


def pixel_metrics_by_loops(masks, maps, counts):
    """The exact metrics on the images themselves, each as often as it is drawn: (3, replicates)."""
    rows = []
    for drawn in counts:
        chosen = np.repeat(np.arange(len(masks)), drawn)
        values = metrics.pixel_metrics(masks[chosen], maps[chosen])
        rows.append([values["pixel_auroc"], values["pro"], pro_per_image(masks[chosen], maps[chosen])])
    return np.transpose(rows)


# The resamples


def test_resamples_keep_the_number_of_each_class():
    labels, _ = case(0)
    counts = stratified_counts(labels, 50, rng())
    assert counts.shape == (50, 34)
    assert (counts[:, labels].sum(axis=1) == 21).all()
    assert (counts[:, ~labels].sum(axis=1) == 13).all()


def test_every_image_of_a_class_is_drawn_as_often_as_any_other():
    labels, _ = case(0)
    counts = stratified_counts(labels, 20_000, rng())
    # Each count is binomial: mean 1, variance 1 - 1/size of the class.
    assert np.allclose(counts.mean(axis=0), 1, atol=0.04)
    assert np.allclose(counts[:, labels].var(axis=0), 1 - 1 / 21, atol=0.06)


def test_auroc_of_a_resample_by_hand():
    # Nominal 1 (twice) and 2; anomalous 2 and 3 (twice). Of nine pairs the three with 2 lose half a pair: 2 against 2.
    labels, scores = np.array([False, False, True, True]), np.array([1.0, 2.0, 2.0, 3.0])
    assert resampled_auroc(labels, scores, np.array([[2, 1, 1, 2]])) == pytest.approx(8.5 / 9)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_auroc_of_resamples_equals_scikit_learn(seed, tied):
    labels, scores = case(seed, tied=tied)
    counts = stratified_counts(labels, 40, rng(seed))
    assert resampled_auroc(labels, scores, counts) == pytest.approx(auroc_by_loops(labels, scores, counts), abs=1e-12)


# Pixel metrics of the resamples


def test_pixel_metrics_of_a_resample_by_hand():
    # One row of pixels an image. The first image is nominal: 0, 1, 2, 3. The second has a region of 2 and 4, and the
    # nominal pixels 0 and 1. Drawn twice and once there are ten nominal pixels: 0 and 1 three times, 2 and 3 twice.
    masks = np.array([[[0, 0, 0, 0]], [[1, 1, 0, 0]]])
    maps = np.array([[[0.0, 1, 2, 3]], [[2, 4, 0, 1]]])
    auroc, pro, pro_per_image = resampled_pixel_metrics(pixel_statistics(masks, maps), np.array([[2, 1]]))
    assert auroc == pytest.approx((10 + 6 + 2 / 2) / 20)
    # Half is covered up to a false-positive rate of 0.2, then up to 0.4 the other half comes in beside equal pixels.
    assert pro == pytest.approx((0.2 * 0.5 + 0.1 * (0.5 + 0.75) / 2) / 0.3)
    assert pro_per_image == 1  # by itself the second image is in order


@pytest.mark.parametrize("max_fpr", [0.05, 0.3, 1])
@pytest.mark.parametrize("seed", range(3))
def test_pixel_metrics_are_exact_where_every_score_is_a_threshold(seed, max_fpr):
    masks, maps = located(seed)
    maps = np.round(20 * maps) / 20  # many ties
    statistics = pixel_statistics(masks, maps, max_fpr=max_fpr)
    assert statistics.nominal.shape == (20, len(np.unique(maps)))
    counts = stratified_counts(labels_of(masks), 10, rng(seed))
    chosen = [np.repeat(np.arange(20), drawn) for drawn in counts]
    found = resampled_pixel_metrics(statistics, counts)
    assert found[0] == pytest.approx([metrics.pixel_auroc(masks[each], maps[each]) for each in chosen], abs=1e-6)
    assert found[1] == pytest.approx([metrics.pro(masks[each], maps[each], max_fpr) for each in chosen], abs=1e-6)
    assert found[2] == pytest.approx([pro_per_image(masks[each], maps[each], max_fpr) for each in chosen])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shift": 0},  # by chance
        {"shift": 6},  # nearly perfect
        {"sigma": 0.3},  # maps that are no smoother than noise
        {"level": 3},  # images that differ more than their pixels
        {"images": 44, "size": 112},
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", range(3))
def test_thresholds_cost_less_than_a_thousandth(seed, options):
    masks, maps = located(seed, **options)
    assert len(np.unique(maps)) > 10 * pixel_intervals.THRESHOLDS
    statistics = pixel_statistics(masks, maps)
    assert statistics.nominal.shape[1] <= pixel_intervals.THRESHOLDS
    counts = np.vstack([np.ones(len(masks), dtype=int), stratified_counts(labels_of(masks), 10, rng(seed))])
    wanted = pixel_metrics_by_loops(masks, maps, counts)
    error = np.abs(resampled_pixel_metrics(statistics, counts) - wanted)
    assert (error[:2] < 1e-3).all()
    assert (error[2] < 1e-12).all()


def test_thresholds_chosen_from_some_of_the_pixels_are_as_good(monkeypatch):
    masks, maps = located(0)
    monkeypatch.setattr(pixel_intervals, "SORTED_AT_MOST", 8000)
    counts = stratified_counts(labels_of(masks), 10, rng())
    found = resampled_pixel_metrics(pixel_statistics(masks, maps), counts)
    assert np.abs(found - pixel_metrics_by_loops(masks, maps, counts)).max() < 1e-3


def test_of_many_images_no_pairs_are_held_and_the_metrics_are_the_same(monkeypatch):
    masks, maps = located(3)
    statistics, counts = pixel_statistics(masks, maps), stratified_counts(labels_of(masks), 9, rng(1))
    by_pairs = resampled_pixel_metrics(statistics, counts)
    monkeypatch.setattr(pixel_intervals, "MOST_PAIRED", len(masks) - 1)
    assert np.array_equal(resampled_pixel_metrics(statistics, counts), by_pairs)


def test_a_resample_without_a_defect_has_no_pixel_metrics():
    masks, maps = located(0, images=4)
    statistics = pixel_statistics(masks, maps)
    assert np.isnan(resampled_pixel_metrics(statistics, np.array([[1, 3, 0, 0]]))).all()


def test_masks_whose_regions_are_labelled_already_are_counted_alike():
    masks, maps = located(0)
    given, labelled = pixel_statistics(masks, maps), pixel_statistics(metrics.Regions.label(masks), maps)
    for name in ("nominal", "anomalous", "covered", "pro"):
        np.testing.assert_array_equal(getattr(labelled, name), getattr(given, name))


def test_an_image_that_is_all_defect_has_no_pro_of_its_own():
    masks, maps = located(0)
    masks[-1] = True
    counts = stratified_counts(labels_of(masks), 5, rng())
    found = resampled_pixel_metrics(pixel_statistics(masks, maps), counts)
    assert found == pytest.approx(pixel_metrics_by_loops(masks, maps, counts), abs=1e-3)


# Intervals


@pytest.mark.parametrize("tied", [False, True])
def test_an_interval_is_that_of_a_plain_loop(tied):
    labels, scores = case(1, tied=tied)
    counts = stratified_counts(labels, 200, rng([7, 0]))
    wanted = np.quantile(auroc_by_loops(labels, scores, counts), [0.05, 0.95])
    assert bootstrap_auroc(labels, scores, replicates=200, level=0.9, seed=7) == pytest.approx(wanted, abs=1e-12)


def test_the_mean_over_categories_and_seeds_is_that_of_a_plain_loop():
    categories = [case(1, seeds=3), case(2, seeds=3, nominal=30)]
    replicates = []
    for number, (labels, scores) in enumerate(categories):
        counts = stratified_counts(labels, 100, rng([0, number]))
        replicates.append(np.mean([auroc_by_loops(labels, of_seed, counts) for of_seed in scores], axis=0))
    wanted = np.quantile(np.mean(replicates, axis=0), [0.025, 0.975])
    assert bootstrap_mean_auroc(categories, replicates=100) == pytest.approx(wanted, abs=1e-12)


def test_replicates_of_two_results_are_of_the_same_images():
    labels, scores = case(1)
    other = scores + rng(5).normal(size=len(labels))
    counts = stratified_counts(labels, 200, rng([7, 3]))
    of_both = [auroc_replicates(labels, one, replicates=200, seed=7, category=3) for one in (scores, other)]
    assert of_both == [pytest.approx(auroc_by_loops(labels, one, counts)) for one in (scores, other)]
    assert np.isnan(auroc_replicates([0, 1, 1], [1.0, 2.0, 3.0])).all()  # one nominal image is drawn ever again


def test_one_category_and_one_seed_are_the_simple_case():
    labels, scores = case(3)
    assert bootstrap_mean_auroc([(labels, scores)]) == bootstrap_auroc(labels, scores)
    assert bootstrap_auroc(labels, scores[None]) == bootstrap_auroc(labels, scores)


def test_equal_seeds_leave_the_interval_as_it_is():
    # The same images are drawn for all of them: their mean varies as each does.
    labels, scores = case(3)
    assert bootstrap_auroc(labels, np.stack([scores] * 3)) == pytest.approx(bootstrap_auroc(labels, scores))


def test_categories_are_drawn_apart():
    # Were the draws shared, four equal categories would vary as one; apart, their mean varies half as much.
    labels, scores = case(4)
    low, high = bootstrap_auroc(labels, scores, replicates=4000)
    mean_low, mean_high = bootstrap_mean_auroc([(labels, scores)] * 4, replicates=4000)
    assert (mean_high - mean_low) / (high - low) == pytest.approx(0.5, abs=0.05)


def test_an_interval_holds_the_auroc_and_shrinks_with_more_images_and_a_lower_level():
    labels, scores = case(5)
    low, high = bootstrap_auroc(labels, scores)
    assert low < roc_auc_score(labels, scores) < high
    more = bootstrap_auroc(*case(5, nominal=1300, anomalous=2100))
    assert more[1] - more[0] < (high - low) / 5
    narrow = bootstrap_auroc(labels, scores, level=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    # Two normal distributions one apart: the true AUROC is Phi(1 / sqrt 2).
    truth = NormalDist().cdf(1 / np.sqrt(2))
    ends = np.array([bootstrap_auroc(*case(seed, nominal=40, anomalous=60), replicates=300) for seed in range(400)])
    coverage = ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean()
    assert 0.90 <= coverage <= 0.98  # 0.95, a percentile interval of 100 images falling a little short


def test_the_draws_follow_the_seed():
    labels, scores = case(6)
    assert bootstrap_auroc(labels, scores, seed=1) == bootstrap_auroc(labels, scores, seed=1)
    assert bootstrap_auroc(labels, scores, seed=1) != bootstrap_auroc(labels, scores, seed=2)


def test_scores_count_by_their_order_alone():
    labels, scores = case(7)
    assert bootstrap_auroc(labels, np.exp(scores)) == bootstrap_auroc(labels, scores)


def test_working_in_parts_gives_the_same_kind_of_interval(monkeypatch):
    labels, scores = case(8)
    whole = bootstrap_auroc(labels, scores, replicates=4000)
    monkeypatch.setattr(pixel_intervals, "COUNTS_AT_ONCE", 700 * len(labels))  # does not divide 4000
    assert bootstrap_auroc(labels, scores, replicates=4000) == pytest.approx(whole, abs=0.01)


def test_pixel_replicates_are_the_means_over_seeds_of_the_same_resamples():
    masks, maps = located(0)
    of_seeds = [pixel_statistics(masks, each) for each in (maps, located(0, shift=2)[1])]
    counts = stratified_counts(labels_of(masks), 30, rng([5, 2]))
    wanted = (resampled_pixel_metrics(of_seeds[0], counts) + resampled_pixel_metrics(of_seeds[1], counts)) / 2
    found = pixel_replicates(labels_of(masks), of_seeds, replicates=30, seed=5, category=2)
    assert tuple(found) == PIXEL_METRICS
    assert np.array(list(found.values())) == pytest.approx(wanted, abs=1e-12)


def test_pixel_replicates_in_parts_follow_the_seed_and_the_category(monkeypatch):
    masks, maps = located(1)
    arguments = labels_of(masks), [pixel_statistics(masks, maps)]
    monkeypatch.setattr(pixel_intervals, "COUNTS_AT_ONCE", 70_000)  # 68 resamples, which do not divide 1000
    found = pixel_replicates(*arguments)
    assert all(len(values) == 1000 and np.isfinite(values).all() for values in found.values())
    assert all((pixel_replicates(*arguments)[metric] == found[metric]).all() for metric in PIXEL_METRICS)
    for other in ({"seed": 1}, {"category": 1}):
        assert all((pixel_replicates(*arguments, **other)[metric] != found[metric]).any() for metric in PIXEL_METRICS)


def test_an_interval_of_pixel_metrics_holds_the_metric_and_is_that_of_a_plain_loop():
    masks, maps = located(2)
    found = pixel_replicates(labels_of(masks), [pixel_statistics(masks, maps)], replicates=200)
    wanted = pixel_metrics_by_loops(masks, maps, stratified_counts(labels_of(masks), 200, rng([0, 0])))
    exact = pixel_metrics_by_loops(masks, maps, np.ones((1, 20), dtype=int))[:, 0]
    for metric, of_loops, value in zip(PIXEL_METRICS, wanted, exact, strict=True):
        low, high = percentile_interval(found[metric])
        assert (low, high) == pytest.approx(np.quantile(of_loops, [0.025, 0.975]), abs=1e-3)
        assert low < value < high


def test_an_interval_leaves_out_what_is_no_number():
    assert percentile_interval([np.nan, *range(101)], level=0.9) == pytest.approx((5, 95))
    assert np.isnan(percentile_interval([np.nan, np.nan])).all()


# Limits and errors


def test_a_perfect_separation_has_an_interval_without_width():
    assert bootstrap_auroc([0, 0, 0, 1, 1], [1.0, 2, 3, 4, 5]) == (1, 1)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 1], [0, 1, 1, 1]])
def test_a_class_of_fewer_than_two_images_has_no_interval(labels):
    scores = [1.0, 2.0, 3.0, 4.0]
    assert np.isnan(bootstrap_auroc(labels, scores)).all()
    assert np.isnan(bootstrap_mean_auroc([([0, 0, 1, 1], scores), (labels, scores)])).all()


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 0, 1], [1.0, 2.0], r"labels \(3,\)"),
        ([[0, 1]], [[1.0, 2.0]], r"labels \(1, 2\)"),
        ([], [], r"labels \(0,\)"),
        ([0, 0, 1, 2], [1.0, 2, 3, 4], "0 and 1 only"),
        ([0, 0, 1, 1], [1.0, 2, np.nan, 4], "NaN or infinite"),
    ],
)
def test_input_that_cannot_be_used_is_refused(labels, scores, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_auroc(labels, scores)


@pytest.mark.parametrize(
    ("option", "message"),
    [({"replicates": 0}, "replicates=0"), ({"level": 1}, "level=1"), ({"level": 0.0}, "level=0.0")],
)
def test_an_option_out_of_range_is_refused(option, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_auroc([0, 0, 1, 1], [1.0, 2, 3, 4], **option)


def test_no_categories_are_refused():
    with pytest.raises(ValueError, match="no categories"):
        bootstrap_mean_auroc([])


@pytest.mark.parametrize(("nominal", "defects"), [(1, 3), (3, 1)])
def test_fewer_than_two_nominal_images_or_defects_have_no_pixel_intervals(nominal, defects):
    masks = np.zeros((6, 8, 8), dtype=bool)
    masks[6 - defects :, :3, :3] = True
    labels = np.arange(6) >= nominal  # the defect of some anomalous image may be cropped away
    found = pixel_replicates(labels, [pixel_statistics(masks, rng().normal(size=masks.shape))], replicates=10)
    assert all(np.isnan(values).all() for values in found.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masks": np.zeros((2, 3))}, r"masks \(2, 3\)"),
        ({"maps": np.zeros((4, 3, 4))}, r"maps \(4, 3, 4\)"),
        ({"masks": np.full((4, 3, 3), 2)}, "0 and 1 only"),
        ({"maps": np.full((4, 3, 3), np.inf)}, "NaN or infinite"),
        ({"masks": np.zeros((4, 3, 3))}, "both nominal and anomalous"),
        ({"masks": np.ones((4, 3, 3))}, "both nominal and anomalous"),
        ({"thresholds": 1}, "thresholds=1"),
        ({"max_fpr": 0}, "max_fpr=0"),
    ],
)
def test_maps_that_cannot_be_counted_are_refused(change, message):
    given = {"masks": np.tile([[1, 0, 0]], (4, 3, 1)), "maps": np.zeros((4, 3, 3))} | change
    with pytest.raises(ValueError, match=message):
        pixel_statistics(**given)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [0, 0, 1]}, r"labels \(3,\)"),
        ({"labels": [0, 0, 1, 2]}, "0 and 1 only"),
        ({"of_seeds": []}, r"not \[\]"),
        ({"replicates": 0}, "replicates=0"),
    ],
)
def test_replicates_of_what_does_not_fit_are_refused(change, message):
    masks, maps = located(0, images=4)
    with pytest.raises(ValueError, match=message):
        pixel_replicates(**{"labels": [0, 0, 1, 1], "of_seeds": [pixel_statistics(masks, maps)]} | change)


def test_a_level_out_of_range_is_refused():
    with pytest.raises(ValueError, match="level=1"):
        percentile_interval([0.0, 1.0], level=1)
