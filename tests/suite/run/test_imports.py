import pytest

from patchcore_suite.run.imports import RUN, reached

LAZY = """
import importlib
_HOMES = {"Batches": "images", "Late": "package.late", "Other": ("far.away", "Other")}
def __getattr__(name):
    return getattr(importlib.import_module(_HOMES[name]), name)
"""
PROJECT = {
    "plain": "x = 1",
    "package/__init__": LAZY,
    "package/images": "class Batches: pass",
    "package/late/__init__": "_HOMES = {'Late': '.deep'}\ndef __getattr__(name): ...",
    "package/late/deep": "Late = 1",
    "package/unused": "x = 1",
    "far/__init__": "",
    "far/away": "class Other: pass",
    "eager/__init__": "from eager.inner import thing\n__all__ = ['inner', 'other', 'thing']",
    "eager/inner": "thing = 1",
    "eager/other": "x = 1",
    "eager/third": "x = 1",
    "open/__init__": "def __getattr__(name):\n    from open.made import make\n    return make(name)",
    "open/made": "make = str",
    "open/beside": "x = 1",
    "registry/__init__": "from importlib import import_module\nALL = [import_module(f'{__name__}.{n}') for n in []]",
    "registry/one": "x = 1",
    "registry/two/__init__": "x = 1",
    "spoken/__init__": "class Batches:\n    def __getattr__(self, name):\n        import plain",
}
PACKAGE, EAGER, OPEN = {"package"}, {"eager", "eager.inner"}, {"open", "open.made", "open.beside"}
WHOLE = {"package", "package.images", "package.late", "package.late.deep", "package.unused", "far", "far.away"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    for name, code in PROJECT.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{name}.py").write_text(code)
    return root


@pytest.mark.parametrize(
    ("code", "found"),
    [
        # Plainly, wherever it stands.
        ("import plain", {"plain"}),
        ("import plain as p, os", {"plain"}),
        ("def late():\n    import plain", {"plain"}),
        ("try:\n    import plain\nexcept ImportError:\n    pass", {"plain"}),
        ("if TYPE_CHECKING:\n    import plain", set()),
        ("if typing.TYPE_CHECKING:\n    import os\nelse:\n    import plain", {"plain"}),
        ("if not TYPE_CHECKING:\n    import plain", {"plain"}),
        # A module runs the packages that it lies in.
        ("import eager.third as t", EAGER | {"eager.third"}),
        ("from eager import third", EAGER | {"eager.third"}),
        ("from eager.third import x", EAGER | {"eager.third"}),
        # What a lazy package hands out, from homes beside it and elsewhere, and from another lazy package.
        ("from package import Batches", PACKAGE | {"package.images"}),
        ("from package import Batches as B", PACKAGE | {"package.images"}),
        ("from package import Late", PACKAGE | {"package.late", "package.late.deep"}),
        ("from package import Other", PACKAGE | {"far", "far.away"}),
        ("from package.late import Late", PACKAGE | {"package.late", "package.late.deep"}),
        ("from package.unused import x", PACKAGE | {"package.unused"}),
        ("import package.unused as u", PACKAGE | {"package.unused"}),
        # Any name may be used of what stands for a lazy package, and of one whose homes cannot be read.
        ("import package\npackage.Batches", WHOLE),
        ("import package as p\np.Batches", WHOLE),
        ("import package.unused", WHOLE),
        ("from package import *", WHOLE),
        ("from package import Unknown", WHOLE),
        ("from open import anything", OPEN),
        ("import open as o", OPEN),
        ("import open.made as m", {"open", "open.made"}),
        # Modules as attributes, and those that `import *` imports.
        ("import eager\neager.third.x", EAGER | {"eager.third", "eager.other"}),
        ("import eager", EAGER | {"eager.other"}),
        ("from eager import *", EAGER | {"eager.other"}),
        ("from eager import thing", EAGER),
        # By name.
        ("import importlib\nimportlib.import_module('plain')", {"plain"}),
        ("from importlib import import_module as load\nload('plain')", {"plain"}),
        ("NAME = 'far.away'\nimportlib.import_module(NAME)", {"far", "far.away"}),
        ("__import__('plain')", {"plain"}),
        ("pkgutil.resolve_name('far.away:Other')", {"far", "far.away"}),
        ("x = 'plain'", set()),
        ("import registry", {"registry", "registry.one", "registry.two"}),
        ("from registry import ALL", {"registry", "registry.one", "registry.two"}),
        ("from spoken import Batches", {"spoken", "plain"}),
    ],
)
def test_code_reaches_what_it_may_import(project, code, found):
    (project / "start").mkdir(exist_ok=True)
    (project / "start/code.py").write_text(code)
    assert reached([("start.code", RUN)], project).keys() - {"start.code"} == found


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from . import beside", {"beside"}),
        ("from .beside import x", {"beside"}),
        ("from .. import above", {"above"}),
        ("from ..above import x", {"above"}),
        ("from .missing import x", set()),
        ("import importlib\nimportlib.import_module('.beside', __package__)", {"beside"}),
    ],
)
def test_relative_imports_begin_from_the_package(tmp_path, code, found):
    modules = {"beside": "top.inner.beside", "above": "top.above"}
    (tmp_path / "top/inner").mkdir(parents=True)
    for name, text in {"inner/code": code, "inner/beside": "x = 1", "above": "x = 1"}.items():
        (tmp_path / f"top/{name}.py").write_text(text)
    names = {modules[name] for name in found}
    assert reached([("top.inner.code", RUN)], tmp_path).keys() == names | {"top.inner.code"}


def test_modules_and_imports_can_be_left_out(project):
    (project / "begin.py").write_text("import eager, package.images as images, plain")
    found = reached([("begin", RUN)], project, without=["package"], ignored=[("begin", "plain")])
    assert found.keys() == {"begin", "eager", "eager.inner", "eager.other"}
