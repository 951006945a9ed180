"""Run the tutorial's own commands and time each: `python -m benchmarks.tutorial --folder FOLDER`.

FOLDER is a category as MVTec AD has it. It stands for the tutorial's `photographs`, its folder `test` for `labelled`,
and some images of that for `new`. The commands are those that `docs/your_parts.md` shows, in its order, each in a
process of its own. User and system seconds are told, all threads together: a machine that is busy with other programs
changes them less than it does a clock.
"""

import argparse
import re
import resource
import shlex
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_suite.datasets.listing import IMAGE_SUFFIXES, walk
from patchcore_suite.run.environment import machine

TUTORIAL = Path(__file__).parents[1] / "docs/your_parts.md"
SECTIONS = ("2. A model", "3. New photographs", "Elsewhere, without torch")  # but no headings below them
NEW = 12  # images that are judged
PROGRAMS = {"patchcore": [sys.executable, "-m", "patchcore_suite.parts.command"], "python": [sys.executable]}


def commands(text: str) -> list[list[str]]:
    """The words of each command of the tutorial's sections, what sets an environment up aside."""
    sections = dict(re.findall(r"^## (.*)\n((?:(?!#).*\n)*)", text, flags=re.MULTILINE))
    blocks = [block for name in SECTIONS for block in re.findall(r"```sh\n(.*?)```", sections[name], flags=re.DOTALL)]
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [words for words in lines if words and words[0] in PROGRAMS]


def lay_out(folder: Path, here: Path) -> None:
    """Give a category the names of the tutorial's folders.

    Raises:
        InputError: it has no test images.
    """
    images = [path for path in walk(folder / "test") if path.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise InputError(f"{folder} has no images in test/", remedy="name a category as MVTec AD has it")
    (here / "photographs").symlink_to(folder.absolute())
    (here / "labelled").symlink_to((folder / "test").absolute())
    (here / "new").mkdir()
    for number in range(NEW):
        path = images[number * len(images) // NEW]
        (here / f"new/{number}.png").symlink_to(path.absolute())


def seconds(words: list[str], here: Path) -> tuple[float, float, float]:
    """User, system and clock seconds of a command.

    Raises:
        InputError: it fails.
    """
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([*PROGRAMS[words[0]], *words[1:]], cwd=here, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"{shlex.join(words)}: {done.stderr.strip()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime, time.perf_counter() - started


def main() -> None:
    """Run the tutorial and print what it takes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tutorial", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    print(f"{given.folder.name}, {machine()['processor']}\n")
    print("| command | user | system | clock |\n|---|---|---|---|")
    total = (0.0, 0.0, 0.0)
    with TemporaryDirectory() as made:
        here = Path(made)
        lay_out(given.folder, here)
        for words in commands(TUTORIAL.read_text(encoding="utf-8")):
            took = seconds(words, here)
            total = tuple(one + more for one, more in zip(total, took, strict=True))
            print(f"| `{shlex.join(words)}` | " + " | ".join(f"{one:.1f}" for one in took) + " |", flush=True)
    print("| all | " + " | ".join(f"{one:.1f}" for one in total) + " |")


if __name__ == "__main__":
    with exit_on_input_error():
        main()
