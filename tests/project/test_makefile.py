"""What `make` hands to the shell: its targets are those of `patchcore bench`."""

import re
import shlex
import shutil
import subprocess
import sys

import pytest
from clone import ROOT

from patchcore_suite.parts.bench_command import bench
from patchcore_suite.run import targets
from patchcore_suite.run.surroundings import FIXED

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
MAKEFILE = (ROOT / "Makefile").read_text()
DIFFERENT = {"bench": "times"}  # what make calls otherwise


def commands(*arguments):
    """What `make` would run, line by line."""
    done = subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("path", ["/data/it's mine", '/data/"$HOME" #1', "/data/$(touch made); touch made"])
def test_a_path_reaches_the_shell_as_it_was_typed(path):
    for target in ("paper", "results", "bench"):
        (line,) = [line for line in commands(target, f"MTD={path}") if " bench " in line]
        words = shlex.split(line)
        assert words[words.index("--mtd") + 1] == path


def test_each_target_of_the_command_is_one_of_make():
    for name in bench.commands:
        make = next((other for other, same in DIFFERENT.items() if same == name), name)
        (line,) = [line for line in commands(make, "MTD=x", "WITH=x.csv") if " bench " in line]
        assert shlex.split(line)[4] == name


def test_options_are_handed_on_under_the_names_that_the_command_knows():
    given = [
        "WITH=x.csv",
        "DATASET=e",
        "VARIANT=f",
        "THEIRS=g",
        "TO=h",
        "GO=1",
        "MVTEC=a",
        "MTD=b",
        "MSTC=c",
        "HAZELNUT=d",
        "TRAIN_LIST=i",
        "DEVICE=cuda",
        "QUICK=1",
        "WRITE=1",
        "FINISHED=1",
    ]
    for target in ("paper", "results", "compare", "publish", "scale", "bench", "record"):
        (line,) = [line for line in commands(target, *given) if " bench " in line]
        name, *options = shlex.split(line)[4:]
        known = {option for parameter in bench.commands[name].params for option in parameter.opts}
        assert {word for word in options if word.startswith("--")} <= known
        assert len(options) > 1


def test_make_and_the_command_strip_notebooks_and_find_peers_alike():
    assert re.search(r"^STRIP := \$\(BIN\)/(.*)$", MAKEFILE, re.MULTILINE)[1].split() == list(targets.STRIP)
    peers = re.search(r"^PEERS := (.*)$", MAKEFILE, re.MULTILINE)[1]
    assert targets.PEERS.as_posix() == f"{peers}/bin/python"


def test_make_tells_libraries_what_the_command_tells_them():
    show = ["make", "--silent", f"PYTHON={sys.executable}", "--eval=shown: ; @env", "shown", "BIN=/nowhere"]
    said = {"PATH": "/usr/bin:/bin", "MALLOC_TOP_PAD_": "5"}
    done = subprocess.run(show, cwd=ROOT, env=said, capture_output=True, text=True, check=True)
    shown = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert {name: shown[name] for name in FIXED} == FIXED | {"MALLOC_TOP_PAD_": "5"}
