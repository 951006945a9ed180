"""Where a dataset comes from and how it is split."""

from dataclasses import dataclass
from pathlib import Path

from patchcore_core.common.errors import InputError

# A layout is a module of this folder; to import them all would bring what decodes videos.
LAYOUTS = tuple(sorted(path.stem for path in (Path(__file__).parent / "layouts").glob("[!_]*.py")))


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """Where a dataset comes from and how it is split.

    Attributes:
        source: "synthetic", "download", or the path of a folder, which is used in place.
        layout: "mvtec", "mtd" or "mstc".
        categories: the ones to use; None takes all that are there.
        seed: of the synthetic images, and of the draw of `held_out`.
        held_out: MTD: share of the defect-free images that is kept for test.
        train_list: MTD: a text file with the names of the training images, in place of the draw.
        every: mSTC: one frame in so many is taken.

    Raises:
        InputError: one or more values are out of range; all of them are listed.
    """

    source: str
    layout: str
    categories: tuple[str, ...] | None = None
    seed: int = 0
    held_out: float = 0.2
    train_list: str | None = None
    every: int = 5

    def __post_init__(self) -> None:
        if isinstance(self.categories, list):  # YAML gives lists
            object.__setattr__(self, "categories", tuple(self.categories))
        names = self.categories
        rules = {
            "source": (isinstance(self.source, str) and self.source, "'synthetic', 'download', or a folder's path"),
            "layout": (self.layout in LAYOUTS, f"one of {', '.join(LAYOUTS)}"),
            "categories": (names is None or _are_names(names), "null for all, or a list of (quoted) names"),
            "seed": (_is_int(self.seed) and self.seed >= 0, "a whole number of 0 or more"),
            "held_out": (isinstance(self.held_out, float) and 0 < self.held_out < 1, "a number between 0 and 1"),
            "train_list": (self.train_list is None or _are_names([self.train_list]), "null, or a file's path"),
            "every": (_is_int(self.every) and self.every >= 1, "a whole number of 1 or more"),
        }
        wrong = [
            f"{name}={getattr(self, name)!r} must be {wanted}" for name, (fits, wanted) in rules.items() if not fits
        ]
        if wrong:
            raise InputError("the dataset cannot be used as described", offenders=wrong, remedy="correct these values")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_names(values: object) -> bool:
    return isinstance(values, (list, tuple)) and bool(values) and all(isinstance(v, str) and v for v in values)
