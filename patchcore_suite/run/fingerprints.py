"""What a piece of code does, as a hash: results know by it whether they are still true."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from patchcore_core.common.files import sha256_json

PROJECT = Path(__file__).parents[2]
# Messages, progress bars, hashes and file formats have no say in a result; settings, configurations, records and
# manifests are in its stamp as values; the registry knows all methods, and each has a fingerprint of its own.
WITHOUT_INFLUENCE = (
    "patchcore_core.common",
    "patchcore_core.config",
    "patchcore_suite.baselines.config",
    "patchcore_suite.baselines.costs",
    "patchcore_suite.baselines.registry",
    "patchcore_suite.datasets.manifest",
    "patchcore_suite.datasets.records",
    "patchcore_suite.run.cells",
    "patchcore_suite.run.environment",
    "patchcore_suite.run.fingerprints",
    "patchcore_suite.run.raw_results",
    "patchcore_suite.settings",
)


@cache
def code_fingerprint(*modules: str, project: Path = PROJECT) -> str:
    """SHA-256 of what modules do, and the modules of this project that they import, and so on.

    Comments, docstrings and layout do not count.

    Args:
        modules: their whole names, such as "patchcore_core.coreset".
    """
    trees = [
        ast.parse(_file(name, project).read_text(encoding="utf-8"))
        for name in sorted(reached(*modules, project=project))
    ]
    return sha256_json([_described(_without_docstrings(tree)) for tree in trees])


def reached(*modules: str, project: Path = PROJECT) -> set[str]:
    """Modules, and those that they import, and so on, as far as they have a say in a result."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found or any(f"{name}.".startswith(f"{without}.") for without in WITHOUT_INFLUENCE):
            continue
        found.add(name)
        waiting += _imported(_file(name, project), project)
    return found


def _imported(file: Path, project: Path) -> Iterator[str]:
    """Names of the modules of this project that a file imports, whether whole or something in them."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and _file(node.module, project):
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                yield below if _file(below, project) else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _file(alias.name, project))


def _file(name: str, project: Path) -> Path | None:
    """The file of a module of this project."""
    path = project.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _described(node: object) -> object:
    """A syntax tree as values; what is absent is left out, so that every version of Python says the same."""
    if isinstance(node, ast.AST):
        fields = {name: _described(value) for name, value in ast.iter_fields(node) if value not in (None, [])}
        return [type(node).__name__, fields]
    if isinstance(node, list):
        return [_described(item) for item in node]
    return repr(node)
