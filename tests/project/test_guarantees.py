"""Each promise of docs/guarantees.md has its test."""

import ast
import re

from whole_project import ROOT

from benchmarks.determinism import LIMIT

TEXT = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8")
ROWS = [line for line in TEXT.splitlines() if re.match(r"\| (?!promise|command|---|`make)", line)]


def names_of_tests(path):
    """Names of the tests in a module."""
    parsed = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name for node in ast.walk(parsed) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_promise_names_a_test_that_exists():
    missing = []
    for row in ROWS:
        (named,) = re.findall(r"`([\w/]+\.py(?:::\w+)?)` \|$", row)
        file, _, name = named.partition("::")
        path = ROOT / "tests" / file
        if not path.is_file() or not names_of_tests(path) or (name and name not in names_of_tests(path)):
            missing.append(named)
    assert missing == []


def test_there_are_promises_under_every_heading():
    assert len(ROWS) > 50
    for part in TEXT.split("\n## ")[1:]:
        assert "| promise | test |" in part


def test_the_limit_that_is_measured_is_the_one_that_is_stated():
    assert f"at most {LIMIT:.2g} of their size".replace("e-05", "e-5") in TEXT
