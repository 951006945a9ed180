"""Which modules of a project some code runs: what it imports, wherever and however it says so.

Code is read, not run. Where it does not say what it imports, as a registry does, all that it may mean counts.
"""

import ast
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# A module, and what is wanted of it: a name, ANYTHING that it has, or that it RUNs and no more.
Reference = tuple[str, str]
ANYTHING, RUN = "*", ""
BY_NAME = {"import_module", "__import__", "resolve_name"}  # functions that import what a string names
# Ways to what lies beside a module
OWN_FOLDER = re.compile(r"__(file|path)__|PackageLoader|get_data|importlib(\.| import )resources")


def reached(
    references: Iterable[Reference],
    project: Path,
    *,
    without: Collection[str] = (),
    ignored: Collection[tuple[str, str]] = (),
) -> dict[str, Path]:
    """The modules of a project that run when some are imported, and what they import, and so on.

    Args:
        references: the modules to begin with, and what is wanted of them.
        project: the folder that holds the packages.
        without: modules and packages that are left out, with what they alone import.
        ignored: imports that are left out: the module that imports, and the one that it imports.

    Returns:
        whole names of modules, and their files.
    """
    found: dict[str, Path] = {}
    asked: set[Reference] = set()
    waiting = list(references)
    while waiting:
        name, wanted = reference = waiting.pop()
        if reference in asked or any(f"{name}.".startswith(f"{other}.") for other in without):
            continue
        asked.add(reference)
        if package := name.rpartition(".")[0]:  # a.b.c runs a/b/__init__.py as well
            waiting.append((package, RUN))
        if file := module_file(name, project):
            code = Code(file.read_text(encoding="utf-8"), name if file.stem == "__init__" else package, project)
            following = [*code.hands_out(wanted), *(() if name in found else code.imports())]
            waiting += [other for other in following if (name, other[0]) not in ignored]
            found[name] = file
    return found


def module_file(name: str, project: Path) -> Path | None:
    """The file of a module of a project, by its whole name."""
    if not all(part.isidentifier() for part in name.split(".")):
        return None
    path = project.joinpath(*name.split("."))
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


def data_files(file: Path) -> list[Path]:
    """What a module may read beside its code: all other files in its folder and below, if it knows where that is."""
    if not OWN_FOLDER.search(file.read_text(encoding="utf-8")):
        return []
    other = [path for path in file.parent.rglob("*") if path.suffix not in (".py", ".pyc") and path.is_file()]
    return sorted(path for path in other if not any(part[0] == "." for part in path.relative_to(file.parent).parts))


@cache
def parsed(code: str) -> ast.Module:
    """Code as a tree, without what type checkers alone see; not to be changed."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and _last(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    return tree


@dataclass(frozen=True)
class Code:
    """The code of a module, or of a notebook's cell.

    Attributes:
        package: what its relative imports begin from; "" where it is in none.
        project: the folder that holds the packages.
    """

    text: str
    package: str
    project: Path

    @cache  # noqa: B019  there are as many as modules
    def imports(self) -> tuple[Reference, ...]:
        """What it imports when it runs, in its functions too; not what a lazy package may hand out afterwards."""
        return tuple(self._imports([node for node in self._body if node is not self._lazy]))

    def hands_out(self, wanted: str) -> Iterator[Reference]:
        """Where it has a name from, if it hands on what another module holds when it is asked for it.

        A home that cannot be read off the code may be any module that lies beside it.
        """
        bound = _bound(self._body)
        lazy = "__getattr__" in bound
        if wanted == ANYTHING and not lazy:  # `import *` of a package imports modules that its __all__ lists
            yield from self._named(_strings(node for node in self._body if "__all__" in _bound([node])), ANYTHING)
        if wanted == RUN or wanted in bound or (ANYTHING in (wanted, *bound) and not lazy):
            return
        homes = list(self._named(_strings(self._entries(wanted)), wanted))
        yield from homes
        if not homes:
            yield from self._imports([self._lazy] if self._lazy else [])
            yield from self._named(_strings(self._body), ANYTHING)
            yield from self._beside()

    @property
    def _body(self) -> list[ast.stmt]:
        return parsed(self.text).body

    @property
    def _lazy(self) -> ast.FunctionDef | None:
        """The function that hands names out."""
        functions = (node for node in self._body if isinstance(node, ast.FunctionDef))
        return next((node for node in functions if node.name == "__getattr__"), None)

    def _imports(self, body: list[ast.stmt]) -> Iterator[Reference]:
        nodes = [node for statement in body for node in ast.walk(statement)]
        whole: set[str] = set()  # modules that a name stands for, so that anything of them may be used
        for node in nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:  # `import a.b` gives a name to a, `import a.b as c` to a.b
                    parts = alias.name.split(".")
                    whole |= {".".join(parts[:n]) for n in range(len(parts) if alias.asname else 1, len(parts) + 1)}
            elif isinstance(node, ast.ImportFrom):
                base = self._absolute("." * node.level + (node.module or ""))
                for alias in node.names:
                    if module_file(f"{base}.{alias.name}", self.project):
                        whole.add(f"{base}.{alias.name}")
                    else:
                        yield base, alias.name
        words = {_last(node) for node in nodes}
        for name in whole:
            yield name, ANYTHING
            yield from ((below, ANYTHING) for below in self._below(name) if below.rpartition(".")[2] in words)
        imported = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
        if not BY_NAME.isdisjoint(words | imported):
            yield from self._named(_strings(body), ANYTHING)
            calls = [node for node in nodes if isinstance(node, ast.Call) and _last(node.func) in BY_NAME]
            if not calls or not all(call.args and isinstance(call.args[0], ast.Constant) for call in calls):
                yield from self._beside()

    def _entries(self, wanted: str) -> Iterator[ast.expr]:
        """The values under a name in its dictionaries."""
        for node in ast.walk(parsed(self.text)):
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == wanted:
                        yield value

    def _named(self, texts: Iterable[str], wanted: str) -> Iterator[Reference]:
        """The modules that texts name, whole or as one beside it: "a.b", "b", ".b" or "a.b:name"."""
        for text in texts:
            name, _, own = text.partition(":")
            for module in (name, self._absolute(name if name.startswith(".") else f".{name}")):
                if module_file(module, self.project):
                    yield module, own or wanted

    def _beside(self) -> Iterator[Reference]:
        return ((name, ANYTHING) for name in self._below(self.package))

    def _below(self, package: str) -> list[str]:
        """The modules of a package."""
        folder = self.project.joinpath(*package.split("."))
        names = {path.stem for path in folder.iterdir()} - {"__init__"} if folder.is_dir() else set()
        below = [f"{package}.{name}".removeprefix(".") for name in sorted(names)]
        return [name for name in below if module_file(name, self.project)]

    def _absolute(self, name: str) -> str:
        """A module's name without leading dots: one stands for this package, two for the one above, and so on."""
        rest = name.lstrip(".")
        above = len(name) - len(rest)
        parts = self.package.split(".")
        return ".".join(filter(None, [*parts[: len(parts) + 1 - above], rest])) if above else name


def _bound(body: Iterable[ast.stmt]) -> set[str]:
    """The names that code gives to something when it runs, not in its functions and classes; "*" for `import *`."""
    found: set[str] = set()
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
            continue
        if isinstance(node, ast.AnnAssign) and node.value is None:
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        waiting += ast.iter_child_nodes(node)
    return found


def _last(node: ast.AST) -> str | None:
    """The last word of a.b.c."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None


def _strings(body: Iterable[ast.AST]) -> Iterator[str]:
    for node in (node for statement in body for node in ast.walk(statement)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
