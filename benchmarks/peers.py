"""Components of another library, in a process and an environment of their own, that are timed in turn with ours."""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import numpy as np

from benchmarks.inputs import Inputs
from patchcore_core.common.errors import InputError

WORKER = Path(__file__).with_name("anomalib_worker.py")


class Peer:
    """A worker that holds the inputs and answers questions.

    Args:
        python: the interpreter of an environment that has anomalib.
        inputs: what it gets to see, written to a temporary folder.
    """

    def __init__(self, python: Path, inputs: Inputs) -> None:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        np.save(folder / "nominal.npy", inputs.nominal.cpu().numpy())
        np.save(folder / "masks.npy", inputs.masks)
        np.save(folder / "maps.npy", inputs.maps)
        self._process = subprocess.Popen(
            [python, WORKER, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.name = f"anomalib {self.ask('version')['version']}"

    def ask(self, task: str, **given: object) -> dict[str, object]:
        """Let the worker do something.

        Raises:
            InputError: it ended instead.
        """
        self._process.stdin.write(json.dumps({"task": task, **given}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise InputError("the peer's process ended", remedy="see its message above; `make bench-peers` renews it")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._folder.cleanup()
