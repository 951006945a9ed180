import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import roc_curve

from patchcore_suite.metrics.decisions import (
    calibration_error,
    expected_calibration_error,
    fpr_at_recall,
    platt_probabilities,
)


def drawn(seed, *, nominal=23, anomalous=41, tied=False, shift=1.0):
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(nominal + anomalous) >= nominal)
    scores = 50 + 10 * (generator.normal(size=len(labels)) + shift * labels)
    return labels, np.round(scores, -1) if tied else scores


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("recall", [0.5, 0.95, 1])
def test_false_alarms_at_a_recall_are_those_of_scikit_learn(tied, recall):
    labels, scores = drawn(0, tied=tied)
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert fpr_at_recall(labels, scores, recall) == fpr[np.flatnonzero(tpr >= recall)[0]]


def test_twenty_images_of_which_one_may_be_missed():
    labels, scores = np.repeat([1, 0], [20, 4]), np.append(np.arange(20.0), [0.5, 1, 2, 30])
    assert fpr_at_recall(labels, scores) == 0.75  # from 1 up
    assert fpr_at_recall(labels, scores, 1) == 1


@pytest.mark.parametrize("tied", [False, True])
def test_the_calibration_error_is_the_distance_from_scikit_learns_isotonic_regression(tied):
    labels, scores = drawn(1, tied=tied)
    probabilities = 1 / (1 + np.exp(-(scores - 55) / 20))
    fitted = IsotonicRegression().fit(probabilities, labels).predict(probabilities)
    wanted = np.abs(fitted - probabilities).mean()
    assert expected_calibration_error(labels, probabilities) == pytest.approx(wanted, abs=1e-9)


def test_probabilities_that_tell_the_shares_have_no_error():
    labels, probabilities = [0, 0, 0, 1, 0, 1, 1, 1], [0.25] * 4 + [0.75] * 4
    assert expected_calibration_error(labels, probabilities) == pytest.approx(0)
    assert expected_calibration_error(labels, [0.5] * 8) == pytest.approx(0)
    assert expected_calibration_error(labels, [0.9] * 8) == pytest.approx(0.4)


@pytest.mark.parametrize("shift", [0, 1, 9, -9])
def test_platts_curve_is_the_best_of_its_kind(shift):
    labels, scores = drawn(2, shift=shift)
    found = platt_probabilities(labels, scores)
    targets = np.where(labels, 42 / 43, 1 / 25)
    x = (scores - 50) / 10

    def loss(at):
        z = at[0] * x + at[1]
        return (np.logaddexp(0, z) - targets * z).sum()

    best = minimize(loss, np.zeros(2), method="BFGS", options={"gtol": 1e-8}).x
    assert found == pytest.approx(1 / (1 + np.exp(-(best[0] * x + best[1]))), abs=1e-5)
    assert calibration_error(labels, scores) == pytest.approx(expected_calibration_error(labels, found))


def test_scores_that_tell_nothing_get_the_share_of_anomalous_images():
    labels = np.repeat([0, 1], [5, 15])
    assert platt_probabilities(labels.astype(bool), np.ones(20)) == pytest.approx((15 * 16 / 17 + 5 / 7) / 20)
    assert calibration_error(labels, np.ones(20)) < 0.03


def test_scales_and_levels_of_scores_have_no_say():
    labels, scores = drawn(3)
    assert calibration_error(labels, 1e6 * scores + 3e8) == pytest.approx(calibration_error(labels, scores), abs=1e-6)
