"""Which photographs a model was fitted to."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """A good image that a model was fitted to: where it lay then, and the SHA-256 of its bytes."""

    path: str
    sha256: str
