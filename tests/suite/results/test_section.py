import json

import pandas as pd
import pytest
from toy_report import BY_CATEGORY, drawing, percent

from patchcore_core.common.errors import InputError
from patchcore_suite.results.quantities import Interval, Said
from patchcore_suite.results.section import Chart, Picture, Section, made_again
from patchcore_suite.results.table import Heading, Table

FRAME = pd.DataFrame(
    {
        "variant": ["v, <1>", "ä"],
        "ours": [percent(97.3, 0.4), "weights missing"],
        "interval (95 %)": [Interval(0.96, 0.98), "-"],
        "verdict": [Said.of_one("near"), Said.of_one()],
    }
)


def section(**more):
    tables = {
        "second": Table("T", "C", False, FRAME, Heading("Table 1", "images"), ("toy",)),
        "first": Table("S", "SYNTHETIC.", True, BY_CATEGORY),
    }
    pictures = {"bars": Picture(drawing(), "Bars: by category", Chart("first", "category", metrics=("PRO",)))}
    return Section("t1", Heading("Table 1", "images on MVTec AD"), 3, tables, pictures, **more)


def test_a_section_is_read_as_it_was_written(tmp_path):
    written = section(unmeasured="nothing was timed")
    written.write(tmp_path)
    found = Section.read(tmp_path / "sections/t1.json")
    assert (found.notebook, found.heading, found.order) == ("t1", written.heading, 3)
    assert (found.measured, found.unmeasured) == (False, "nothing was timed")
    assert list(found.tables) == ["second", "first"]  # in their order
    for name, table in found.tables.items():
        for field in ("title", "caption", "synthetic", "paper", "datasets"):
            assert getattr(table, field) == getattr(written.tables[name], field)
    assert found.tables["second"].frame.equals(FRAME.astype(object))
    assert found.tables["first"].frame.map(str).equals(BY_CATEGORY.map(str))
    assert found.pictures["bars"].shows == "Bars: by category"
    assert found.pictures["bars"].chart == written.pictures["bars"].chart


def test_a_section_writes_the_files_of_its_tables_and_pictures(tmp_path):
    section().write(tmp_path)
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    tables = {f"tables/{name}.{kind}" for name in ("first", "second") for kind in ("csv", "json", "tex")}
    assert made == tables | {"figures/bars.png", "figures/bars.svg", "sections/t1.json"}


def test_times_lie_apart_from_what_is_the_same_in_every_run(tmp_path):
    section(measured=True).write(tmp_path)
    assert {path.parent.name for path in tmp_path.rglob("*.*")} == {"timings", "sections"}
    assert Section.read(tmp_path / "sections/t1_measured.json").measured


@pytest.mark.parametrize(
    "harm",
    [
        lambda text: text.replace("0.973", "0.937"),
        lambda text: text.replace('"order": 3', '"order": 4'),
        lambda text: text[: len(text) // 2],
        lambda text: "[" * 100_000,
        lambda text: "[]",
        lambda text: '"text"',
    ],
    ids=["a number", "order", "truncated", "nested", "a list", "text"],
)
def test_a_damaged_section_is_none(tmp_path, harm):
    section().write(tmp_path)
    path = tmp_path / "sections/t1.json"
    path.write_text(harm(path.read_text()))
    with pytest.raises(InputError, match=r"describes no section.*\nRemedy: run `dvc repro -f -s t1`"):
        Section.read(path)


def test_a_section_under_the_name_of_another_is_none(tmp_path):
    section(measured=True).write(tmp_path)
    path = tmp_path / "sections/t2_measured.json"
    (tmp_path / "sections/t1_measured.json").rename(path)
    with pytest.raises(InputError, match=r"it is t1_measured\.json\nRemedy: run `dvc repro -f -s t2`"):
        Section.read(path)


def test_a_section_knows_its_files_from_others(tmp_path):
    section().write(tmp_path)
    found = Section.read(tmp_path / "sections/t1.json")
    assert len(found.files) == 8
    found.check_files(tmp_path)
    (tmp_path / "figures/bars.svg").unlink()  # which is not there is not another
    found.check_files(tmp_path)
    (tmp_path / "tables/first.tex").write_text("")
    with pytest.raises(InputError, match=r"are not those that it wrote:\n  - tables/first\.tex\nRemedy: "):
        found.check_files(tmp_path)


@pytest.mark.parametrize("content", [None, "no JSON", json.dumps({"notebook": "t1"})])
def test_what_describes_no_section_is_refused_with_what_to_run(tmp_path, content):
    path = tmp_path / "t1.json"
    if content:
        path.write_text(content)
    with pytest.raises(InputError, match=r"describes no section.*\nRemedy: run `dvc repro -f -s t1`"):
        Section.read(path)


def test_what_a_person_made_is_made_again_by_a_person():
    assert made_again("t1") == "run `dvc repro -f -s t1`"
    assert "notebooks/bring_your_own.ipynb" in made_again("bring_your_own")
