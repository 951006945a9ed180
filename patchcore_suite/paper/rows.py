"""One row of a table in which a number of ours stands beside one of the paper's."""

from dataclasses import dataclass

from patchcore_core.common.errors import InputError
from patchcore_suite.paper.conditions import SYNTHETIC, Conditions, differences
from patchcore_suite.paper.counterparts import Counterpart
from patchcore_suite.paper.published import Published
from patchcore_suite.paper.verdicts import NO_VERDICT, verdict
from patchcore_suite.results import quantities
from patchcore_suite.results.formats import INTERVAL, NOTHING, QUOTED
from patchcore_suite.results.quantities import Cell, Interval, Quantity, Said

Row = dict[str, Cell]
COLUMNS = ("variant", "ours", "paper", "difference", INTERVAL, "verdict", "reason")  # difference in points


@dataclass(frozen=True)
class Compared:
    """A number of ours with what it is compared with.

    Attributes:
        ours: a share, the mean over seeds.
        theirs: the paper's; None where it has none that may stand beside ours.
        conditions: what ours was obtained under, where there is one of theirs.
        interval: 95 % interval of ours.
        remarks: reasons to add, where the images are real.
        unlike: why the paper's number may not.
        spread: of ours over draws, where that is one draw; NaN if it is not known.
    """

    variant: str
    ours: Quantity
    theirs: Published | None = None
    conditions: Conditions | None = None
    interval: Interval | None = None
    remarks: tuple[str, ...] = ()
    unlike: str = ""
    spread: float | None = None

    @property
    def row(self) -> Row:
        """The cells of `COLUMNS`.

        Raises:
            InputError: what is compared has no conditions.
        """
        if self.theirs and not self.conditions:
            raise InputError(
                f"variant {self.variant!r} has no conditions", remedy="say what its numbers were obtained under"
            )
        unlike = (self.unlike,) if self.unlike else ()
        found = verdict(
            self.ours.value,
            self.theirs,
            spread=self.spread if self.ours.spread is None else self.ours.spread,
            interval=self.interval and (self.interval.low, self.interval.high),
            reasons=differences(self.conditions, self.theirs.conditions) if self.theirs else unlike,
        )
        remarks = () if SYNTHETIC in found.reasons else self.remarks
        return {
            "variant": self.variant,
            "ours": self.ours,
            "paper": self.theirs.quantity if self.theirs else NOTHING,
            "difference": NOTHING if found.difference is None else quantities.difference(found.difference),
            INTERVAL: self.interval or NOTHING,
            "verdict": Said.of_one(found.name),
            "reason": Said.of_one(*found.reasons, *remarks),
        }


def quoted(name: str, counterpart: Counterpart) -> Row:
    """The row of a system that was not run here: it has no verdict."""
    said = Said.of_one(QUOTED, *counterpart.remarks)
    return empty(name) | {"paper": counterpart.number.quantity, "reason": said}


def absent(variant: str, why: str, theirs: Published | None) -> Row:
    """The row of a variant that was to be run and was not."""
    shown = {"ours": why, "paper": theirs.quantity if theirs else NOTHING, "verdict": Said.of_one(NO_VERDICT)}
    return empty(variant) | shown


def empty(name: str) -> Row:
    """A row in which nothing is known but its name."""
    return dict.fromkeys(COLUMNS, NOTHING) | {"variant": name, "verdict": Said.of_one(), "reason": Said.of_one()}
