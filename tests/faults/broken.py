"""Inputs that are broken or odd, each handed to the suite once, and how that ends.

PYTHONPATH=tests:. python -m faults.broken
"""

import os
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read where libraries are imported; all that is computed is tiny

from faults import (
    broken_arrays,
    broken_folders,
    broken_images,
    broken_lists,
    broken_models,
    broken_options,
    broken_settings,
)
from faults.inputs import FAILED, REFUSED, REMARKED, RIGHT, tried

CATALOGUES = {
    "images and masks": broken_images,
    "folders": broken_folders,
    "lists": broken_lists,
    "settings": broken_settings,
    "arrays and networks": broken_arrays,
    "saved models": broken_models,
    "commands": broken_options,
}


def try_all(folder: Path) -> list[tuple[str, str, str]]:
    """Try every input once: what it was, how it ended, and what was wrong about that."""
    warnings.simplefilter("ignore")  # of libraries, about what they are given
    found = []
    for kind, catalogue in CATALOGUES.items():
        shared, tries = folder / kind / "shared", folder / kind / "tries"
        shared.mkdir(parents=True)
        tries.mkdir()
        for number, one in enumerate(catalogue.inputs(shared)):
            found.append((f"{kind}: {one.name}", *tried(one, tries / str(number))))
    return found


def table(found: list[tuple[str, str, str]]) -> str:
    """How many inputs ended in which way, of all and of each kind; each that did not end as promised by name."""
    kinds = Counter(name.partition(": ")[0] for name, _, _ in found)
    counts = Counter(how for _, how, _ in found)
    lines = [f"{'broken inputs tried':<26}{len(found):>6}"]
    lines += [f"{'  ' + kind:<26}{count:>6}" for kind, count in kinds.items()]
    lines += [f"{how:<26}{counts[how]:>6}" for how in (REFUSED, RIGHT, REMARKED, FAILED)]
    return "\n".join(lines + [f"{how}: {name}: {why}" for name, how, why in found if how == FAILED])


def main() -> None:
    """Try all inputs and print counts; exit code 1 where one did not end as promised."""
    with tempfile.TemporaryDirectory(prefix="patchcore-broken-") as folder:
        found = try_all(Path(folder))
    print(table(found))
    sys.exit(any(how == FAILED for _, how, _ in found))


if __name__ == "__main__":
    main()
