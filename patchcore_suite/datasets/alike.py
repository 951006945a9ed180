"""Names that a person takes for each other, or for another word than a layout does."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

NOMINAL_ELSEWHERE = (  # what others call nominal images, as `plain` writes it
    *("good", "ok", "okay", "io", "pass", "passed", "normal", "nominal", "negative", "clean", "intact", "flawless"),
    *("nodefect", "nodefects", "withoutdefect", "withoutdefects", "defectfree", "nondefective", "nonanomalous"),
)


def plain(name: str) -> str:
    """The letters and digits of a name, whatever their case and however they are composed."""
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", name)).casefold()


def sounds_nominal(name: str) -> bool:
    """Whether a name would make a person think of nominal images."""
    return plain(name) in NOMINAL_ELSEWHERE


def composed(name: str) -> str:
    """A name as a program writes it that composes letters and their accents; others, and macOS's disks, do not."""
    return unicodedata.normalize("NFC", name)


def twins(names: Iterable[str]) -> list[list[str]]:
    """Names that differ in nothing but upper and lower case, how letters are composed, and what is not seen."""
    found: dict[str, set[str]] = defaultdict(set)
    for name in names:
        found["".join(letter for letter in composed(name).casefold() if letter.isprintable())].add(name)
    return [sorted(same) for same in found.values() if len(same) > 1]
