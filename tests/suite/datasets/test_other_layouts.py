"""Datasets that the paper does not measure: each layout on its stand-in, and what is wrong with folders like them."""

import json
import shutil
from collections import Counter
from contextlib import chdir

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from toy_folders import save_image, save_mask

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.images import mask_values, read_mask
from patchcore_suite.datasets.inspection import build_manifest
from patchcore_suite.datasets.layouts import LAYOUTS, recognise, spec_type
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.parts.photographs import look_at
from patchcore_suite.run import evaluate, prepare, saturated_overlap, score
from patchcore_suite.settings.project import load_project

pytestmark = pytest.mark.xdist_group("stand-ins")  # in one process, which draws them once

# Of the shortened stand-ins: images of each category by split and defect, and files that are not used.
HELD = {
    "btad": (
        {
            "01": {"train": {"good": 2}, "test": {"good": 1, "ko": 2}},
            "02": {"train": {"good": 2}, "test": {"good": 1, "ko": 2}},
        },
        {},
    ),
    "csv": ({"board": {"train": {"good": 2}, "test": {"good": 1, "bent_pin": 1, "scratch": 1}}}, {}),
    "folders": (
        {"folders": {"train": {"good": 2}, "test": {"good": 1, "ng": 1}}},
        {"masks/test_000.png": "in no folder that good, defects or mask_folder name"},
    ),
    "kolektorsdd": ({"kolektorsdd": {"train": {"good": 2}, "test": {"good": 2, "defect": 2}}}, {}),
    "kolektorsdd2": (
        {"kolektorsdd2": {"train": {"good": 2}, "test": {"good": 1, "defect": 1}}},
        dict.fromkeys(
            ("train/11000.png", "train/11000_GT.png"), "in train with a defect, which no method here is fitted to"
        ),
    ),
    "mpdd": (
        {
            "connector": {"train": {"good": 2}, "test": {"good": 1, "missing_part": 1}},
            "metal_plate": {"train": {"good": 2}, "test": {"good": 1, "rust": 1, "scratch": 1}},
        },
        {},
    ),
    "mvtec_ad_2": (
        {
            "fabric": {"train": {"good": 2}, "test": {"good": 2, "bad": 4}},
            "vial": {"train": {"good": 2}, "test": {"good": 2, "bad": 2}},
        },
        {
            f"{category}/{path}": reason
            for category in ("fabric", "vial")
            for path, reason in {
                "validation/good/000_regular.png": "an image for validation, by which the threshold of a submission is "
                "chosen",
                **dict.fromkeys(
                    (
                        "test_private/000_regular.png",
                        "test_private/001_regular.png",
                        "test_private_mixed/000_mixed.png",
                        "test_private_mixed/001_mixed.png",
                    ),
                    "a private test image, whose truth is not published",
                ),
            }.items()
        },
    ),
    "mvtec_loco": (
        {"board": {"train": {"good": 2}, "test": {"good": 1, "logical_anomalies": 1, "structural_anomalies": 1}}},
        {
            "board/defects_config.json": "how much of a defect suffices, for the metric sPRO alone",
            "board/validation/good/000.png": "an image for validation, which no method here needs",
        },
    ),
    "ped2": ({"UCSDped2": {"train": {"good": 6}, "test": {"good": 23, "anomaly": 1}}}, {}),
    "real_iad": ({"capsule": {"train": {"good": 2}, "test": {"good": 1, "AK": 1, "HS": 1}}}, {}),
    "visa": (
        {
            "board": {"train": {"good": 2}, "test": {"good": 1, "anomaly": 2}},
            "capsule": {"train": {"good": 2}, "test": {"good": 1, "anomaly": 2}},
        },
        {
            f"{part}/image_anno.csv": "names of defects, of which an image may have several"
            for part in ("board", "capsule")
        },
    ),
}
OPTIONS = {"ped2": {"every": 1}, "kolektorsdd": {"held_out": 0.5}}
VARIANT = {"backbone": "pixels", "hierarchies": [2, 3], "coreset_fraction": 0.5}


def build(root, layout, **options):
    spec = spec_type(layout)(source=str(root), layout=layout, **OPTIONS.get(layout, {}) | options)
    return build_manifest("toy", root, spec)


def refusal(root, layout, **options):
    with pytest.raises(InputError) as caught:
        build(root, layout, **options)
    return str(caught.value)


def copied(drawn, layout, tmp_path):
    """A stand-in that may be changed."""
    return shutil.copytree(drawn / layout, tmp_path / layout)


@pytest.mark.parametrize("layout", HELD)
def test_a_stand_in_is_read_whole_and_what_is_not_used_is_listed(drawn, tmp_path, layout):
    manifest = build(drawn / layout, layout)
    counts, unused = HELD[layout]
    assert {category: manifest.counts(category) for category in manifest.categories} == counts
    assert manifest.unused == unused
    assert not any("masks that mark more than half" in warning for warning in manifest.warnings)
    manifest.write(tmp_path / "manifest.json")
    assert Manifest.read(tmp_path / "manifest.json") == manifest


@pytest.mark.parametrize("layout", sorted(set(HELD) - {"csv", "folders"}))
def test_a_stand_in_is_told_from_all_other_layouts(drawn, layout):
    assert recognise(drawn / layout) == layout


@pytest.mark.parametrize("layout", HELD)
def test_what_the_paper_does_not_measure_bears_none_of_its_names(layout):
    with pytest.raises(InputError, match=f"paper='mtd' must be null: .* has the layout {layout}"):
        spec_type(layout)(source="x", layout=layout, paper="mtd")


def measured(drawn, root, layout):
    """A stand-in that went all the way: manifest, raw results, metrics."""
    dataset = {"layout": layout, "paper": None, "source": str(drawn / layout), "resize": [64, 64], "seeds": [0]}
    dataset |= OPTIONS.get(layout, {}) | {"variants": ["tenth"]}
    dataset |= {"mask_folder": "masks"} if layout == "folders" else {}
    values = {"datasets": {"toy": dataset}, "variants": {"tenth": VARIANT}, "execution": {"engine": "local"}}
    (root / "params.yaml").write_text(yaml.safe_dump(values))
    with chdir(root):
        toy = load_project().dataset("toy")
        prepare.prepare("toy", toy.spec, "data")
        score.collect(score.score_dataset(toy, show_progress=False))
        evaluate.write_metrics(toy)
    return toy


@pytest.mark.parametrize("layout", HELD)
def test_a_stand_in_goes_all_the_way_to_metrics(drawn, tmp_path, layout):
    toy = measured(drawn, tmp_path, layout)
    rows = pd.read_csv(toy.metrics, dtype={"category": str})
    shown = rows[(rows["variant"] == "tenth") & rows["metric"].isin(["image_auroc", "pixel_auroc", "pro"])]
    assert Counter(shown["category"]) == dict.fromkeys(HELD[layout][0], 3)
    assert shown["value"].between(0, 1).all()
    if layout == "mvtec_loco":
        found = saturated_overlap.of_dataset(toy)
        assert found["anomalies"].tolist() == ["logical_anomalies", "structural_anomalies"]
        assert found["defects"].tolist() == [2, 2]
        assert found["spro"].between(0, 1).all()
    else:
        with pytest.raises(InputError, match="only mvtec_loco says how much suffices"):
            saturated_overlap.of_dataset(toy)


# Masks


def test_masks_with_values_of_classes_mark_all_of_them(drawn):
    manifest = build(drawn / "visa", "visa")
    masked = [record for record in manifest.records("board", "test") if record.label]
    assert [sorted(np.unique(mask_values(record))) for record in masked] == [[0, 1], [0, 2]]
    assert all(np.array_equal(read_mask(record), mask_values(record) > 0) for record in masked)


def test_several_masks_of_an_image_count_together(drawn):
    record = next(
        record for record in build(drawn / "mvtec_loco", "mvtec_loco").records("board", "test") if record.label
    )
    each = [np.asarray(Image.open(file)) > 0 for file in sorted(record.mask.iterdir())]
    assert len(each) == 2
    assert all(mask.any() for mask in each)
    assert not (each[0] & each[1]).any()
    assert np.array_equal(read_mask(record), each[0] | each[1])


def test_a_mask_of_several_that_changes_or_goes_is_noticed(drawn, tmp_path):
    root = copied(drawn, "mvtec_loco", tmp_path)
    manifest = build(root, "mvtec_loco")
    manifest.check_unchanged("board")
    (root / "board/ground_truth/logical_anomalies/000/001.png").unlink()
    with pytest.raises(InputError, match=r"changed: .*logical_anomalies/000"):
        manifest.check_unchanged("board")
    shutil.rmtree(root / "board/ground_truth/logical_anomalies/000")
    with pytest.raises(InputError, match=r"missing: .*logical_anomalies/000"):
        manifest.check_unchanged("board")


# What is wrong with a folder


def test_all_that_is_wrong_with_a_list_of_visa_is_told(drawn, tmp_path):
    root = copied(drawn, "visa", tmp_path)
    split = root / "split_csv/1cls.csv"
    lines = split.read_text().splitlines()
    (root / "board/Data/Images/Normal/0000.JPG").unlink()
    lines += [
        lines[2],
        "board,train,anomaly,board/Data/Images/Anomaly/000.JPG,",
        "board,val,normal,../board/Data/Images/Normal/0001.JPG,",
        "board,test,odd,board/Data/Images/Normal/0001.JPG,",
        "left,test,odd,nowhere.JPG,",
    ]
    split.write_text("\n".join(lines))
    text = refusal(root, "visa")
    for part in (
        "split_csv/1cls.csv, line 7: no such file: board/Data/Images/Normal/0000.JPG",
        "image that is listed more than once: ",
        "split_csv/1cls.csv, line 13: an anomalous image cannot be for training: board/Data/Images/Anomaly/000.JPG",
        "line 14: not a path in the folder",
        "line 14: split 'val' is neither train nor test",
        "line 15: label 'odd' is neither normal nor anomaly",
    ):
        assert part in text, text
    assert "nowhere" not in text  # of an object that is not there
    split.unlink()
    assert "1cls.csv, which says what is for training" in refusal(root, "visa")


def test_all_that_is_wrong_with_a_list_of_real_iad_is_told(drawn, tmp_path):
    root = copied(drawn, "real_iad", tmp_path)
    path = root / "realiad_jsons/capsule.json"
    value = json.loads(path.read_text())
    value["train"].append({"anomaly_class": "AK", "image_path": "gone.jpg", "mask_path": None})
    path.write_text(json.dumps(value))
    text = refusal(root, "real_iad")
    assert "capsule.json, train 2: no such file: gone.jpg" in text
    assert "capsule.json, train 2: an anomalous image cannot be for training" in text
    for broken, part in (("[]", "cannot read the list"), ('{"train": []}', "no 'test'"), ("{", "cannot read the list")):
        path.write_text(broken)
        assert part in refusal(root, "real_iad")
    assert "no folder" in refusal(root, "real_iad", images="realiad_256")


def test_lists_of_real_iad_may_lie_in_a_folder_of_their_own_name(drawn, tmp_path):
    root = copied(drawn, "real_iad", tmp_path)
    (root / "lists").mkdir()
    (root / "realiad_jsons").rename(root / "lists/realiad_jsons")
    (root / "lists").rename(root / "realiad_jsons")
    assert build(root, "real_iad").counts("capsule") == HELD["real_iad"][0]["capsule"]


def test_images_that_only_a_mask_can_judge_need_one(drawn, tmp_path):
    root = copied(drawn, "kolektorsdd2", tmp_path)
    (root / "test/20000_GT.png").unlink()
    (root / "test/20000.png").rename(root / "test/20009.png")
    save_mask(root / "train/10007_GT.png")
    text = refusal(root, "kolektorsdd2")
    assert "no mask 20009_GT, which says whether it is defective" in text
    assert "mask matches no image" in text


def test_no_commutator_is_in_training_and_test_with_good_images(drawn):
    records = build(drawn / "kolektorsdd", "kolektorsdd").records("kolektorsdd")
    good = {split: {r.image.parent for r in records if r.split == split and not r.label} for split in ("train", "test")}
    assert not good["train"] & good["test"]
    assert all(good.values())


def test_frames_of_ped2_are_anomalous_as_its_file_says(drawn, tmp_path):
    root = copied(drawn, "ped2", tmp_path) / "UCSDped2"
    lines = (root / "Test/UCSDped2.m").read_text().splitlines()
    (root / "Test/UCSDped2.m").write_text("% gt_frame = [1:2]\nTestVideoFile{end+1}.gt_frame = [2:4, 7];\n")
    labels = [record.label for record in build(root, "ped2").records("UCSDped2", "test")]
    assert [number for number, label in enumerate(labels, start=1) if label] == [2, 3, 4, 7]
    (root / "Test/UCSDped2.m").write_text("gt_frame = [20:25]")
    (root / "Test/Test001_gt/001.bmp").unlink()
    text = refusal(root, "ped2")
    assert "not there: " in text
    assert "25 to 25" in text
    assert "24 frames, 23 masks" in text
    (root / "Test/UCSDped2.m").write_text("\n".join(lines * 2))
    assert "is of 2 clips" in refusal(root, "ped2")


def test_a_folder_of_mpdd_holds_nothing_else(drawn, tmp_path):
    root = copied(drawn, "mpdd", tmp_path)
    assert recognise(root) == "mpdd"
    save_image(root / "washer/train/good/0.png")
    assert recognise(root) == "mvtec"


def test_masks_of_loco_lie_in_folders_of_their_images(drawn, tmp_path):
    root = copied(drawn, "mvtec_loco", tmp_path)
    save_mask(root / "board/ground_truth/logical_anomalies/000.png")
    (root / "board/ground_truth/logical_anomalies/009").mkdir()
    text = refusal(root, "mvtec_loco")
    assert "mask in no folder of an image" in text
    assert "mask matches no image" in text


def test_a_defect_of_btad_is_not_called_as_nominal_images_elsewhere(drawn, tmp_path):
    root = copied(drawn, "btad", tmp_path)
    save_image(root / "01/test/good/0.png")
    assert "no defect can be called good, and nominal images lie in ok" in refusal(root, "btad")


# A model of one's own


@pytest.mark.parametrize(("layout", "category"), [("visa", "board"), ("csv", None), ("btad", "01")])
def test_photographs_lie_as_a_dataset_does(drawn, layout, category):
    found = look_at(drawn / layout, layout=layout, category=category)
    assert found.good
    assert all(entry.record.label == 0 for entry in found.good)
    assert any(entry.record.label for entry in found.tested)


def test_only_layouts_that_params_describes_are_never_recognised():
    assert {name for name, layout in LAYOUTS.items() if layout.described} == {"csv", "folders"}
