"""Nothing in a folder is lost without a word, and nothing passes for something else than it is."""

import os
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image
from toy_folders import SIZE, mstc_folder, mtd_folder, mvtec_folder, save_image, save_mask

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets import load
from patchcore_suite.datasets.inspection import build_manifest
from patchcore_suite.datasets.layouts import spec_type
from patchcore_suite.datasets.listing import IMAGE_SUFFIXES
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.datasets.preprocessing import Preprocessing


def build(root, layout="mvtec", *, preprocessing=None, **options):
    spec = spec_type(layout)(source=str(root), layout=layout, **options)
    return build_manifest("toy", root, spec, preprocessing=preprocessing)


def refusal(root):
    with pytest.raises(InputError) as caught:
        build(root)
    return str(caught.value)


def test_every_file_is_used_or_listed_with_the_reason(tmp_path):
    root = mvtec_folder(mvtec_folder(tmp_path), "left")
    for path in ("part/train/good/sub/1.png", "part/train/bad/1.png", "part/test/1.png", "part/validation/good/1.png"):
        save_image(root / path)
    for path in ("license.txt", "part/train/good/photo.heic", "part/train/good/._1.png", ".git/objects/1", "stray.png"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"0")
    os.mkfifo(root / "pipe")
    manifest = build(root, categories=["part"])
    assert manifest.unused == {
        ".git": "hidden",
        **{str(path.relative_to(root)): "of a category that is not chosen" for path in root.glob("left/*/*/*")},
        "license.txt": "no image of a kind that is read",
        "part/test/1.png": "not in a folder of its kind of images",
        "part/train/bad/1.png": "in train, but not in train/good",
        "part/train/good/._1.png": "hidden",
        "part/train/good/photo.heic": "no image of a kind that is read",
        "part/train/good/sub/1.png": "in a folder within a folder of images",
        "part/validation/good/1.png": "in none of a category's folders train, test and ground_truth",
        "pipe": "neither a file nor a folder",
        "stray.png": "in none of a category's folders train, test and ground_truth",
    }
    assert "not used: no image of a kind that is read: 2, for example license.txt" in manifest.warnings
    records = manifest.records("part")
    used = {path for record in records for path in (record.image, record.mask) if path}
    found = {path for path in root.rglob("*") if not path.is_dir() and ".git" not in path.parts}
    assert {str(path.relative_to(root)) for path in found - used} == set(manifest.unused) - {".git"}
    manifest.write(tmp_path / "manifest.json")
    assert Manifest.read(tmp_path / "manifest.json") == manifest


def test_files_of_the_other_layouts_are_accounted_for(tmp_path):
    tiles = mtd_folder(tmp_path / "mtd")
    save_image(tiles / "MT_Free/Imgs/1.bmp")
    save_image(tiles / "others/1.jpg")
    assert build(tiles, "mtd").unused == {
        "MT_Free/Imgs/1.bmp": "neither JPEG, as images are, nor PNG, as masks are",
        "others/1.jpg": "not in a folder MT_DEFECT/Imgs",
    }
    campus = mstc_folder(tmp_path / "mstc", frames=6)
    shutil.copy(campus / "training/videos/01_001.avi", campus / "training/videos/13_001.avi")
    unused = build(campus, "mstc").unused
    taken = "a frame that is not taken (every=5), or of a scene that is not chosen"
    assert unused == {
        **{f"testing/frames/01_0001/00{frame}.jpg": taken for frame in (1, 2, 3, 4)},
        "training/videos/13_001.avi": "of a scene that is not chosen, or has no test clips",
    }


def test_images_of_every_ending_are_used(tmp_path):
    root = mvtec_folder(tmp_path)
    for suffix in IMAGE_SUFFIXES:
        grey = Image.fromarray(np.full(SIZE, 7, np.uint8))
        kind = {".jfif": "JPEG", ".jpe": "JPEG", ".pnm": "PPM"}.get(suffix)
        (grey.convert("1") if suffix == ".pbm" else grey).save(root / f"part/train/good/a{suffix}", format=kind)
    manifest = build(root)
    assert manifest.counts("part")["train"]["good"] == 3 + len(IMAGE_SUFFIXES)
    assert manifest.unused == {}


def test_links_are_followed_and_those_that_lead_nowhere_are_refused(tmp_path):
    root = mvtec_folder(tmp_path / "root")
    shutil.move(root / "part/train/good", tmp_path / "elsewhere")
    (root / "part/train/good").symlink_to(tmp_path / "elsewhere")
    (root / "part/round").symlink_to(root / "part")  # a folder that one is in already is not entered again
    assert build(root).counts("part")["train"] == {"good": 3}
    assert build(root).unused == {"part/round": "a link to a folder that it lies in"}
    (tmp_path / "elsewhere/900.png").symlink_to("/not/mounted/1.png")
    (tmp_path / "elsewhere/901.png").symlink_to("901.png")
    (root / "part/test/dent").symlink_to("/not/mounted")
    assert refusal(root).count("link that leads nowhere") == 3
    with pytest.raises(InputError, match=r"dent -> /not/mounted"):
        load(root, "part")


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    root = mvtec_folder(tmp_path)
    scandir = os.scandir

    def guarded(folder):
        if str(folder).endswith("test/scratch"):
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(InputError, match=r"cannot look into .*test/scratch: Permission denied"):
        build(root)


def test_a_link_to_where_one_may_not_look_is_named(tmp_path, monkeypatch):
    root = mvtec_folder(tmp_path)
    (root / "part/train/good/9.png").symlink_to("/locked/9.png")
    status = os.stat

    def guarded(path, *arguments, **options):
        if str(path).endswith("good/9.png") and options.get("follow_symlinks", True):
            raise PermissionError(13, "Permission denied", str(path))
        return status(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", guarded)
    assert f"link that leads nowhere: {root}/part/train/good/9.png -> /locked/9.png" in refusal(root)


def test_a_name_that_is_not_utf_8_is_refused_and_shown(tmp_path):
    root = mvtec_folder(tmp_path)
    os.rename(root / "part/train/good/000.png", os.fsencode(root / "part/train/good") + b"/d\xe9faut.png")
    assert r"name that is not UTF-8 (rename it): " in refusal(root)
    assert r"d\xe9faut.png" in refusal(root)


MASK = "part/ground_truth/scratch"
MISLEADING = {
    "another nominal folder": ("part/test/good", "part/test/Good", "not the folder of nominal images"),
    "another word for nominal": ("part/test/scratch", "part/test/OK", "not the folder of nominal images"),
    "a word for nominal in the plural": (
        "part/test/scratch",
        "part/test/no_defects",
        "not the folder of nominal images",
    ),
    "a defect in another case": ("part/test/good/000.png", "part/test/Scratch/9.png", "defects of part that differ in"),
    "a space in a name": ("part/train/good", "part/train/good ", "not the folder of nominal images"),
    "GroundTruth": ("part/ground_truth", "part/GroundTruth", "masks lie in ground_truth/DEFECT, not in"),
    "ground-truth": ("part/ground_truth", "part/ground-truth", "masks lie in ground_truth/DEFECT, not in"),
    "a name of their own": ("part/ground_truth", "part/wahrheit", "masks lie in ground_truth/DEFECT, not in"),
    "masks in test": ("part/ground_truth", "part/test/masks", "masks lie in ground_truth/DEFECT, not in"),
    "masks as a defect": (MASK, "part/test/masks", "masks lie in ground_truth/DEFECT, not in"),
    "masks beside the category": (MASK, "masks/scratch", "masks lie in CATEGORY/ground_truth/DEFECT, not in"),
    "another case of the defect": (MASK, "part/ground_truth/Scratch", "mask matches no image"),
    "a folder an image": (f"{MASK}/000_mask.png", f"{MASK}/000/000.png", "several masks an image"),
    "masks without a defect": (
        f"{MASK}/000_mask.png",
        "part/ground_truth/000_mask.png",
        "mask in no folder of a defect",
    ),
    "several masks": ("part/test/good/000.png", f"{MASK}/000_mask_2.png", "mask matches no image"),
    "another kind of file": (f"{MASK}/000_mask.png", f"{MASK}/000_mask.npy", "mask of a kind that is not read"),
    "a mask of two images": ("part/test/good/000.png", "part/test/scratch/000.jpg", "mask matches several images"),
}


@pytest.mark.parametrize(("old", "new", "said"), MISLEADING.values(), ids=MISLEADING)
def test_what_would_pass_for_something_else_is_refused(tmp_path, old, new, said):
    root = mvtec_folder(tmp_path)
    (root / new).parent.mkdir(parents=True, exist_ok=True)
    (root / old).rename(root / new)
    assert said in refusal(root)


@pytest.mark.parametrize(
    "name", ["test/scratch/000_mask", "test/scratch/000_MASK", "test/scratch/000-gt", "test/good/000_ground_truth"]
)
def test_masks_among_the_images_are_refused(tmp_path, name):
    root = mvtec_folder(tmp_path)
    shutil.rmtree(root / "part/ground_truth")
    save_mask(root / f"part/{name}.png")
    assert "mask among images" in refusal(root)


def test_masks_among_the_training_images_are_refused(tmp_path):
    root = mvtec_folder(tmp_path)
    save_mask(root / "part/train/good/000_mask.png")
    assert "mask among images" in refusal(root)


def test_a_defect_may_be_called_label(tmp_path):
    root = mvtec_folder(tmp_path)
    save_image(root / "part/test/label/000.png")
    assert build(root).counts("part")["test"]["label"] == 1


def test_masks_of_most_of_the_image_are_remarked_on(tmp_path):
    root = mvtec_folder(tmp_path)
    values = np.full(SIZE, 255, np.uint8)
    values[:4, :4] = 0
    Image.fromarray(values).save(root / MASK / "000_mask.png")
    remark = "part: masks that mark more than half of their image (are they inverted?): 1, for example"
    assert [line for line in build(root).warnings if line.startswith(remark)]


@pytest.mark.parametrize(("crop", "share"), [(None, None), (224, "10%"), ([256, 2048], None), ([256, 600], "29%")])
def test_a_crop_that_keeps_little_is_remarked_on(tmp_path, crop, share):
    root = mvtec_folder(tmp_path)
    for path in root.glob("part/*/*/*"):
        save_image(path, size=(60, 480)) if "ground_truth" not in path.parts else save_mask(path, size=(60, 480))
    said = [line for line in build(root, preprocessing=Preprocessing(256, crop)).warnings if "crop" in line]
    assert len(said) == (share is not None)
    if share:  # 224 x 224 of 256 x 2048; 600 of 2048 columns
        assert f"keep as little as {share} of an image" in said[0]
    assert any("a square crop keeps as little as 12% of an image" in line for line in build(root).warnings)


def test_a_mask_whose_background_is_not_0_is_refused(tmp_path):
    root = mvtec_folder(tmp_path)
    mask = root / "part/ground_truth/scratch/000_mask.png"
    for low, high in ((1, 2), (3, 127)):
        values = np.full((24, 32), low, np.uint8)
        values[:4, :4] = high
        Image.fromarray(values).save(mask)
        assert f"mask without background, which is 0: {mask}: values are {low}, {high}" in refusal(root)
    values[:4, :4] = 200  # the upper half of the range alone is the defect
    Image.fromarray(values).save(mask)
    assert not any("more than half" in line for line in build(root).warnings)


def test_equal_files_of_contradicting_labels_are_remarked_on(tmp_path):
    root = mvtec_folder(tmp_path)
    shutil.copy(root / "part/test/good/000.png", root / "part/test/scratch/000.png")
    (line,) = [line for line in build(root).warnings if "nominal and anomalous" in line]
    assert line.startswith(
        "part: test images that are nominal and anomalous, in equal files: 2, for example part/test/"
    )


def test_a_mask_that_is_its_image_is_refused(tmp_path):
    root = mvtec_folder(tmp_path)
    shutil.copy(root / "part/test/scratch/000.png", root / MASK / "000_mask.png")
    assert f"mask that is its image: {root}/{MASK}/000_mask.png" in refusal(root)


@pytest.mark.parametrize(
    ("values", "told"), [(Image.new("LAB", SIZE[::-1]), "colours of kind LAB"), (-1, "values below 0")]
)
def test_a_mask_of_which_nobody_can_say_what_is_defective_is_refused(tmp_path, values, told):
    root = mvtec_folder(tmp_path)
    (root / MASK / "000_mask.png").unlink()
    image = values if isinstance(values, Image.Image) else Image.fromarray(np.full(SIZE, values, np.int32))
    image.save(root / MASK / "000_mask.tif")
    assert f"unsuitable mask: {root}/{MASK}/000_mask.tif: {told}" in refusal(root)


def test_a_mask_belongs_to_the_image_of_its_name_however_letters_are_composed(tmp_path):
    root = mvtec_folder(tmp_path)
    (root / "part/test/scratch/000.png").rename(root / "part/test/scratch" / "\u00e4.png")
    (root / MASK / "000_mask.png").rename(root / MASK / "a\u0308_mask.png")
    masks = [record.mask for record in build(root).records("part", "test") if record.label]
    assert [mask.name for mask in masks] == ["001_mask.png", "a\u0308_mask.png"]


@pytest.mark.parametrize("names", [("Gr\u00f6\u00dfe", "Gro\u0308\u00dfe"), ("Part", "part"), ("nut", "nut\u200b")])
def test_categories_that_would_pass_for_one_are_refused(tmp_path, names):
    for name in names:
        mvtec_folder(tmp_path, name)
    assert "categories that differ in upper and lower case or in spelling alone: " in refusal(tmp_path)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_masks_of_images_that_exif_turns_are_remarked_on(tmp_path, orientation):
    root = mvtec_folder(tmp_path)
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.open(save_image(root / "part/test/scratch/000.png", size=(32, 32))).save(
        root / "part/test/scratch/000.png", exif=exif
    )
    save_mask(root / MASK / "000_mask.png", size=(32, 32))
    said = [line for line in build(root).warnings if line.startswith("part: images that EXIF turns or mirrors")]
    assert len(said) == (orientation != 1)


def test_images_of_16_bits_of_two_cameras_are_remarked_on(tmp_path):
    root = mvtec_folder(tmp_path)
    for name, highest in (("good/000", 4095), ("good/001", 65535)):
        Image.fromarray(np.full(SIZE, highest, np.uint16)).save(root / f"part/train/{name}.png")
    (line,) = [line for line in build(root).warnings if "two cameras" in line]
    assert line.endswith("beside others that fill all (are they of two cameras?): 1, for example 000.png")


@pytest.mark.parametrize("name", ["train", "test"])
def test_a_category_called_as_its_own_folders_is_refused_by_name(tmp_path, name):
    root = mvtec_folder(mvtec_folder(tmp_path), name)
    said = refusal(root)
    assert "no category can be called train or test" in said
    assert str(root / name) in said


def test_a_defect_may_be_called_as_a_folder_of_a_category(tmp_path):
    root = mvtec_folder(tmp_path)
    for folder in ("test", "ground_truth"):
        (root / "part" / folder / "scratch").rename(root / "part" / folder / "train")
    assert build(root).counts("part")["test"] == {"good": 2, "train": 2}


@pytest.mark.parametrize("suffix", ["jp2", "ppm"])
def test_colours_of_16_bits_of_which_12_are_filled_are_refused_whatever_the_format(tmp_path, suffix):
    root = mvtec_folder(tmp_path)
    colours = np.random.default_rng(0).integers(0, 2**12, (64, 64, 3), dtype=np.uint16)
    path = root / f"part/test/good/002.{suffix}"
    if suffix == "ppm":
        path.write_bytes(b"P6 64 64 65535\n" + colours.astype(">u2").tobytes())
    else:
        cv2.imwrite(str(path), colours, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])
    assert "of 16 bits, in colours or with alpha, of which 12 are filled" in refusal(root)
