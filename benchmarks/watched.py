"""What processes hold and do while they work: memory of both kinds, bytes from disks, processor time. Linux only."""

import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

INTERVAL = 0.2  # seconds between two looks
KINDS = {"anonymous": "RssAnon", "of files": "RssFile"}


class Watched:
    """Looks at some processes and this one until the block ends."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._folders = [Path(f"/proc/{pid}") for pid in (*pids, "self")]
        self._peak = dict.fromkeys([*KINDS, "both"], 0)
        self._read, self._worked = self._read_so_far(), self._worked_so_far()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def peak(self) -> dict[str, int]:
        """Largest bytes of each kind of memory, and of both, in all of them together."""
        return dict(self._peak)

    def read_bytes(self) -> int:
        """Bytes that came from disks, not from memory, since the block began."""
        return self._read_so_far() - self._read

    def core_seconds(self) -> float:
        """Seconds of processors since the block began: what else runs has little say in them."""
        return sum(self.core_seconds_each())

    def core_seconds_each(self) -> list[float]:
        """The same of each process, this one last."""
        return [now - before for now, before in zip(self._worked_so_far(), self._worked, strict=True)]

    def _look(self) -> None:
        while not self._ended.wait(INTERVAL):
            statuses = [(folder / "status").read_text() for folder in self._folders if folder.exists()]
            now = {
                name: 1024 * sum(int(re.search(rf"{key}:\s+(\d+)", status)[1]) for status in statuses)
                for name, key in KINDS.items()
            }
            now["both"] = sum(now.values())
            self._peak = {name: max(self._peak[name], now[name]) for name in now}

    def _read_so_far(self) -> int:
        counts = [(folder / "io").read_text() for folder in self._folders]
        return sum(int(re.search(r"^read_bytes: (\d+)", text, re.MULTILINE)[1]) for text in counts)

    def _worked_so_far(self) -> list[float]:
        fields = [(folder / "stat").read_text().rpartition(")")[2].split() for folder in self._folders]
        return [(int(of[11]) + int(of[12])) / os.sysconf("SC_CLK_TCK") for of in fields]
