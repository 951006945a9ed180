import codecs

import pytest
import yaml

from patchcore_core import InputError
from patchcore_suite.settings import yaml_file
from patchcore_suite.settings.yaml_file import dotted, read_value, read_yaml


def read(folder, content):
    data = content if isinstance(content, bytes) else content.encode()
    (folder / "some.yaml").write_bytes(data)
    return read_yaml(folder / "some.yaml", remedy="look elsewhere")


def message(folder, content):
    with pytest.raises(InputError) as caught:
        read(folder, content)
    return str(caught.value)


def problems(folder, content):
    """(line, text) of what is wrong with single values."""
    document = read(folder, content)
    return [(document.places[path], text) for path, text in document.problems]


@pytest.fixture(params=["libyaml", "python"])
def each_loader(request, monkeypatch):
    if request.param == "python":
        monkeypatch.setattr(yaml_file, "LOADER", yaml.SafeLoader)


# What it says


def test_values_are_those_of_pyyaml_with_the_line_of_each(tmp_path, each_loader):
    text = "a: {b: 1}\nc:\n  - 2\n  - d: [x, 'y']\n  # why\n  - null\nwhole: 2026-01-01\n"
    document = read(tmp_path, text)
    assert document.values == yaml.safe_load(text)
    assert document.name == "some.yaml"
    assert document.problems == ()
    assert {dotted(path): place for path, place in document.places.items()} == {
        "a": "line 1",
        "a.b": "line 1",
        "c": "line 2",
        "c[0]": "line 3",
        "c[1]": "line 4",
        "c[1].d": "line 4",
        "c[1].d[0]": "line 4",
        "c[1].d[1]": "line 4",
        "c[2]": "line 6",
        "whole": "line 7",
    }


def test_aliases_and_merged_mappings_are_read_as_pyyaml_reads_them(tmp_path, each_loader):
    text = "a: &a {x: 1, v: 2}\nb: *a\nc: {<<: *a, v: 3}\nd: {v: 4, <<: [*a, {z: 5}]}\n"
    document = read(tmp_path, text)
    assert document.values == yaml.safe_load(text)
    assert document.problems == ()


@pytest.mark.parametrize(("text", "value"), [("3", 3), ("[0, 1]", [0, 1]), ("a folder", "a folder"), ("", None)])
def test_a_single_value_is_read_as_it_would_stand_behind_a_key(text, value):
    assert read_value(text, "here") == value


@pytest.mark.parametrize("text", ["[", "1e-3", "{a: 1, a: 2}", "!odd x", "a: b: c"])
def test_a_single_value_that_cannot_be_read_is_refused(text):
    with pytest.raises(InputError, match=r"^here "):
        read_value(text, "here")


# Two dialects

NUMBERS = "0 1 -1 +1 10 0.5 .5 -.5 +.5 5. 1e3 1e-3 1E+3 -1e-3 1.5e3 -1.5e3 1.e3 .5e3 1_000 01.5 1e .inf -.inf 1.2.3"
OF_OTHER_BASES = "007 010 08 018 089 -010 +010 -08 0o10 -0o7 0x1F 0b11 0_7 12:30 12:30:45 12:30:45.5 -12:30 1_2:30"
WORDS = "on off yes no On NO Off true True TRUE False null Null NULL ~ 2026-01-01 ="


@pytest.mark.parametrize("scalar", f"{NUMBERS} {OF_OTHER_BASES} {WORDS}".split())
def test_what_the_dialects_read_differently_is_a_problem(tmp_path, each_loader, scalar):
    ruamel = pytest.importorskip("ruamel.yaml", reason="ruamel.yaml comes with DVC")
    text = f"value: {scalar}"
    try:
        alike = repr(yaml.safe_load(text)) == repr(ruamel.YAML(typ="safe").load(text))
    except yaml.YAMLError:
        alike = False
    assert alike or problems(tmp_path, text)


@pytest.mark.parametrize("scalar", ["1e-3", "on", "010", "12:30", "0o10", "Yes"])
def test_an_ambiguous_value_is_named_with_its_line(tmp_path, each_loader, scalar):
    ((line, text),) = problems(tmp_path, f"a: 1\nb: {scalar}\n")
    assert line == "line 2"
    assert text.startswith(f"{scalar} is read differently by DVC and by the notebooks")
    assert "0.001 instead of 1e-3" in text


def test_ambiguous_values_are_found_in_lists_and_keys_and_all_at_once(tmp_path):
    found = problems(tmp_path, "a: [0, 010]\nb:\n  on: {x: 1}\n")
    assert [(line, text.split()[0]) for line, text in found] == [("line 1", "010"), ("line 3", "on")]


@pytest.mark.parametrize("scalar", ["'1e-3'", '"on"', "0", "0.001", "-1", "true", "null", "1.5", "a/b-c_1.2", "[]"])
def test_unambiguous_and_quoted_values_are_taken(tmp_path, scalar):
    document = read(tmp_path, f"value: {scalar}")
    assert document.problems == ()
    assert document.values == {"value": yaml.safe_load(scalar)}


# Keys and values that cannot be read


def test_a_key_that_is_there_twice_is_named_with_both_lines(tmp_path, each_loader):
    found = problems(tmp_path, "a:\n  x: 1\n  z: 2\n  x: 3\nb: 1\na: 2\nc: {d: 1, d: 1}\n")
    assert sorted(found) == [
        ("line 4", "a.x is there twice: in line 2 too"),
        ("line 6", "a is there twice: in line 1 too"),
        ("line 7", "c.d is there twice: in line 7 too"),
    ]


def test_what_a_merged_mapping_says_too_is_not_there_twice(tmp_path):
    assert problems(tmp_path, "a: &a {x: 1}\nb: {<<: *a, x: 2}\n") == []


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("!odd 3", "3"),
        ("!odd {x: 1}", "!odd"),
        ("!odd [1]", "!odd"),
        ("!!python/object:os.system x", "x"),
        ("2026-13-45", "2026-13-45"),
        ("!!int x", "x"),
        ("!!timestamp x", "x"),
        ("!!bool x", "x"),
    ],
)
def test_a_value_that_no_reader_knows_is_named_with_its_line(tmp_path, each_loader, value, shown):
    assert problems(tmp_path, f"a: 1\nb: {value}\n") == [("line 2", f"{shown} is no value that can be read: quote it")]


def test_a_key_that_is_no_name_is_named_with_its_line(tmp_path, each_loader):
    document = read(tmp_path, "a: 1\nb:\n  ? [x, y]\n  : 2\n")
    assert [text for _, text in document.problems] == ["line 3 has a list or a mapping for a key: write a name"]


# Files that cannot be read


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "some.yaml is empty"),
        ("# only a comment\n", "some.yaml is empty"),
        ("---\n...\n", "some.yaml is empty"),
        ("null", "some.yaml is empty"),
        ("- 1", "some.yaml must be a mapping of names to values"),
        ("words", "some.yaml must be a mapping of names to values"),
        ("a: 1\nb: [\nc: 2", "some.yaml is not YAML: line "),
        ("a: b: c", "some.yaml is not YAML: line 1: "),
        ("a: 1\n\tb: 2", "some.yaml is not YAML: line 2: "),
        ("a: *nothing", "some.yaml is not YAML: line 1: "),
        ("a: {<<: 3}", "some.yaml is not YAML: line 1: "),
        ("a: 1\n---\nb: 2\n", "some.yaml is not YAML: line 2: "),
        (b"a: 1\x00", "some.yaml is not YAML: "),
        (b"a: 1\nb: caf\xe9\n", "some.yaml is not UTF-8: line 2"),
        (codecs.BOM_UTF8 + b"a: 1", "some.yaml begins with a byte order mark"),
        ("a: 1".encode("utf-16"), "some.yaml begins with a byte order mark"),
        ("a: " + "[" * 100_000, "some.yaml is nested more than 30 deep: line 1"),
        ("".join(f"{' ' * depth}a:\n" for depth in range(3_000)), "some.yaml is nested more than 30 deep: line 31"),
        ("a: &a [*a]", "some.yaml is nested more than 30 deep: line 1"),
        ("a: &a {b: *a}", "some.yaml is nested more than 30 deep: line 1"),
        ("a: &a {<<: *a, b: 1}", None),
    ],
)
def test_what_is_no_yaml_mapping_is_refused_in_one_message(tmp_path, each_loader, content, expected):
    if expected is None:
        read(tmp_path, content)  # PyYAML takes a mapping merged into itself for what it has so far
        return
    text = message(tmp_path, content)
    assert expected in text
    assert text.count("Remedy: ") == 1
    assert len(text) < 500


def test_aliases_that_multiply_are_refused_before_memory_is_full(tmp_path):
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "some.yaml holds more than 100,000 values" in message(tmp_path, "\n".join(lines))


def test_a_file_that_cannot_be_read_is_named_with_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"none.yaml cannot be read: No such file.*\nRemedy: look elsewhere"):
        read_yaml(tmp_path / "none.yaml", remedy="look elsewhere")
    with pytest.raises(InputError, match=r"cannot be read: Is a directory"):
        read_yaml(tmp_path, remedy="look elsewhere")
