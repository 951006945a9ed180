import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import patchcore_core
from patchcore_core import methods, stamp
from patchcore_core.baselines.config import METHODS
from patchcore_core.baselines.ensemble import Ensemble
from patchcore_core.cells import METHOD_MODULES, SHARED_MODULES
from patchcore_core.features import FEATURE_MODULES
from patchcore_core.stamp import code_fingerprint, commit, machine, peak_memory, versions

PACKAGE = Path(patchcore_core.__file__).parent
CODE = '''
"""What it is for."""

def double(x):
    """Twice x."""
    return 2 * x  # a factor

class Thing:
    """A thing."""

    size = 3

    def act(self):
        """Act."""
        return "acted"
'''


@pytest.fixture
def fingerprint(tmp_path, monkeypatch):
    """The fingerprint of a package whose one module holds the given code."""
    monkeypatch.setattr(stamp, "__file__", str(tmp_path / "stamp.py"))

    def of(code, name="module"):
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(code, encoding="utf-8")
        return code_fingerprint([name])

    return of


def edited(old, new):
    assert old in CODE
    return CODE.replace(old, new)


# The code


@pytest.mark.parametrize(
    "harmless",
    [
        edited("  # a factor", ""),
        edited("2 * x  #", "(2\n        *x)  #"),
        edited('"""What it is for."""', '"""What it is really for: σ."""'),
        edited('    """Twice x."""\n', ""),
        edited('"""A thing."""', '"""Another thing."""'),
        edited('    """A thing."""\n', ""),
        edited('"""Act."""', '"""Do act."""'),
        edited('"acted"', "'acted'"),
    ],
)
def test_comments_docstrings_and_layout_do_not_change_a_fingerprint(fingerprint, harmless):
    assert fingerprint(harmless) == fingerprint(CODE)


@pytest.mark.parametrize(
    "harmful",
    [
        edited("2 * x", "3 * x"),
        edited("2 * x", "x * 2"),
        edited("size = 3", "size = 4"),
        edited("double", "twice"),
        edited('"acted"', '"Acted"'),
        CODE + "\nx = 1\n",
    ],
)
def test_code_changes_a_fingerprint(fingerprint, harmful):
    assert fingerprint(harmful) != fingerprint(CODE)


def test_modules_of_subpackages_and_their_order_count(fingerprint):
    fingerprint("x = 1", "one")
    fingerprint("x = 2", "inner.two")
    assert code_fingerprint(["one", "inner.two"]) != code_fingerprint(["inner.two", "one"])
    assert code_fingerprint(["one", "inner.two"]) != code_fingerprint(["one"])


def imported(module):
    """Names below patchcore_core of the modules that one of them imports."""
    path = PACKAGE / f"{module.replace('.', '/')}.py"
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "patchcore_core":
            below = node.module.removeprefix("patchcore_core").strip(".")
            names = [".".join(filter(None, (below, alias.name))) for alias in node.names]
            found |= {name if (PACKAGE / f"{name.replace('.', '/')}.py").is_file() else below for name in names}
    return found - {""}


# Messages, checks, progress bars, hashes and file formats have no say in a result; settings, configs, records and
# manifests are in its stamp as values. `methods` knows all methods by name, and each has its own modules in its
# fingerprint.
WITHOUT_INFLUENCE = {"errors", "progress", "files", "results", "stamp", "methods", "cells", "params"}
WITHOUT_INFLUENCE |= {"config", "baselines.config", "datasets.records", "datasets.manifest", "memory"}
DETECTORS = {config.method: kind for config, kind in methods.DETECTORS.items()} | {"ensemble": Ensemble}


@pytest.mark.parametrize("method", DETECTORS)
def test_the_fingerprint_of_a_methods_results_covers_every_module_that_they_depend_on(method):
    fingerprinted = {*SHARED_MODULES, *METHOD_MODULES[method]}
    reached, waiting = set(), [DETECTORS[method].__module__.removeprefix("patchcore_core."), *SHARED_MODULES]
    while waiting:
        module = waiting.pop()
        if module not in reached | WITHOUT_INFLUENCE:
            reached.add(module)
            waiting += imported(module)
    assert reached == fingerprinted


def test_every_method_has_a_fingerprint():
    assert set(METHOD_MODULES) == set(DETECTORS) == {*METHODS, "ensemble"}


def test_the_fingerprint_of_feature_maps_covers_every_module_that_they_depend_on():
    reached, waiting = set(), [*FEATURE_MODULES]
    while waiting:
        module = waiting.pop()
        if module not in reached | WITHOUT_INFLUENCE:
            reached.add(module)
            waiting += imported(module)
    assert reached == set(FEATURE_MODULES)


# Versions, commit, machine


def test_versions_name_the_libraries_that_numbers_rest_on():
    found = versions()
    assert found["patchcore-bench"] == patchcore_core.__version__
    assert {"torch", "timm", "numpy", "scipy", "pillow"} <= found.keys()
    assert all(found[library] != "not installed" for library in ("torch", "timm", "numpy"))


def test_a_library_that_is_not_installed_is_said_to_be_so(monkeypatch):
    monkeypatch.setattr(stamp, "LIBRARIES", ("a-library-that-does-not-exist",))
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
    asks = "from patchcore_core.stamp import peak_memory; print(peak_memory())"
    large = f"""
import subprocess, sys
held = b"x" * 2**30
print(subprocess.run([sys.executable, "-c", {asks!r}], capture_output=True, text=True, check=True).stdout)
"""
    run = subprocess.run([sys.executable, "-c", large], capture_output=True, text=True, check=True)
    assert 2**20 < int(run.stdout) < 2**30
