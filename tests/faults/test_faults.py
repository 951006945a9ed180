"""Kills, injected faults and broken inputs, in the short form that belongs to every run of the tests."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from faults.inputs import FAILED, REFUSED, REMARKED, RIGHT, Gives, Input, Refused, Remarked, tried

from patchcore_core.common.errors import InputError

TESTS = Path(__file__).parents[1]
KILLS = 25  # `make torture` kills 100 times


@pytest.fixture
def run(capsys):
    """What a module of this folder says, run in a process of its own: it ends all processes that it started."""

    def said(module, *arguments, timeout=900):
        path = os.pathsep.join([str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", f"faults.{module}", *map(str, arguments)]
        environment = os.environ | {"PYTHONPATH": path}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout)
        assert done.returncode == 0, done.stdout + done.stderr
        with capsys.disabled():
            print(f"\n{done.stdout}")
        return done.stdout

    return said


def count(said, name):
    return int(re.search(rf"^{name} +(\d+)$", said, flags=re.MULTILINE)[1])


@pytest.mark.torture
def test_killed_runs_go_on_and_end_with_equal_bytes(run):
    said = run("kills", "--kills", KILLS)
    kills = count(said, "kills")
    assert kills == KILLS
    assert count(said, "kills that were resumed") == count(said, "kills with equal bytes") == kills


@pytest.mark.torture
def test_every_injected_fault_ends_in_equal_bytes_or_in_words(run):
    said = run("injected")
    assert count(said, "NOT AS PROMISED") == 0
    assert count(said, "recomputed, equal bytes") + count(said, "refused in words") > 40


@pytest.mark.torture
def test_every_broken_input_ends_as_is_promised(run):
    said = run("broken")
    assert count(said, "NOT AS PROMISED") == 0
    assert f"```\n{said}```" in (TESTS.parent / "docs/guarantees.md").read_text(encoding="utf-8")


def refuse(folder):
    raise InputError("no image: a.png", remedy="restore it")


def refuse_and_leave(folder):
    (folder / "half").touch()
    refuse(folder)


def lose(folder):
    (folder / "image.png").unlink()
    return 1


def fail(folder):
    raise KeyError("a.png")


@pytest.mark.parametrize(
    ("use", "wanted", "how"),
    [
        (refuse, Refused(["a.png", "no image"]), REFUSED),
        (refuse, Refused(["b.png"]), FAILED),
        (refuse, Gives(1), FAILED),
        (refuse_and_leave, Refused(["a.png"]), FAILED),
        (fail, Refused(["a.png"]), FAILED),
        (fail, Gives(1), FAILED),
        (lambda folder: 1, Gives(1), RIGHT),
        (lambda folder: 2, Gives(1), FAILED),
        (lambda folder: 1, Refused([]), FAILED),
        (lambda folder: "two cameras", Remarked(["cameras"]), REMARKED),
        (lambda folder: "", Remarked(["cameras"]), FAILED),
        (lose, Gives(1), FAILED),
        (lambda folder: (folder / "image.png").write_text("b"), Gives(1), FAILED),
    ],
)
def test_what_becomes_of_an_input_is_told_from_what_must(tmp_path, use, wanted, how):
    one = Input("an image", lambda folder: (folder / "image.png").write_text("a"), use, wanted)
    found, problem = tried(one, tmp_path / "input")
    assert found == how
    assert bool(problem) == (how == FAILED)
