import json

import numpy as np
import pandas as pd
import pytest

from patchcore_suite.run.rounding import same_numbers, write_frame_unless_same, write_json_unless_same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0.912345, 0.912346),
        (1750.123, 1750.124),  # relative to a large number
        (float("nan"), float("nan")),
        ({"pro": [0.5, None, "a"]}, {"pro": [0.500004, None, "a"]}),
    ],
)
def test_numbers_that_differ_by_rounding_are_the_same(one, other):
    assert same_numbers(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0.9123, 0.9124),
        (0.5, float("nan")),
        (0.5, None),
        ("0.912345", "0.912346"),
        ([0.5], [0.5, 0.5]),
        ({"a": 0.5}, {"b": 0.5}),
        ({"a": 0.5}, [0.5]),
    ],
)
def test_all_else_is_another_value(one, other):
    assert not same_numbers(one, other)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'a,b\n"', b"[" * 100_000])
def test_what_cannot_be_read_is_written_anew(tmp_path, content):
    path = tmp_path / "metrics"
    path.write_bytes(content)
    write_json_unless_same(path, {"pro": 0.5})
    assert json.loads(path.read_text()) == {"pro": 0.5}
    path.write_bytes(content)
    write_frame_unless_same(path, pd.DataFrame({"pro": [0.5]}), digits=6)
    assert path.read_text() == "pro\n0.5\n"


@pytest.fixture
def frame():
    return pd.DataFrame({"variant": ["a", "b"], "value": [0.912345, np.nan]})


def test_a_frame_that_differs_by_rounding_leaves_the_file_as_it_was(tmp_path, frame):
    path = tmp_path / "metrics.csv"
    write_frame_unless_same(path, frame, digits=6)
    before = path.read_bytes()
    assert before == b"variant,value\na,0.912345\nb,\n"
    write_frame_unless_same(path, frame.assign(value=[0.912347, np.nan]), digits=6)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        {"value": [0.9125, np.nan]},
        {"value": [0.912345, 0.0]},
        {"variant": ["a", "c"]},
        {"seed": [0, 0]},
    ],
)
def test_a_frame_that_says_something_else_is_written(tmp_path, frame, change):
    path = tmp_path / "metrics.csv"
    write_frame_unless_same(path, frame, digits=6)
    before = path.read_bytes()
    write_frame_unless_same(path, frame.assign(**change), digits=6)
    assert path.read_bytes() != before


@pytest.mark.parametrize("there", [None, "{", "[]", '{"tenth": {"pro": 0.92}}'])
def test_what_is_missing_damaged_or_another_value_is_written(tmp_path, there):
    path = tmp_path / "metrics.json"
    if there is not None:
        path.write_text(there)
    write_json_unless_same(path, {"tenth": {"pro": 0.912345}})
    assert json.loads(path.read_text()) == {"tenth": {"pro": 0.912345}}
    before = path.read_bytes()
    write_json_unless_same(path, {"tenth": {"pro": 0.912346}})
    assert path.read_bytes() == before


def test_names_that_look_like_numbers_are_none(tmp_path):
    path = tmp_path / "metrics.csv"
    for categories in (["1", "nan"], ["01", "NaN"], ["1.000001", "inf"]):
        write_frame_unless_same(path, pd.DataFrame({"category": categories, "value": [0.5, 0.5]}), digits=6)
        assert path.read_text() == f"category,value\n{categories[0]},0.5\n{categories[1]},0.5\n"
