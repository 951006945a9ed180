from dataclasses import fields

import pytest

from patchcore_core import InputError, PatchCoreConfig
from patchcore_suite.baselines.config import METHODS
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.settings import profiles
from patchcore_suite.settings.studies import Study, Variant, check_ensembles, read_study, read_variant

LITE0, WIDE = "tf_efficientnet_lite0", "wide_resnet50_2"


def message(act, *arguments):
    with pytest.raises(InputError) as caught:
        act(*arguments)
    return str(caught.value)


def variant(given, **defaults):
    return read_variant("mine", given, defaults)


def study(given):
    return read_study(given, "datasets.toy.studies.mine", {"one": None, "two": None, "three": None})


def config(read):
    return METHODS[read.method](**read.values)


# Variants


def test_a_variant_is_patchcore_unless_it_says_otherwise():
    assert variant({}) == Variant(values={}, method="patchcore")
    assert variant({"stride": 2}).values == {"stride": 2}


@pytest.mark.parametrize("method", METHODS)
def test_a_variant_names_its_method(method):
    read = variant({"method": method, "backbone": "resnet18"})
    assert (read.method, read.values) == (method, {"backbone": "resnet18"})
    assert isinstance(config(read), METHODS[method])


def test_a_variant_begins_with_the_defaults_of_its_method_alone():
    defaults = {"patchcore": {"stride": 2, "dimension": 8}, "padim": {"dimensions": 5}}
    assert variant({"dimension": 9}, **defaults).values == {"stride": 2, "dimension": 9}
    assert variant({"method": "padim"}, **defaults).values == {"dimensions": 5}
    assert variant({"method": "spade"}, **defaults).values == {}


def test_how_images_are_prepared_is_kept_apart_from_the_method():
    read = variant({"stride": 2, "resize": [64, 48], "crop": None, "masks": "bilinear"})
    assert read.values == {"stride": 2}
    assert read.preprocessing == {"resize": [64, 48], "crop": None, "masks": "bilinear"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (3, ["variants.mine=3 must be a mapping"]),
        (["stride"], ["variants.mine=['stride'] must be a mapping"]),
        ({"method": "patchcor"}, ["variants.mine.method='patchcor' is no method", "known: patchcore", "ensemble"]),
        ({"method": None}, ["variants.mine.method=None is no method"]),
        ({"method": ["spade"]}, ["variants.mine.method=['spade'] is no method"]),
        (
            {"strid": 2, "cropp": 3},
            ["variants.mine.strid (did you mean stride?)", "variants.mine.cropp (did you mean c"],
        ),
        ({"method": "spade", "stride": 2}, ["variants.mine.stride"]),
        ({"method": "spade", "profile": "paper"}, ["variants.mine.profile"]),
        ({"stride": 0, "dimension": 0}, ["variants.mine is not valid", "stride=0 must be", "dimension=0 must be"]),
        ({"method": "padim", "ridge": 0}, ["variants.mine is not valid", "ridge=0 must be above 0"]),
        ({"resize": 64.5}, ["variants.mine is not valid", "resize=64.5 is not a size"]),
        ({"resize": None}, ["variants.mine is not valid", "resize=None is not a size"]),
        ({"crop": 0}, ["variants.mine is not valid", "crop=0 is not a size"]),
        ({"masks": "cubic"}, ["variants.mine is not valid", "masks='cubic' must be one of nearest, bilinear"]),
    ],
)
def test_a_variant_that_cannot_be_used_is_named_with_its_path(given, expected):
    text = message(variant, given)
    for part in expected:
        assert part in text


def test_an_error_of_a_profile_names_the_variant():
    for given, expected in [
        ({"profile": "papre"}, "unknown profiles"),
        ({"profile": None}, "unknown profiles"),
        ({"profile": "paper", "towards": "offical", "switches": 1}, "unknown profiles"),
        ({"profile": "paper", "towards": "official", "switches": 99}, "99 switches from paper to official"),
        ({"profile": "paper", "towards": "official", "switches": -1}, "switches=-1 must be a whole number"),
        ({"profile": "paper", "towards": "official", "switches": "two"}, "switches='two' must be a whole number"),
        ({"profile": "paper", "towards": "official", "switches": True}, "switches=True must be a whole number"),
        ({"profile": "paper", "towards": "official", "switches": None}, "switches=None must be a whole number"),
        ({"profile": "paper", "backbone": ["a"]}, "backbone=('a',) must be str"),
    ]:
        text = message(variant, given)
        assert "variants.mine" in text
        assert expected in text


@pytest.mark.parametrize(
    "given",
    [
        {"profile": "paper", "towards": "official"},
        {"profile": "paper", "switches": 1},
        {"towards": "official", "switches": 1},
        {"towards": "official"},
        {"switches": 1},
    ],
)
def test_the_keys_of_a_profile_go_together(given):
    text = message(variant, given)
    assert f"variants.mine has {', '.join(given)}" in text
    assert "give profile, or profile, towards and switches together" in text


# Profiles


@pytest.mark.parametrize("profile", profiles.PROFILES)
def test_a_profile_sets_the_method_and_the_preparation_of_images(profile):
    read = variant({"profile": profile})
    values, images = profiles.settings(profile, backbone=LITE0)
    assert read == Variant(values=values, preprocessing=images)
    assert isinstance(config(read), PatchCoreConfig)
    assert Preprocessing(**read.preprocessing)


def test_the_way_from_one_profile_to_another_is_gone_switch_by_switch():
    count = len(profiles.steps("paper", "official", backbone=LITE0))
    way = [variant({"profile": "paper", "towards": "official", "switches": k}) for k in range(count + 1)]
    assert way[0] == variant({"profile": "paper"})
    assert way[-1] == variant({"profile": "official"})
    assert len({str(step) for step in way}) == count + 1


def test_what_a_variant_says_goes_before_its_profile_and_its_profile_before_the_defaults():
    read = variant(
        {"profile": "official", "coreset_fraction": 0.5, "score": "reweighted", "resize": 64},
        patchcore={"coreset_fraction": 0.1, "squared_distances": False, "search": "faiss"},
    )
    assert read.values["coreset_fraction"] == 0.5
    assert read.values["score"] == "reweighted"
    assert read.values["squared_distances"] is True
    assert read.values["search"] == "faiss"  # no profile has a say in it
    assert read.preprocessing == {"resize": 64, "crop": 224, "masks": "bilinear"}


def test_a_profile_begins_with_the_backbone_and_dimension_of_the_variant_and_switches_them():
    # anomalib's weights of this network are others; only the authors' code pools to a dimension.
    assert variant({"profile": "paper", "backbone": WIDE}).values["backbone"] == WIDE
    assert variant({"profile": "anomalib", "backbone": WIDE}).values["backbone"] == f"timm/{WIDE}.racm_in1k"
    assert variant({"profile": "anomalib"}, patchcore={"backbone": WIDE}).values["backbone"].startswith("timm/")
    assert variant({"profile": "anomalib", "backbone": "resnet18"}).values["backbone"] == "resnet18"
    assert variant({"profile": "paper", "dimension": 64}).values["dimension"] is None
    assert variant({"profile": "official", "dimension": 64}).values["dimension"] == 64
    assert variant({"profile": "official"}, patchcore={"dimension": 32}).values["dimension"] == 32


# Ensembles


def ensembles(**given):
    """Variants of which `small` and `large` prepare images differently."""
    given = {
        "plain": {},
        "other": {"stride": 2},
        "small": {"resize": 64},
        "small-too": {"resize": 64, "stride": 2},
        "large": {"resize": 128},
        "spade": {"method": "spade"},
        **{name: {"method": "ensemble", "models": models} for name, models in given.items()},
    }
    return {name: read_variant(name, block, {}) for name, block in given.items()}


def test_an_ensemble_names_its_models():
    variants = ensembles(both=["plain", "other"], alike=["small", "small-too"])
    assert variants["both"] == Variant(values={}, method="ensemble", models=("plain", "other"))
    check_ensembles(variants)


def test_ensembles_that_cannot_be_built_are_all_listed():
    text = message(
        check_ensembles,
        ensembles(
            unknown=["plain", "plane"],
            other_method=["plain", "spade"],
            nested=["plain", "unknown"],
            sizes=["small", "large", "plain"],
            alone=["plain"],
            no_name=[{"plain": 1}, 3],
        ),
    )
    assert "variants.unknown.models: 'plane' is no variant of PatchCore" in text
    assert "variants.other_method.models: 'spade' is no variant of PatchCore" in text
    assert "variants.nested.models: 'unknown' is no variant of PatchCore" in text
    assert "variants.sizes.models are prepared differently: {'resize': 128}, {'resize': 64}, {}" in text
    assert "variants.alone.models: 'plain' alone is no ensemble" in text
    assert "variants.no_name.models: {'plain': 1} is no variant of PatchCore" in text
    assert "variants.no_name.models: 3 is no variant of PatchCore" in text
    assert text.count("  - ") == 7


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "variants.mine.models is missing"),
        ({"models": "plain"}, "variants.mine.models='plain' must be a list of one or more different values"),
        ({"models": []}, "variants.mine.models=[] must be a list"),
        (
            {"models": ["plain", "plain"]},
            "variants.mine.models=['plain', 'plain'] must be a list of one or more different",
        ),
        ({"models": ["plain", "other"], "stride": 2}, "variants.mine.stride"),
        ({"models": ["plain", "other"], "resize": 64}, "variants.mine.resize"),
    ],
)
def test_an_ensemble_is_made_of_a_list_of_different_variants_and_nothing_else(given, expected):
    assert expected in message(variant, {"method": "ensemble", **given})


# Studies


def test_a_study_takes_all_categories_and_images_unless_it_says_otherwise():
    assert study({"variants": ["two", "one"], "seeds": [3]}) == Study(
        variants=("two", "one"), seeds=(3,), categories=None, shots=(None,), covering_radius=False
    )
    everything = {
        "variants": ["one"],
        "seeds": [0, 1],
        "categories": ["bolt"],
        "shots": [1, None],
        "covering_radius": True,
    }
    assert set(everything) == {field.name for field in fields(Study)}
    assert study(everything) == Study(
        variants=("one",), seeds=(0, 1), categories=("bolt",), shots=(1, None), covering_radius=True
    )
    assert study({"variants": ["one"], "seeds": [0], "categories": None}).categories is None


def test_a_study_runs_on_all_categories_on_those_it_names_or_on_the_first_ones():
    def chosen(categories):
        return study({"variants": ["one"], "seeds": [0], "categories": categories}).chosen(["bolt", "nut", "gear"])

    assert chosen(None) == ("bolt", "nut", "gear")
    assert chosen(2) == ("bolt", "nut")
    assert chosen(9) == ("bolt", "nut", "gear")
    assert chosen(["gear", "bolt"]) == ("gear", "bolt")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (3, ["datasets.toy.studies.mine=3 must be a mapping"]),
        (None, ["datasets.toy.studies.mine=None must be a mapping"]),
        ({"variant": ["one"]}, ["datasets.toy.studies.mine.variant (did you mean variants?)"]),
        ({}, ["datasets.toy.studies.mine.variants", "datasets.toy.studies.mine.seeds"]),
        ({"variants": "one"}, ["datasets.toy.studies.mine.variants='one' must be a list"]),
        ({"variants": ["one", "one"]}, ["datasets.toy.studies.mine.variants=['one', 'one'] must be a list"]),
        ({"variants": ["four", "one", "five"]}, ["mine.variants: 'four'", "mine.variants: 'five'", "known: one, two"]),
        ({"variants": [["one"]]}, ["mine.variants: ['one']"]),
        ({"seeds": []}, ["datasets.toy.studies.mine.seeds=[] must be a list"]),
        ({"seeds": [0, 0]}, ["datasets.toy.studies.mine.seeds=[0, 0] must be a list of one or more different"]),
        (
            {"seeds": [-1, 1.5, True, None, "0", 2]},
            [f"mine.seeds: {seed}" for seed in ("-1", "1.5", "True", "None", "'0'")],
        ),
        ({"shots": None}, ["datasets.toy.studies.mine.shots=None must be a list"]),
        ({"shots": 5}, ["datasets.toy.studies.mine.shots=5 must be a list"]),
        (
            {"shots": [0, -2, 2.5, True, "5", 7]},
            [f"mine.shots: {count}" for count in ("0", "-2", "2.5", "True", "'5'")],
        ),
        ({"categories": "bolt"}, ["mine.categories: 'bolt'"]),
        ({"categories": 0}, ["mine.categories: 0"]),
        ({"categories": True}, ["mine.categories: True"]),
        ({"categories": []}, ["datasets.toy.studies.mine.categories=[] must be a list"]),
        ({"categories": [1, None]}, ["mine.categories: 1", "mine.categories: None"]),
        ({"covering_radius": 1}, ["datasets.toy.studies.mine.covering_radius: 1"]),
        ({"covering_radius": None}, ["datasets.toy.studies.mine.covering_radius: None"]),
    ],
)
def test_a_study_that_cannot_be_used_is_named_with_the_path_of_its_key(given, expected):
    whole = (
        {"variants": ["one"], "seeds": [0]} | given if isinstance(given, dict) and given.keys() - {"variant"} else given
    )
    text = message(study, whole)
    for part in expected:
        assert part in text


def test_all_values_of_a_study_that_cannot_be_used_are_listed_at_once():
    text = message(
        study,
        {"variants": ["one"], "seeds": [-1, 0], "shots": [0, 1], "categories": [7], "covering_radius": "yes"},
    )
    for part in ("mine.seeds: -1", "mine.shots: 0", "mine.categories: 7", "mine.covering_radius: 'yes'"):
        assert part in text
    assert text.count("  - ") == 4
