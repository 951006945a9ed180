import pandas as pd
import pytest

from patchcore_suite.datasets.names import csv_text, from_csv, in_csv, shown


@pytest.mark.parametrize("name", ["mean", "Mean", "all", "index.json", "mean (category)"])
def test_a_category_called_as_a_word_of_the_suite_says_what_it_is(name):
    assert shown(name) == f"{name} (category)"


def test_no_two_categories_are_shown_alike_and_others_as_they_are():
    names = [
        "mean",
        "mean (category)",
        "mean (category) (category)",
        "meander",
        "means",
        "all parts",
        "index",
        "nan",
        "",
    ]
    found = [shown(name) for name in names]
    assert len(set(found)) == len(names)
    assert not {"mean", "all", "index.json"} & set(found)
    assert found[3:] == names[3:]


@pytest.mark.parametrize(
    "text", ["=1+1", "+x", "-cmd|' /C calc'!A0", "-1+cmd|x", "@sum(1)", "\t=1", "'=1", "''@", "＝1", "- x", "+1 - 2"]
)
def test_no_text_is_a_formula_and_each_comes_back(text):
    assert in_csv(text) == f"'{text}"
    assert from_csv(in_csv(text)) == text


@pytest.mark.parametrize("text", ["-", "-0.1", "+2.5", "-3.1 ± 0.2", "-1,234", "+1e-5", "a=1", "'quoted'", "x", ""])
def test_numbers_and_other_texts_stay_as_they_are(text):
    assert in_csv(text) == from_csv(text) == text


def test_a_frame_keeps_its_numbers():
    frame = pd.DataFrame({"name": ["=1", "b"], "value": [-0.5, None], "count": pd.array([-1, None], "Int64")})
    assert csv_text(frame) == "name,value,count\n'=1,-0.5,-1\nb,,\n"
