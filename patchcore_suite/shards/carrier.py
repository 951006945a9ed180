"""What shards are asked through: the same questions whoever holds them, and how many bytes go to and fro."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from patchcore_suite.shards.shard import Shard


class Carrier(Protocol):
    """Asks all shards, in the order of their rows.

    Attributes:
        sent, received: bytes of tensors and numbers so far, to all shards and from all.
    """

    sent: int
    received: int

    def __len__(self) -> int: ...

    def ask_each(self, question: str, given: Sequence[tuple]) -> list:
        """What each shard answers to a question, the name of a method of `Shard`, with values of its own."""
        ...


def ask(carrier: Carrier, question: str, *given: object) -> list:
    """What each shard answers to the same question; bytes are counted."""
    return ask_each(carrier, question, [given] * len(carrier))


def ask_each(carrier: Carrier, question: str, given: Sequence[tuple]) -> list:
    """What each shard answers to a question with values of its own; bytes are counted."""
    answers = carrier.ask_each(question, given)
    carrier.sent += sum(map(payload, given))
    carrier.received += sum(map(payload, answers))
    return answers


def payload(message: object) -> int:
    """Bytes of the tensors and numbers of a message."""
    if isinstance(message, Tensor):
        return message.nbytes
    if isinstance(message, tuple | list):
        return sum(map(payload, message))
    return 8


class Here:
    """Shards in this process, one after the other: for one machine whose rows lie on disk, and for tests."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards, self.sent, self.received = list(shards), 0, 0

    def __len__(self) -> int:
        return len(self._shards)

    def ask_each(self, question: str, given: Sequence[tuple]) -> list:
        return [getattr(shard, question)(*values) for shard, values in zip(self._shards, given, strict=True)]
