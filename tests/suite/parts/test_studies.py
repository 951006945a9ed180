"""How many images, how large, and what they cost: on a few small images, without a large network."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_folders import save_image

from patchcore_core import InputError, metrics
from patchcore_suite.parts import frontier
from patchcore_suite.parts.describing import Described, FitOptions, describe
from patchcore_suite.parts.few_images import enough, few_images_curve, share_interval
from patchcore_suite.parts.fitting import fit_described
from patchcore_suite.parts.following import silently
from patchcore_suite.parts.frontier import best_of, with_side
from patchcore_suite.parts.photographs import look_at

OPTIONS = FitOptions(resize=(48, 48), backbone="pixels")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Twelve good images of noise, and two defective ones with less contrast."""
    root = tmp_path_factory.mktemp("parts")
    for number in range(12):
        save_image(root / f"good/{number:03}.png", seed=number)
    for number in range(2):
        save_image(root / f"flat/{number:03}.png", seed=number, size=(12, 16))
    return look_at(root)


@pytest.fixture(scope="module")
def described(found):
    return describe(found.good, OPTIONS, follow=silently), describe(found.tested, OPTIONS, follow=silently)


@pytest.fixture(scope="module")
def curve(described):
    return few_images_curve(*described, OPTIONS, draws=2, follow=silently)


def test_a_quarter_of_the_good_images_is_seen_by_no_model(curve):
    assert [(one.images, one.draws) for one in curve] == [(2, 2), (5, 2), (9, 1)]
    assert [one.promised for one in curve] == pytest.approx([1 / 3, 1 / 6, 1 / 10])


def test_the_model_of_all_other_images_says_what_a_model_fitted_to_them_says(described, curve):
    good, tested = described
    order = np.random.default_rng(0).permutation(12)
    pool, held_out = np.sort(order[:9]), order[9:]
    model = fit_described(Described(tuple(good.entries[i] for i in pool), good.features[pool], good.size), OPTIONS)

    def scores(features):
        bank = model.detector.memory_bank
        return [float(torch.cdist(one.flatten(0, 1), bank).amin(1).max()) for one in features]

    nominal, defective = np.array(scores(good.features[held_out])), np.array(scores(tested.features))
    most = curve[-1]
    assert most.threshold == pytest.approx(model.threshold.value)
    assert most.alarms == (nominal >= model.threshold.value).mean()
    assert most.missed == (defective < model.threshold.value).mean()
    labels = [0] * len(nominal) + [1] * len(defective)
    assert most.auroc == metrics.image_auroc(labels, np.concatenate([nominal, defective]))
    assert most.auroc_low <= most.auroc <= most.auroc_high


def test_without_defects_there_are_false_alarms_alone(described):
    curve = few_images_curve(described[0], None, OPTIONS, draws=1, follow=silently)
    assert all(math.isnan(one.auroc) and math.isnan(one.missed) for one in curve)
    assert all(0 <= one.alarms_low <= one.alarms <= one.alarms_high <= 1 for one in curve)
    assert enough(curve) is None


def test_too_few_images_hold_none_out(described):
    few = Described(described[0].entries[:3], described[0].features[:3], described[0].size)
    with pytest.raises(InputError, match="3 good images"):
        few_images_curve(few, None, OPTIONS, follow=silently)


def test_whoever_follows_may_end_it(described):
    told = []

    def follow(what, done, total):
        told.append((what, done, total))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        few_images_curve(*described, OPTIONS, draws=2, follow=follow)
    assert told == [("fit to 2 images", 0, 5), ("fit to 2 images", 1, 5), ("fit to 5 images", 2, 5)]


def test_the_interval_of_a_share_is_that_of_clopper_and_pearson():
    # 0 of 20: the upper end is 1 - 0.025^(1/20); 1 of 10 as tables have it.
    assert share_interval(0.0, 20) == pytest.approx((0, 1 - 0.025 ** (1 / 20)))
    assert share_interval(0.1, 10) == pytest.approx((0.00253, 0.44502), abs=1e-5)
    assert share_interval(1.0, 5) == pytest.approx((0.025 ** (1 / 5), 1))


def test_enough_is_the_fewest_within_the_interval_of_the_most(curve):
    def of(images, auroc, low=0.9):
        return replace(curve[-1], images=images, auroc=auroc, auroc_low=low)

    assert enough([of(2, 0.7), of(5, 0.91), of(10, 0.89), of(20, 0.95)]).images == 5
    assert enough([of(2, 0.7), of(5, 0.8), of(20, 0.95, math.nan)]).images == 20


def test_the_best_choices_are_those_that_no_other_one_beats():
    seconds = np.array([1.0, 2.0, 2.0, 3.0, 3.0, 0.5])
    auroc = np.array([0.8, 0.9, 0.8, 0.9, 0.95, np.nan])
    assert best_of(seconds, auroc).tolist() == [True, True, False, False, True, False]


def test_another_side_keeps_proportions_and_crop():
    assert with_side(FitOptions(resize=256, crop=224), 128) == FitOptions(resize=128, crop=112)
    assert with_side(FitOptions(resize=(200, 300)), 100) == FitOptions(resize=(100, 150))


def test_each_size_of_images_and_bank_is_fitted_and_timed(found, monkeypatch):
    monkeypatch.setattr(frontier, "seconds_an_image", lambda model, paths: 1.0 / len(model.detector.memory_bank))
    told = []
    choices = frontier.frontier(
        found.good,
        found.tested,
        OPTIONS,
        sides=(32, 24),
        rows=(7, 10**6),
        follow=lambda *said: told.append(said),
    )
    assert [(one.side, one.rows) for one in choices] == [(24, 7), (24, 12 * 9), (32, 7), (32, 12 * 16)]
    assert all(math.isnan(one.auroc) for one in choices)  # no good images to test with
    assert not any(one.best for one in choices)
    assert ("24 pixels, 7 rows", 0, 4) in told
    refitted = fit_described(describe(found.good, choices[0].options, follow=silently), choices[0].options)
    assert len(refitted.detector.memory_bank) == 7


def test_sizes_must_be_chosen(found):
    with pytest.raises(InputError, match="no image size or no size of the memory bank"):
        frontier.frontier(found.good, found.tested, OPTIONS, sides=(), rows=(7,), follow=silently)


def test_seconds_an_image_are_measured(found, described):
    model = fit_described(described[0], OPTIONS)
    assert frontier.seconds_an_image(model, [entry.record.image for entry in found.tested]) > 0
