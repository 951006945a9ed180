import json
import math
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from patchcore_core import InputError, PatchCoreConfig
from patchcore_suite.baselines.config import (
    METHODS,
    EnsembleConfig,
    MeanImageConfig,
    NearestImagesConfig,
    PadimConfig,
    RandomScoresConfig,
    SpadeConfig,
)

WRONG = [  # a field, and values that it must not have
    ("backbone", ["", None, 3, ["resnet18"]]),
    ("hierarchies", [[], [3, 2], [2, 2], [-1, 2], [2.0, 3.0], [True, 2], "23", 2, None, ["2"]]),
    ("neighbourhood_size", [0, 2, -3, 3.0, "3", None, True]),
    ("border", ["reflect", "", None, "Zeros"]),
    ("stride", [0, -1, 1.0, None, True]),
    ("dimension", [0, -1, 1024.0, "1024", False]),
    ("storage", ["float64", "half", "", None]),
    ("sampler", ["k-means", "", None]),
    ("shards", [0, -1, 2.0, None, True]),
    ("first_pick", ["random", "", None]),
    ("coreset_fraction", [0, 0.0, -0.1, 1.0001, 10, math.nan, math.inf, None, "0.1", True]),
    ("projection_dimension", [0, -1, 12.5, "128", True]),
    ("search", ["annoy", "", None]),
    ("score", ["mean", "", None]),
    ("reweight_neighbours", [0, -1, 2.5, None, True]),
    ("squared_distances", [0, 1, "true", None]),
    ("upsampling", ["bicubic", "", None]),
    ("smoothing_sigma", [-0.1, math.nan, math.inf, None, "4", True]),
]
RIGHT = [
    ("backbone", ["resnet18", "wide_resnet50_2.tv_in1k"]),
    ("hierarchies", [(0,), (2,), (1, 2, 3), (1, 4)]),
    ("neighbourhood_size", [1, 3, 9]),
    ("border", ["zeros", "cut"]),
    ("stride", [1, 4]),
    ("dimension", [None, 1, 1024]),
    ("storage", ["float32", "float16", "bfloat16"]),
    ("sampler", ["greedy", "random", "kmeans", "proxies", "two_round", "merge_reduce", "distance_sampling"]),
    ("shards", [1, 8]),
    ("first_pick", ["drawn", "anchors"]),
    ("coreset_fraction", [1e-9, 0.5, 1, 1.0]),
    ("projection_dimension", [None, 1, 128]),
    ("search", ["torch", "faiss", "faiss-gpu", "ivf", "ivfpq", "hnsw"]),
    ("score", ["max", "reweighted"]),
    ("reweight_neighbours", [1, 9]),
    ("squared_distances", [False, True]),
    ("upsampling", ["bilinear", "nearest"]),
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


# The other methods

OF_METHODS = [  # a configuration, a field of its own, and values that it must not have
    (SpadeConfig, "pooled_hierarchy", [2.5, None, True]),
    (SpadeConfig, "neighbour_images", [0, -1, None, 5.0]),
    (SpadeConfig, "neighbour_pixels", [0, -1, None, "1"]),
    (PadimConfig, "dimensions", [0, -5, None, 100.0]),
    (PadimConfig, "ridge", [0, -0.1, math.nan, None, "0.01"]),
    (NearestImagesConfig, "neighbours", [0, -1, None, True]),
    *((config, "backbone", ["", None]) for config in METHODS.values()),
    *((config, "hierarchies", [[], [3, 2], [-1], None, 2]) for config in METHODS.values()),
    *((config, "smoothing_sigma", [-1, math.nan, math.inf, None, "4"]) for config in (SpadeConfig, PadimConfig)),
    *((config, "smoothing_sigma", [None, "4"]) for config in (RandomScoresConfig, MeanImageConfig)),
]


@pytest.mark.parametrize(
    ("config", "field", "value"), [(config, field, value) for config, field, given in OF_METHODS for value in given]
)
def test_a_value_out_of_range_of_another_method_is_named(config, field, value):
    text = message(config, **{field: value})
    assert text.startswith(f"{config.__name__} cannot be used")
    assert f"  - {field}=" in text


@pytest.mark.parametrize("config", METHODS.values(), ids=METHODS)
def test_every_configuration_survives_json_and_serves_as_a_key(config):
    values = json.loads(json.dumps(config().to_dict()))
    assert list(values) == [field.name for field in fields(config)]
    assert {config.from_mapping(values): 1}[config()] == 1


def test_methods_have_the_names_of_their_configurations():
    assert {name: config.method for name, config in METHODS.items()} == {name: name for name in METHODS}


def test_spade_needs_the_maps_of_its_pyramid_and_of_its_pooled_hierarchy():
    assert SpadeConfig(hierarchies=(2, 3), pooled_hierarchy=4).map_hierarchies == (2, 3, 4)
    assert SpadeConfig(hierarchies=(2, 3), pooled_hierarchy=1).map_hierarchies == (1, 2, 3)
    assert SpadeConfig(hierarchies=(2, 3), pooled_hierarchy=3).map_hierarchies == (2, 3)
    assert PatchCoreConfig(hierarchies=(2, 3)).map_hierarchies == (2, 3)


DESCRIBED = {  # a field, and another value; what is kept of images changes with these and with no others
    PatchCoreConfig: {
        "backbone": "resnet18",
        "hierarchies": (2,),
        "neighbourhood_size": 1,
        "border": "cut",
        "stride": 2,
        "dimension": 8,
        "storage": "float16",
    },
    SpadeConfig: {"backbone": "resnet18", "hierarchies": (2,), "pooled_hierarchy": 0},
    PadimConfig: {"backbone": "resnet18", "hierarchies": (2,), "dimensions": 7},
}
UNDESCRIBED = {
    PatchCoreConfig: {
        "sampler": "random",
        "shards": 4,
        "first_pick": "anchors",
        "coreset_fraction": 0.5,
        "projection_dimension": 8,
        "search": "faiss",
        "score": "reweighted",
        "reweight_neighbours": 5,
        "squared_distances": True,
        "upsampling": "nearest",
        "smoothing_sigma": 1,
    },
    SpadeConfig: {"neighbour_images": 3, "neighbour_pixels": 2, "smoothing_sigma": 1},
    PadimConfig: {"ridge": 1, "smoothing_sigma": 1},
}


@pytest.mark.parametrize("config", DESCRIBED, ids=lambda config: config.method)
def test_a_description_tells_all_that_what_is_kept_of_images_depends_on_and_nothing_else(config):
    assert {*DESCRIBED[config], *UNDESCRIBED[config]} == {field.name for field in fields(config)}
    for field, value in DESCRIBED[config].items():
        assert config(**{field: value}).description(0) != config().description(0), field
    for field, value in UNDESCRIBED[config].items():
        assert config(**{field: value}).description(0) == config().description(0), field


def test_the_seed_is_part_of_a_description_that_is_drawn():
    assert PadimConfig().description(0) != PadimConfig().description(1)
    assert PatchCoreConfig().description(0) == PatchCoreConfig().description(1)


def test_methods_do_not_share_descriptions():
    configs = [config(backbone="resnet18", hierarchies=(2,)) for config in METHODS.values()]
    assert len({json.dumps(config.description(0)) for config in configs}) == len(METHODS)


def test_an_ensemble_is_made_of_at_least_two_models_with_one_smoothing():
    first, second = PatchCoreConfig(), PatchCoreConfig(backbone="resnet18", smoothing_sigma=4)
    ensemble = EnsembleConfig(models=(first, second))
    assert ensemble.members == (first, second)
    assert ensemble.backbone == "tf_efficientnet_lite0 + resnet18"
    assert ensemble.smoothing_sigma == 4
    assert json.loads(json.dumps(ensemble.to_dict()))["models"] == [first.to_dict(), second.to_dict()]
    assert "an ensemble of 1 variants" in message(EnsembleConfig, models=(first,))
    text = message(EnsembleConfig, models=(first, PatchCoreConfig(smoothing_sigma=2)))
    assert "smoothing_sigma=[2, 4.0]" in text


@pytest.mark.parametrize("values", [None, 3, "stride", ["stride"]])
def test_anything_but_a_mapping_is_refused(values):
    assert "here=" in message(PatchCoreConfig.from_mapping, values, where="here")
