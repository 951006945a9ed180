import pytest

from patchcore_core import InputError, PatchCoreConfig
from patchcore_suite.baselines.config import METHODS
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.settings import profiles
from patchcore_suite.settings.problems import Problems
from patchcore_suite.settings.variants import Variant, read_defaults, read_variant, read_variants
from patchcore_suite.settings.yaml_file import Document

LITE0, WIDE = "tf_efficientnet_lite0", "wide_resnet50_2"


def message(act, *arguments):
    with pytest.raises(InputError) as caught:
        act(*arguments)
    return str(caught.value)


def variant(given, **defaults):
    problems = Problems(Document("params.yaml", {}))
    read = read_variant(given, ("variants", "mine"), defaults, problems)
    problems.raise_any()
    return read


def variants(given):
    problems = Problems(Document("params.yaml", {}))
    read = read_variants(given, {}, problems)
    problems.raise_any()
    return read


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
        ({"method": "patchcor"}, ["variants.mine.method='patchcor' is no method (did you mean patchcore?)"]),
        ({"method": None}, ["variants.mine.method=None is no method; known: patchcore, ", "ensemble"]),
        ({"method": ["spade"]}, ["variants.mine.method=['spade'] is no method"]),
        (
            {"strid": 2, "cropp": 3},
            ["variants.mine.strid (did you mean stride?)", "variants.mine.cropp (did you mean c"],
        ),
        ({"method": "spade", "stride": 2}, ["variants.mine.stride"]),
        ({"method": "spade", "profile": "paper"}, ["variants.mine.profile"]),
        ({"stride": 0, "dimension": 0}, ["variants.mine.stride=0 must be", "variants.mine.dimension=0 must be"]),
        ({"method": "padim", "ridge": 0}, ["variants.mine.ridge=0 must be above 0"]),
        ({"resize": 64.5}, ["variants.mine.resize=64.5 is not a size"]),
        ({"resize": None}, ["variants.mine.resize=None is not a size"]),
        ({"crop": 0}, ["variants.mine.crop=0 is not a size"]),
        ({"masks": "cubic"}, ["variants.mine.masks='cubic' must be one of nearest, bilinear"]),
    ],
)
def test_a_variant_that_cannot_be_used_is_named_with_its_path(given, expected):
    text = message(variant, given)
    for part in expected:
        assert part in text


def test_an_error_of_a_profile_names_the_variant():
    for given, expected in [
        ({"profile": "papre"}, "variants.mine.profile='papre' must be one of paper, official, anomalib"),
        ({"profile": None}, "variants.mine.profile=null must be one of paper"),
        ({"profile": "paper", "towards": "offical", "switches": 1}, "variants.mine.towards='offical' must be one of"),
        (
            {"profile": "paper", "towards": "official", "switches": 99},
            "variants.mine.switches: 99 switches from paper",
        ),
        ({"profile": "paper", "towards": "official", "switches": -1}, "switches=-1 must be a whole number"),
        ({"profile": "paper", "towards": "official", "switches": "two"}, "switches='two' must be a whole number"),
        ({"profile": "paper", "towards": "official", "switches": True}, "switches=true must be a whole number"),
        ({"profile": "paper", "towards": "official", "switches": None}, "switches=null must be a whole number"),
        ({"profile": "paper", "backbone": ["a"]}, "backbone=('a',) must be str"),
    ]:
        text = message(variant, given)
        assert "  - variants.mine" in text
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
    """Ensembles beside variants of which `small` and `large` prepare images differently."""
    return variants(
        {
            "plain": {},
            "other": {"stride": 2},
            "small": {"resize": 64, "crop": 32},
            "small-too": {"crop": 32, "resize": 64, "stride": 2},
            "large": {"resize": 128},
            "sharp": {"smoothing_sigma": 0},
            "spade": {"method": "spade"},
            **{name: {"method": "ensemble", "models": models} for name, models in given.items()},
        }
    )


def test_rotations_are_of_any_method():
    assert variant({"rotations": [0, 45, 22.5]}).rotations == (0, 45, 22.5)
    assert variant({"method": "spade", "rotations": [90]}).rotations == (90,)
    assert variant({"profile": "official", "rotations": [0, 180]}).rotations == (0, 180)
    assert variant({"rotations": None}).rotations == variant({}).rotations == ()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([-45], "variants.mine.rotations[0]=-45 must be an angle in degrees, from 0 up to 360"),
        ([0, 360], "variants.mine.rotations[1]=360 must be an angle"),
        ([float("nan")], "variants.mine.rotations[0]=nan must be an angle"),
        ([float("inf")], "variants.mine.rotations[0]=inf must be an angle"),
        (["45"], "variants.mine.rotations[0]='45' must be an angle"),
        ([True], "variants.mine.rotations[0]=true must be an angle"),
        ([45, 45.0], "variants.mine.rotations=[45, 45.0] must be a list of one or more different values"),
        ([], "variants.mine.rotations=[] must be a list"),
        (45, "variants.mine.rotations=45 must be a list"),
    ],
)
def test_rotations_that_are_no_angles_are_refused(given, expected):
    assert expected in message(variant, {"rotations": given})


def test_an_ensemble_does_without_rotations():
    given = {"a": {"rotations": [0, 90]}, "b": {}, "both": {"method": "ensemble", "models": ["a", "b"]}}
    assert "variants.both.models: rotations, which an ensemble does without: a" in message(variants, given)


def test_an_ensemble_names_its_models():
    read = ensembles(both=["plain", "other"], alike=["small", "small-too"])
    assert read["both"] == Variant(values={}, method="ensemble", models=("plain", "other"))
    assert read["alike"].models == ("small", "small-too")


def test_ensembles_that_cannot_be_built_are_all_listed():
    with pytest.raises(InputError) as caught:
        ensembles(
            unknown=["plain", "plane"],
            other_method=["plain", "spade"],
            nested=["plain", "unknown"],
            sizes=["small", "large", "plain"],
            alone=["plain"],
            no_name=[{"plain": 1}, 3],
            maps=["plain", "sharp"],
        )
    assert caught.value.offenders == (
        "variants.no_name.models[0]={'plain': 1} must be the name of a variant",
        "variants.no_name.models[1]=3 must be the name of a variant",
        "variants.unknown.models[1]='plane' is no variant of PatchCore (did you mean plain?)",
        "variants.other_method.models[1]='spade' is no variant of PatchCore",
        "variants.nested.models[1]='unknown' is no variant of PatchCore",
        "variants.sizes.models are prepared differently: {'crop': 32, 'resize': 64}, {'resize': 128}, {}",
        "variants.alone.models: 'plain' alone is no ensemble",
        "variants.maps.models: an ensemble of maps with smoothing_sigma=[0, 4.0]; choose one",
    )


def test_an_ensemble_says_nothing_of_models_that_are_wrong_themselves():
    text = message(variants, {"a": {"stride": 0}, "b": {}, "both": {"method": "ensemble", "models": ["a", "b"]}})
    assert "variants.a.stride=0" in text
    assert "both" not in text


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


# Defaults and names


def test_defaults_that_are_wrong_are_named_once_and_not_for_each_variant():
    problems = Problems(Document("params.yaml", {}))
    defaults = read_defaults({"patchcore": {"stride": 0}, "spade": {"hierarchies": [1, 2]}}, problems)
    assert defaults == {"spade": {"hierarchies": [1, 2]}}
    assert read_variants({"a": {}, "b": {"dimension": 8}}, defaults, problems).keys() == {"a", "b"}
    text = message(problems.raise_any)
    assert text.count("  - ") == 1
    assert "defaults.patchcore.stride=0 must be at least 1" in text


@pytest.mark.parametrize("name", ["a", "patchcore-1", "greedy-0.1", "hierarchies-1+2", "1-nn", "wide_resnet50-10"])
def test_names_that_files_and_shells_take_are_taken(name):
    assert list(variants({name: {}})) == [name]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "-a", ".a", "a b", "a/b", "a;b", "$a", "a$(b)", "a\n", "é", "a'", 1, None]
)
def test_names_that_would_break_a_file_name_or_a_shell_are_refused(name):
    assert f"variants.{name} is no usable name: use up to 100 letters" in message(variants, {name: {}})
