"""Errors that a user can act on."""

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager


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


@contextmanager
def exit_on_input_error() -> Generator[None, None, None]:
    """End the program on an error that the user can act on: its text without a traceback, exit code 1."""
    try:
        yield
    except InputError as error:
        print(f"\nERROR: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\ninterrupted; what was finished is kept", file=sys.stderr)
        sys.exit(130)
