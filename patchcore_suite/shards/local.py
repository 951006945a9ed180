"""Shards in processes of this machine, over files that are mapped into memory: nothing but rows of picks is copied."""

import contextlib
import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection

import torch

from patchcore_core.common.errors import InputError
from patchcore_suite.shards.files import FileRows, RowFile
from patchcore_suite.shards.shard import Shard


class Processes:
    """A process for each shard; see `Carrier`. Use `processes`, which ends them."""

    def __init__(self, files: Sequence[RowFile], *, threads: int, memory: float | None) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would inherit locks of threads
        self.sent = self.received = 0
        self._ends: list[Connection] = []
        self._processes = []
        for file in files:
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, file, threads, memory), daemon=True)
            process.start()
            theirs.close()
            self._ends.append(ours)
            self._processes.append(process)

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def pids(self) -> list[int]:
        """Numbers of the processes, for who measures them."""
        return [process.pid for process in self._processes]

    def ask_each(self, question: str, given: Sequence[tuple]) -> list:
        for number, (end, values) in enumerate(zip(self._ends, given, strict=True)):
            with _death_told(number):
                end.send((question, values))
        answers = []
        for number, end in enumerate(self._ends):
            with _death_told(number):
                answers.append(end.recv())
        for problem, _ in answers:
            if problem is not None:
                raise InputError(problem)
        return [answer for _, answer in answers]

    def kill(self, number: int) -> None:
        """End one process, as a machine without memory would."""
        self._processes[number].kill()
        self._processes[number].join()

    def close(self) -> None:
        """End the processes."""
        for end in self._ends:
            end.close()
        for number in range(len(self)):
            self.kill(number)


@contextmanager
def _death_told(number: int) -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError):
        raise InputError(
            f"the process of shard {number} died, most often for want of memory",
            remedy="give each shard less memory, or use more shards on more machines",
        ) from None


@contextmanager
def processes(files: Sequence[RowFile], *, threads: int = 1, memory: float | None = None) -> Iterator[Processes]:
    """A process for each part of a file, ended with the block.

    Args:
        files: where the rows of each shard lie.
        threads: of each process.
        memory: bytes that gaps and screening may take, of each process; None for as many as they need.
    """
    carrier = Processes(files, threads=threads, memory=memory)
    try:
        yield carrier
    finally:
        carrier.close()


def _serve(end: Connection, file: RowFile, threads: int, memory: float | None) -> None:
    """Answer questions until the other end is closed, as it also is when its process dies."""
    torch.set_num_threads(threads)
    shard = Shard(FileRows(file), file.first, memory)
    with contextlib.suppress(EOFError, KeyboardInterrupt, OSError):
        while True:
            question, values = end.recv()
            answer: tuple
            try:
                answer = None, getattr(shard, question)(*values)
            except Exception as error:  # whatever it is, who asked must not wait for ever
                answer = f"shard of rows {file.first} to {file.first + file.count - 1}: {error}", None
            end.send(answer)
