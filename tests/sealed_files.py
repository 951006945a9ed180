"""JSON files that carry a checksum, changed as if they had been written so."""

import json
from collections.abc import Callable
from pathlib import Path

from patchcore_suite.run.sealed import sealed


def rewrite(path: Path, change: Callable[[dict], object] | None = None, **values: object) -> None:
    """Change a file: by `change`, which may change the value that it is given, and by `values`."""
    value = json.loads(path.read_text(encoding="utf-8"))
    del value["sha256"]
    if change:
        change(value)
    path.write_text(json.dumps(sealed(value | values)), encoding="utf-8")
