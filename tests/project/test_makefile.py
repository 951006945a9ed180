"""What `make` hands to the shell."""

import re
import shlex
import shutil
import subprocess

import pytest
from whole_project import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


def commands(*arguments):
    """What `make` would run, line by line."""
    done = subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("path", ["/data/it's mine", '/data/"$HOME" #1', "/data/$(touch made); touch made"])
def test_a_path_reaches_the_shell_as_it_was_typed(path):
    for target in ("paper", "results"):
        (line,) = [line for line in commands(target, f"MTD={path}") if "preflight.grid" in line]
        assert f"datasets.mtd.source={path}" in shlex.split(line)
    (line,) = [line for line in commands("bench", f"MTD={path}") if "-m benchmarks" in line]
    assert path in shlex.split(line.rstrip("\\"))


def test_params_yaml_and_its_folders_are_checked_before_dvc_starts():
    for arguments in (["repro"], ["paper", "GO=1"]):
        text = "\n".join(commands(*arguments))
        assert re.search(r"-m patchcore_suite\.run\.sources\n(.*\n)*.*dvc repro", text)
