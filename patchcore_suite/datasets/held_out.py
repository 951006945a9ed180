"""Nominal images that are kept for test, where a dataset does not say which ones."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from patchcore_suite.datasets.spec import DatasetSpec


@dataclass(frozen=True, kw_only=True)
class HeldOutSpec(DatasetSpec):
    """How the nominal images are divided; all defective ones are for test.

    Attributes:
        held_out: share of the nominal images that is kept for test, drawn with the seed.
    """

    held_out: float = 0.2

    def _rules(self) -> dict[str, tuple[object, str]]:
        share = self.held_out
        fits = isinstance(share, float) and 0 < share < 1
        return super()._rules() | {"held_out": (fits, "a number between 0 and 1")}


def division(spec: HeldOutSpec) -> dict[str, object]:
    """What the draw depends on."""
    return {"seed": spec.seed, "held_out": spec.held_out}


def draw_training(names: Iterable[str], *, seed: int, held_out: float) -> set[str]:
    """Draw the training images: all but round(held_out * n) of the sorted names."""
    ordered = sorted(names)
    drawn = np.random.Generator(np.random.PCG64(seed)).permutation(len(ordered))
    held = set(drawn[: round(held_out * len(ordered))])
    return {name for index, name in enumerate(ordered) if index not in held}
