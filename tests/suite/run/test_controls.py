import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from patchcore_core import InputError
from patchcore_suite.run.controls import (
    ADVANTAGE,
    CEILING,
    DEVIATIONS_OF_ADVANTAGE,
    auroc_deviation,
    check_controls,
    is_control,
    largest_deviation,
)
from patchcore_suite.run.evaluate import COLUMNS
from patchcore_suite.settings.project import Project

LABELS = {"bolt": np.repeat([0, 1], [50, 50]), "nut": np.repeat([0, 1], [3, 3])}
BEYOND = 0.05 + 3 * (2 / (4 * 50)) ** 0.5  # the best method on the bolt: 0.35
REACH = 5 * (101 / (12 * 50 * 50)) ** 0.5  # of random scores on the bolt: 0.29


@pytest.fixture
def params(project):
    project.variants = {
        "good": {},
        "worse": {"stride": 2},
        "noise": {"method": "random_scores"},
        "pixels": {"method": "mean_image"},
        "raw": {"backbone": "untrained/tf_efficientnet_lite0"},
        "elsewhere": {"method": "random_scores"},
    }
    studies = {"more": {"variants": ["elsewhere", "raw"], "seeds": [9]}}
    project.dataset |= {
        "variants": ["good", "worse", "noise", "pixels", "raw"],
        "seeds": [0, 1],
        "studies": studies,
    }
    return project.params


def rows(*given):
    """Metrics in long form from (category, variant, metric, value), with seed 0 unless a fifth item gives it."""
    found = []
    for category, variant, metric, value, *more in given:
        seed, shots = (*more, 0, None)[:2] if not more else (more[0], more[1] if len(more) > 1 else None)
        found.append(["toy", category, variant, shots, seed, metric, value])
    return pd.DataFrame(found, columns=COLUMNS).astype({"shots": "Int64", "value": float})


IN_RANGE = [
    ("bolt", "good", "image_auroc", 0.9),
    ("bolt", "worse", "image_auroc", 0.7),
    ("bolt", "noise", "image_auroc", 0.5),
    ("bolt", "noise", "pixel_auroc", 0.5),
    ("bolt", "pixels", "image_auroc", 0.6),
    ("bolt", "raw", "image_auroc", 0.8),
    ("bolt", CEILING, "pixel_auroc", 0.98),
]


def out_of_range(params, *given, pixels=None):
    """A line for each control that stops the run; none where it goes on."""
    try:
        check_controls(rows(*given), LABELS, Project(params).dataset("toy"), pixels or {})
    except InputError as error:
        return list(error.offenders)
    return []


def test_controls_in_range_pass(params):
    assert out_of_range(params, *IN_RANGE) == []


def test_nothing_is_no_reason_to_stop(params):
    assert out_of_range(params) == []
    assert out_of_range(params, ("bolt", "good", "pro", None)) == []


# Random scores


@pytest.mark.parametrize("value", [0.5 + REACH - 1e-6, 0.5 - REACH + 1e-6])
def test_the_image_auroc_of_random_scores_may_lie_within_five_deviations(params, value):
    assert out_of_range(params, ("bolt", "noise", "image_auroc", value)) == []


@pytest.mark.parametrize("value", [0.5 + REACH + 0.01, 0.5 - REACH - 0.01])
def test_the_image_auroc_of_random_scores_may_lie_no_farther_than_five_deviations(params, value):
    assert out_of_range(params, ("bolt", "noise", "image_auroc", value)) == [
        f"bolt, noise, seed 0: image_auroc {value:.3f}, but random scores must lie in 0.21..0.79"
    ]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_of_few_images_every_auroc_may_come_by_chance(params, value):
    assert out_of_range(params, ("nut", "noise", "image_auroc", value)) == []


PIXELS = {("nut", "noise"): 0.04, ("bolt", "noise"): 0.2}  # standard deviations


@pytest.mark.parametrize("value", [0.301, 0.699])
def test_the_pixel_auroc_of_random_scores_may_lie_within_five_deviations(params, value):
    assert out_of_range(params, ("nut", "noise", "pixel_auroc", value, 1), pixels=PIXELS) == []


@pytest.mark.parametrize("value", [0.299, 0.701])
def test_the_pixel_auroc_of_random_scores_may_lie_no_farther_than_five_deviations(params, value):
    assert out_of_range(params, ("nut", "noise", "pixel_auroc", value, 1), pixels=PIXELS) == [
        f"nut, noise, seed 1: pixel_auroc {value:.3f}, but random scores must lie in 0.30..0.70"
    ]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_of_few_independent_pixels_every_auroc_may_come_by_chance(params, value):
    assert out_of_range(params, ("bolt", "noise", "pixel_auroc", value), pixels=PIXELS) == []


def test_other_metrics_and_other_methods_are_not_held_to_the_range_of_random_scores(params):
    given = [("bolt", "noise", "pro", 0.01), ("bolt", "noise", "f1", 1.0), ("bolt", "good", "image_auroc", 1.0)]
    assert out_of_range(params, *given) == []


def test_random_scores_of_a_study_alone_are_not_checked(params):
    assert out_of_range(params, ("bolt", "elsewhere", "image_auroc", 1.0)) == []


@pytest.mark.parametrize(("nominal", "anomalous"), [(3, 4), (20, 20), (5, 60)])
def test_the_deviation_of_random_scores_is_that_of_a_simulation(nominal, anomalous):
    labels = np.repeat([0, 1], [nominal, anomalous])
    scores = np.random.default_rng(0).random((4000, len(labels)))
    found = (scores[:, labels == 1, None] > scores[:, None, labels == 0]).mean(axis=(1, 2))
    assert found[:3] == pytest.approx([roc_auc_score(labels, of) for of in scores[:3]])
    assert np.std(found) == pytest.approx(auroc_deviation(labels), rel=0.05)


def test_the_deviation_by_hand():
    # One image of each: AUROC is 0 or 1, each with probability one half.
    assert auroc_deviation(np.array([0, 1])) == 0.5


def test_random_scores_of_few_images_may_be_better_than_every_method(params):
    given = [("nut", "good", "image_auroc", 0.6), ("nut", "noise", "image_auroc", 1.0)]
    assert out_of_range(params, *given) == []


# The ceiling


def test_the_ground_truth_itself_must_score_high(params):
    assert out_of_range(params, ("nut", CEILING, "pixel_auroc", 0.85)) == []
    assert out_of_range(params, ("nut", CEILING, "pixel_auroc", 0.849)) == [
        f"nut, {CEILING}, seed 0: pixel_auroc 0.849, but the ground truth itself must reach 0.85"
    ]


def test_the_pro_of_the_ceiling_is_not_held_to_it(params):
    assert out_of_range(params, ("nut", CEILING, "pro", 0.5)) == []


# A control that is better than the methods


@pytest.mark.parametrize("control", ["raw", "pixels"])
def test_a_control_that_beats_the_best_method_stops_the_run(params, control):
    given = [("bolt", "good", "image_auroc", 0.5), ("bolt", "worse", "image_auroc", 0.4)]
    assert out_of_range(params, *given, ("bolt", control, "image_auroc", 0.5 + BEYOND - 1e-6)) == []
    assert out_of_range(params, *given, ("bolt", control, "image_auroc", 0.5 + BEYOND + 1e-6)) == [
        f"{control}: image AUROC 0.850 on average, the best method (good) has 0.500, more than the 0.35 less that "
        "chance allows: is its network trained?"
    ]


@pytest.mark.parametrize(("nominal", "anomalous"), [(1, 1), (40, 1), (3, 3), (40, 6), (6, 40), (30, 20), (200, 90)])
def test_where_two_methods_see_different_defects_a_control_is_hardly_ever_out_of_range_by_chance(nominal, anomalous):
    # Each image of the smaller part is plain to a method, or hidden from it, at even chances: AUROC is the plain share.
    labels = np.repeat([0, 1], [nominal, anomalous])
    few = min(nominal, anomalous)
    one, other = np.random.default_rng(0).binomial(few, 0.5, size=(2, 100_000)) / few
    assert np.std(one) == pytest.approx(largest_deviation(labels), rel=0.02)
    allowed = ADVANTAGE + DEVIATIONS_OF_ADVANTAGE * 2**0.5 * largest_deviation(labels)
    assert (one - other > allowed).mean() < 1 / 700


@pytest.mark.parametrize("spread", [0.1, 1, 10])
@pytest.mark.parametrize(("nominal", "anomalous"), [(2, 5), (20, 4), (15, 30)])
def test_no_auroc_has_a_larger_deviation(nominal, anomalous, spread):
    labels = np.repeat([0, 1], [nominal, anomalous])
    scores = np.random.default_rng(0).normal(size=(4000, len(labels))) * np.where(labels, spread, 1)
    found = (scores[:, labels == 1, None] > scores[:, None, labels == 0]).mean(axis=(1, 2))
    assert np.std(found) < 1.03 * largest_deviation(labels)


def test_of_one_defective_image_a_control_may_come_out_best_by_chance(params, monkeypatch):
    monkeypatch.setitem(LABELS, "bolt", np.repeat([0, 1], [50, 1]))
    given = [("bolt", "good", "image_auroc", 0.1), ("bolt", "raw", "image_auroc", 1.0)]
    assert out_of_range(params, *given) == []


def test_it_is_the_mean_over_categories_and_seeds_that_is_compared(params, monkeypatch):
    monkeypatch.setitem(LABELS, "nut", LABELS["bolt"])  # two categories of one size: 0.26 by chance
    given = [(category, "good", "image_auroc", 0.5, seed) for category in LABELS for seed in (0, 1)]
    values = {("bolt", 0): 1.0, ("bolt", 1): 0.6, ("nut", 0): 0.7, ("nut", 1): 0.55}
    given += [(category, "raw", "image_auroc", value, seed) for (category, seed), value in values.items()]
    assert out_of_range(params, *given) == []
    (line,) = out_of_range(params, *given, ("nut", "raw", "image_auroc", 1.0, 0))
    assert line.startswith("raw: image AUROC 0.770 on average, the best method (good) has 0.500")


def test_seeds_that_a_study_alone_has_do_not_count(params):
    given = [("bolt", "good", "image_auroc", 0.8), ("bolt", "raw", "image_auroc", 0.8)]
    assert out_of_range(params, *given, ("bolt", "raw", "image_auroc", 1.0, 9)) == []


def test_without_a_method_there_is_nothing_to_beat(params):
    assert out_of_range(params, ("bolt", "raw", "image_auroc", 1.0)) == []


# All at once


def test_every_control_out_of_range_is_listed(params):
    lines = out_of_range(
        params,
        ("bolt", "good", "image_auroc", 0.5),
        ("bolt", "noise", "image_auroc", 0.9),
        ("nut", "noise", "pixel_auroc", 0.9),
        ("nut", CEILING, "pixel_auroc", 0.5),
        ("bolt", "raw", "image_auroc", 0.9),
        pixels=PIXELS,
    )
    assert len(lines) == 4


def test_what_it_means_is_said(params):
    with pytest.raises(InputError, match=r"^controls of toy are out of range, so its other metrics cannot be trusted"):
        check_controls(rows(("nut", CEILING, "pixel_auroc", 0.5)), LABELS, Project(params).dataset("toy"))


def test_few_shots_and_metrics_that_are_not_available_are_passed_over(params):
    given = [("bolt", "noise", "pixel_auroc", None), ("bolt", CEILING, "pixel_auroc", None)]
    assert out_of_range(params, *given, ("bolt", "noise", "image_auroc", 1.0, 0, 5)) == []


def test_what_a_control_is(params):
    assert {name for name in params.variants if is_control(Project(params).dataset("toy"), name)} == {
        "noise",
        "pixels",
        "raw",
        "elsewhere",
    }
