"""Where a dataset comes from and how it is split."""

from dataclasses import dataclass
from pathlib import Path

from patchcore_core.common.errors import InputError

# A layout is a module of this folder.
LAYOUTS = tuple(sorted(path.stem for path in (Path(__file__).parent / "layouts").glob("[!_]*.py")))

SYNTHETIC, DOWNLOAD = "synthetic", "download"  # sources that are no folders

# The datasets of Roth et al. (2022), by the value of `paper`; `identity` tells whether images are theirs.
PAPER_NAMES = {"mvtec-ad": "MVTec AD", "mtd": "MTD", "mstc": "mSTC"}
PAPER_LAYOUTS = ("mvtec", "mtd", "mstc")  # in which they lie; what lies in another is none of them


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """Where a dataset comes from and how it is split; a layout with keys of its own adds them in a subclass.

    Attributes:
        source: "synthetic", "download", or the path of a folder, which is used in place.
        layout: the name of a module of `layouts`.
        categories: the ones to use; None takes all that are there.
        paper: which of the paper's datasets it is, or stands in for, one of `PAPER_NAMES`; None: none of them.
        seed: of everything that is drawn: the synthetic images, and a division into training and test images.
        noise: share of each category's anomalous test images that is moved among its training images, where they pass
            for nominal, and is never tested; drawn with the seed, a larger share holding a smaller one.

    Raises:
        InputError: one or more values are out of range; all of them are listed.
    """

    source: str
    layout: str
    categories: tuple[str, ...] | None = None
    paper: str | None = None
    seed: int = 0
    noise: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.categories, list):  # YAML gives lists
            object.__setattr__(self, "categories", tuple(self.categories))
        wrong = [
            f"{name}={getattr(self, name)!r} must be {wanted}"
            for name, (fits, wanted) in self._rules().items()
            if not fits
        ]
        if wrong:
            raise InputError("the dataset cannot be used as described", offenders=wrong, remedy="correct these values")

    def _rules(self) -> dict[str, tuple[object, str]]:
        """For each attribute, whether its value fits and what would."""
        names = self.categories
        other = self.layout in LAYOUTS and self.layout not in PAPER_LAYOUTS
        known = f"null, or one of {', '.join(PAPER_NAMES)}"
        return {
            "source": (is_path(self.source), "'synthetic', 'download', or a folder's path"),
            "layout": (self.layout in LAYOUTS, f"one of {', '.join(LAYOUTS)}"),
            "categories": (
                names is None or (are_names(names) and len({*names}) == len(names)),
                "null for all, or a list of different (quoted) names",
            ),
            "paper": (
                self.paper is None or (self.paper in PAPER_NAMES and not other),
                f"null: none of the paper's datasets has the layout {self.layout}" if other else known,
            ),
            "seed": (is_whole(self.seed) and self.seed >= 0, "a whole number of 0 or more"),
            "noise": (
                is_share(self.noise) and (self.paper is None or not self.noise),
                "a number from 0 up to 1, and 0 unless paper is null: with others it is none of the paper's datasets",
            ),
        }


def is_path(value: object) -> bool:
    """Whether a value can be the path of a file or folder: a text, and none that no file has."""
    return isinstance(value, str) and bool(value) and "\0" not in value


def is_whole(value: object) -> bool:
    """Whether a value is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_share(value: object) -> bool:
    """Whether a value is a number from 0 up to 1."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1


def are_names(values: object) -> bool:
    """Whether a value is a list of one or more texts, none of them empty."""
    return isinstance(values, (list, tuple)) and bool(values) and all(isinstance(v, str) and v for v in values)
