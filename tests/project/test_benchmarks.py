"""The benchmarks run, their loops are the definitions, and their report reads."""

import json
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import busy, clock, explorers, inputs, other_selections, selection
from benchmarks.clock import Row, Table, exponent, interleaved
from benchmarks.reference import pro_by_loops, sequential_picks
from patchcore_core import InputError, metrics
from patchcore_core.coreset import greedy_coreset

ROOT = Path(__file__).parents[2]


@pytest.fixture
def small(monkeypatch):
    for name, value in {"GRID": 6, "DIMENSION": 20, "DRAWN": 5, "SIDE": 224}.items():
        monkeypatch.setattr(inputs, name, value)
    return inputs.make_inputs(None, share=1 / 64, device="cpu")


def test_cases_take_turns_and_medians_are_reported(monkeypatch):
    order, clock_of = [], iter([3.0, 1.0, 2.0, 10.0, 20.0, 30.0])
    times = {"a": [], "b": []}
    monkeypatch.setattr(clock, "once", lambda act, device: (act(), next(clock_of))[1])
    found = interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert order == ["a", "b"] * 3
    assert found == {"a": 3.0, "b": 10.0}  # medians of 3, 2, 20 and of 1, 10, 30
    assert not any(times.values())


@pytest.mark.parametrize("power", [0.5, 1, 2])
def test_the_exponent_of_a_power_is_found(power):
    sizes = [1, 2, 4, 8]
    assert exponent(sizes, [3 * size**power for size in sizes]) == pytest.approx(power)


def test_rates_are_operations_or_bytes_a_second():
    assert Row("a", 2.0, floating_point_operations=4e9).rate == "2 GFLOP/s"
    assert Row("a", 2.0, traffic=3e9).rate == "1.5 GB/s"
    assert Row("a", 2.0).rate == "-"


def test_the_loop_makes_the_picks_that_are_shipped():
    features = torch.randn(500, 6, generator=torch.Generator().manual_seed(0))
    assert sequential_picks(features, 200, 4) == greedy_coreset(features, 200, start=4).tolist()


def test_the_loop_over_regions_is_pro():
    masks = np.zeros((3, 16, 16), dtype=bool)
    masks[0, 2:5, 2:9], masks[0, 12:, 12:], masks[2, 4:12, 4:6] = True, True, True
    maps = np.random.default_rng(0).random(masks.shape).astype(np.float32)
    assert metrics.pro(masks, maps) == pytest.approx(pro_by_loops(masks, maps, 0.3), abs=1e-9)


def test_a_selection_is_timed_and_compared(small, monkeypatch):
    monkeypatch.setattr(selection, "_memory", lambda *given: Table("memory", "", []))
    tables = selection.selection(small, repeats=1, same_picks=20, peer=None, device="cpu")
    assert "**20 of 20** picks" in tables[2].findings[0]
    assert all(row.seconds > 0 for table in tables for row in table.rows)


@pytest.mark.long
def test_the_memory_of_a_selection_is_what_it_holds_beside_its_features():
    # So many that what the process takes for other things, some 40 MiB that come and go, counts for little.
    features = torch.randn(240_000, 64, generator=torch.Generator().manual_seed(0))
    (finding,) = selection._memory(features, None).findings
    share = float(re.search(r"([\d.]+) times the features' 59 MiB", finding)[1])
    assert 0.05 < share < 2.5  # a few numbers a row at least; screening and blocks of products at most


def test_the_load_ends_however_the_measurement_does():
    for error in (None, RuntimeError, KeyboardInterrupt):
        started = []
        with pytest.raises(error) if error else nullcontext(), busy.load() as running:
            started += running
            assert [one.poll() for one in started] == [None, None]
            if error:
                raise error
        assert all(one.poll() is not None for one in started)


def test_each_case_is_timed_alone_and_beside_the_load(small, monkeypatch):
    loads = []
    monkeypatch.setattr(busy, "load", lambda: nullcontext(loads.append("load")))
    table = busy.busy(small, repeats=2)
    assert len(loads) == 2
    assert [row.case.split(", ")[-1] for row in table.rows] == ["alone", "beside the load"] * 4
    assert "times as long" in table.findings[0]


def test_a_report_has_every_table(small, monkeypatch, tmp_path):
    table = Table("Some title", "Some text.", [Row("case", 0.5, "note", 1e9)], ["a finding"])
    monkeypatch.setattr(command, "make_inputs", lambda *given, **named: small)
    monkeypatch.setattr(command, "sections", lambda *given: iter([table, Table("No rows", "", [], ["another"])]))
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--to", str(tmp_path / "benchmarks.md")])
    command.main()
    text = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert "## Some title\n\nSome text.\n\n| case | seconds | rate | |\n" in text
    assert "| case | 0.5 | 2 GFLOP/s | note |\n\n- a finding\n\n## No rows\n\n- another\n" in text
    assert "processor" in text


def test_limits_stand_beside_what_was_measured():
    table = explorers._promised("A title", {"slider": 0.1, "list": 0.4, "more": 9}, {"slider": 0.3, "list": 0.3})
    assert [(row.seconds, row.note) for row in table.rows] == [(0.1, "limit 0.3 s"), (0.4, "limit 0.3 s"), (9, "")]
    assert table.findings == ["**Beyond the limit: list.**"]
    assert explorers._promised("A title", {"slider": 0.1}, {"slider": 0.3}).findings == ["All are within their limits."]


def test_without_a_report_or_a_browser_a_sentence_says_so(tmp_path, monkeypatch):
    (without_report,) = explorers.report_page(tmp_path / "index.html", repeats=1).findings
    assert "`make repro` makes it" in without_report
    (tmp_path / "index.html").write_text("<p>A report</p>")
    monkeypatch.setattr(explorers, "BROWSERS", ())
    (without_browser,) = explorers.report_page(tmp_path / "index.html", repeats=1).findings
    assert "no Chromium" in without_browser


def test_every_widget_is_timed(monkeypatch):
    turns = {"slider": [], "list": []}
    monkeypatch.setattr(explorers, "open_panels", lambda params, folder: ())
    monkeypatch.setattr(explorers, "answers", lambda: {name: asked.append for name, asked in turns.items()})
    table = explorers.exploration(None, repeats=3)
    assert turns == {"slider": [0, 1, 2], "list": [0, 1, 2]}
    assert [row.case for row in table.rows] == ["slider", "list"]


@pytest.mark.parametrize(
    ("given", "message"),
    [(["--mtd", "nowhere"], "no such folder"), (["--device", "cuda"], "no GPU can be used here")],
)
def test_what_cannot_be_timed_is_refused_before_anything_is(given, message, monkeypatch):
    if given[0] == "--device" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setattr(sys, "argv", ["benchmarks", *given])
    monkeypatch.setattr(command, "make_inputs", lambda *arguments, **options: pytest.fail("begun"))
    with pytest.raises(InputError, match=message):
        command.main()


@pytest.mark.slow
@pytest.mark.long
def test_files_become_metrics_in_a_process_of_its_own(tmp_path):
    from whole_project import LAYOUTS

    LAYOUTS["mtd"](tmp_path)
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.whole", tmp_path, "--size", "50"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(run.stdout)
    assert found["images"] == [8, 5]
    assert found["bank"][0] in (49, 50)
    assert set(found["seconds"]) == {"start", "fit", "predict", "metrics"}


def test_a_selection_that_cannot_be_timed_is_left_out_with_a_note(small, tmp_path):
    library = tmp_path / "k_center.py"
    library.write_text(
        "class KCenter:\n"
        "    def __init__(self, n_clusters, random_state):\n"
        "        self.size = n_clusters\n"
        "    def fit(self, rows):\n"
        "        self.center_indices_ = list(range(self.size))\n"
        "        return self\n"
    )
    (tmp_path / "k_center-9.dist-info").mkdir()
    (tmp_path / "k_center-9.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: k-center\nVersion: 9\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    table = other_selections.other_selections(small, python, picks=5)
    assert [row.case for row in table.rows] == ["greedy_coreset", "k-center 9"]
    assert table.rows[1].note == "the first 1 of 5 picks are ours"
    assert any(note.startswith("torch-quickfps: not timed. ") for note in table.findings)
