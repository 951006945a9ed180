import json
import math
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from patchcore_core import InputError, PatchCoreConfig
from patchcore_core.config import check_keys

WRONG = [  # a field, and values that it must not have
    ("backbone", ["", None, 3, ["resnet18"]]),
    ("hierarchies", [[], [3, 2], [2, 2], [-1, 2], [2.0, 3.0], [True, 2], "23", 2, None, ["2"]]),
    ("neighbourhood_size", [0, 2, -3, 3.0, "3", None, True]),
    ("border", ["reflect", "", None, "Zeros"]),
    ("stride", [0, -1, 1.0, None, True]),
    ("dimension", [0, -1, 1024.0, "1024", False]),
    ("sampler", ["kmeans", "", None]),
    ("coreset_fraction", [0, 0.0, -0.1, 1.0001, 10, math.nan, math.inf, None, "0.1", True]),
    ("projection_dimension", [0, -1, 12.5, "128", True]),
    ("search", ["annoy", "", None]),
    ("reweight_neighbours", [0, -1, 2.5, None, True]),
    ("smoothing_sigma", [-0.1, math.nan, math.inf, None, "4", True]),
]
RIGHT = [
    ("backbone", ["resnet18", "wide_resnet50_2.tv_in1k"]),
    ("hierarchies", [(0,), (2,), (1, 2, 3), (1, 4)]),
    ("neighbourhood_size", [1, 3, 9]),
    ("border", ["zeros", "cut"]),
    ("stride", [1, 4]),
    ("dimension", [None, 1, 1024]),
    ("sampler", ["greedy", "random"]),
    ("coreset_fraction", [1e-9, 0.5, 1, 1.0]),
    ("projection_dimension", [None, 1, 128]),
    ("search", ["torch", "faiss"]),
    ("reweight_neighbours", [1, 9]),
    ("smoothing_sigma", [0, 0.0, 4, 2.5]),
]


def flat(table):
    return [(field, value) for field, values in table for value in values]


def message(act, *arguments, **options):
    with pytest.raises(InputError) as caught:
        act(*arguments, **options)
    return str(caught.value)


@pytest.mark.parametrize("table", [WRONG, RIGHT])
def test_every_field_is_tested(table):
    assert [field for field, _ in table] == [field.name for field in fields(PatchCoreConfig)]


@pytest.mark.parametrize(("field", "value"), flat(WRONG))
def test_a_value_out_of_range_is_named(field, value):
    text = message(PatchCoreConfig, **{field: value})
    assert f"  - {field}=" in text
    assert repr(value).strip("[]") in text
    assert "must" in text


@pytest.mark.parametrize(("field", "value"), flat(RIGHT))
def test_a_value_in_range_is_taken(field, value):
    assert getattr(PatchCoreConfig(**{field: value}), field) == value


def test_all_values_out_of_range_are_listed_at_once():
    values = {"neighbourhood_size": 4, "coreset_fraction": 2, "stride": 0, "sampler": "best", "hierarchies": [3, 2]}
    text = message(PatchCoreConfig, **values)
    for field, value in values.items():
        assert f"{field}={value!r}" in text
    assert text.count("  - ") == 5


def test_all_values_of_a_wrong_type_are_listed_at_once():
    text = message(PatchCoreConfig, stride="1", dimension="big")
    assert "stride='1' must be int" in text
    assert "dimension='big' must be int or null" in text


def test_cut_borders_go_with_no_dimension():
    assert PatchCoreConfig(border="cut").dimension is None
    assert "border='cut'" in message(PatchCoreConfig, border="cut", dimension=8)


def test_a_config_cannot_change_and_serves_as_a_key():
    config = PatchCoreConfig(hierarchies=[2, 3])
    with pytest.raises(FrozenInstanceError):
        config.stride = 2
    assert {config: 1}[PatchCoreConfig(hierarchies=(2, 3))] == 1
    assert config != replace(config, stride=2)


def test_a_config_survives_json():
    config = PatchCoreConfig(hierarchies=(1, 2, 3), dimension=64, smoothing_sigma=0)
    values = json.loads(json.dumps(config.to_dict()))
    assert list(values) == [field.name for field in fields(PatchCoreConfig)]
    assert PatchCoreConfig.from_mapping(values) == config


def test_an_unknown_key_is_named_with_its_path_and_the_key_that_it_resembles():
    text = message(PatchCoreConfig.from_mapping, {"coreset_fracton": 0.1, "zzz": 1}, where="variants.mine")
    assert "variants.mine.coreset_fracton (did you mean coreset_fraction?)" in text
    assert "  - variants.mine.zzz\n" in text
    assert "known here: backbone, hierarchies" in text


def test_a_value_out_of_range_is_named_with_its_path():
    text = message(PatchCoreConfig.from_mapping, {"coreset_fraction": 10}, where="variants.mine")
    assert text.startswith("variants.mine is not valid")
    assert "coreset_fraction=10 must lie in (0, 1]" in text


@pytest.mark.parametrize("values", [None, 3, "stride", ["stride"]])
def test_anything_but_a_mapping_is_refused(values):
    assert "here=" in message(check_keys, values, ["stride"], where="here")
