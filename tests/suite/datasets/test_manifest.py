import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_folders import mstc_folder, mtd_folder, mvtec_folder, save_image, save_mask

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import sha256_file
from patchcore_suite.datasets.inspection import build_manifest
from patchcore_suite.datasets.layouts import spec_type
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.run.prepare import summary

REAL = Path(__file__).parents[4] / "shared" / "data"


def build(root, layout="mvtec", **options):
    return build_manifest("toy", root, spec_type(layout)(source=str(root), layout=layout, **options))


def message(root, layout="mvtec", **options):
    with pytest.raises(InputError) as caught:
        build(root, layout, **options)
    return str(caught.value)


# What it says


def test_a_manifest_counts_measures_and_hashes(tmp_path):
    root = mvtec_folder(tmp_path)
    manifest = build(root)
    assert manifest.categories == ["part"]
    assert manifest.counts("part") == {"train": {"good": 3}, "test": {"good": 2, "scratch": 2}}
    assert len(manifest.records("part")) == 7
    assert [record.defect for record in manifest.records("part", "test")] == ["good", "good", "scratch", "scratch"]
    last = manifest.entries["part"][-1]
    assert last.size == (24, 32)
    assert last.image_sha256 == sha256_file(root / "part/test/scratch/001.png")
    assert last.mask_sha256 == sha256_file(root / "part/ground_truth/scratch/001_mask.png")
    assert (manifest.source, manifest.synthetic, manifest.warnings) == ("folder", False, ())


@pytest.mark.parametrize(("make", "layout"), [(mvtec_folder, "mvtec"), (mtd_folder, "mtd"), (mstc_folder, "mstc")])
def test_a_manifest_survives_the_disk(tmp_path, make, layout):
    manifest = build(make(tmp_path / "images"), layout)
    manifest.write(tmp_path / "manifest.json")
    assert Manifest.read(tmp_path / "manifest.json") == manifest
    first = (tmp_path / "manifest.json").read_bytes()
    build(tmp_path / "images", layout).write(tmp_path / "manifest.json")
    assert (tmp_path / "manifest.json").read_bytes() == first


def test_the_written_manifest_can_be_read_by_people(tmp_path):
    build(mtd_folder(tmp_path / "mtd"), "mtd").write(tmp_path / "manifest.json")
    value = json.loads((tmp_path / "manifest.json").read_text())
    assert value["division"] == {"seed": 0, "held_out": 0.2}
    assert value["image_sizes"] == {"distinct": 11, "smallest": [20, 30], "largest": [29, 30]}
    assert value["categories"]["mtd"]["counts"] == {"train": {"good": 8}, "test": {"good": 2, "blowhole": 2}}
    assert value["categories"]["mtd"]["records"][0]["image"] == "MT_Blowhole/Imgs/exp2_num_0.jpg"


def test_a_training_list_is_recorded_by_its_hash(tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("exp1_num_1.jpg\n")
    manifest = build(mtd_folder(tmp_path / "mtd"), "mtd", train_list=str(names))
    assert manifest.division == {"train_list": "names.txt", "train_list_sha256": sha256_file(names)}


def test_a_relative_root_is_found_from_a_base_folder(tmp_path, monkeypatch):
    mvtec_folder(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    build(Path("images")).write("manifest.json")
    monkeypatch.chdir("/")
    manifest = Manifest.read(tmp_path / "manifest.json", base=tmp_path)
    assert manifest.root == tmp_path / "images"
    manifest.check_unchanged("part")


def test_the_digest_depends_on_content_and_split_not_on_the_place(tmp_path):
    here = mvtec_folder(tmp_path / "here")
    shutil.copytree(here, tmp_path / "there")
    digest = build(here).digest("part")
    assert build(tmp_path / "there").digest("part") == digest
    save_mask(here / "part/ground_truth/scratch/000_mask.png").write_bytes(
        (here / "part/ground_truth/scratch/000_mask.png").read_bytes() + b"\0"
    )
    assert build(here).digest("part") != digest
    tiles = mtd_folder(tmp_path / "tiles")
    assert build(tiles, "mtd").digest("mtd") != build(tiles, "mtd", seed=1).digest("mtd")


def test_only_the_chosen_categories_are_looked_at(tmp_path):
    mvtec_folder(tmp_path, "bolt")
    mvtec_folder(tmp_path, "nut")
    (tmp_path / "nut/train/good/000.png").write_bytes(b"")
    assert build(tmp_path, categories=["bolt"]).categories == ["bolt"]


def test_an_unknown_category_is_named_with_the_known_ones(tmp_path):
    with pytest.raises(InputError, match=r"no category 'nut'\nRemedy: choose from part"):
        build(mvtec_folder(tmp_path)).records("nut")


# What it refuses


def test_all_offenders_stand_in_one_message(tmp_path):
    root = mvtec_folder(tmp_path)
    mvtec_folder(tmp_path, "untrained", training=0)
    (root / "part/train/good/000.png").write_bytes(b"not an image")
    cut = root / "part/test/good/001.png"
    cut.write_bytes(cut.read_bytes()[:-300])
    save_mask(root / "part/ground_truth/scratch/000_mask.png", size=(32, 24))
    save_mask(root / "part/ground_truth/scratch/009_mask.png")
    save_image(root / "part/test/scratch/002.png")
    text = message(root)
    for line in (
        "category without training images: untrained",
        f"unreadable image: {root}/part/train/good/000.png",
        f"unreadable image: {cut}: ",
        f"mask of another size than its image: {root}/part/ground_truth/scratch/000_mask.png: (32, 24), not (24, 32)",
        f"mask matches no image: {root}/part/ground_truth/scratch/009_mask.png",
        f"mask missing, while other images of its defect have one: {root}/part/test/scratch/002.png",
    ):
        assert f"  - {line}" in text
    assert text.count("\n  - ") == 6
    assert "Remedy: " in text


def test_an_unreadable_mask_is_named(tmp_path):
    root = mvtec_folder(tmp_path)
    (root / "part/ground_truth/scratch/001_mask.png").write_bytes(b"")
    assert f"unreadable image: {root}/part/ground_truth/scratch/001_mask.png" in message(root)


def test_nothing_can_be_measured_without_anomalous_test_images(tmp_path):
    root = mvtec_folder(tmp_path)
    for folder in ("test", "ground_truth"):
        shutil.rmtree(root / "part" / folder / "scratch")
    assert "category without anomalous test images: part" in message(root)


def test_without_nominal_test_images_there_are_pixel_metrics_where_there_are_masks(tmp_path):
    root = mvtec_folder(tmp_path)
    shutil.rmtree(root / "part/test/good")
    assert "part      3      0             2               1" in summary(build(root))
    assert build(root).warnings == ("part: there are no nominal test images, so that there are no image metrics",)
    shutil.rmtree(root / "part/ground_truth")
    assert "category without nominal test images, and without masks for pixel metrics: part" in message(root)


def test_frames_that_a_video_promises_but_does_not_have_are_named(tmp_path):
    root = mstc_folder(tmp_path, frames=60)
    video = root / "training/videos/01_001.avi"
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    text = message(root, "mstc")
    assert f"unreadable video: {video}: frame " in text
    assert text.count("\n  - ") == 1


def test_no_manifest_or_one_of_another_version_is_refused(tmp_path):
    path = tmp_path / "manifest.json"
    with pytest.raises(InputError, match=r"there is no manifest .*manifest\.json\nRemedy: run `dvc repro data@"):
        Manifest.read(path)
    for text in ("{", "[]", '{"schema": 0}', "[" * 100_000):
        path.write_text(text)
        with pytest.raises(InputError, match=r"the manifest .* (is damaged|was not written by this version)"):
            Manifest.read(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"split": "train"', '"split": "test"'),
        ('"label": 1', '"label": 0'),
        ('"source": "folder"', '"source": "download"'),
        ("train/good/000.png", "train/good/001.png"),
        ('"sha256"', '"sha255"'),
    ],
)
def test_a_damaged_manifest_says_what_to_run(tmp_path, old, new):
    path = tmp_path / "data/toy/manifest.json"
    build(mvtec_folder(tmp_path)).write(path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=r"is damaged: its content is not[^\n]*\nRemedy: run `dvc repro data@toy`"):
        Manifest.read(path)


def test_a_manifest_from_before_datasets_said_what_they_are_says_what_to_run(tmp_path):
    path = tmp_path / "data/toy/manifest.json"
    build(mvtec_folder(tmp_path)).write(path)
    value = json.loads(path.read_text()) | {"schema": 1}
    del value["paper"]
    path.write_text(json.dumps(value))
    with pytest.raises(InputError, match=r"was not written by this version[^\n]*\nRemedy: run `dvc repro data@toy`"):
        Manifest.read(path)


def test_files_that_changed_since_are_all_listed(tmp_path):
    root = mvtec_folder(tmp_path)
    manifest = build(root)
    manifest.check_unchanged("part")
    save_image(root / "part/train/good/001.png", seed=9)
    (root / "part/ground_truth/scratch/000_mask.png").unlink()
    with pytest.raises(InputError) as caught:
        manifest.check_unchanged("part")
    assert f"  - changed: {root}/part/train/good/001.png" in str(caught.value)
    assert f"  - missing: {root}/part/ground_truth/scratch/000_mask.png" in str(caught.value)
    assert "dvc repro -f data@toy" in str(caught.value)


# What it only warns of


def test_one_training_image_is_enough_but_worth_a_warning(tmp_path):
    manifest = build(mvtec_folder(tmp_path, training=1))
    assert len(manifest.records("part", "train")) == 1
    assert manifest.warnings == ("part: there is one training image only",)


def test_missing_masks_are_a_warning_when_a_defect_has_none(tmp_path):
    root = mvtec_folder(tmp_path)
    save_image(root / "part/test/dent/0.png", seed=300)
    (warning,) = build(root).warnings
    assert warning.startswith("part: anomalous images without a mask")
    assert warning.endswith("no pixel metrics: 1, for example part/test/dent/0.png")


def test_training_images_among_the_test_images_are_a_warning(tmp_path):
    root = mvtec_folder(tmp_path)
    shutil.copy(root / "part/train/good/000.png", root / "part/test/good/000.png")
    (warning,) = build(root).warnings
    assert warning.startswith(
        "part: test images that are training images as well: 1, for example part/test/good/000.png"
    )


def test_odd_masks_are_a_warning(tmp_path):
    root = mvtec_folder(tmp_path)
    Image.fromarray(np.zeros((24, 32), np.uint8)).save(root / "part/ground_truth/scratch/000_mask.png")
    soft = np.zeros((24, 32), np.uint8)
    soft[:2] = [[100], [200]]
    Image.fromarray(soft).save(root / "part/ground_truth/scratch/001_mask.png")
    (root / "part/ground_truth/good").mkdir()
    save_mask(root / "part/ground_truth/good/000_mask.png")
    warnings = "\n".join(build(root).warnings)
    assert "part: anomalous images with an empty mask: 1, for example part/test/scratch/000.png" in warnings
    assert "as defect): 1, for example part/test/scratch/001.png" in warnings
    assert "part: nominal images whose mask shows a defect (ignored): 1, for example part/test/good/000.png" in warnings


# Real images


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real images in {REAL}")
@pytest.mark.parametrize(("folder", "layout"), [("mtd", "mtd"), ("mvtec", "mvtec"), ("stc_ped2", "mstc")])
def test_real_datasets_have_nothing_wrong(folder, layout):
    manifest = build(REAL / folder, layout)
    for category in manifest.categories:
        manifest.check_unchanged(category)
    empty = [warning for warning in manifest.warnings if "empty mask" in warning]
    assert bool(empty) == (folder == "mtd")  # four images of MT_Uneven
