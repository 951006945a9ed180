"""What a piece of code does, as a hash: results know by it whether they are still true."""

import ast
from copy import deepcopy
from functools import cache
from pathlib import Path

from patchcore_core.common.files import sha256_file, sha256_json
from patchcore_suite.run import imports
from patchcore_suite.run.imports import RUN, data_files, parsed

PROJECT = Path(__file__).parents[2]
# Messages, checks, progress bars, estimates, hashes and file formats have no say in a result; settings, configurations,
# records, manifests and own networks are in its stamp as values.
WITHOUT_INFLUENCE = (
    "patchcore_core.common",
    "patchcore_core.config",
    "patchcore_suite.baselines.config",
    "patchcore_suite.baselines.costs",
    "patchcore_suite.baselines.patchcore_work",
    "patchcore_suite.baselines.work",
    "patchcore_suite.datasets.manifest",
    "patchcore_suite.datasets.names",
    "patchcore_suite.datasets.records",
    "patchcore_suite.run.cells",
    "patchcore_suite.run.environment",
    "patchcore_suite.run.fingerprints",
    "patchcore_suite.run.imports",
    "patchcore_suite.run.leftovers",
    "patchcore_suite.run.own_networks",
    "patchcore_suite.run.raw_results",
    "patchcore_suite.run.sealed",
    "patchcore_suite.run.suited",
    "patchcore_suite.settings",
)

# It makes the method that a cell names, whose code stands beside it in the fingerprint; a method that makes others by
# the registry may make any.
IGNORED = [("patchcore_suite.run.groups", "patchcore_suite.baselines.registry")]


@cache
def code_fingerprint(*modules: str, project: Path = PROJECT) -> str:
    """SHA-256 of what modules do, and the modules of this project that they import, and so on.

    Comments, docstrings and layout do not count; data files do that lie beside a module which knows where it lies.

    Args:
        modules: their whole names, such as "patchcore_core.coreset".
    """
    files = [file for _, file in sorted(reached(*modules, project=project).items())]
    data = sorted({path for file in files for path in data_files(file)})
    return sha256_json([_code_hash(file.read_text(encoding="utf-8")) for file in files] + [*map(sha256_file, data)])


def reached(*modules: str, project: Path = PROJECT) -> dict[str, Path]:
    """Modules, and those that they import, and so on, as far as they have a say in a result; and their files."""
    return imports.reached([(name, RUN) for name in modules], project, without=WITHOUT_INFLUENCE, ignored=IGNORED)


@cache
def _code_hash(code: str) -> str:
    return sha256_json(_described(_without_docstrings(deepcopy(parsed(code)))))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _described(node: object) -> object:
    """A syntax tree as values, the same by every version of Python: what is absent is left out."""
    if isinstance(node, ast.JoinedStr):  # Python 3.12 ends a format such as f"{x:.{digits}}" with an empty text
        parts = [part for part in node.values if not (isinstance(part, ast.Constant) and part.value == "")]
        return ["JoinedStr", _described(parts)]
    if isinstance(node, ast.AST):
        fields = {name: _described(value) for name, value in ast.iter_fields(node) if value not in (None, [])}
        return [type(node).__name__, fields]
    if isinstance(node, list):
        return [_described(item) for item in node]
    return repr(node)
