"""What was found of a dataset before a run: what it takes, and what would fail."""

from dataclasses import dataclass, field

from patchcore_core.backbones import WeightsMissing
from patchcore_suite.preflight.operations import Work

Wanted = tuple[str, str, int | None, int]  # category, variant, shots, seed


@dataclass
class Needs:
    """What a category of a dataset takes: numbers, bytes, and operations that are still to do."""

    category: str
    train: int
    test: int
    todo: int = 0
    done: int = 0
    patches: set[int] = field(default_factory=set)  # an image, of methods that look at patches
    bank: tuple[int, int] = (0, 0)  # the largest: rows, dimensions
    memory: float = 0
    maps: float = 0  # bytes of feature maps
    rows: float = 0  # bytes of the largest file of patch features, for want of memory
    results: float = 0  # bytes
    work: Work = field(default_factory=Work)
    by_variant: dict[str, Work] = field(default_factory=dict)


@dataclass
class Checked:
    """What was found of a dataset."""

    name: str
    images: str  # what they are and where the counts come from
    needs: list[Needs] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # each would end the run
    warnings: list[str] = field(default_factory=list)
    # By backbone whose weights are missing: the error with its remedies, and the variants that need it.
    weights: dict[str, tuple[WeightsMissing, list[str]]] = field(default_factory=dict)
