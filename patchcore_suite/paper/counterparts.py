"""Like for like: which number of the paper may stand beside one of ours."""

from collections.abc import Sequence
from dataclasses import dataclass

from patchcore_suite.datasets import identity
from patchcore_suite.paper.conditions import CATEGORIES_DIFFER
from patchcore_suite.paper.published import Published, mean_over


@dataclass(frozen=True)
class Counterpart:
    """What of the paper may stand beside a number of ours.

    Attributes:
        number: None where nothing may.
        unlike: why the paper's number may not.
    """

    number: Published | None = None
    unlike: str = ""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What to know of the number itself."""
        if self.number is None or self.number.over is None:
            return ()
        return (f"paper: mean of {self.number.over} categories of Table {self.number.table}",)


def like_for_like(number: Published | None, *, images: str, categories: Sequence[str]) -> Counterpart:
    """A number of the paper, or its mean over the categories that ours is over; nothing where images are left out.

    Beside generated images the paper's number stands as it is printed: the two are never subtracted.

    Args:
        images: of these categories, see `sources.images_of`.
        categories: those that ours is over.
    """
    if number is None:
        return Counterpart()
    if images not in (identity.SYNTHETIC, identity.COMPLETE):
        return Counterpart(unlike=f"data {images}")
    if images == identity.SYNTHETIC or not number.whole or number.categories == len(categories):
        return Counterpart(number)
    mean = mean_over(number, categories)
    unlike = f"{CATEGORIES_DIFFER}: {len(categories)} of {number.categories}"
    return Counterpart(mean) if mean else Counterpart(unlike=unlike)
