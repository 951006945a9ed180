from itertools import pairwise

import pytest
from toy_folders import mvtec_folder

from patchcore_core import InputError
from patchcore_suite.datasets.inspection import build_manifest
from patchcore_suite.datasets.layouts import scan
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.datasets.noise import with_noise
from patchcore_suite.datasets.records import Record
from patchcore_suite.datasets.spec import DatasetSpec


def spec(noise=0.0, **changes):
    return DatasetSpec(**{"source": "images", "layout": "mvtec", "noise": noise} | changes)


def records(tmp_path, *categories, nominal=6, anomalous=20):
    found = []
    for category in categories:
        folder = tmp_path / category
        found += [Record(folder / f"train/{i}.png", category, "train", 0, "good") for i in range(nominal)]
        found += [Record(folder / f"test/good/{i}.png", category, "test", 0, "good") for i in range(nominal)]
        found += [Record(folder / f"test/cut/{i}.png", category, "test", 1, "cut") for i in range(anomalous)]
    return found


def moved(given, noise, **changes):
    return {r.image for r in with_noise(given, spec(noise, **changes)).records if r.split == "train" and r.label}


def test_a_share_of_each_category_is_moved_and_nothing_else(tmp_path):
    given = records(tmp_path, "bolt", "nut")
    found = with_noise(given, spec(0.1)).records
    assert [(r.image, r.label, r.defect) for r in found] == [(r.image, r.label, r.defect) for r in given]
    for category in ("bolt", "nut"):
        train = [r for r in found if r.category == category and r.split == "train"]
        assert [r.label for r in train].count(1) == 2
        assert [r.label for r in train].count(0) == 6
        assert sum(r.split == "test" for r in found if r.category == category) == 6 + 18


def test_the_draw_follows_from_seed_and_category_and_a_larger_share_holds_a_smaller_one(tmp_path):
    given = records(tmp_path, "bolt", "nut")
    shares = [moved(given, noise) for noise in (0.05, 0.1, 0.2, 0.4)]
    assert [len(found) for found in shares] == [2, 4, 8, 16]
    assert all(small < large for small, large in pairwise(shares))
    assert moved(given[::-1], 0.4) == shares[-1]  # whatever the order
    assert moved(given, 0.4, seed=1) != shares[-1]
    bolts, nuts = ({path.name for path in shares[-1] if category in path.parts} for category in ("bolt", "nut"))
    assert bolts != nuts
    assert moved(records(tmp_path, "bolt"), 0.4) == {path for path in shares[-1] if "bolt" in path.parts}


def test_a_share_of_less_than_half_an_image_is_refused(tmp_path):
    given = records(tmp_path, "bolt") + records(tmp_path, "nut", anomalous=60)
    assert with_noise(given, spec(0.02)).problems == ["noise=0.02 moves none of 20 anomalous test images: bolt"]
    assert with_noise(given, spec(0.03)).problems == []  # 0.6 and 1.8: one and two


def test_the_manifest_records_the_draw(tmp_path):
    mvtec_folder(tmp_path / "images", "bolt")
    plain, noisy = (build_manifest("toy", tmp_path / "images", spec(noise)) for noise in (0.0, 0.5))
    assert (plain.division, noisy.division) == ({}, {"noise": 0.5, "noise_seed": 0})
    noisy.write(tmp_path / "manifest.json")
    read = Manifest.read(tmp_path / "manifest.json")
    assert read == noisy
    train, test = read.records("bolt", "train"), read.records("bolt", "test")
    assert {r.label for r in train} == {0, 1}
    assert {r.image for r in train if r.label} == {r.image for r in plain.records("bolt", "test")} - {
        r.image for r in test
    }
    assert read.digest("bolt") != plain.digest("bolt")


def test_noise_that_leaves_no_anomalous_image_for_test_is_a_problem(tmp_path):
    mvtec_folder(tmp_path / "images", "bolt")
    assert any("noise=0.9 leaves none of" in text for text in scan(tmp_path / "images", spec(0.9)).problems)
    with pytest.raises(InputError, match=r"noise=0.9 leaves none of \d anomalous test images: bolt"):
        build_manifest("toy", tmp_path / "images", spec(0.9))


@pytest.mark.parametrize("noise", [-0.1, 1.0, 1.5, "0.1", True, False, None])
def test_shares_that_are_none_are_refused(noise):
    with pytest.raises(InputError, match=r"noise=.* must be a number from 0 up to 1"):
        spec(noise)


def test_what_has_noise_is_none_of_the_papers_datasets():
    with pytest.raises(InputError, match="unless paper is null"):
        spec(0.1, paper="mvtec-ad")
    assert spec(0, paper="mvtec-ad").noise == 0
