"""The tables of docs/few_shot.md, by hand."""

from argparse import Namespace

import pandas as pd
import pytest

from benchmarks import few_shot
from benchmarks.few_shot_page import mean_and_spread, page, results_table, turning
from patchcore_core import InputError


def frame(**values):
    """Image AUROC by variant, shots and seed."""
    rows = [
        {"category": "nut", "variant": name.replace("_turned", "-turned"), "shots": shots, "seed": seed}
        | {"image AUROC": value}
        for name, given in values.items()
        for (shots, seed), value in given.items()
    ]
    return pd.DataFrame(rows)


def test_a_row_is_a_method_and_a_column_a_number_of_images():
    found = frame(
        padim={(1, 0): 70.0, (1, 1): 72.0, (2, 0): 80.0, (None, 0): 95.0},
        padim_turned={(1, 0): 75.0, (1, 1): 75.0},
    )
    assert results_table(found, "image AUROC").splitlines()[3:] == [
        "| method | 1 | 2 | all |",
        "| --- | ---: | ---: | ---: |",
        "| PaDiM | 71.0 ± 1.4 | 80.0 | 95.0 |",
        "| PaDiM, turned | 75.0 ± 0.0 | - | - |",
    ]


def test_what_turning_changes_is_of_the_same_images():
    found = frame(
        rad={(1, 0): 70.0, (2, 0): 90.0, (4, 0): 10.0},
        rad_turned={(1, 0): 73.0, (2, 0): 91.0},
        spade={(1, 0): 50.0},
    )
    assert turning(found, ["image AUROC"])[1:] == ["- RAD: image AUROC +2.0 ± 1.4 (2 pairs)"]


def test_a_method_without_maps_has_no_row_of_pixels():
    found = frame(rad={(1, 0): 70.0}, dn2={(1, 0): 60.0}).assign(PRO=[80.0, float("nan")])
    assert "| DN2 | 60.0 | - |" in results_table(found, "image AUROC")
    assert results_table(found, "PRO").splitlines()[5:] == ["| RAD | 80.0 | - |"]


def test_what_turning_changes_is_told_of_the_metrics_that_a_method_has():
    found = frame(rad={(1, 0): 70.0}, rad_turned={(1, 0): 72.0}, dn2={(1, 0): 60.0}, dn2_turned={(1, 0): 61.0})
    found["PRO"] = [80.0, 79.0, float("nan"), float("nan")]
    assert turning(found, ["image AUROC", "PRO"])[1:] == [
        "- RAD: image AUROC +2.0, PRO -1.0 (1 pairs)",
        "- DN2: image AUROC +1.0 (1 pairs)",
    ]


def test_a_single_value_has_no_spread():
    assert mean_and_spread(pd.Series([71.25])) == "71.2"
    assert mean_and_spread(pd.Series([], dtype=float)) == "-"


def test_the_page_keeps_what_papers_print_apart(project):
    project.variants = {"padim": {"method": "padim", "backbone": "pixels", "hierarchies": [2], "dimensions": 3}}
    few = {"variants": ["padim"], "seeds": [0], "shots": [1, 3], "categories": ["nut"]}
    project.dataset |= {"paper": "mvtec-ad", "seeds": [0], "draw": "blocks", "studies": {"few": few}}
    project.call("mvtec-ad")
    work, found = few_shot.scored(project.toy)
    text = page([(work, found)])
    run, printed = text.split("## Printed by papers")
    assert "## MVTec AD, `nut`: drawn as AnomalyDINO draws them" in run
    assert "| PaDiM |" in run
    assert "WinCLIP |" not in run
    assert "| PatchCore | WinCLIP | 15 categories | 83.4 ± 3.0 | 86.3 ± 3.3 | 88.8 ± 2.6 | - | - |" in printed
    assert "| nut | 0 | 1 | 000 |" in printed
    assert "| nut | 0 | 3 | 000, 001, 002 |" in printed


def test_without_images_nothing_is_measured(tmp_path):
    with pytest.raises(InputError, match="no images to measure on"):
        few_shot.settings(Namespace(mvtec=None, mtd=None, train_list=None))
    with pytest.raises(InputError, match="there is no file"):
        few_shot.settings(Namespace(mvtec=None, mtd=tmp_path, train_list=tmp_path / "list.txt"))
