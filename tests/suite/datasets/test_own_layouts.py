"""Folders of any names, and a table of paths and labels: what params.yaml says of them, and all that can be wrong."""

import re
from pathlib import Path

import pytest
import yaml
from toy_folders import save_image, save_mask

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.inspection import build_manifest
from patchcore_suite.datasets.layouts import csv, folders, scan
from patchcore_suite.datasets.listed import read_table
from patchcore_suite.datasets.loading import load
from patchcore_suite.parts.photographs import look_at
from patchcore_suite.settings.params import load_params


def mapped(root, **options):
    return folders.Spec(source=str(root), layout="folders", **options)


def tabled(root, **options):
    return csv.Spec(source=str(root), layout="csv", **options)


def refusal(root, spec):
    with pytest.raises(InputError) as caught:
        build_manifest("toy", root, spec)
    return str(caught.value)


def images(root, *names):
    for number, name in enumerate(names):
        save_image(root / name, seed=number)
    return root


# Folders of any names


def screws(root):
    """Two folders of good images, two of defects, with masks of one kind each."""
    good = [f"gut/{number}.png" for number in range(4)] + ["ok/0.png"]
    images(root, *good, "kratzer/a.png", "kratzer/b.png", "delle/a.png", "rest/c.png")
    for name in ("kratzer/a_mask.png", "kratzer/b_mask.png", "delle/a.png"):
        save_mask(root / "masken" / name)
    return root


def test_folders_mean_what_params_says(tmp_path):
    spec = mapped(
        screws(tmp_path / "screws"),
        good=["gut", "ok"],
        defects=["kratzer", "delle"],
        mask_folder="masken/{defect}",
        held_out=0.4,
    )
    manifest = build_manifest("toy", tmp_path / "screws", spec)
    assert manifest.counts("screws") == {"train": {"good": 3}, "test": {"good": 2, "kratzer": 2, "delle": 1}}
    masks = {record.image.name: record.mask.name for record in manifest.records("screws") if record.label}
    assert masks == {"a.png": "a.png", "b.png": "b_mask.png"}
    assert manifest.unused == {"rest/c.png": "in no folder that good, defects or mask_folder name"}
    assert manifest.division == {
        "seed": 0,
        "held_out": 0.4,
        "good": ["gut", "ok"],
        "defects": ["kratzer", "delle"],
        "mask_folder": "masken/{defect}",
    }


def test_folders_of_a_source_are_categories_where_they_hold_the_named_ones(tmp_path):
    for part in ("nut", "bolt"):
        images(tmp_path / part, "ok/0.png", "ok/1.png", "ng/0.png")
    images(tmp_path, "notes/0.png")
    found = build_manifest("toy", tmp_path, mapped(tmp_path, held_out=0.5))
    assert {name: found.counts(name)["test"] for name in found.categories} == {
        "bolt": {"good": 1, "ng": 1},
        "nut": {"good": 1, "ng": 1},
    }
    assert len(load(tmp_path, "nut", layout="folders")) == 1 + 0  # one fifth of two good images is none
    one = build_manifest("toy", tmp_path, mapped(tmp_path, held_out=0.5, categories=["nut"]))
    assert one.unused["bolt/ok/0.png"] == "of a category that is not chosen"


def test_defects_may_share_a_folder_of_masks(tmp_path):
    images(tmp_path, "ok/0.png", "ok/1.png", "ng/7.png", "bent/8.png")
    save_mask(tmp_path / "masks/7.png")
    save_mask(tmp_path / "masks/8_mask.png")
    spec = mapped(tmp_path, defects=["ng", "bent"], mask_folder="masks")
    assert all(record.mask for record in scan(tmp_path, spec).records if record.label)
    save_mask(tmp_path / "masks/9.png")
    images(tmp_path, "ng/8.png")
    text = refusal(tmp_path, spec)
    assert "mask matches no image: " in text
    assert "mask matches several images: " in text


def test_a_mapping_that_names_no_folder_is_told_with_those_that_are_there(tmp_path):
    images(tmp_path, "ok/0.png", "ng/0.png")
    spec = mapped(tmp_path, good=["ok", "gut"], defects=["kratzer"], mask_folder="masks/{defect}")
    assert refusal(tmp_path, spec).splitlines()[1:] == [
        "  - gut",
        "  - kratzer",
        "  - masks/kratzer",
        "Remedy: correct good, defects or mask_folder; there are ng, ok",
    ]
    assert "- gut\nRemedy: correct good" in refusal(tmp_path, mapped(tmp_path, good=["gut"], defects=["ng"]))


def test_a_folder_that_is_named_and_empty_is_told(tmp_path):
    images(tmp_path, "ok/0.png", "ok/1.png", "ng/0.png")
    (tmp_path / "bent").mkdir()
    assert "no image in the folder" in refusal(tmp_path, mapped(tmp_path, defects=["ng", "bent"]))


def test_all_that_is_wrong_with_a_mapping_is_told_at_once():
    with pytest.raises(InputError) as caught:
        mapped("x", good=["../ok"], defects=["good"], mask_folder="/masks", held_out=2.0)
    assert [line.split("=")[0] for line in caught.value.offenders] == ["held_out", "good", "defects", "mask_folder"]
    with pytest.raises(InputError, match="good="):
        mapped("x", good=["ok", "ng"], defects=["ng"])


# A table


HEADER = "path,label,split,mask,category"


def table(root, *lines, header=HEADER, name="labels.csv", encoding="utf-8"):
    (root / name).write_bytes("\n".join([header, *lines]).encode(encoding))
    return root


def test_a_table_says_what_images_are_for_and_what_is_wrong_with_them(tmp_path):
    images(tmp_path, "a.png", "b.png", "c.png", "d/e.png", "rest.png")
    save_mask(tmp_path / "d/e_mask.png")
    table(
        tmp_path,
        "a.png,good,train,,nut",
        "b.png,0,Train,,nut",
        "c.png,Normal,test,,nut",
        "d\\e.png,Bent pin,test,d/e_mask.png,nut",
    )
    manifest = build_manifest("toy", tmp_path, tabled(tmp_path))
    assert manifest.counts("nut") == {"train": {"good": 2}, "test": {"good": 1, "Bent pin": 1}}
    assert manifest.records("nut")[-1].mask == tmp_path / "d/e_mask.png"
    assert manifest.unused == {"rest.png": "not listed in labels.csv"}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_of_any_spreadsheet_are_read(tmp_path, separator):
    images(tmp_path, *(f"ü {number}.png" for number in range(6)))
    lines = [f"ü {number}.png{separator}{int(number == 5)}\r" for number in range(6)]
    table(tmp_path, *lines, header=f"Path{separator} LABEL \r", name="teile.csv", encoding="utf-8-sig")
    found = build_manifest("toy", tmp_path, tabled(tmp_path, table="teile.csv", held_out=0.4))
    assert found.counts(tmp_path.name) == {"train": {"good": 3}, "test": {"good": 2, "defect": 1}}


def test_all_that_is_wrong_with_a_table_is_told_at_once(tmp_path):
    images(tmp_path, "a.png", "b.png", "c.png")
    (tmp_path / "notes.txt").write_text("of the day")
    save_mask(tmp_path / "m.png")
    table(
        tmp_path,
        "a.png,good,train,,nut",
        "a.png,good,train,,nut",
        "./a.png,bent,test,m.png,nut",
        "b.png,2,test,m.png,nut",
        "c.png,,test,gone.png,nut",
        "gone.png,good,test,,nut",
        "../a.png,yes,test,,nut",
        "/a.png,Bent,valid,,nut",
        "notes.txt,ok,test,,nut",
        ",ok,test,,nut",
        "b.png,bent,train,,../nut",
    )
    text = refusal(tmp_path, tabled(tmp_path))
    for part in (
        f"image that is listed more than once: {tmp_path}/a.png: labels.csv, line 2, labels.csv, line 3, "
        "labels.csv, line 4",
        f"mask that is listed more than once: {tmp_path}/m.png: labels.csv, line 4, labels.csv, line 5",
        "line 5: label '2' is neither",
        "line 6: no such file: gone.png",
        "line 6: label '' is neither",
        "line 7: no such file: gone.png",
        "line 8: not a path in the folder",
        "line 8: label 'yes' is neither",
        "line 9: not a path in the folder",
        "line 9: split 'valid' is neither train nor test",
        "line 10: no image of a kind that is read: notes.txt",
        "line 11: no path",
        "line 12: category '../nut' cannot be the name of a folder",
        "labels that differ in upper and lower case or in spelling alone: Bent, bent",
    ):
        assert part in text, (part, text)


def test_defects_are_not_trained_with(tmp_path):
    images(tmp_path, "a.png", "b.png")
    table(tmp_path, "a.png,good,train", "b.png,bent,train", header="path,label,split")
    assert "line 3: an anomalous image cannot be for training: b.png" in refusal(tmp_path, tabled(tmp_path))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"name,label\na.png,0\n", ["no column path", "unknown column 'name'"]),
        (b"path,label,label\na.png,0,0\n", ["column label is there twice"]),
        (b"path,label\na.png,0,train\n", ["line 2 has more cells"]),
        (b"", ["no column path", "no column label"]),
        (b"path,label\n\xff\xfe", ["cannot read the list"]),
        (b'path,label\n"a.png,0\n', ["cannot read the list"]),
    ],
)
def test_a_table_of_another_kind_is_refused(tmp_path, text, told):
    (tmp_path / "labels.csv").write_bytes(text)
    with pytest.raises(InputError) as caught:
        scan(tmp_path, tabled(tmp_path))
    assert all(part in str(caught.value) for part in told), caught.value


def test_a_table_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the list .*labels\.csv: .*\nRemedy: write that list"):
        scan(tmp_path, tabled(tmp_path))
    with pytest.raises(InputError, match="table='/etc/passwd' must be the path of a file in the source"):
        tabled(tmp_path, table="/etc/passwd")


def test_cells_may_hold_separators_and_rows_may_be_short(tmp_path):
    (tmp_path / "t.csv").write_text('path,label,mask\n"a,b.png",0\nc.png,1,m.png\n')
    assert read_table(tmp_path / "t.csv", ("path", "label"), ("mask",)) == [
        (2, {"path": "a,b.png", "label": "0", "mask": ""}),
        (3, {"path": "c.png", "label": "1", "mask": "m.png"}),
    ]


def test_rows_end_as_any_system_ends_them_and_blank_ones_count_for_nothing(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"path;label\ra.png;0\r  ; \r\rb.png;1\r")
    found = read_table(tmp_path / "t.csv", ("path", "label"))
    assert [row for _, row in found] == [{"path": "a.png", "label": "0"}, {"path": "b.png", "label": "1"}]


def test_a_table_without_rows_is_refused_by_its_name(tmp_path):
    with pytest.raises(InputError, match=r"the list .*labels\.csv names no image"):
        scan(table(tmp_path), tabled(tmp_path))


@pytest.mark.parametrize(
    "label",
    [
        *("pass", "no defect", "defect-free", "i.O.", "negative", "positive", "GOOD!", "'good'", "=1", "0;1", "N/A"),
        *("???", "good\u200b", "\ufeffok", "good\0", '"a\nb"'),
    ],
)
def test_a_label_that_may_mean_a_good_image_is_no_defect(tmp_path, label):
    images(tmp_path, "a.png", "b.png", "c.png")
    table(tmp_path, "a.png,good,train,,nut", f"b.png,{label},test,,nut", "c.png,bent,test,,nut")
    assert f"label {label.strip(chr(34))!r} is neither 0 or good, nor 1" in refusal(tmp_path, tabled(tmp_path))


def test_a_model_is_fitted_to_what_a_table_lists(tmp_path):
    images(tmp_path, "a.png", "b.png", "c.png")
    table(tmp_path, "a.png,0,train", "b.png,0,train", "c.png,1,test", header="path,label,split")
    found = look_at(tmp_path, layout="csv")
    assert [entry.record.image.name for entry in (*found.good, *found.tested)] == ["a.png", "b.png", "c.png"]


def test_the_mapping_that_the_page_shows_can_be_used(tmp_path):
    page = (Path(__file__).parents[3] / "data/README.md").read_text(encoding="utf-8")
    (block,) = (text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "layout: folders" in text)
    values = {"datasets": yaml.safe_load(block), "variants": {"patchcore-10": {"coreset_fraction": 0.1}}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    spec = load_params(tmp_path / "params.yaml").dataset("screws").spec
    assert (spec.good, spec.defects, spec.mask_folder) == (("ok", "gut"), ("ng", "kratzer"), "masks/{defect}")
