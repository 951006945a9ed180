"""Whatever becomes of a file that was saved, it is refused or says the same."""

import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mutations import bounded, mutated, unless_refused
from small_networks import SmallPyramid

from patchcore_core import PatchCore, PatchCoreConfig
from patchcore_suite.run.feature_files import damage
from patchcore_suite.run.raw_results import RawResult, ScoreIndex

IMAGES = torch.rand(3, 3, 32, 32, generator=torch.manual_seed(0))
FILES = ("model.json", "memory_bank.safetensors")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    network = SmallPyramid()
    PatchCore(PatchCoreConfig(coreset_fraction=0.2), network=network).fit(IMAGES).save(folder)
    return folder, network


def predicted(folder, network):
    return PatchCore.load(folder, network=network).predict(IMAGES)


def is_refused_or_the_same(folder, network, expected):
    found = unless_refused(lambda: predicted(folder, network), folder)
    assert found is None or torch.equal(found.scores, expected.scores)
    assert found is None or torch.equal(found.maps, expected.maps)


@bounded
@given(data=st.data(), file=st.sampled_from(FILES))
def test_a_model_with_changed_bytes_is_refused_or_the_same(data, file, saved, tmp_path):
    folder, network = saved
    expected, changed = predicted(folder, network), tmp_path / "model"
    shutil.copytree(folder, changed, dirs_exist_ok=True)
    (changed / file).write_bytes(data.draw(mutated((folder / file).read_bytes())))
    is_refused_or_the_same(changed, network, expected)


@bounded
@given(data=st.data())
def test_a_model_that_says_other_things_is_refused_or_the_same(data, saved, tmp_path):
    folder, network = saved
    expected, changed = predicted(folder, network), tmp_path / "model"
    shutil.copytree(folder, changed, dirs_exist_ok=True)
    described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    part = data.draw(st.sampled_from([described, described["config"]]))
    key = data.draw(st.sampled_from(sorted(part)))
    part[key] = data.draw(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4)))
    if data.draw(st.booleans()):
        del part[key]
    (changed / "model.json").write_text(json.dumps(described), encoding="utf-8")
    is_refused_or_the_same(changed, network, expected)


@bounded
@given(data=st.data())
def test_a_raw_result_with_changed_bytes_is_damaged_or_the_same(data, scored_once, tmp_path):
    original = sorted((scored_once.root / ".cache/cells").glob("*.safetensors"))[0]
    path = tmp_path / original.name
    path.write_bytes(data.draw(mutated(original.read_bytes())))
    if RawResult.damage(path, original.stem) == "":
        expected, found = RawResult.read(original), RawResult.read(path)
        assert found.stamp == expected.stamp
        for name in RawResult.ARRAYS:
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@bounded
@given(data=st.data())
def test_an_index_with_changed_bytes_is_refused_or_the_same(data, scored_once, tmp_path):
    original = scored_once.root / "reports/scores/toy"
    (tmp_path / "toy").mkdir(exist_ok=True)
    (tmp_path / "toy/index.json").write_bytes(data.draw(mutated((original / "index.json").read_bytes())))
    found = unless_refused(lambda: ScoreIndex.read(tmp_path / "toy"), "dvc repro score@toy")
    assert found is None or found == ScoreIndex.read(original)


@bounded
@given(data=st.data())
def test_feature_maps_with_changed_bytes_are_told(data, scored_once, tmp_path):
    original = sorted((scored_once.root / ".cache/features").glob("*.npy"))[0]
    path, content = tmp_path / original.name, original.read_bytes()
    path.write_bytes(data.draw(mutated(content)))
    assert damage(path) or path.read_bytes() == content
