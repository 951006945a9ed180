"""An input that is broken or odd, what must become of it, and what became of it."""

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from patchcore_core.common.errors import InputError

REFUSED, RIGHT, REMARKED = "refused in words", "used with the right value", "used with a remark"
FAILED = "NOT AS PROMISED"

Make = Callable[[Path], object]
Use = Callable[[Path], object]


@dataclass(frozen=True)
class Refused:
    """It must be refused, by one message that holds all these words and one remedy at most."""

    words: Sequence[str]


@dataclass(frozen=True)
class Remarked:
    """It must be used, and what is said of it must hold all these words."""

    words: Sequence[str]


@dataclass(frozen=True)
class Gives:
    """It must be used, and give this very value."""

    value: object


@dataclass(frozen=True)
class Input:
    """A broken or odd input.

    Attributes:
        name: for people.
        make: writes it into an empty folder.
        use: hands the folder to the suite; what that makes of it.
        wanted: what must become of it.
    """

    name: str
    make: Make
    use: Use
    wanted: Refused | Remarked | Gives


def nothing(folder: Path) -> None:
    """Write nothing: what is broken is no file."""


def tried(one: Input, folder: Path) -> tuple[str, str]:
    """Make an input in a new folder and use it: how that ended, and what was wrong about it.

    Nothing that lay there may be changed or gone, and a refusal leaves nothing new.
    """
    folder.mkdir()
    one.make(folder)
    before, said = contents(folder), StringIO()
    try:
        with redirect_stderr(said), redirect_stdout(said):
            got = one.use(folder)
    except InputError as error:
        how, problem = REFUSED, _problem_of_refusal(str(error), one.wanted)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # some libraries' panics are no `Exception`
        how, problem = FAILED, f"a library's {type(error).__name__}: {error}"
    else:
        how, problem = _use(got, one.wanted)
    problem = problem or _lost(before, contents(folder), new=how != REFUSED)
    return (FAILED, problem) if problem else (how, "")


def _problem_of_refusal(text: str, wanted: Refused | Remarked | Gives) -> str:
    if not isinstance(wanted, Refused):
        return f"it was refused: {text}"
    if text.count("Remedy:") > 1:
        return f"several remedies: {text}"
    missing = [word for word in wanted.words if word not in text]
    return f"no {', no '.join(map(repr, missing))} in: {text}" if missing else ""


def _use(got: object, wanted: Refused | Remarked | Gives) -> tuple[str, str]:
    """How the use of an input ended, and what was wrong about it."""
    if isinstance(wanted, Refused):
        return FAILED, f"it was used, and gave {got!r}"
    if isinstance(wanted, Gives):
        return RIGHT, "" if got == wanted.value else f"it gave {got!r}, not {wanted.value!r}"
    missing = [word for word in wanted.words if word not in str(got)]
    return REMARKED, f"no {', no '.join(map(repr, missing))} is remarked on: {got!r}" if missing else ""


def contents(folder: Path) -> dict[str, str]:
    """What a folder holds, by path: SHA-256 of files, where links lead, and the kind of all else."""
    found = {}
    for place, folders, files in os.walk(folder):
        for path in (Path(place, name) for name in (*folders, *files)):
            if path.is_symlink():
                found[str(path)] = f"a link to {os.readlink(path)}"
            elif path.is_file():
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                found[str(path)] = "a folder" if path.is_dir() else "something else"
    return found


def _lost(before: dict[str, str], after: dict[str, str], *, new: bool) -> str:
    """What was lost, changed, or left behind where nothing new may be."""
    wrong = [f"{path} is gone" for path in before if path not in after]
    wrong += [f"{path} was changed" for path in before if after.get(path, before[path]) != before[path]]
    wrong += [] if new else [f"{path} was left behind" for path in after if path not in before]
    return "; ".join(wrong)
