"""Shards as Ray actors, on this machine or a cluster: the extra `ray`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from patchcore_core.common.errors import InputError
from patchcore_suite.shards.files import FileRows, RowFile
from patchcore_suite.shards.shard import Shard

try:
    import ray
except ImportError:
    ray = None


class Actors:
    """An actor for each shard; see `Carrier`. Use `actors`, which ends them."""

    def __init__(self, files: Sequence[RowFile], *, threads: int, memory: float | None) -> None:
        self.sent = self.received = 0
        served = ray.remote(num_cpus=threads)(_Served)
        self._actors = [served.remote(file, threads, memory) for file in files]

    def __len__(self) -> int:
        return len(self._actors)

    def ask_each(self, question: str, given: Sequence[tuple]) -> list:
        asked = [actor.ask.remote(question, *values) for actor, values in zip(self._actors, given, strict=True)]
        answers = []
        for number, answer in enumerate(asked):
            try:
                problem, found = ray.get(answer)
            except ray.exceptions.RayError as error:
                raise InputError(
                    f"the actor of shard {number} died: {str(error).splitlines()[0]}",
                    remedy="look at its node; every node must see the file of its rows under the same path",
                ) from None
            if problem is not None:
                raise InputError(problem)
            answers.append(found)
        return answers

    def close(self) -> None:
        """End the actors."""
        for actor in self._actors:
            ray.kill(actor)


@contextmanager
def actors(files: Sequence[RowFile], *, threads: int = 1, memory: float | None = None) -> Iterator[Actors]:
    """An actor for each part of a file that all nodes can read, ended with the block; Ray must have been started.

    Args:
        files: where the rows of each shard lie.
        threads: of each actor, and the processors that Ray takes for it.
        memory: bytes that gaps and screening may take, of each actor; None for as many as they need.

    Raises:
        InputError: Ray is not installed, or was not started.
    """
    if ray is None:
        raise InputError("shards as Ray actors need Ray", remedy="pip install '.[ray]', or use processes")
    if not ray.is_initialized():
        raise InputError(
            "Ray was not started", remedy="call ray.init() first, with the address of a cluster or without"
        )
    carrier = Actors(files, threads=threads, memory=memory)
    try:
        yield carrier
    finally:
        carrier.close()


class _Served:
    """What runs in an actor."""

    def __init__(self, file: RowFile, threads: int, memory: float | None) -> None:
        torch.set_num_threads(threads)
        self._file, self._shard = file, Shard(FileRows(file), file.first, memory)

    def ask(self, question: str, *given: object) -> tuple[str | None, object]:
        try:
            return None, getattr(self._shard, question)(*given)
        except Exception as error:
            return f"shard of rows {self._file.first} to {self._file.first + self._file.count - 1}: {error}", None
