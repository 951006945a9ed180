import ast

import pytest

from patchcore_suite.baselines.config import METHODS
from patchcore_suite.baselines.registry import implementation
from patchcore_suite.run import fingerprints
from patchcore_suite.run.cells import SCORING
from patchcore_suite.run.fingerprints import code_fingerprint, reached

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
def fingerprint(tmp_path):
    """The fingerprint of a module in a project of its own, once that module holds the given code."""

    def of(code, name="module"):
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, encoding="utf-8")
        code_fingerprint.cache_clear()
        return code_fingerprint(name, project=tmp_path)

    return of


def edited(old, new):
    assert old in CODE
    return CODE.replace(old, new)


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


def test_what_a_module_imports_counts_and_what_it_does_not_import_does_not(fingerprint):
    fingerprint("x = 1", "inner.one")
    fingerprint("x = 1", "other")
    before = fingerprint("from inner.one import x")
    fingerprint("x = 2", "other")
    assert fingerprint("from inner.one import x") == before
    fingerprint("x = 2", "inner.one")
    changed = fingerprint("from inner.one import x")
    assert changed != before
    fingerprint("x = 1", "inner.one")
    assert fingerprint("from inner.one import x") == before


@pytest.mark.parametrize("module", ["one", "inner.one"])
def test_imports_are_followed_whole_or_by_name_and_through_others(fingerprint, tmp_path, module):
    fingerprint("x = 1", module)
    fingerprint(f"from {module} import x", "between")
    fingerprint("import os\nimport between" if module == "one" else "from between import x")
    assert reached("module", project=tmp_path).keys() == {"module", "between", module}


LAZY = """
import importlib
HOMES = {"Batches": "images", "load": "loading"}
def __getattr__(name):
    return getattr(importlib.import_module(f"{__name__}.{HOMES[name]}"), name)
"""


def test_a_name_of_a_lazy_package_counts_as_the_module_that_it_comes_from(fingerprint):
    def of(images, loading):
        fingerprint(LAZY, "package.__init__")
        fingerprint(images, "package.images")
        fingerprint(loading, "package.loading")
        return fingerprint("from package import Batches", "method")

    before = of("Batches = 1", "load = 1")
    assert of("Batches = 2", "load = 1") != before
    assert of("Batches = 1", "load = 2") == before


def test_a_data_file_counts_if_its_module_knows_where_it_lies(fingerprint, tmp_path):
    def of(code, text):
        (tmp_path / "package").mkdir(exist_ok=True)
        (tmp_path / "package/factors.csv").write_text(text)
        return fingerprint(code, "package.method")

    reading = "from pathlib import Path\nFILE = Path(__file__).with_name('factors.csv')"
    assert of(reading, "1") != of(reading, "2")
    assert of("x = 1", "1") == of("x = 1", "2")


def test_what_type_checkers_alone_see_does_not_count(fingerprint):
    code = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import {}\n"
    fingerprint("x = 1", "one")
    before = fingerprint(code.format("one"))
    fingerprint("x = 2", "one")
    assert fingerprint(code.format("one")) == before == fingerprint(code.format("os"))


def test_an_empty_text_at_the_end_of_a_format_is_the_same_as_none():
    # The parser of Python 3.12 adds one.
    tree, added = (ast.parse("f'{value:.{digits}f}' + f'{value:>{width}}'") for _ in range(2))
    for part in (node for node in ast.walk(added) if isinstance(node, ast.JoinedStr)):
        part.values.append(ast.Constant(""))
    assert fingerprints._described(added) == fingerprints._described(tree)


def test_a_method_that_makes_others_by_the_registry_may_make_any():
    methods = {implementation(config()).__module__ for config in METHODS.values()}
    assert methods <= reached("patchcore_suite.baselines.registry").keys()


def test_settings_messages_and_file_formats_have_no_say_in_a_result():
    found = reached(SCORING, "patchcore_core.patchcore")
    assert {
        "patchcore_core.coreset",
        "patchcore_core.fast.products",
        "patchcore_suite.run.feature_cache",
    } <= found.keys()
    assert not any(name.startswith(("patchcore_core.common", "patchcore_suite.settings")) for name in found)


@pytest.mark.parametrize("method", METHODS)
def test_a_methods_fingerprint_covers_its_own_module_and_no_other_methods(method):
    modules = {name: implementation(config()).__module__ for name, config in METHODS.items()}
    found = reached(SCORING, modules[method])
    assert {modules[method], SCORING, "patchcore_core.detector"} <= found.keys()
    others = set(modules.values()) - {modules[method]}
    shared = {"patchcore_core.patchcore", "patchcore_suite.baselines.nearest_images"}  # built upon by other methods
    assert found.keys() & others <= shared
