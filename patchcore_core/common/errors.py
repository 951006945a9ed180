"""Errors that a user can act on."""

from collections.abc import Sequence


class InputError(ValueError):
    """Something the user gave is wrong; the message names it, its value and the remedy.

    Args, kept as attributes for a caller that has more to say:
        problem: one sentence, without a full stop.
        offenders: every file, key or value concerned, one line each; all of them are printed.
        remedy: what to do about it.
    """

    def __init__(self, problem: str, *, offenders: Sequence[object] = (), remedy: str = "") -> None:
        self.problem, self.offenders, self.remedy = problem, tuple(map(str, offenders)), remedy
        lines = [problem + (":" if self.offenders else "")]
        lines += [f"  - {offender}" for offender in self.offenders]
        if remedy:
            lines.append(f"Remedy: {remedy}")
        super().__init__("\n".join(lines))
