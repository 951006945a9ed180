import pytest
from PIL import Image
from toy_folders import mstc_folder, mtd_folder, mvtec_folder, save_image

from patchcore_core import InputError
from patchcore_suite.parts.photographs import look_at, named


def folder_of(root, *names):
    for number, name in enumerate(names):
        save_image(root / name, seed=number)
    return root


def names(entries):
    return [entry.record.image.name for entry in entries]


def test_a_folder_of_images_is_a_folder_of_good_ones(tmp_path):
    folder_of(tmp_path, "b.png", "a.JPG")
    (tmp_path / "notes.txt").write_text("of the day")
    (tmp_path / ".hidden.png").write_bytes(b"")
    found = look_at(tmp_path)
    assert names(found.good) == ["a.JPG", "b.png"]
    assert found.tested == ()
    assert found.unused == {"notes.txt": "no image of a kind that is read", ".hidden.png": "hidden"}


def test_folders_beside_that_of_good_images_hold_defects(tmp_path):
    folder_of(tmp_path, "ok/1.png", "scratch/2.png", "dent/3.png", "4.png", "scratch/deeper/5.png")
    found = look_at(tmp_path, good="ok")
    assert names(found.good) == ["1.png"]
    assert [(entry.record.defect, entry.record.label) for entry in found.tested] == [("dent", 1), ("scratch", 1)]
    assert found.unused == {"4.png": "in no folder of a kind", "scratch/deeper/5.png": "in no folder of a kind"}
    (tmp_path / "ok").rename(tmp_path / "good")
    assert names(look_at(tmp_path).good) == ["1.png"]


def test_a_category_as_mvtec_ad_has_it_brings_its_masks(tmp_path):
    mvtec_folder(tmp_path, "bolt")
    found = look_at(tmp_path / "bolt")
    assert all("train" in entry.record.image.parts for entry in found.good)
    assert {entry.record.defect for entry in found.tested} == {"good", "scratch"}
    assert all(entry.record.mask for entry in found.tested if entry.record.label)


def test_folders_whose_good_ones_nobody_named_are_not_guessed_at(tmp_path):
    folder_of(tmp_path, "fine/1.png", "broken/2.png")
    with pytest.raises(InputError, match="cannot be told") as error:
        look_at(tmp_path)
    assert error.value.offenders == ("broken", "fine")
    assert len(look_at(tmp_path, good=".").good) == 2
    with pytest.raises(
        InputError, match="no folder 'ok' of good images\nRemedy: name one of its folders: broken, fine"
    ):
        look_at(tmp_path, good="ok")
    folder_of(tmp_path / "flat", "1.png")
    with pytest.raises(InputError, match=r"no folder 'ok' of good images\nRemedy: good=. takes all its images"):
        look_at(tmp_path / "flat", good="ok")


def test_all_images_that_cannot_be_used_are_named(tmp_path):
    folder_of(tmp_path, "1.png", "2.png", "3.png")
    for name in ("2.png", "3.png"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:80])
    with pytest.raises(InputError, match="cannot be used as they are") as error:
        look_at(tmp_path)
    assert [name in str(error.value) for name in ("1.png", "2.png", "3.png")] == [False, True, True]


def test_what_is_worth_knowing_is_said(tmp_path):
    folder_of(tmp_path, "good/1.png", "bad/2.png")
    (tmp_path / "good/copy.png").write_bytes((tmp_path / "good/1.png").read_bytes())
    (tmp_path / "bad/same.png").write_bytes((tmp_path / "good/1.png").read_bytes())
    Image.new("RGB", (50, 40)).save(tmp_path / "good/wide.png")
    said = " ".join(look_at(tmp_path).remarks)
    assert "1 good images are there twice" in said
    assert "1 test images are among the good ones" in said
    assert "2 sizes" in said


def test_an_empty_folder_and_none_are_told(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        look_at(tmp_path / "nothing")
    (tmp_path / "a.mp3").write_bytes(b"")
    with pytest.raises(InputError, match=r"holds no image(.|\n)*a\.mp3"):
        look_at(tmp_path)


def test_files_and_folders_are_named_together_and_each_counts_once(tmp_path):
    folder_of(tmp_path, "1.png", "deep/er/2.png")
    found = named([tmp_path / "1.png", tmp_path])
    assert [path.name for path in found] == ["1.png", "2.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no such file(.|\n)*no image in"):
        named([tmp_path / "3.png", tmp_path / "empty"])


def test_masks_among_images_are_not_learnt_as_good_parts(tmp_path):
    folder_of(tmp_path, "1.jpg", "1.png", "2.png", "2_mask.png", "3.png")
    with pytest.raises(InputError, match="cannot be used") as error:
        look_at(tmp_path)
    assert "1.jpg" in str(error.value)
    assert "2_mask.png" in str(error.value)
    assert "3.png" not in str(error.value)


def test_a_folder_may_lie_as_a_known_dataset_does(tmp_path):
    found = look_at(mtd_folder(tmp_path), layout="mtd")
    assert len(found.good) == 8
    assert {entry.record.defect for entry in found.tested} == {"good", "blowhole"}
    assert all(entry.record.mask for entry in found.tested)


def test_a_model_is_of_one_category_of_images(tmp_path):
    both = mvtec_folder(mvtec_folder(tmp_path / "both", "bolt"), "nut")
    assert len(look_at(both, layout="mvtec", category="nut").good) == 3
    assert len(look_at(both, category="bolt").good) == 3
    with pytest.raises(InputError, match="several categories") as error:
        look_at(both, layout="mvtec")
    assert error.value.offenders == ("bolt", "nut")
    with pytest.raises(InputError, match="no category screw in the layout mvtec"):
        look_at(both, layout="mvtec", category="screw")
    with pytest.raises(InputError, match="no images in the layout mtd"):
        look_at(both, layout="mtd")
    with pytest.raises(InputError, match="did you mean mtd"):
        look_at(both, layout="mtdd")
    with pytest.raises(InputError, match="layout='' must be one of"):
        look_at(both, layout="", category="nut")
    with pytest.raises(InputError, match="says which images are good"):
        look_at(both, layout="mvtec", category="nut", good="ok")
    with pytest.raises(InputError, match="not to videos"):
        look_at(mstc_folder(tmp_path / "street"), layout="mstc")


def test_images_too_small_to_show_a_part_are_not_learnt_as_one(tmp_path):
    folder_of(tmp_path, "1.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "2.png")
    assert len(look_at(tmp_path).good) == 2
    Image.new("RGB", (200, 7)).save(tmp_path / "3.png")
    Image.new("RGB", (1, 1)).save(tmp_path / "4.png")
    with pytest.raises(InputError, match="cannot be used") as error:
        look_at(tmp_path)
    assert [line.rpartition(": ")[2] for line in error.value.offenders] == [
        "7 x 200 pixels, and 8 are the least",
        "1 x 1 pixels, and 8 are the least",
    ]
