"""Kills and injected faults, in the short form that belongs to every run of the tests."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
KILLS = 25  # `make torture` kills 100 times


def run(module, *arguments, timeout=900):
    """What a module of this folder says, run in a process of its own: it ends all processes that it started."""
    path = os.pathsep.join([str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", f"faults.{module}", *map(str, arguments)]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def count(said, name):
    return int(re.search(rf"^{name} +(\d+)$", said, flags=re.MULTILINE)[1])


@pytest.mark.torture
def test_killed_runs_go_on_and_end_with_equal_bytes(capsys):
    said = run("kills", "--kills", KILLS)
    with capsys.disabled():
        print(f"\n{said}")
    kills = count(said, "kills")
    assert kills == KILLS
    assert count(said, "kills that were resumed") == count(said, "kills with equal bytes") == kills


@pytest.mark.torture
def test_every_injected_fault_ends_in_equal_bytes_or_in_words(capsys):
    said = run("injected")
    with capsys.disabled():
        print(f"\n{said}")
    assert count(said, "NOT AS PROMISED") == 0
    assert count(said, "recomputed, equal bytes") + count(said, "refused in words") > 40
