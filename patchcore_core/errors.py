"""Errors that a user can act on."""

import inspect
import sys
from collections.abc import Callable, Sequence


class InputError(ValueError):
    """Something the user gave is wrong; the message names it, its value and the remedy.

    Args:
        problem: one sentence, without a full stop.
        offenders: every file, key or value concerned, one line each; all of them are printed.
        remedy: what to do about it.
    """

    def __init__(self, problem: str, *, offenders: Sequence[object] = (), remedy: str = "") -> None:
        lines = [problem + (":" if offenders else "")]
        lines += [f"  - {offender}" for offender in offenders]
        if remedy:
            lines.append(f"Remedy: {remedy}")
        super().__init__("\n".join(lines))


def exit_on_input_error(main: Callable[..., None], arguments: Sequence[str], *, usage: str) -> None:
    """Run a command; an error that the user can act on is printed as it is, without a traceback, and exits with 1."""
    wanted = len(inspect.signature(main).parameters)
    if len(arguments) != wanted:
        print(f"usage: {usage}", file=sys.stderr)
        sys.exit(2)
    try:
        main(*arguments)
    except InputError as error:
        print(f"\nERROR: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\ninterrupted; what was finished is kept", file=sys.stderr)
        sys.exit(130)
