"""Scores by torch and by an exported model are compared as they should be."""

import math

import numpy as np
import pytest
import torch
from small_networks import SmallPyramid, pictures

from patchcore_core import InputError, PatchCore, PatchCoreConfig
from patchcore_suite.parts.onnx_proof import Comparison, compare, difference, reranked, score_floor


@pytest.fixture(scope="module")
def model():
    return PatchCore(PatchCoreConfig(coreset_fraction=0.3), network=SmallPyramid()).fit(pictures(4))


def exported(model, change=lambda scores, maps: (scores, maps), seen=None):
    """What an exported model would be that changes scores and maps so."""

    def run(images):
        if seen is not None:
            seen.append(len(images))
        said = model.predict(torch.from_numpy(images))
        return change(said.scores.numpy(), said.maps.numpy())

    return run


def test_images_are_compared_one_by_one_and_sixteen_at_once(model):
    seen = []
    found = compare(model, exported(model, seen=seen), [pictures(18), pictures(3, seed=1)], (32, 48), None)
    assert (found.images, sorted(seen)) == (21, [1] * 21 + [2, 3, 16])
    assert [one.batch for one in found.differences] == [1, 16]
    assert not list(found.problems())


def test_differences_are_relative(model):
    run = exported(model, lambda scores, maps: (scores * np.float32(1.01), maps * np.float32(0.98)))
    found = compare(model, run, pictures(3, seed=1), (32, 48), None)
    assert (found.scores, found.maps) == (pytest.approx(0.01, rel=1e-3), pytest.approx(0.02, rel=1e-3))
    first, second = found.problems()
    assert first.startswith("1 images at once: scores differ by 0.01 relative, more than 0.0001: image ")
    assert second.startswith("16 images at once")


def test_what_is_not_a_number_is_no_small_difference(model):
    run = exported(model, lambda scores, maps: (np.full_like(scores, np.nan), np.full_like(maps, np.nan)))
    found = compare(model, run, pictures(3, seed=1), (32, 48), None)
    assert len(list(found.problems())) == 2
    assert math.isnan(found.maps)


def test_no_images_and_images_of_another_size_are_refused(model):
    with pytest.raises(InputError, match="no images"):
        compare(model, exported(model), [], (32, 48), None)
    with pytest.raises(InputError, match=r"\(2, 3, 32, 32\) are not of the size \(32, 48\)"):
        compare(model, exported(model), pictures(2, (32, 32)), (32, 48), None)


def test_verdicts_on_the_other_side_are_counted():
    found = difference(1, np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.99999, 3.0]), 0.0, 0.1, 2.0)
    assert (found.verdicts, found.reranked, found.farthest) == (1, 0, (1, 2.0, 1.99999))
    assert found.scores == pytest.approx(5e-6)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([1, 2, 3], [1, 2, 3], 0),
        ([3, 1, 2], [30, 10, 20], 0),  # another scale, one order
        ([1, 2, 3], [1, 3, 2], 1),
        ([1, 2, 3], [3, 2, 1], 2),  # the last two each score below the first
        ([1, 2, 3], [1, 2, 2], 1),  # told apart no more
        ([1, 1 + 1e-6, 3], [1 + 1e-6, 1, 3], 0),  # as close as rounding goes
        ([1, 1 + 5e-5, 3], [1 + 5e-5, 1, 3], 1),
        ([0, 1e-7, 3], [1e-7, 0, 3], 0),  # both are nothing
        ([7], [7], 0),
    ],
)
def test_a_rank_changes_where_scores_are_told_apart(ours, theirs, expected):
    assert reranked(np.array(ours, dtype=float), np.array(theirs, dtype=float), 0.1) == expected


def test_small_scores_are_compared_with_a_tenth_of_the_banks_spread():
    model = PatchCore(PatchCoreConfig(), network=SmallPyramid())
    model.memory_bank = torch.tensor([[5.0, 0.0], [5.0, 2.0], [8.0, 1.0], [2.0, 1.0]])  # squares 1, 1, 9, 9
    assert score_floor(model) == pytest.approx((0.1 * 5**0.5,) * 2)
    model.config = PatchCoreConfig(squared_distances=True)
    assert score_floor(model) == pytest.approx((0.05, 0.05))
    model.config = PatchCoreConfig(squared_distances=True, score="reweighted")
    assert score_floor(model) == pytest.approx((0.1 * 5**0.5, 0.05))


def test_the_table_of_differences_reads():
    one = difference(1, np.array([1.0, 2.0]), np.array([1.0, 2.0001]), 2e-5, 0.1, None)
    assert str(Comparison(2, (one,))) == (
        "Largest relative differences between torch and onnxruntime, 2 images:\n\n"
        "| images at once | scores | maps | other verdicts |\n|---|---|---|---|\n| 1 | 5.0e-05 | 2.0e-05 | - |"
    )
