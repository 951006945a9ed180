import shutil

import pytest
from PIL import Image
from toy_folders import mvtec_folder

from patchcore_core import InputError
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.parts.data_check import check_data, cut_by, refuse_few, unseen, without_copies
from patchcore_suite.parts.photographs import look_at


@pytest.fixture
def untidy(tmp_path):
    """Three good images, one of them twice and once more among those to test with; a file that is no image."""
    root = mvtec_folder(tmp_path, "bolt") / "bolt"
    shutil.copy(root / "train/good/000.png", root / "train/good/copy.png")
    shutil.copy(root / "train/good/001.png", root / "test/good/seen.png")
    (root / "train/good/notes.txt").write_text("hello")
    return root


def test_a_check_says_what_is_used_what_is_not_and_what_is_there_twice(untidy):
    said = check_data(look_at(untidy))
    assert said.used == {"good, to fit to": 4, "good, to test with": 3, "defect: scratch": 2}
    assert said.masks == 2
    assert list(said.unused) == ["train/good/notes.txt"]
    assert sorted(said.alike) == [
        ("train/good/000.png", "train/good/copy.png"),
        ("train/good/001.png", "test/good/seen.png"),
    ]
    assert said.sizes == {(24, 32): 9}


def test_copies_count_once_and_what_a_model_saw_does_not_test_it(untidy):
    found = look_at(untidy)
    assert [entry.record.image.name for entry in without_copies(found.good)] == ["000.png", "001.png", "002.png"]
    assert "seen.png" not in [entry.record.image.name for entry in unseen(found)]
    assert len(unseen(found)) == 4
    with pytest.raises(InputError, match=r"has 3 different good images(.|\n)*give at least 4: to hold one out"):
        refuse_few(found, 4, "to hold one out")


def test_a_crop_is_told_by_the_area_that_it_keeps_and_the_defects_that_it_cuts(untidy):
    # 24 x 32 pixels with a defect of 4 x 4 in the upper left corner, of which rows and columns 2 and 3 stay.
    found = look_at(untidy)
    cut = cut_by(found, Preprocessing((24, 32), (20, 28)))
    assert cut.kept == pytest.approx(20 * 28 / (24 * 32))
    assert cut.defects == pytest.approx({"test/scratch/000.png": 0.75, "test/scratch/001.png": 0.75})
    assert cut_by(found, Preprocessing((24, 32))).defects == {}
    assert cut_by(found, Preprocessing((24, 32))).kept == 1


def test_a_crop_larger_than_an_image_is_refused(untidy):
    Image.new("RGB", (20, 400)).save(untidy / "train/good/thin.png")
    with pytest.raises(InputError, match="does not fit"):
        cut_by(look_at(untidy), Preprocessing(24, (24, 32)))
