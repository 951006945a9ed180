import errno
import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from small_networks import SmallPyramid
from torch import nn
from torch.nn.functional import dropout

from patchcore_core import InputError, backbones
from patchcore_core.backbones import backbone_weights, feature_maps, load_backbone
from patchcore_core.common.files import atomic_path
from patchcore_core.config import PIXELS
from patchcore_suite.datasets.images import Batches
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.run import feature_cache, feature_files, fixed_order
from patchcore_suite.run.feature_cache import FeatureCache, MapsOf, network_weights
from patchcore_suite.settings.execution import Execution

LITE0 = "tf_efficientnet_lite0"
PREPROCESSING = Preprocessing(resize=(32, 48))


@pytest.fixture
def records(project):
    return Manifest.read(project.root / "data/toy/manifest.json", base=project.root).records("bolt")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Seven images are several batches."""
    monkeypatch.setattr(fixed_order, "MOST_IMAGES", 3)


@pytest.fixture
def runs(monkeypatch):
    """The numbers of images that go through a network from now on."""
    seen, original = [], backbones.feature_maps

    def counted(network, images):
        seen.append(len(images))
        return original(network, images)

    monkeypatch.setattr(feature_cache, "feature_maps", counted)
    return seen


def cache(folder, *, networks=None, **execution):
    return FeatureCache(folder / "features", Execution(**execution), networks or {})


def maps(of, records, hierarchies=(2, 3), **changes):
    given = {"images_sha256": "images", "preprocessing": PREPROCESSING, "backbone": LITE0} | changes
    name, options = given["backbone"], {"wanted_later": given.pop("wanted_later", ()), "description": None}
    if "weights_sha256" not in given:
        weights = network_weights(of.networks[name]) if name in of.networks else backbone_weights(name)
        given["weights_sha256"] = weights.sha256
    return of.maps(MapsOf(**given), records, hierarchies, **options)


def files(folder):
    return {path.name for path in (folder / "features").iterdir()}


def test_maps_are_those_of_the_network_in_the_order_of_the_records(records, tmp_path):
    found = maps(cache(tmp_path), records)
    (images,) = Batches(records, PREPROCESSING, len(records))
    expected = feature_maps(load_backbone(LITE0, (2, 3)), images)
    assert [fmap.shape for fmap in found] == [(7, 40, 4, 6), (7, 112, 2, 3)]
    for fmap, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(fmap, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))
    assert len(files(tmp_path)) == 2


def test_half_precision_gives_nearly_the_same_maps_and_files_of_its_own(records, tmp_path):
    whole, half = maps(cache(tmp_path), records), maps(cache(tmp_path, precision="bfloat16"), records)
    assert len(files(tmp_path)) == 4
    for fmap, rounded in zip(whole, half, strict=True):
        assert rounded.dtype == np.float32
        assert 0 < np.linalg.norm(fmap - rounded) < 0.2 * np.linalg.norm(fmap)


@pytest.mark.parametrize("asked", [False, True])
def test_a_network_is_compiled_where_that_is_asked_for(asked, records, tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda network: compiled.append(network) or network)
    maps(cache(tmp_path, compile=asked), records)
    assert len(compiled) == asked


def test_maps_that_are_there_cost_no_run(records, tmp_path, runs):
    first = maps(cache(tmp_path), records)
    assert sum(runs) == 7
    again = maps(cache(tmp_path), records)
    assert sum(runs) == 7
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_a_hierarchy_more_costs_a_run_for_it_alone(records, tmp_path, runs):
    maps(cache(tmp_path), records, (2,))
    before = files(tmp_path)
    maps(cache(tmp_path), records, (2, 3))
    assert sum(runs) == 14
    assert len(files(tmp_path) - before) == 1


def test_hierarchies_that_are_wanted_later_are_made_in_the_same_run(records, tmp_path, runs):
    found = maps(cache(tmp_path), records, (3,), wanted_later=(1, 3, 2))
    assert [fmap.shape[1] for fmap in found] == [112]
    assert len(files(tmp_path)) == 3
    maps(cache(tmp_path), records, (1, 2))
    assert sum(runs) == 7


def test_what_is_wanted_later_costs_no_run_of_its_own(records, tmp_path, runs):
    maps(cache(tmp_path), records, (3,))
    maps(cache(tmp_path), records, (3,), wanted_later=(2,))
    assert sum(runs) == 7
    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"images_sha256": "other images"},
        {"preprocessing": Preprocessing(resize=(32, 64))},
        {"preprocessing": Preprocessing(resize=(32, 48), crop=32)},
        {"backbone": "untrained/tf_efficientnet_lite0"},
        {"hierarchies": (4,)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_maps_are_named_by_all_that_determines_them(records, tmp_path, runs, changes):
    maps(cache(tmp_path), records, (3,))
    maps(cache(tmp_path), records, **{"hierarchies": (3,)} | changes)
    assert sum(runs) == 14
    assert len(files(tmp_path)) == 2


def test_maps_are_named_by_the_weights_of_their_network(records, tmp_path, runs):
    for seed in (0, 1):
        maps(cache(tmp_path, networks={"mine": SmallPyramid((3,), seed=seed)}), records, (3,), backbone="mine")
    assert sum(runs) == 14
    assert len(files(tmp_path)) == 2


@pytest.mark.parametrize("name", [PIXELS, "mine"])
def test_maps_of_another_network_than_was_planned_with_are_not_made(records, tmp_path, runs, name):
    own = cache(tmp_path, networks={"mine": SmallPyramid((3,))})
    told = rf"network '{name}' is another one than was planned with: SHA-256 \w{{12}} and not 0123456789ab\nRemedy"
    with pytest.raises(InputError, match=told):
        maps(own, records, (3,), backbone=name, weights_sha256="0123456789abcdef")
    assert runs == []
    assert not (tmp_path / "features").exists()


def test_the_rule_for_masks_has_no_say_in_feature_maps(records, tmp_path, runs):
    maps(cache(tmp_path), records)
    maps(cache(tmp_path), records, preprocessing=Preprocessing(resize=(32, 48), masks="bilinear"))
    assert sum(runs) == 7


@pytest.mark.parametrize(
    ("name", "other"), [("code_fingerprint", lambda *modules: "b"), ("versions", lambda: {"torch": "0"})]
)
def test_other_code_or_libraries_make_maps_anew(records, tmp_path, runs, monkeypatch, name, other):
    maps(cache(tmp_path), records)
    monkeypatch.setattr(feature_cache, name, other)
    maps(cache(tmp_path), records)
    assert sum(runs) == 14


def test_the_cache_keeps_what_is_in_use_and_drops_what_was_used_least_recently(records, tmp_path):
    small = cache(tmp_path, cache_size_gb=0)
    maps(small, records, (2,))
    first = files(tmp_path)
    maps(small, records, (2, 3))
    assert first < files(tmp_path)
    maps(small, records, (1,))
    assert len(files(tmp_path)) == 1


def test_what_is_wanted_later_is_not_dropped_before(records, tmp_path, runs):
    small = cache(tmp_path, cache_size_gb=0)
    maps(small, records, (2,), wanted_later=(2, 3))
    maps(small, records, (3,), wanted_later=(2, 3))
    assert sum(runs) == 7


# Damage, mix-ups, and what killed runs leave


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "harm",
    [
        lambda path, other: flip(path, 400),
        lambda path, other: flip(path, 60),  # in the header
        lambda path, other: flip(path, -1),
        lambda path, other: path.write_bytes(path.read_bytes()[:-100]),
        lambda path, other: path.write_bytes(path.read_bytes() + bytes(64)),
        lambda path, other: path.write_bytes(b""),
        lambda path, other: path.write_bytes(b"no maps"),
        lambda path, other: path.write_bytes(other.read_bytes()),
        lambda path, other: np.save(path, np.zeros((7, 3, 4, 6), np.float32)),
    ],
    ids=["maps", "header", "seal", "truncated", "longer", "empty", "other content", "those of others", "no seal"],
)
def test_maps_that_are_not_what_was_written_are_made_again_with_a_word(records, tmp_path, runs, capsys, harm):
    first = maps(cache(tmp_path), records, (3,), backbone=PIXELS)
    (path,) = (tmp_path / "features").iterdir()
    maps(cache(tmp_path), records, (3,), backbone=PIXELS, images_sha256="others")
    (other,) = set((tmp_path / "features").iterdir()) - {path}
    whole, done = [np.array(fmap) for fmap in first], sum(runs)
    del first
    harm(path, other)
    capsys.readouterr()

    again = maps(cache(tmp_path), records, (3,), backbone=PIXELS)

    assert sum(runs) == done + 7
    assert all(np.array_equal(a, b) for a, b in zip(whole, again, strict=True))
    said = capsys.readouterr().err
    assert said.count("feature maps are made again") == 1
    assert str(path) in said
    maps(cache(tmp_path), records, (3,), backbone=PIXELS)
    assert sum(runs) == done + 7


def test_maps_are_read_once_a_run_for_their_checksum(records, tmp_path, monkeypatch):
    maps(cache(tmp_path), records, backbone=PIXELS)
    read, original = [], feature_files.damage
    monkeypatch.setattr(feature_cache, "damage", lambda path: read.append(path) or original(path))
    again = cache(tmp_path)
    for _ in range(3):
        maps(again, records, backbone=PIXELS)
    assert len(read) == 2  # two hierarchies
    maps(again, records, (4,), backbone=PIXELS)  # just written: nothing to check
    maps(again, records, (4,), backbone=PIXELS)
    assert len(read) == 2


def test_the_room_for_maps_is_taken_before_they_are_computed(records, tmp_path, runs, monkeypatch):
    def full(handle, offset, length):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    need = r"feature maps of 7 images need 1 MiB in .*features, where [\d,]+ MiB are free\nRemedy: make room"
    with pytest.raises(InputError, match=need):
        maps(cache(tmp_path), records, backbone=PIXELS)
    assert runs == [3]  # of seven images
    assert files(tmp_path) == set()


def test_where_a_file_system_cannot_take_room_it_is_looked_for(records, tmp_path, monkeypatch):
    def unsupported(handle, offset, length):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    assert len(maps(cache(tmp_path), records, backbone=PIXELS)) == 2
    free = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)
    with pytest.raises(InputError, match="where 0 MiB are free"):
        maps(cache(tmp_path), records, (4,), backbone=PIXELS)


def test_a_disk_that_becomes_full_later_is_named_too(records, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", lambda *arguments: None)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    own = cache(tmp_path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))
    try:
        with pytest.raises(
            InputError, match=r"features/\w+\.npy cannot be written: File too large; [\d,]+ MiB are free"
        ):
            maps(own, records, (2,), backbone=PIXELS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(tmp_path) == set()


def test_what_a_killed_run_left_is_dropped_and_what_a_live_one_writes_is_not(records, tmp_path):
    (tmp_path / "features").mkdir()
    dead = tmp_path / "features/.dead.npy"
    dead.write_bytes(b"half")
    with atomic_path(tmp_path / "features/live.npy") as live:
        maps(cache(tmp_path), records, (3,), backbone=PIXELS)
        assert not dead.exists()
        assert live.exists()


def test_a_store_that_can_only_be_read_is_read(records, tmp_path, runs, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(arguments[0]))

    first = maps(cache(tmp_path), records, backbone=PIXELS)
    for owner, name in ((os, "utime"), (Path, "unlink")):
        monkeypatch.setattr(owner, name, refuse)
    again = maps(cache(tmp_path, cache_size_gb=0), records, backbone=PIXELS)
    assert sum(runs) == 7
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


# Networks of the caller's


def test_a_network_of_the_callers_is_asked_for_all_of_its_maps(records, tmp_path, runs):
    network = SmallPyramid((1, 2, 3))
    own = cache(tmp_path, networks={"mine": network})
    sha256 = network_weights(network).sha256
    found = maps(own, records, (1, 2, 3), backbone="mine", weights_sha256=sha256, wanted_later=(4,))
    (images,) = Batches(records, PREPROCESSING, len(records))
    for fmap, wanted in zip(found, feature_maps(network, images), strict=True):
        np.testing.assert_allclose(fmap, wanted, rtol=1e-4, atol=1e-6)
    sorted((tmp_path / "features").iterdir())[0].unlink()
    again = maps(own, records, (1, 2, 3), backbone="mine", weights_sha256=sha256)
    assert sum(runs) == 14
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))


def test_a_network_that_returns_another_number_of_maps_is_refused_and_leaves_nothing(records, tmp_path):
    own = cache(tmp_path, networks={"mine": SmallPyramid((1, 2))})
    with pytest.raises(InputError, match=r"network 'mine' returned 2 feature maps for hierarchies=\[1, 2, 3\]"):
        maps(own, records, (1, 2, 3), backbone="mine")
    assert not (tmp_path / "features").exists() or files(tmp_path) == set()


def test_maps_of_other_hierarchies_of_a_network_are_other_maps(records, tmp_path):
    # Nothing says which of two maps is that of hierarchy 2.
    own = cache(tmp_path, networks={"mine": SmallPyramid((2,))})
    maps(own, records, (2,), backbone="mine")
    maps(own, records, (3,), backbone="mine")
    assert len(files(tmp_path)) == 2


class Growing(nn.Module):
    """Its maps grow from the fourth run on: three images, the first of them twice again, and then the next ones."""

    runs = 0

    def forward(self, images):
        self.runs += 1
        return [images[:, :, : 16 if self.runs < 4 else 24]]


class Drifting(nn.Module):
    """From its fourth run on it gives other maps."""

    runs = 0

    def forward(self, images):
        self.runs += 1
        return [images if self.runs < 4 else images * 2]


class Dropping(nn.Module):
    def forward(self, images):
        return [dropout(images, 0.1, training=True)]


class Counting(nn.Module):
    """It writes down what has no say in its maps."""

    runs = 0

    def forward(self, images):
        self.runs += 1
        return [images * 2]


def test_maps_that_change_their_shape_are_refused(records, tmp_path):
    with pytest.raises(InputError, match=r"maps of \(3, 24, 48\) after maps of \(3, 16, 48\)"):
        maps(cache(tmp_path, networks={"mine": Growing()}), records, (1,), backbone="mine")


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        (Dropping(), "gives other feature maps when an image comes again, or alone"),
        (Drifting(), "gives other feature maps of the first image after the last one"),
    ],
)
def test_maps_that_follow_chance_or_earlier_images_are_not_kept(records, tmp_path, network, problem):
    with pytest.raises(InputError, match=f"network 'mine' {problem}\nRemedy: let maps depend on their image only"):
        maps(cache(tmp_path, networks={"mine": network}), records, (1,), backbone="mine")
    assert files(tmp_path) == set()


def test_what_a_network_writes_down_in_itself_makes_it_no_other(records, tmp_path):
    network = Counting()
    own, sha256 = cache(tmp_path, networks={"mine": network}), network_weights(network).sha256
    for images in ("images", "others"):
        given = {"backbone": "mine", "weights_sha256": sha256, "images_sha256": images}
        assert len(maps(own, records, (1,), **given)) == 1
    assert network.runs > 6


# What tells networks apart


class Scaled(nn.Module):
    factor = 2

    def __init__(self, start=1.0):
        super().__init__()
        self.start = nn.Parameter(torch.tensor(start))

    def forward(self, images):
        return [images * self.start * 2]


def sha256(network):
    return network_weights(network).sha256


def test_equal_networks_are_one_and_others_are_not():
    assert sha256(Scaled()) == sha256(Scaled())
    assert sha256(Scaled()) != sha256(Scaled(2.0))
    assert sha256(SmallPyramid((1, 2))) != sha256(SmallPyramid((1, 2), seed=1))
    assert sha256(nn.Sequential(nn.Conv2d(3, 4, 3))) != sha256(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    assert network_weights(Scaled()).path is None


def test_training_mode_does_not_tell_networks_apart():
    assert sha256(Scaled().train()) == sha256(Scaled().eval())


def test_what_a_network_does_tells_it_from_another_with_the_same_parts():
    def class_of(code):
        names = {"nn": nn, "torch": torch}
        exec(f"class Mine(nn.Module):\n    def forward(self, images):\n        {code}", names)
        return names["Mine"]()

    one = sha256(class_of("return [images * 2]"))
    assert sha256(class_of("# as before\n        return [images * 2]")) == one
    assert sha256(class_of("return [images * 3]")) != one
    assert sha256(class_of("return [images + 2]")) != one
    assert sha256(class_of("return [torch.abs(images * 2)]")) != one
    assert sha256(class_of("return [part * 2 for part in [images]]")) != sha256(
        class_of("return [part * 3 for part in [images]]")
    )
    assert sha256(nn.Sequential(class_of("return [images * 3]"))) != sha256(
        nn.Sequential(class_of("return [images * 2]"))
    )


def test_a_function_cannot_be_told_from_another_and_is_refused():
    with pytest.raises(InputError, match=r"is no nn\.Module"):
        network_weights(lambda images: [images])
