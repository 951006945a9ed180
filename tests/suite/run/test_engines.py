import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
import torch
from tqdm import tqdm

from patchcore_core import InputError
from patchcore_core.common.progress import progress_bar
from patchcore_suite.baselines.registry import detector
from patchcore_suite.run import engines
from patchcore_suite.run.cells import plan
from patchcore_suite.run.engines import compute_in_processes
from patchcore_suite.run.feature_cache import FeatureCache
from patchcore_suite.run.groups import compute, groups
from patchcore_suite.run.raw_results import RawResult
from patchcore_suite.run.score import score_dataset

SEVERAL = {
    "tenth": {"coreset_fraction": 0.1},
    "all": {"coreset_fraction": 1},
    "third": {"hierarchies": [3]},
    "window": {"neighbourhood_size": 1},
}


def results(project):
    """What the store holds of each cell: (category, variant, seed) to raw result, or None."""
    work = plan(project.toy)
    return {
        (cell.category, cell.variant, cell.seed): RawResult.read(work.path(cell)) if work.path(cell).is_file() else None
        for cell in work.cells
    }


def at_once(project, count=2):
    work = plan(project.toy)
    compute_in_processes(groups(work.pending(), work, largest=2), work, count, looked=lambda: None)


def alive_in_group(group):
    """Command lines of the processes of a group that still run."""
    found = []
    for process in psutil.process_iter(["status", "cmdline"]):
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.info["cmdline"])
    return found


# Groups


def test_a_group_shares_descriptions_and_every_cell_is_in_one(project):
    project.variants = SEVERAL
    work = plan(project.toy)
    found = groups(work.cells, work)
    assert [cell for group in found for cell in group.cells if group.scope == "bolt"] != []
    assert sorted(cell.key for group in found for cell in group.cells) == sorted(cell.key for cell in work.cells)
    together = [{cell.variant for cell in group.cells} for group in found if group.scope == "nut"]
    assert together[0] == {"tenth", "all"}  # the longest first
    assert {"third"} in together
    assert {"window"} in together


def test_a_large_group_is_divided_into_equal_parts_with_some_of_every_variant(project):
    project.dataset["seeds"] = [0, 1, 2]
    work = plan(project.toy)
    parts = [group for group in groups(work.cells, work, largest=2) if group.scope == "bolt"]
    assert [len(group.cells) for group in parts] == [2, 2, 2]
    assert {cell.variant for cell in parts[0].cells} == {"tenth", "all"}


# Several processes


@pytest.mark.slow
def test_several_processes_give_what_one_gives(project, tmp_path):
    project.variants = SEVERAL
    at_once(project)
    several = results(project)
    project.execution["cache_dir"] = "alone"
    project.score()
    alone = results(project)
    assert several.keys() == alone.keys()
    for cell, result in several.items():
        for name in ("scores", "distances", "indices", "coreset_indices"):
            assert np.array_equal(getattr(result, name), getattr(alone[cell], name)), (cell, name)


@pytest.mark.slow
@pytest.mark.long
def test_a_group_that_fails_does_not_stop_the_others_and_all_are_named(project):
    project.variants = SEVERAL | {"few": {"coreset_fraction": 0.01, "search": "ivf"}}
    with pytest.raises(InputError) as error:
        at_once(project)
    assert all(f"{category}: " in str(error.value) for category in ("bolt", "nut"))
    assert "rows" in str(error.value)
    assert str(error.value).count("Remedy:") == 1
    assert {variant for (_, variant, _), result in results(project).items() if result is None} == {"few"}


@pytest.mark.slow
@pytest.mark.long
def test_a_process_that_is_killed_is_replaced_and_its_group_computed(project):
    project.variants = SEVERAL
    killed = []

    def kill_one():
        while not (found := multiprocessing.active_children()):
            time.sleep(0.05)
        time.sleep(1.5)  # it is at work, or about to be
        killed.append(found[0].pid)
        os.kill(found[0].pid, signal.SIGKILL)

    threading.Thread(target=kill_one, daemon=True).start()
    at_once(project)
    assert len(killed) == 1
    assert all(result is not None for result in results(project).values())
    assert multiprocessing.active_children() == []


@pytest.mark.slow
@pytest.mark.long
def test_an_interrupt_ends_all_processes_at_once_and_what_was_finished_stays(project):
    project.variants = SEVERAL
    project.dataset["seeds"] = list(range(64))  # so that it is not done before it is interrupted
    params = project.params.root / "params.yaml"
    script = project.root / "script.py"  # which does not ask whether it is the main module
    script.write_text(
        "import torch, sys; torch.set_num_threads(2)\n"
        "from patchcore_core.common.errors import exit_on_input_error\n"
        "from patchcore_suite.run.score import score_dataset\n"
        "from patchcore_suite.settings.project import load_project\n"
        "with exit_on_input_error():\n"
        f"    score_dataset(load_project({str(params)!r}).dataset('toy'), show_progress=False)\n"
    )
    run = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE, text=True, start_new_session=True)
    store = project.root / ".cache" / "cells"
    while not any(store.glob("[0-9a-f]*.safetensors")):
        assert run.poll() is None, run.stderr.read()
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGINT)
    assert "interrupted; what was finished is kept" in run.communicate(timeout=30)[1]
    assert run.returncode == 130
    for _ in range(100):
        if not (left := alive_in_group(run.pid)):
            break
        time.sleep(0.1)
    assert left == []
    finished = [result for result in results(project).values() if result is not None]
    assert 0 < len(finished) < len(results(project))


def test_one_thread_or_the_engine_local_computes_in_this_process(project, monkeypatch):
    monkeypatch.setattr("patchcore_suite.run.score.compute_in_processes", lambda *a, **o: pytest.fail("not asked for"))
    assert torch.get_num_threads() == 1
    score_dataset(project.toy, show_progress=False)
    project.execution |= {"engine": "local", "processes": 4, "cache_dir": "other"}
    score_dataset(project.toy, show_progress=False)
    assert all(result is not None for result in results(project).values())


def test_params_say_how_many_processes(project, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "patchcore_suite.run.score.compute_in_processes", lambda groups, work, count, **_: asked.append(count)
    )
    project.execution["processes"] = 3
    project.variants = SEVERAL
    score_dataset(project.toy, show_progress=False)
    assert asked == [3]


# Progress within a cell


def test_a_memory_bank_shows_its_progress_where_that_is_asked_for(project, monkeypatch):
    asked = []

    def spied(config, *, progress=False, **options):
        asked.append(progress)
        return detector(config, progress=progress, **options)

    monkeypatch.setattr("patchcore_suite.run.groups.detector", spied)
    work = plan(project.toy)
    cache = FeatureCache(project.root / ".cache/features", project.toy.execution, {})
    (first, *_) = groups(work.pending(), work)
    for show in (True, False):
        asked.clear()
        assert list(compute(first, work, cache, show_progress=show)) == list(first.cells)
        assert any(asked) == show


def test_each_process_shows_progress_below_the_bar_of_all_cells_and_those_of_others(monkeypatch):
    monkeypatch.setattr(tqdm, "_instances", type(tqdm._instances)())
    lines = multiprocessing.get_context("spawn").Value("i", 0)
    (first,) = engines._hold_lines(lines)
    bar = progress_bar(1, "in the first process")
    assert abs(bar.pos) == 1
    bar.close()
    first.close()
    held = list(engines._hold_lines(lines))
    bar = progress_bar(1, "in the second process")
    assert abs(bar.pos) == len(held) == 2
    for one in (bar, *held):
        one.close()
