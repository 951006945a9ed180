"""Results of other code beside ours, and ours for others: what is read, refused, compared, written and read again."""

import math
from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ToyProject
from whole_project import run_main

from patchcore_core import InputError
from patchcore_core.common.files import sha256_json
from patchcore_suite.report.page import build_report
from patchcore_suite.results import compare, publish
from patchcore_suite.results.compare import beside, paired_interval
from patchcore_suite.results.foreign import read_foreign
from patchcore_suite.results.publish import COLUMNS, NUMBERS, TEXTS, published
from patchcore_suite.results.sources import index_of
from patchcore_suite.results.study_metrics import read_rows
from patchcore_suite.run.evaluate import write_metrics
from patchcore_suite.run.raw_results import key_of
from patchcore_suite.settings.project import Project

AUTHORS = """Row Names,instance_auroc,full_pixel_auroc,full_pro,anomaly_pixel_auroc,anomaly_pro
mvtec_bolt,1.0,0.75,0.7,0.9,0.875
mvtec_nut,0.5,0.25,0.6,0.9,0.5
Mean,0.75,0.5,0.65,0.9,0.6875
"""
ANOMALIB = """accelerator,job_duration,seed,model.name,data.init_args.category,image_AUROC,image_F1Score,pixel_AUROC
gpu,12.5,0,Patchcore,bolt,0.875,0.9,0.75
gpu,12.5,1,Patchcore,bolt,0.625,0.9,0.75
gpu,12.5,0,Patchcore,nut,0.5,0.9,0.25
"""


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A toy project with metrics of two variants and few nominal images. Not to be changed."""
    project = ToyProject(tmp_path_factory.mktemp("evaluated")).draw()
    pixels = {"backbone": "pixels", "hierarchies": [2, 3]}
    project.variants = {"tenth": pixels | {"coreset_fraction": 0.1}, "random": {"method": "random_scores"}}
    project.dataset["studies"] = {"low_shot": {"variants": ["tenth"], "seeds": [0], "shots": [1]}}
    project.score()
    with chdir(project.root):
        write_metrics(project.toy)
    return project


def written(folder, text, name="theirs.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def message(act, *given, **named):
    with pytest.raises(InputError) as raised:
        act(*given, **named)
    return str(raised.value)


def values(found):
    return {(row.category, row.metric): row.value for row in found.rows.itertuples()}


# What is read


def test_the_authors_file_is_read_without_its_means(tmp_path):
    found = read_foreign(written(tmp_path, AUTHORS))
    assert values(found) == {
        ("bolt", "image_auroc"): 1.0,
        ("nut", "image_auroc"): 0.5,
        ("bolt", "pixel_auroc"): 0.75,
        ("nut", "pixel_auroc"): 0.25,
        ("bolt", "pro_per_image"): 0.875,
        ("nut", "pro_per_image"): 0.5,
    }
    assert found.notes == ("not compared: full_pro, anomaly_pixel_auroc",)


def test_anomalibs_file_is_read_seed_by_seed(tmp_path):
    rows = read_foreign(written(tmp_path, ANOMALIB)).rows
    image = rows[rows["metric"] == "image_auroc"]
    assert list(image[["category", "seed", "value"]].itertuples(index=False, name=None)) == [
        ("bolt", 0, 0.875),
        ("bolt", 1, 0.625),
        ("nut", 0, 0.5),
    ]


def test_a_tidy_table_in_percent_is_read_as_fractions_and_said_to_be(tmp_path):
    text = "Category;".replace(";", ",metric,value\n") + "bolt,Image AUROC,97.5\nnut,Image AUROC,100\nbolt,speed,3\n"
    found = read_foreign(written(tmp_path, text))
    assert values(found) == {("bolt", "image_auroc"): 0.975, ("nut", "image_auroc"): 1.0}
    assert "not compared: speed" in found.notes
    assert "Image AUROC is read as percent (image_auroc)" in found.notes


# What is refused


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", ["no column names the category: a, b", "no metric is known: a, b"]),
        ("category,pixel_aurok\nbolt,1\n", ["did you mean pixel_auroc?"]),
        ("category,image_auroc,Image-AUROC\nbolt,1,1\n", ["image_auroc is given by image_auroc and Image-AUROC"]),
        ("", ["cannot be read as CSV"]),
    ],
)
def test_a_table_that_nobody_understands_is_refused_with_what_it_has(tmp_path, text, said):
    text = message(read_foreign, written(tmp_path, text))
    assert all(part in text for part in said)
    assert text.count("Remedy:") == 1


def test_all_values_that_cannot_be_used_are_told_at_once(tmp_path):
    text = message(
        read_foreign,
        written(
            tmp_path,
            "category,image_auroc,pixel_auroc\nbolt,99.5,0.9\nnut,0.97,0.8\ntile,many,-1\nbolt,98,0.7\nwood,130,nan\n",
        ),
    )
    assert "tile, image_auroc: 'many' is no share" in text
    assert "tile, pixel_auroc: '-1' is no share" in text
    assert "wood, image_auroc: '130' is no share" in text
    assert "wood, pixel_auroc: 'nan' is no share" in text
    assert "nut, image_auroc: 0.97 beside 99.5: fractions and percent" in text
    assert "bolt, image_auroc: given 2 times: 99.5, 98" in text
    assert text.count("Remedy:") == 1


def test_a_file_that_is_not_there_is_told(tmp_path):
    assert "cannot be read as CSV" in message(read_foreign, tmp_path / "absent.csv")


def test_categories_that_are_not_here_are_noted_and_none_in_common_refused(evaluated, tmp_path):
    some = written(tmp_path, "category,image_auroc\nbolt,0.5\nscrew,0.5\n")
    made = compare.section(evaluated.toy, "tenth", read_foreign(some), name="some")
    (table,) = made.tables.values()
    assert list(table.frame["category"]) == ["bolt"]
    assert "Not here: screw." in table.caption
    none = read_foreign(written(tmp_path, "category,image_auroc\nscrew,0.5\n"))
    assert "theirs: screw" in message(beside, evaluated.toy, "tenth", none)
    assert "choose one of tenth, random" in message(beside, evaluated.toy, "tense", read_foreign(some))


# What is compared


def test_differences_are_paired_by_category(evaluated, tmp_path):
    theirs = read_foreign(written(tmp_path, AUTHORS))
    frame = beside(evaluated.toy, "tenth", theirs)
    rows = read_rows(evaluated.toy)
    rows = rows[(rows["variant"] == "tenth") & rows["shots"].isna() & (rows["metric"] == "image_auroc")]
    ours = rows.groupby("category")["value"].mean()
    found = frame[frame["metric"] == "image AUROC"].set_index("category")
    for category, other in (("bolt", 1.0), ("nut", 0.5)):
        assert found.loc[category, "difference"].value == pytest.approx(ours[category] - other)
        assert found.loc[category, "ours"].value == pytest.approx(ours[category])
    assert found.loc["mean", "difference"].value == pytest.approx(ours.mean() - 0.75)
    assert found.loc["mean", "interval (95 %)"] == "-"  # of two categories


def test_the_interval_of_paired_differences_by_hand():
    assert paired_interval([0.01, 0.02]) == "-"
    same = paired_interval([0.02, 0.02, 0.02])
    assert (same.low, same.high) == pytest.approx((0.02, 0.02))
    # The mean of three draws of {0, 0, 3} is the number of threes: 2/3 of 0, 4/9 ... of a binomial (3, 1/3).
    three = paired_interval([0.0, 0.0, 0.03])
    assert three.low == 0
    assert three.high == pytest.approx(0.03)  # P(all three) = 1/27 = 3.7 %, above 2.5 %
    wide = paired_interval(np.linspace(-0.1, 0.1, 15))
    assert wide.low == pytest.approx(-wide.high, abs=0.003)
    assert wide.high == pytest.approx(1.96 * np.linspace(-0.1, 0.1, 15).std() / math.sqrt(15), abs=0.003)


def test_the_command_makes_a_section_that_the_report_shows(evaluated, tmp_path, capsys):
    path = written(tmp_path, AUTHORS, "their results.csv")
    with chdir(evaluated.root):
        run_main(compare, str(path), "--variant", "tenth")
    assert "image AUROC" in capsys.readouterr().out
    page = build_report(Project(evaluated.params))
    assert "Beside other code: their results" in page
    assert 'id="table-compare_their_results"' in page
    assert "executed/compare" not in page
    assert "·</span>" not in page


# Ours for others


def test_what_is_published_carries_what_made_it(evaluated):
    frame = published(Project(evaluated.params))
    assert tuple(frame) == COLUMNS
    assert {*TEXTS, *NUMBERS} == set(COLUMNS)
    index = index_of(evaluated.toy)
    cells = frame[frame["key"] != ""]
    assert set(cells["key"]) == {cell["key"] for cell in index.cells}
    for cell, result in index.results(evaluated.toy.scores):
        rows = cells[cells["key"] == cell["key"]]
        stamp = result.stamp
        assert key_of(stamp) == cell["key"]
        assert set(rows["images_sha256"]) == {stamp["images_sha256"]}
        described = [stamp["method"], stamp["config"], stamp["preprocessing"]]
        assert set(rows["config_sha256"]) == {sha256_json(described)}
        assert set(rows["seed"]) == {cell["seed"]}
        assert f"torch={stamp['versions']['torch']}" in rows["versions"].iloc[0]
    assert len(frame[frame["key"] == ""]["seed"].dropna()) == len(
        read_rows(evaluated.toy).query("variant == 'blurred ground truth'")
    )
    means = frame[(frame["seed"].isna()) & (frame["category"] == "mean") & (frame["metric"] == "image_auroc")]
    rows = read_rows(evaluated.toy).query("variant == 'tenth' and metric == 'image_auroc'")
    of_all = rows[rows["shots"].isna()]["value"].mean()
    assert means.set_index("variant").loc["tenth", "value"] == pytest.approx(of_all)
    assert (means["low"] <= means["value"]).all()
    assert (means["value"] <= means["high"]).all()


def test_what_is_published_is_read_as_it_was(evaluated, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "find_spec", lambda name: None)
    frame = published(Project(evaluated.params))
    frame.loc[0, "category"] = "=1+1"
    (path,) = publish.write(frame, tmp_path)
    pd.testing.assert_frame_equal(publish.read(path), frame)
    assert "'=1+1" in path.read_text(encoding="utf-8")


def test_parquet_holds_the_same(evaluated, tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    frame = published(Project(evaluated.params))
    _, parquet = publish.write(frame, tmp_path)
    pd.testing.assert_frame_equal(pd.read_parquet(parquet), frame)


def test_ours_compared_with_ours_differs_nowhere(evaluated, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "find_spec", lambda name: None)
    (path,) = publish.write(published(Project(evaluated.params)), tmp_path)
    assert "the file holds several variants" in message(read_foreign, path)
    frame = beside(evaluated.toy, "tenth", read_foreign(path, variant="tenth"))
    assert set(frame["metric"]) == {"image AUROC", "pixel AUROC", "PRO", "PRO per image"}
    assert all(cell.value == pytest.approx(0, abs=1e-9) for cell in frame["difference"])
    assert [str(cell) for cell in frame["ours"]] == [str(cell) for cell in frame["theirs"]]


def test_all_datasets_without_results_are_told_and_no_file_is_written(evaluated, tmp_path):
    other = ToyProject(tmp_path / "fresh")
    (tmp_path / "fresh").mkdir()
    other.draw()
    assert "toy: there are no metrics" in message(published, Project(other.params))


@pytest.mark.parametrize("text", ["a,b\n1,2\n", ""])
def test_another_file_is_no_published_table(tmp_path, text):
    assert "make publish" in message(publish.read, written(tmp_path, text))


def test_the_command_says_what_it_wrote(evaluated, tmp_path, capsys):
    with chdir(evaluated.root):
        run_main(publish, "--to", str(tmp_path / "out"))
    assert "published:" in capsys.readouterr().out
    assert Path(tmp_path / "out/results.csv").is_file()
