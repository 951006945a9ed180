"""Networks of the user's own: a Python file that params.yaml, or a command's option, names; none is found by itself.

The file says `networks = {"NAME": module, ...}`. Each module takes images (n, 3, H, W) with values in [0, 1], which it
normalises itself, and returns a list of feature maps (n, c, h, w), one a hierarchy, finest first.
"""

import hashlib
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from patchcore_core.backbones import check_hierarchies
from patchcore_core.backbones.architectures import library_of
from patchcore_core.common.errors import InputError
from patchcore_core.config import MethodConfig
from patchcore_suite.settings.project import Project

GIVEN = "networks"  # the name of the mapping in the file
SEED = 0  # of what a file draws: a network that is not trained is the same one in every process
WHERE = "execution.networks in params.yaml, or --networks"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
SHOWN = 12  # digits of a hash in a message

Network = Callable[[Tensor], Sequence[Tensor]]


@dataclass(frozen=True, eq=False)
class OwnNetworks:
    """What a file of networks gives.

    Attributes:
        modules: by name.
        file: where they come from; empty without one.
        sha256: of the file; None without one.
    """

    modules: Mapping[str, nn.Module] = field(default_factory=dict)
    file: str = ""
    sha256: str | None = None

    def sha256_for(self, config: MethodConfig) -> str | None:
        """SHA-256 of the file, where a method runs a network of it."""
        return self.sha256 if any(member.backbone in self.modules for member in config.members) else None

    def check(self, member: MethodConfig) -> None:
        """Refuse a backbone that neither a library nor the file gives, or hierarchies that it lacks.

        Raises:
            InputError: there is none; what the file gives is named.
        """
        if member.backbone in self.modules:
            return
        try:
            check_hierarchies(member.backbone, member.map_hierarchies)
        except InputError as error:
            if is_built_in(member.backbone):
                raise
            also = f"{self.file} gives {', '.join(self.modules)}" if self.file else "no file of own networks is named"
            remedy = f"{error.remedy}, or name a file that gives it ({WHERE}); {also}"
            raise InputError(error.problem, remedy=remedy) from None


NONE = OwnNetworks()


def is_built_in(name: str) -> bool:
    """Whether a backbone of this name comes from a library."""
    try:
        library_of(name)
    except InputError:
        return False
    return True


def project_networks(project: Project, *, expected: str | None = None) -> OwnNetworks:
    """The networks of the file that `execution.networks` of a project names; none where it names none.

    Args:
        expected: the SHA-256 that the file must have, if it is known; another file is not run.

    Raises:
        InputError: as `read_networks`.
    """
    named = project.execution.own_networks
    if named is None and expected is not None:
        raise InputError(
            "a network of a file was used, and execution.networks in params.yaml names none",
            remedy=f"name the file with SHA-256 {expected[:SHOWN]} there",
        )
    return NONE if named is None else read_networks(project.path(named), expected=expected)


def read_networks(path: str | Path, *, expected: str | None = None) -> OwnNetworks:
    """Run a file of networks, once a process for each content, and take what it gives.

    Raises:
        InputError: there is no such file, it is not the expected one, it fails (with its line), or it gives something
            else than modules under names that are free; all that is wrong with those is listed.
    """
    path = Path(path).expanduser()
    try:
        content = path.read_bytes()
    except OSError as error:
        remedy = f"name a Python file: {WHERE}"
        raise InputError(f"the file of networks {path} cannot be read: {error.strerror}", remedy=remedy) from None
    sha256 = hashlib.sha256(content).hexdigest()
    if expected not in (None, sha256):
        raise InputError(
            f"the file of networks {path} has changed: SHA-256 {sha256[:SHOWN]}, not {expected[:SHOWN]} as it was used",
            remedy="restore it, or run again what was computed with it",
        )
    return _read(path.resolve(), content, sha256)


@cache
def _read(path: Path, content: bytes, sha256: str) -> OwnNetworks:
    found = getattr(_run(path, content, sha256), GIVEN, None)
    example = f'write {GIVEN} = {{"mine": module}}, with modules of torch.nn'
    if not isinstance(found, Mapping) or not found:
        said = "nothing" if found is None else f"a {type(found).__name__}" if found else "an empty mapping"
        raise InputError(f"{path}: {GIVEN} must be a mapping of names to modules, and is {said}", remedy=example)
    problems = [problem for name, module in found.items() if (problem := _problem(name, module))]
    if problems:
        raise InputError(f"{path} gives what is no network of its own", offenders=problems, remedy=example)
    return OwnNetworks(dict(found), str(path), sha256)


def _problem(name: object, module: object) -> str | None:
    """Why a network cannot be used under a name."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        return f"{name!r} is no name: use up to 100 letters, digits and - _ ."
    if is_built_in(name):
        return f"{name!r} is the name of a {library_of(name)} network, which it would hide: choose another"
    if not isinstance(module, nn.Module):
        made = ", a class: write it with ()" if isinstance(module, type) else ""
        return f"{name!r} is no torch.nn.Module but a {type(module).__name__}{made}"
    return None


def _run(path: Path, content: bytes, sha256: str) -> ModuleType:
    """Run a file as a module of its own; what it draws at random is the same every time."""
    module = ModuleType(f"own_networks_{sha256[:SHOWN]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses and pickle look for what it defines
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            exec(compile(content, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise InputError(
            f"the file of networks {path} fails{_line(error, path)}: {type(error).__name__}: {error}",
            remedy="correct it; `python` runs it alone",
        ) from error
    return module


def _line(error: BaseException, path: Path) -> str:
    """The line of a file at which it failed."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f" in line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f" in line {lines[-1]}" if lines else ""
