"""Whether a machine has what cells are computed from, looked at on that machine before any work."""

import fcntl
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from patchcore_core.backbones import backbone_weights
from patchcore_core.common.errors import InputError
from patchcore_core.common.files import sha256_file, sha256_json, writing
from patchcore_core.common.free_memory import free_bytes
from patchcore_suite.run.cells import Cell, Plan
from patchcore_suite.run.environment import versions
from patchcore_suite.run.feature_cache import network_weights
from patchcore_suite.run.fingerprints import PROJECT
from patchcore_suite.run.leftovers import remove_leftovers
from patchcore_suite.run.own_networks import project_networks
from patchcore_suite.settings.problems import one_line

PACKAGES = ("patchcore_core", "patchcore_suite")
APART = ".patchcore-apart-"  # how folders of workers begin that do not see the store
SHOWN = 12  # digits of a hash in a message
INSTALL = "install the same commit and versions on every machine: pip install -c constraints.txt -e '.[ray]'"
COPY = "copy or mount what is missing or different to the same path there"

# Plain values travel: a machine with other code could not read anything else.
Look = dict[str, object]


class Store(NamedTuple):
    """The cell store, and the file in it that says whether a machine sees it: a secret that nobody can guess."""

    probe: Path
    secret: str


Given = tuple[Plan, Sequence[Cell], Store | None]


def expected() -> dict[str, str]:
    """Versions and code that results depend on, and all that travels between machines."""
    found = {
        path.relative_to(PROJECT).as_posix(): sha256_file(path)
        for package in PACKAGES
        for path in (PROJECT / package).rglob("*.py")
    }
    return {"code of patchcore_core and patchcore_suite": sha256_json(found)[:SHOWN], **versions()}


def look(there: Mapping[str, str], given: Callable[[], Given]) -> Look:
    """Compare this machine with the one that hands out work, and say what it is.

    Args:
        there: what `expected` says on that one.
        given: fetches what is computed, which is read only where the code is the same.
    """
    here = expected()
    problems = [
        f"{name}: {here.get(name)} there, {value} here" for name, value in there.items() if here.get(name) != value
    ]
    return {"problems": problems, "remedy": INSTALL} if problems else _look(*given())


def _look(work: Plan, cells: Sequence[Cell], store: Store | None) -> Look:
    remove_leftovers(Path(tempfile.gettempdir()), f"{APART}*")
    return {
        "problems": [*_images(work, cells), *_weights(work, cells)],
        "remedy": COPY,
        "sees_store": store is not None and _sees(store),
        "free": free_bytes(),
    }


def _images(work: Plan, cells: Sequence[Cell]) -> Iterator[str]:
    for category in work.read_by(cells):
        if found := work.manifest.changes(category):
            path, (recorded, sha256) = next(iter(found.items()))
            there = f"SHA-256 {sha256[:SHOWN]} there" if sha256 else "missing there"
            yield (
                f"images of {work.dataset.name}/{category}: {len(found)} files are not those of the manifest, "
                f"the first {path}: {there}, {recorded[:SHOWN]} here"
            )


def _weights(work: Plan, cells: Sequence[Cell]) -> Iterator[str]:
    wanted = {used["backbone"]: used["sha256"] for cell in cells for used in cell.stamp["weights"]}
    try:
        own = project_networks(work.dataset.project, expected=work.networks_sha256).modules
    except InputError as error:
        yield one_line(error)
        return
    for backbone, sha256 in wanted.items():
        try:
            if backbone in own:
                found = network_weights(own[backbone])
            else:
                found = backbone_weights(backbone, weights=work.dataset.execution.own_weights, download=False)
        except InputError as error:
            yield f"weights of {backbone}: missing there, {sha256[:SHOWN]} here: {one_line(error)}"
            continue
        if found.sha256 != sha256:
            yield (
                f"weights of {backbone}: SHA-256 {found.sha256[:SHOWN]} there ({found.origin}, {found.path}), "
                f"{sha256[:SHOWN]} here"
            )


@contextmanager
def probed(folder: Path) -> Iterator[Store]:
    """Put a file into the store that tells who sees it; it is locked, as all that is being written there.

    Raises:
        InputError: nothing can be written there.
    """
    secret = secrets.token_hex()
    with ExitStack() as stack:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            # Unbuffered: what finds no room must not be tried again when the file is closed.
            file = stack.enter_context(tempfile.NamedTemporaryFile(dir=folder, prefix=".probe.", buffering=0))
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            file.write(secret.encode())
        yield Store(Path(file.name), secret)


def _sees(store: Store) -> bool:
    """Whether this machine reads, writes and locks in the same store.

    Without common locks one machine would take for a dead run's what another one is writing, and delete it.
    """
    try:
        with store.probe.open("r+b") as file:
            if file.read().decode() != store.secret:
                return False
            with suppress(OSError):  # locked by the other machine, or a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return False
        with tempfile.TemporaryFile(dir=store.probe.parent):
            return True
    except OSError:
        return False
