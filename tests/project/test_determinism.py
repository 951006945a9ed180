import numpy as np
import pytest

from benchmarks import determinism
from benchmarks.determinism import BASIS, LIMIT, SETTINGS, compare
from patchcore_suite.run.raw_results import RawResult

SCORES = np.array([2, 4, 8], dtype=np.float32)
DISTANCES = np.ones((3, 2, 2), dtype=np.float32)
OLDER = next(setting for setting in SETTINGS if setting.older)


def written(path, *, scores=SCORES, distances=DISTANCES, picks=(0, 1)):
    picked = np.array(picks, dtype=np.int32)
    RawResult(scores=scores, distances=distances, coreset_indices=picked, stamp={"key": "k"}).write(path)
    return {"k": path}


@pytest.fixture
def basis(tmp_path):
    return written(tmp_path / "basis.safetensors")


def test_equal_results_have_not_moved(basis, tmp_path):
    moved = compare(basis, written(tmp_path / "other.safetensors"))
    assert (moved.files, moved.equal, moved.scores, moved.picks, moved.rankings) == (1, 1, 0, 0, 0)
    assert moved.kept(BASIS)


def test_the_change_of_a_score_is_relative_to_its_size(basis, tmp_path):
    moved = compare(basis, written(tmp_path / "other.safetensors", scores=np.array([2, 5, 8], dtype=np.float32)))
    assert moved.scores == 0.2
    assert moved.equal == 0


@pytest.mark.parametrize(
    "other",
    [
        {"scores": SCORES * np.float32(1 + 2 * LIMIT)},
        {"scores": SCORES[::-1].copy()},
        {"picks": (1, 0)},
    ],
    ids=["a score", "a ranking", "a pick"],
)
def test_what_moves_beyond_the_limit_breaks_the_promise(basis, tmp_path, other):
    assert not compare(basis, written(tmp_path / "other.safetensors", **other)).kept(OLDER)


def test_rounding_keeps_the_promise_between_processors_alone(basis, tmp_path):
    moved = compare(basis, written(tmp_path / "other.safetensors", scores=SCORES * np.float32(1 + LIMIT / 2)))
    assert moved.kept(OLDER)
    assert not moved.kept(BASIS)


@pytest.mark.slow
def test_a_small_run_is_measured(monkeypatch, capsys):
    for name, value in {"SIDE": 96, "TRAIN": 3, "TEST": 2, "SETTINGS": determinism.SETTINGS[:2]}.items():
        monkeypatch.setattr(determinism, name, value)
    with pytest.raises(SystemExit) as ended:
        determinism.main()
    assert ended.value.code == 0
    assert "the same picks and rankings: kept" in capsys.readouterr().out
