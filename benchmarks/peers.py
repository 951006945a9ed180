"""Components of another library, in a process and an environment of their own, that are timed in turn with ours."""

import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from patchcore_core.common.errors import InputError

WORKER = Path(__file__).with_name("anomalib_worker.py")


class Peer:
    """A worker that holds arrays and answers questions.

    Args:
        python: the interpreter of an environment that has anomalib.
        arrays: what it gets to see, by name, written to a temporary folder.
        worker: its code.

    Attributes:
        folder: where both sides find arrays, each a file called after it.
    """

    def __init__(self, python: Path, arrays: Mapping[str, NDArray], worker: Path = WORKER) -> None:
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self._temporary.name)
        for name, array in arrays.items():
            np.save(self.folder / f"{name}.npy", array)
        self._process = subprocess.Popen(
            [python, worker, self.folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
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

    def read(self, name: str) -> Tensor:
        """An array that the worker wrote."""
        return torch.from_numpy(np.load(self.folder / f"{name}.npy"))

    def answer(self, task: str, given: Mapping[str, Tensor], **named: object) -> dict[str, Tensor]:
        """Let the worker do something with arrays; the arrays that it writes."""
        for name, array in given.items():
            np.save(self.folder / f"{name}.npy", array)
        return {name: self.read(name) for name in self.ask(task, **named)["written"]}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._temporary.cleanup()
