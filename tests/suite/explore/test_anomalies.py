"""What the panels for anomalies compute: by hand, and against the functions that the benchmark uses."""

import cv2
import numpy as np
import pytest
import torch

from patchcore_core import metrics, scoring
from patchcore_core.common.errors import InputError
from patchcore_core.neighbours import nearest
from patchcore_suite.explore.anomalies import Confusion, Scores, Source, pro_curve, reweighting, sources, worst_place
from patchcore_suite.explore.categories import decoded
from patchcore_suite.metrics.decisions import f1_optimum


def random_maps(seed=0, n=6, side=20):
    random = np.random.default_rng(seed)
    masks = np.zeros((n, side, side), dtype=bool)
    masks[0, 2:8, 3:9] = masks[1, :3, :3] = masks[1, 12:18, 5:18] = masks[2, 10, 10] = True
    return masks, (random.normal(size=masks.shape) + 1.5 * masks).astype(np.float32)


def test_rows_of_the_bank_are_traced_to_images_and_places():
    # Three images of 2 x 4 patches: patch 13 is in image 1, row 1, column 1.
    assert sources([0, 2], [13, 5, 23], (2, 4)) == [Source(1, 1, 1), Source(2, 1, 3)]
    assert sources([], [13, 5, 23], (2, 4)) == []


def test_the_worst_place_is_that_of_the_largest_distance():
    assert worst_place(np.array([[0.0, 1.0, 2.0], [5.0, 1.0, 0.0]])) == (1, 0)


def test_equation_7_by_hand():
    bank = torch.tensor([[0.0], [1.0], [10.0]])
    terms = reweighting(torch.tensor([-2.0]), 0, bank, neighbours=2)
    share = np.exp(2) / (np.exp(2) + np.exp(3))
    assert terms.rows.tolist() == [0, 1]
    assert terms.distances.tolist() == [2, 3]
    assert terms.weight == pytest.approx(1 - share)
    assert terms.score == pytest.approx((1 - share) * 2)


def test_equation_7_is_that_of_the_benchmark():
    draw = torch.Generator().manual_seed(0)
    bank, features = torch.randn(30, 5, generator=draw), torch.randn(4, 3, 3, 5, generator=draw)
    distances, indices = (part.view(4, 3, 3) for part in nearest(features.flatten(0, 2), bank))
    expected = scoring.reweighted_scores(features, distances, indices, bank, reweight_neighbours=4)
    for image in range(4):
        place = worst_place(distances[image].numpy())
        terms = reweighting(features[image][place], int(indices[image][place]), bank, neighbours=4)
        assert terms.score == pytest.approx(float(expected[image]), rel=1e-5)


def test_a_bank_of_one_row_leaves_the_score():
    terms = reweighting(torch.tensor([3.0]), 0, torch.tensor([[1.0]]), neighbours=3)
    assert (terms.weight, terms.score) == (1, 2)


def test_equal_rows_do_not_push_the_nearest_one_out():
    terms = reweighting(torch.tensor([1.0]), 2, torch.zeros(4, 1), neighbours=2)
    assert terms.rows[0] == 2
    assert len(set(terms.rows.tolist())) == 2


def test_an_image_at_the_threshold_is_called_anomalous():
    scores = Scores([0, 0, 1, 1], [1.0, 3.0, 2.0, 4.0])
    assert scores.confusion(2.0) == Confusion(found=2, missed=0, false_alarms=1, passed=1)
    assert scores.confusion(2.1) == Confusion(found=1, missed=1, false_alarms=1, passed=1)
    assert scores.rates(3.5) == (0, 0.5)
    assert scores.most_overlooked.tolist() == [2, 3]
    assert scores.worst_alarms.tolist() == [1, 0]
    assert scores.rank(3.0) == 0.5


def test_confusion_counts_are_those_of_the_f1_optimum():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 50)
    values = (random.normal(size=50) + labels).round(1)  # with ties
    best = f1_optimum(labels, values)
    counts = Scores(labels, values).confusion(best.threshold)
    assert (counts.false_alarms, counts.missed) == (best.false_positives, best.false_negatives)


def test_the_area_under_the_roc_curve_is_the_image_auroc():
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, 80)
    values = (random.normal(size=80) + labels).round(1)
    false, true = Scores(labels, values).roc()
    assert np.trapezoid(true, false) == pytest.approx(metrics.image_auroc(labels, values))
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)


def test_the_area_under_the_pro_curve_is_pro():
    masks, maps = random_maps()
    rates, overlap = pro_curve(masks, maps, points=2001)
    assert np.trapezoid(overlap, rates) / 0.3 == pytest.approx(metrics.pro(masks, maps), abs=2e-3)
    assert (np.diff(overlap) >= 0).all()


@pytest.mark.parametrize("labels", [[0, 0], [1, 1]])
def test_curves_need_both_kinds_of_images(labels):
    with pytest.raises(InputError, match="nominal and anomalous"):
        Scores(labels, [1.0, 2.0]).roc()
    masks = np.full((2, 3, 3), bool(labels[0]))
    with pytest.raises(InputError, match="regions"):
        pro_curve(masks, np.zeros((2, 3, 3)))


def test_labels_and_scores_must_be_as_many():
    with pytest.raises(InputError, match=r"\(2,\)"):
        Scores([0, 1], [1.0, 2.0, 3.0])


def test_an_uploaded_image_is_read_with_as_many_bits_as_the_datasets():
    content = cv2.imencode(".png", np.array([[4095, 2048]], np.uint16))[1].tobytes()
    assert np.asarray(decoded("mine.png", content, bits=12))[0, :, 0].tolist() == [255, 128]
