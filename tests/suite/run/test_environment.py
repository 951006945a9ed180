import json
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import patchcore_core
from patchcore_suite.run import environment
from patchcore_suite.run.environment import commit, machine, peak_memory, versions

PACKAGE = Path(patchcore_core.__file__).parent


# Versions, commit, machine


def test_versions_name_the_libraries_that_numbers_rest_on():
    found = versions()
    assert found["patchcore-bench"] == patchcore_core.__version__
    assert {"torch", "timm", "numpy", "scipy", "pillow"} <= found.keys()
    assert all(found[library] != "not installed" for library in ("torch", "timm", "numpy"))


def test_a_library_that_is_not_installed_is_said_to_be_so(monkeypatch):
    monkeypatch.setattr(environment, "LIBRARIES", ("a-library-that-does-not-exist",))
    assert versions()["a-library-that-does-not-exist"] == "not installed"


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_commit_says_whether_files_differ_from_it(tmp_path):
    def git(*arguments):
        options = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", "-C", tmp_path, *options, *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "--quiet")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "--quiet", "--no-verify", "-m", "Add a")
    head = git("rev-parse", "HEAD")
    assert commit(tmp_path) == head[:12]
    (tmp_path / "untracked").write_text("1")
    assert commit(tmp_path) == head[:12]
    (tmp_path / "a").write_text("2")
    assert commit(tmp_path) == head[:12] + "+"


def test_outside_of_a_repository_or_without_git_the_commit_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit(tmp_path) == "unknown"
    monkeypatch.setenv("PATH", "")
    assert commit(PACKAGE) == "unknown"


def test_the_machine_can_be_written_down():
    found = machine()
    assert found["cores"] >= 1
    assert found["threads"] >= 1
    assert found["memory_gb"] == pytest.approx(psutil.virtual_memory().total / 2**30, abs=0.1)
    assert found["processor"]
    json.dumps(found)


def test_peak_memory_is_in_bytes():
    assert psutil.Process().memory_info().rss <= peak_memory() * 1.01 < psutil.virtual_memory().total


def test_the_memory_of_the_process_that_started_this_one_does_not_count():
    asks = "from patchcore_suite.run.environment import peak_memory; print(peak_memory())"
    large = f"""
import subprocess, sys
held = b"x" * 2**30
print(subprocess.run([sys.executable, "-c", {asks!r}], capture_output=True, text=True, check=True).stdout)
"""
    run = subprocess.run([sys.executable, "-c", large], capture_output=True, text=True, check=True)
    assert 2**20 < int(run.stdout) < 2**30
