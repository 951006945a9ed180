"""How a command of the suite ends."""

import sys
from collections.abc import Generator
from contextlib import contextmanager

from patchcore_core.common.errors import InputError


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
