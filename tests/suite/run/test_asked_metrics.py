"""Metrics that a dataset asks for: in files, tables and intervals; and what is said where they cannot be had."""

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.metrics import average_precision_score

from patchcore_core import InputError, metrics
from patchcore_core.metrics import Regions
from patchcore_core.metrics.pixels import curve_of, regions_and_maps
from patchcore_suite.metrics import pimo, segmentation
from patchcore_suite.preflight.requirements import check
from patchcore_suite.results import study_metrics
from patchcore_suite.run import asked_intervals, evaluate, intervals, prepare
from patchcore_suite.run.asked_intervals import ASKED_PIXEL_METRICS, asked_statistics
from patchcore_suite.run.image_intervals import stratified_counts
from patchcore_suite.run.metric_registry import METRICS, wanted
from patchcore_suite.settings.dataset_params import ASKED

BOUNDS = (2e-3, 2e-2)  # of AUPIMO, for small images


def located(seed):
    """Masks of which the second half have a defect or two, and smooth maps that know a little about them."""
    generator = np.random.default_rng(seed)
    masks = np.zeros((20, 64, 64), dtype=bool)
    for mask in masks[10:]:
        for _ in range(generator.integers(1, 3)):
            (height, width), (top, left) = generator.integers(2, 20, 2), generator.integers(0, 44, 2)
            mask[top : top + height, left : left + width] = True
    noise = np.stack([gaussian_filter(image, 2) for image in generator.normal(size=masks.shape)])
    maps = noise / noise.std() + 2 * masks + 0.5 * generator.normal(size=(20, 1, 1))
    return masks, maps.astype(np.float32)


def test_the_names_that_params_yaml_takes_are_those_of_the_registry():
    assert tuple(metric.name for metric in METRICS.values() if metric.asked) == ASKED
    assert set(ASKED_PIXEL_METRICS) <= set(ASKED)


def exact(masks, maps, threshold):
    """The metrics of the images themselves; SegF1 at a given threshold."""
    regions, maps = regions_and_maps(masks, maps)
    curve, called = curve_of(regions, maps), maps > threshold
    return [
        pimo.aupimo(masks, maps, BOUNDS),
        average_precision_score(masks.ravel(), maps.ravel()),
        segmentation.f1_max(curve),
        metrics.pro(masks, maps, 0.05),
        2 * (called & masks).sum() / (called.sum() + masks.sum()),
    ]


@pytest.mark.parametrize("tied", [False, True])
def test_resampled_metrics_are_near_those_of_the_images_that_are_drawn(tied, monkeypatch):
    monkeypatch.setattr(asked_intervals, "FPR_BOUNDS", BOUNDS)
    masks, maps = located(0)
    maps = np.round(32 * maps) / 32 if tied else maps
    threshold = segmentation.nominal_threshold(Regions.label(masks), maps)
    counts = np.concatenate(
        [np.ones((1, 20), int), stratified_counts(masks.any(axis=(1, 2)), 9, np.random.default_rng(1))]
    )
    found = asked_statistics(Regions.label(masks), maps).resampled(counts)
    images = [np.repeat(np.arange(20), drawn) for drawn in counts]
    wanted_values = np.array([exact(masks[drawn], maps[drawn], threshold) for drawn in images]).T
    # Where scores are tied, the rates nearest to the bounds of AUPIMO are some way off.
    away = np.abs(found - wanted_values).max(axis=1)
    assert np.ptp(wanted_values, axis=1).min() > 0.02  # resamples differ by far more than what is given away
    assert (away < [0.02 if tied else 1e-3, 2e-3, 1e-3, 1e-3, 1e-6]).all(), (
        away
    )  # bounds are no rates where scores are tied


def test_a_resample_without_a_defect_has_no_metrics():
    masks, maps = located(3)
    counts = np.ones((1, 20), int)
    counts[0, 10:] = 0
    assert np.isnan(asked_statistics(Regions.label(masks), maps).resampled(counts)).all()


def test_aupimo_without_a_value_has_no_interval(monkeypatch):
    monkeypatch.setattr(asked_intervals, "FPR_BOUNDS", BOUNDS)
    masks, maps = located(1)
    tied = np.minimum(maps, np.quantile(maps[:10], 0.9))  # a tenth of nominal pixels share the highest score
    assert np.isnan(pimo.aupimo(masks, tied, BOUNDS))
    drawn = np.stack([np.ones(20, int), np.arange(20) % 2 * 2])
    found = dict(zip(ASKED_PIXEL_METRICS, asked_statistics(Regions.label(masks), tied).resampled(drawn), strict=True))
    assert np.isnan(found.pop("aupimo")).all()
    assert np.isfinite(np.stack(list(found.values()))).all()
    monkeypatch.setattr(asked_intervals, "FPR_BOUNDS", (1e-5, 1e-4))  # which so few pixels do not have
    assert np.isnan(asked_statistics(Regions.label(masks), maps).resampled(drawn)[0]).all()


def test_what_is_asked_for_is_in_files_tables_and_intervals(scored, monkeypatch):
    monkeypatch.setattr(intervals, "REPLICATES", 20)
    before = evaluate.evaluate_dataset(scored.toy, show_progress=False)
    asked = ["pixel_ap", "seg_f1", "fpr_at_recall", "calibration_error"]
    scored.dataset["metrics"] = asked
    evaluate.write_metrics(scored.toy)
    rows = study_metrics.read_metrics(scored.toy)
    of_cells = rows[rows["variant"] == "tenth"]
    assert list(of_cells["metric"].unique()) == [metric.name for metric in wanted(asked)]
    assert of_cells[of_cells["metric"].isin(asked)]["value"].between(0, 1).all()
    overview = study_metrics.overview(rows)
    assert list(overview.columns)[-5:-1] == [METRICS[name].heading for name in asked]
    assert not {METRICS[name].heading for name in ASKED} & set(study_metrics.overview(before.metrics).columns)
    for name in asked:
        for variant, interval in study_metrics.read_intervals(scored.toy, metric=name).items():
            assert 0 <= interval.low <= interval.high <= 1, (name, variant)
        assert set(study_metrics.read_intervals(scored.toy, metric=name)) == set(scored.variants)
    found = evaluate.evaluate_dataset(scored.toy, show_progress=False)
    plain = found.metrics[~found.metrics["metric"].isin(asked)].reset_index(drop=True)
    pd.testing.assert_frame_equal(plain, before.metrics)
    others = found.intervals[~found.intervals["metric"].isin(asked)].reset_index(drop=True)
    pd.testing.assert_frame_equal(others, before.intervals)


def test_aupimo_of_too_few_nominal_pixels_is_refused_before_anything_is_computed(scored, monkeypatch):
    scored.dataset["metrics"] = ["aupimo"]
    wanted_words = r"datasets.toy.metrics .* 100,000 pixels[^$]*bolt: 2 nominal test images of 64 x 64 pixels, not 25"
    with pytest.raises(InputError, match=wanted_words) as caught:
        evaluate.evaluate_dataset(scored.toy, show_progress=False)
    assert "nut: 2 nominal" in str(caught.value)
    assert any("aupimo" in problem for problem in check(scored.toy).problems)
    monkeypatch.chdir(scored.root)
    monkeypatch.setattr("sys.argv", ["prepare", "toy"])
    _ = scored.params
    with pytest.raises(InputError, match="aupimo"):
        prepare.main()


def test_names_that_are_no_metric_to_ask_for_are_refused_together(scored):
    scored.dataset["metrics"] = ["aupim", "pixel_ap", "pro"]
    with pytest.raises(InputError) as caught:
        _ = scored.params
    said = str(caught.value)
    assert "datasets.toy.metrics[0]='aupim' is no metric to ask for (did you mean aupimo?)" in said
    assert "datasets.toy.metrics[2]='pro' is no metric" in said
    for given in ("aupimo", ["aupimo", "aupimo"], 3):
        scored.dataset["metrics"] = given
        with pytest.raises(InputError, match="must be a list of different metrics, or null"):
            _ = scored.params
    scored.dataset["metrics"] = None
    assert scored.toy.asked == ()
