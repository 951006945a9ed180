import pytest

from patchcore_suite.baselines.config import METHODS
from patchcore_suite.baselines.registry import implementation
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
        path.parent.mkdir(exist_ok=True)
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
    assert reached("module", project=tmp_path) == {"module", "between", module}


def test_settings_messages_and_file_formats_have_no_say_in_a_result():
    found = reached(SCORING, "patchcore_core.patchcore")
    assert {"patchcore_core.coreset", "patchcore_core.fast.products", "patchcore_suite.run.feature_cache"} <= found
    assert not any(name.startswith(("patchcore_core.common", "patchcore_suite.settings")) for name in found)


@pytest.mark.parametrize("method", METHODS)
def test_a_methods_fingerprint_covers_its_own_module_and_no_other_methods(method):
    modules = {name: implementation(config()).__module__ for name, config in METHODS.items()}
    found = reached(SCORING, modules[method])
    assert {modules[method], SCORING, "patchcore_core.detector"} <= found
    others = set(modules.values()) - {modules[method]}
    shared = {"patchcore_core.patchcore", "patchcore_suite.baselines.nearest_images"}  # built upon by other methods
    assert found & others <= shared
