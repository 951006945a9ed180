from pathlib import Path

import pytest
from short_stand_ins import draw
from toy_folders import mvtec_folder

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.identity import PAPER_NAMES, check_identity, completeness, extent
from patchcore_suite.datasets.inspection import build_manifest
from patchcore_suite.datasets.layouts import spec_type
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.datasets.paper_counts import MSTC_SCENES, MVTEC, PAPER_COUNTS, known_manifest
from patchcore_suite.datasets.records import NOMINAL, Entry, Record
from patchcore_suite.datasets.spec import DatasetSpec

REAL = Path(__file__).parents[4] / "shared" / "data"


def manifest(paper, counts, *, layout="mvtec", source="folder", division=None):
    """A manifest of made-up files, with (training, nominal test, anomalous test) images of each category."""
    entries = {}
    for category, (train, nominal, anomalous) in counts.items():
        kinds = [("train", 0)] * train + [("test", 0)] * nominal + [("test", 1)] * anomalous
        entries[category] = tuple(
            Entry(Record(Path("x"), category, split, label, "dent" if label else NOMINAL), (8, 8), "", None)
            for split, label in kinds
        )
    return Manifest(
        name="mine",
        layout=layout,
        paper=paper,
        source=source,
        root=Path(),
        division=division or {},
        warnings=(),
        entries=entries,
    )


def complete_mvtec():
    return {category: counts[:3] for category, counts in MVTEC.items()}


def refusal(found):
    with pytest.raises(InputError) as caught:
        check_identity(found)
    return str(caught.value)


# MVTec AD


def test_all_of_mvtec_ad_is_complete():
    found = manifest("mvtec-ad", complete_mvtec())
    check_identity(found)
    assert set(completeness(found).values()) == {"complete"}
    assert extent(found) == "complete"


def test_some_categories_are_complete_and_the_dataset_is_reduced():
    found = manifest("mvtec-ad", {"bottle": (209, 20, 63), "screw": (320, 41, 118)})
    check_identity(found)
    assert completeness(found) == {"bottle": "complete", "screw": "reduced"}
    assert extent(found) == "reduced"
    assert extent(manifest("mvtec-ad", {"bottle": (209, 20, 63)})) == "reduced"


def test_a_category_that_mvtec_ad_does_not_have_is_named_with_the_remedy():
    text = refusal(manifest("mvtec-ad", complete_mvtec() | {"washer": (9, 2, 2)}))
    assert text.startswith("the images of mine are not those of MVTec AD")
    assert "  - washer: MVTec AD has no such category, but bottle, cable, " in text
    assert "Remedy: set datasets.mine.paper to null" in text


def test_more_images_than_mvtec_ad_has_are_all_named_with_their_numbers():
    text = refusal(manifest("mvtec-ad", {"bottle": (210, 21, 64), "cable": (224, 58, 92), "wood": (248, 1, 1)}))
    assert "  - bottle: 210 training images, but MVTec AD has 209" in text
    assert "  - bottle: 21 nominal test images, but MVTec AD has 20" in text
    assert "  - bottle: 64 anomalous test images, but MVTec AD has 63" in text
    assert "  - wood: 248 training images, but MVTec AD has 247" in text
    assert "cable" not in text


# MTD


@pytest.mark.parametrize("train", [762, 761, 500])
def test_the_division_of_mtd_is_free_and_its_sums_are_not(train):
    found = manifest("mtd", {"mtd": (train, 952 - train, 392)}, layout="mtd")
    check_identity(found)
    assert completeness(found) == {"mtd": "complete"}
    assert extent(found) == "complete"


def test_a_part_of_mtd_is_reduced_and_more_than_mtd_is_refused():
    assert extent(manifest("mtd", {"mtd": (700, 100, 392)})) == "reduced"
    text = refusal(manifest("mtd", {"mtd": (762, 191, 393)}))
    assert "  - mtd: 953 nominal images, but MTD has 952" in text
    assert "  - mtd: 393 anomalous images, but MTD has 392" in text
    assert "washer: MTD has no such category, but mtd" in refusal(manifest("mtd", {"washer": (3, 2, 2)}))


# mSTC


def test_mstc_is_complete_with_every_fifth_frame_of_twelve_scenes():
    scenes = dict.fromkeys(MSTC_SCENES, (5, 2, 2))
    found = manifest("mstc", scenes, layout="mstc", division={"every": 5})
    check_identity(found)
    assert extent(found) == "complete"
    assert extent(manifest("mstc", scenes, layout="mstc", division={"every": 25})) == "reduced"
    few = manifest("mstc", {"01": (5, 2, 2)}, layout="mstc", division={"every": 5})
    check_identity(few)
    assert (completeness(few), extent(few)) == ({"01": "complete"}, "reduced")


def test_a_scene_that_mstc_does_not_have_is_refused():
    assert "13: mSTC has no such category, but 01, 02" in refusal(manifest("mstc", {"13": (5, 2, 2)}, layout="mstc"))


# Own and synthetic images


def test_a_dataset_that_says_nothing_is_none_of_the_papers_whatever_its_images():
    found = manifest(None, complete_mvtec())
    check_identity(found)
    assert (completeness(found), extent(found)) == ({}, "own")


def test_synthetic_images_stand_in_for_any_dataset():
    found = manifest("mvtec-ad", {"board": (900, 9, 9)}, source="synthetic")
    check_identity(found)
    assert extent(found) == "synthetic"
    assert completeness(found) == {"board": "reduced"}


# Where it is checked


def test_a_manifest_of_other_images_is_not_built(tmp_path):
    root = mvtec_folder(tmp_path, "washer")
    with pytest.raises(
        InputError, match=r"images of toy are not those of MVTec AD(.|\n)*washer(.|\n)*toy\.paper to null"
    ):
        build_manifest("toy", root, DatasetSpec(source=str(root), layout="mvtec", paper="mvtec-ad"))
    assert build_manifest("toy", root, DatasetSpec(source=str(root), layout="mvtec")).paper is None


def test_a_folder_with_the_papers_images_is_the_papers_dataset(tmp_path, monkeypatch):
    monkeypatch.setitem(PAPER_COUNTS, "mvtec-ad", {"bolt": (3, 2, 2, 24), "nut": (3, 2, 2, 24)})
    mvtec_folder(tmp_path / "images", "bolt")
    mvtec_folder(tmp_path / "images", "nut")
    spec = DatasetSpec(source="x", layout="mvtec", paper="mvtec-ad")
    build_manifest("toy", tmp_path / "images", spec).write(tmp_path / "manifest.json")
    read = Manifest.read(tmp_path / "manifest.json")
    assert (read.paper, extent(read)) == ("mvtec-ad", "complete")


@pytest.mark.slow
@pytest.mark.parametrize("paper", PAPER_NAMES)
def test_a_stand_in_carries_the_name_of_what_it_stands_in_for(tmp_path, paper):
    layout = paper.removesuffix("-ad")
    draw(layout, tmp_path / "images")
    spec = spec_type(layout)(source="synthetic", layout=layout, paper=paper)
    assert extent(build_manifest("toy", tmp_path / "images", spec)) == "synthetic"


def test_what_the_paper_is_known_to_have_is_complete():
    for paper in PAPER_COUNTS:
        spec = DatasetSpec(source="x", layout="mvtec", paper=paper)
        assert extent(known_manifest("x", spec)) == "complete"


def test_an_unknown_paper_is_refused():
    with pytest.raises(InputError, match="paper='mvtec' must be null, or one of mvtec-ad, mtd, mstc"):
        DatasetSpec(source="x", layout="mvtec", paper="mvtec")


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real images in {REAL}")
@pytest.mark.parametrize(("folder", "paper", "extents"), [("mtd", "mtd", "complete"), ("mvtec", "mvtec-ad", "reduced")])
def test_real_images_are_those_of_the_paper(folder, paper, extents):
    categories = ["bottle"] if folder == "mvtec" else None
    spec = spec_type(folder)(source=str(REAL / folder), layout=folder, paper=paper, categories=categories)
    found = build_manifest(folder, REAL / folder, spec)
    assert extent(found) == extents
    assert "complete" in completeness(found).values()
