"""Scores by torch and by an exported model are compared as they should be."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_networks import SmallPyramid
from small_parts import decoded, image_files, small_model

from patchcore_core import InputError, PatchCore, PatchCoreConfig
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.parts.onnx_proof import Comparison, at_once, compare, difference, reranked, score_floor
from patchcore_suite.parts.onnx_runtimes import by_torch, latency

PATHS = [Path("a.png"), Path("b.png"), Path("c.png")]


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return image_files(tmp_path_factory.mktemp("images"), 21)


def exported(model, change=lambda scores, maps: (scores, maps), seen=None):
    """What an exported model would be that changes scores and maps so."""

    def run(pixels):
        if seen is not None:
            seen.append(len(pixels))
        said = model.detector.predict(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)
        return change(said.scores.numpy(), said.maps.numpy())

    return {"onnxruntime": run}


def compared(model, runs, images, decode=decoded):
    return compare(model, runs, decode, images, show_progress=False)


def test_images_are_compared_one_by_one_and_sixteen_at_once(model, images):
    seen = []
    found = compared(model, exported(model, seen=seen), images)
    assert (found.images, sorted(seen)) == (21, [1] * 21 + [5, 16])
    assert [one.batch for one in found.differences] == [1, 16]
    assert not found.problems()


def test_differences_are_relative(model, images):
    run = exported(model, lambda scores, maps: (scores * np.float32(1.01), maps * np.float32(0.98)))
    found = compared(model, run, images[:3])
    assert (found.scores, found.maps) == (pytest.approx(0.01, rel=1e-3), pytest.approx(0.02, rel=1e-3))
    first, second = found.problems()
    assert first.startswith("1 images at once: scores differ by 0.01 relative, more than 0.0001: ")
    assert any(str(path) in first for path in images[:3])
    assert second.startswith("16 images at once")


def test_what_is_not_a_number_is_no_small_difference(model, images):
    run = exported(model, lambda scores, maps: (np.full_like(scores, np.nan), np.full_like(maps, np.nan)))
    found = compared(model, run, images[:3])
    assert len(found.problems()) == 2
    assert math.isnan(found.maps)


def test_another_runtime_that_differs_is_told_and_refuses_nothing(model, images):
    off = exported(model, lambda scores, maps: (scores * np.float32(1.01), maps))["onnxruntime"]
    found = compared(model, {**exported(model), "OpenVINO": off}, images[:3])
    assert [(one.runtime, one.batch) for one in found.differences] == [
        ("onnxruntime", 1),
        ("onnxruntime", 16),
        ("OpenVINO", 1),
        ("OpenVINO", 16),
    ]
    assert not found.problems()
    assert str(found).endswith("OpenVINO does not score as torch does: do not run this model by it.")


def test_all_images_that_one_of_both_cannot_read_are_named(model, images, tmp_path):
    (tmp_path / "cut.png").write_bytes(images[0].read_bytes()[:60])

    def decode(path):
        if path == images[1]:
            raise ValueError("of no kind. Remedy: another")
        return decoded(path)

    with pytest.raises(InputError, match=r"2 images cannot be judged(.|\n)*: of no kind\n(.|\n)*cut\.png") as told:
        compared(model, exported(model), [*images[:2], tmp_path / "cut.png"], decode)
    assert str(told.value).count("Remedy:") == 1
    with pytest.raises(InputError, match="no images"):
        compared(model, exported(model), [])


def test_a_runtime_that_fails_is_told(model, images):
    def run(pixels):
        raise RuntimeError(f"not for {len(pixels)}")

    with pytest.raises(InputError, match="onnxruntime cannot run the exported model on 1 images: not for 1"):
        compared(model, {"onnxruntime": run}, images[:2])


def test_images_of_one_size_go_in_at_once_as_they_are_and_others_are_brought_to_size():
    small, large = np.zeros((4, 6, 3), np.uint8), np.ones((8, 12, 3), np.uint8)
    shapes = [(places, batch.shape) for places, batch in at_once([large] * 3, Preprocessing((2, 3)), 2)]
    assert shapes == [([0, 1], (2, 8, 12, 3)), ([2], (1, 8, 12, 3))]
    mixed = [(places, batch.shape) for places, batch in at_once([small, large], Preprocessing((2, 3)), 16)]
    assert mixed == [([0, 1], (2, 2, 3, 3))]
    each = [(places, batch.shape) for places, batch in at_once([small, large], Preprocessing((2, 3)), 1)]
    assert each == [([0], (1, 4, 6, 3)), ([1], (1, 8, 12, 3))]
    by_side = at_once([small, large[:, :10]], Preprocessing(2), 16)  # proportions stay, so that two sizes come out
    assert [(places, batch.shape[1:3]) for places, batch in by_side] == [([0], (2, 3)), ([1], (2, 2))]


def test_torch_is_timed_on_what_it_judges(model, tmp_path):
    (path,) = image_files(tmp_path, 1, size=(50, 60))
    (judged,) = model.judge([path], show_progress=False)
    with Image.open(path) as image:
        assert by_torch(model, np.asarray(image)[None]).tolist() == [judged.score]


def test_runtimes_are_timed_beside_torch_with_as_many_images_at_once(model, images):
    seen = []
    lines = list(latency(model, exported(model, seen=seen), decoded(images[0])[None]))
    assert lines[0] == "Milliseconds an image of 32 x 48, once it is decoded; medians of 9 and 3 turns:\n"
    assert lines[1] == "| images at once | torch | onnxruntime |"
    assert [line.split(" | ")[0] for line in lines[3:]] == ["| 1", "| 16"]
    assert seen == [1] * 10 + [16] * 4


def test_verdicts_on_the_other_side_are_counted():
    scores = np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.99999, 3.0])
    found = difference(("onnxruntime", 1), scores, 0.0, 0.1, 2.0, PATHS)
    assert (found.verdicts, found.reranked, found.farthest) == (1, 0, ("b.png", 2.0, 1.99999))
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


def test_a_changed_rank_is_a_problem_however_small_the_difference():
    scores = np.array([1.0, 1.00005, 3.0]), np.array([1.00005, 1.0, 3.0])
    found = Comparison(3, (difference(("onnxruntime", 16), scores, 0.0, 0.1, 2.0, PATHS),))
    assert found.problems() == ["16 images at once: 1 images change their rank"]


def test_small_scores_are_compared_with_a_tenth_of_the_banks_spread():
    model = PatchCore(PatchCoreConfig(), network=SmallPyramid())
    model.memory_bank = torch.tensor([[5.0, 0.0], [5.0, 2.0], [8.0, 1.0], [2.0, 1.0]])  # squares 1, 1, 9, 9
    assert score_floor(model) == pytest.approx((0.1 * 5**0.5,) * 2)
    model.config = PatchCoreConfig(squared_distances=True)
    assert score_floor(model) == pytest.approx((0.05, 0.05))
    model.config = PatchCoreConfig(squared_distances=True, score="reweighted")
    assert score_floor(model) == pytest.approx((0.1 * 5**0.5, 0.05))


def test_the_table_of_differences_reads():
    one = difference(("onnxruntime", 1), (np.array([1.0, 2.0]), np.array([1.0, 2.0001])), 2e-5, 0.1, 3.0, PATHS)
    assert str(Comparison(2, (one,))) == (
        "Largest relative differences from torch, 2 images:\n\n"
        "| runtime | images at once | scores | maps | other verdicts |\n|---|---|---|---|---|\n"
        "| onnxruntime | 1 | 5.0e-05 | 2.0e-05 | 0 |"
    )
