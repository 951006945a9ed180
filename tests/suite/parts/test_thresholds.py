import numpy as np
import pytest

from patchcore_core import InputError
from patchcore_suite.parts.thresholds import cost_threshold, f1_threshold, false_alarm_threshold, share_below

HUNDRED = np.arange(1, 101, dtype=np.float32)


def test_a_threshold_lies_just_above_the_score_that_few_enough_good_images_exceed():
    # Of 99 scores, the chance that a hundredth one exceeds the 99th smallest is 1 %, the 90th smallest 10 %.
    assert false_alarm_threshold(HUNDRED[:99], 0.01).value == np.nextafter(np.float32(99), np.float32(np.inf))
    assert false_alarm_threshold(HUNDRED[:99], 0.1).value == np.nextafter(np.float32(90), np.float32(np.inf))


def test_few_images_promise_what_they_can_and_say_how_many_it_takes():
    found = false_alarm_threshold([3.0, 1.0, 2.0], 0.01)
    assert found.value > 3
    assert found.rate == 1 / 4
    assert found.rule == "25 % of good images taken for anomalous, from 3 good images (as few as 1 % takes 99)"
    assert "takes" not in false_alarm_threshold(HUNDRED, 0.01).rule


@pytest.mark.parametrize("n", [10, 20, 50, pytest.param(209, marks=pytest.mark.long)])
def test_new_good_images_are_called_anomalous_no_more_often_than_is_promised(n):
    generator, alarms, promised = np.random.default_rng(0), [], None
    for _ in range(2000):
        drawn = generator.gamma(3, size=n + 1).astype(np.float32)  # no symmetry helps
        found = false_alarm_threshold(drawn[:n], 0.02)
        promised = found.rate
        alarms.append(drawn[n] >= found.value)
    deviation = np.sqrt(promised * (1 - promised) / len(alarms))
    assert np.mean(alarms) <= promised + 3 * deviation
    assert np.mean(alarms) >= promised - 1 / (n + 1) - 3 * deviation  # and is no more careful than it has to be


def test_the_interval_holds_the_threshold_and_narrows_with_more_images():
    generator = np.random.default_rng(1)
    few, many = (false_alarm_threshold(generator.normal(size=n), 0.1) for n in (30, 3000))
    for found in (few, many):
        assert found.low <= found.value <= found.high + 1e-3
    assert many.high - many.low < few.high - few.low


def test_costs_decide_which_threshold_is_best():
    labels, scores = [0, 0, 0, 0, 1, 1], [1, 2, 3, 5, 4, 6]
    # From 4 up: nothing missed, one false alarm; from 6 up: one missed, no false alarm.
    assert cost_threshold(labels, scores, miss=10).value == 4
    assert cost_threshold(labels, scores, miss=0.5).value == 6
    assert cost_threshold(labels, scores, miss=0).value > 6  # what costs nothing is never looked for
    assert cost_threshold(labels, scores, miss=10).rule.endswith("0 missed, 1 false alarms")


def test_the_cheapest_threshold_is_that_of_trying_all():
    generator = np.random.default_rng(2)
    for _ in range(50):
        labels, scores = generator.integers(2, size=12), generator.integers(6, size=12).astype(np.float32)
        if 0 < labels.sum() < 12:
            found = cost_threshold(labels, scores, miss=3)
            costs = [
                3 * (labels[scores < value] == 1).sum() + (labels[scores >= value] == 0).sum()
                for value in [*np.unique(scores), scores.max() + 1]
            ]
            called = scores >= found.value
            assert 3 * (labels[~called] == 1).sum() + (labels[called] == 0).sum() == min(costs)


def test_the_best_f1_is_found_with_what_it_gets_wrong():
    found = f1_threshold([0, 0, 1, 1], [1.0, 3.0, 2.0, 4.0])
    assert found.value == 2
    assert found.rule == "best F1 score, 0.800: 0 missed, 1 false alarms"


def test_a_share_counts_the_good_images_below():
    assert share_below(3, [1, 2, 3, 4]) == 0.5
    assert share_below(0, [1, 2]) == 0
    assert share_below(9, [1, 2]) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: false_alarm_threshold([], 0.1), "one or more finite numbers"),
        (lambda: false_alarm_threshold([1, np.nan], 0.1), "one or more finite numbers"),
        (lambda: false_alarm_threshold([1, 2], 0), "must lie between 0 and 1"),
        (lambda: cost_threshold([0, 1], [1, 2], miss=-1), "must be 0 or more"),
        (lambda: cost_threshold([0, 1], [1, 2], miss=np.inf), "must be 0 or more"),
        (lambda: cost_threshold([0, 1], [1, 2], miss=0, false_alarm=0), "one of them above 0"),
    ],
)
def test_what_chooses_nothing_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
