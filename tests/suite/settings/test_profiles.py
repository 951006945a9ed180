from dataclasses import fields

import pytest

from patchcore_core import InputError
from patchcore_core.config import PatchCoreConfig
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.settings import profiles
from patchcore_suite.settings.profiles import PROFILES, settings, steps, switched

SMALL, LARGE = "tf_efficientnet_lite0", "wide_resnet50_2"
each_pair = pytest.mark.parametrize(("start", "end"), [(a, b) for a in PROFILES for b in PROFILES])
each_backbone = pytest.mark.parametrize("backbone", [SMALL, LARGE, "resnet18"])


def names(*way, backbone=LARGE):
    return [switch.name for switch in steps(*way, backbone=backbone)]


@each_backbone
@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_is_a_valid_configuration(profile, backbone):
    config, images = settings(profile, backbone=backbone)
    assert PatchCoreConfig(**config).backbone.removeprefix("timm/").startswith(backbone)
    Preprocessing(**images)


def test_a_profile_leaves_open_what_a_variant_is_about():
    config, images = settings("paper", backbone=SMALL)
    left = {field.name for field in fields(PatchCoreConfig)} - set(config)
    assert left == {"hierarchies", "coreset_fraction", "search", "shards", "storage"}  # greedy has no shards
    assert set(images) == {field.name for field in fields(Preprocessing)}


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_do_not_depend_on_the_defaults(profile):
    assert all(set(settings(profile, backbone=SMALL)[0]) == set(settings(name, backbone=SMALL)[0]) for name in PROFILES)


def test_the_paper_by_hand():
    config, images = settings("paper", backbone=LARGE)
    assert images == {"resize": 256, "crop": 224, "masks": "nearest"}
    assert (config["backbone"], config["dimension"], config["first_pick"]) == (LARGE, None, "drawn")
    assert (config["score"], config["reweight_neighbours"]) == ("reweighted", 3)
    assert (config["squared_distances"], config["upsampling"]) == (False, "bilinear")


def test_the_authors_code_by_hand():
    config, images = settings("official", backbone=LARGE)
    assert images == {"resize": 256, "crop": 224, "masks": "bilinear"}
    assert (config["backbone"], config["dimension"], config["first_pick"]) == (LARGE, 1024, "anchors")
    assert (config["score"], config["squared_distances"], config["upsampling"]) == ("max", True, "bilinear")


def test_anomalib_by_hand():
    config, images = settings("anomalib", backbone=LARGE)
    assert images == {"resize": (256, 256), "crop": None, "masks": "nearest"}
    assert (config["backbone"], config["dimension"]) == ("timm/wide_resnet50_2.racm_in1k", None)
    assert (config["score"], config["reweight_neighbours"]) == ("reweighted", 9)
    assert (config["squared_distances"], config["upsampling"], config["first_pick"]) == (False, "nearest", "drawn")


@pytest.mark.parametrize(
    ("backbone", "given", "expected"),
    [(LARGE, None, 1024), ("resnet18", None, 1024), (SMALL, None, 152), (SMALL, 64, 64), (LARGE, 384, 384)],
)
def test_the_dimension_of_the_authors_pooling_suits_the_backbone(backbone, given, expected):
    config, _ = settings("official", backbone=backbone, dimension=given)
    assert config["dimension"] == expected
    way, _ = switched("paper", "official", 1, backbone=backbone, dimension=given)
    assert way["dimension"] == expected


def test_steps_follow_the_way_of_the_data():
    assert names("paper", "official") == ["pooling", "first pick", "distances", "image score", "masks"]
    assert names("paper", "anomalib") == ["image size", "weights", "projection", "image score", "upsampling"]
    assert names("official", "anomalib") == [
        "image size",
        "weights",
        "pooling",
        "projection",
        "first pick",
        "distances",
        "image score",
        "upsampling",
        "masks",
    ]


@pytest.mark.parametrize("backbone", [SMALL, "resnet18", "timm/wide_resnet50_2.racm_in1k"])
def test_only_the_papers_backbone_has_weights_to_switch(backbone):
    assert "weights" not in names("paper", "anomalib", backbone=backbone)
    assert {settings(profile, backbone=backbone)[0]["backbone"] for profile in PROFILES} == {backbone}


@each_backbone
@each_pair
def test_the_way_leads_from_one_profile_to_the_other(start, end, backbone):
    thrown = steps(start, end, backbone=backbone)
    assert switched(start, end, 0, backbone=backbone) == settings(start, backbone=backbone)
    assert switched(start, end, len(thrown), backbone=backbone) == settings(end, backbone=backbone)
    assert bool(thrown) == (start != end)


@each_backbone
@each_pair
def test_each_step_changes_its_own_fields_and_no_others(start, end, backbone):
    before = switched(start, end, 0, backbone=backbone)
    for count, switch in enumerate(steps(start, end, backbone=backbone), start=1):
        after = switched(start, end, count, backbone=backbone)
        PatchCoreConfig(**after[0])
        old, new = before[0] | before[1], after[0] | after[1]
        changed = {name for name in old if old[name] != new[name]}
        assert changed
        assert changed <= set(switch.fields)
        assert {name: new[name] for name in switch.fields} == dict(switch.values[end])
        before = after


@each_pair
def test_the_way_back_throws_the_same_switches(start, end):
    assert names(start, end) == names(end, start)


def test_every_switch_says_what_it_changes_for_each_profile():
    switches = steps("official", "anomalib", backbone=LARGE)
    assert len({switch.name for switch in switches}) == len(switches)
    owners = [name for switch in switches for name in switch.fields]
    assert len(set(owners)) == len(owners)  # one switch a field
    for switch in switches:
        assert switch.changes
        assert tuple(switch.values) == PROFILES
        assert all(tuple(values) == switch.fields for values in switch.values.values())


def test_unknown_profiles_are_all_named_with_the_known_ones():
    with pytest.raises(InputError) as caught:
        steps("papper", "amazon", backbone=SMALL)
    assert all(part in str(caught.value) for part in ("'papper'", "'amazon'", "known: paper, official, anomalib"))
    with pytest.raises(InputError, match="known: paper, official, anomalib"):
        settings("", backbone=SMALL)


@pytest.mark.parametrize("count", [-1, 6, 100])
def test_a_number_of_switches_that_there_are_not_is_refused(count):
    with pytest.raises(InputError, match="from 0 to 5"):
        switched("paper", "official", count, backbone=SMALL)


def test_what_is_returned_can_be_changed_without_harm():
    config, images = settings("paper", backbone=SMALL)
    config.clear()
    images.clear()
    assert settings("paper", backbone=SMALL)[0]["stride"] == profiles.SHARED["stride"] == 1
