"""Randomness that is the same on every machine.

Every image has a generator of its own, seeded from the words that name it: an image does not change when others are
added, left out or drawn in another order. Only `random()` is ever drawn. It is a plain scaling of PCG64's bits, which
NumPy keeps for good; its other distributions may change from one release to the next.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy import ndarray
from numpy.random import PCG64, Generator

T = TypeVar("T")
Point = tuple[float, float]  # (y, x) in pixels


def generator(*name: object) -> Generator:
    """The generator of the thing called `name`; Python's hash() would change with every process."""
    digest = hashlib.sha256("/".join(map(str, name)).encode()).digest()
    return Generator(PCG64(int.from_bytes(digest, "big")))


def uniform(rng: Generator, low: float, high: float) -> float:
    """A number from [low, high)."""
    return low + (high - low) * rng.random()


def choose(rng: Generator, options: Sequence[T]) -> T:
    """One of `options`, all equally likely."""
    return options[int(rng.random() * len(options))]


def sign(rng: Generator) -> int:
    """-1 or 1."""
    return choose(rng, (-1, 1))


def nearby(rng: Generator, point: Point, reach: float) -> Point:
    """A point at most `reach` pixels away from `point`, evenly over the disc."""
    radius, angle = reach * math.sqrt(rng.random()), math.tau * rng.random()
    return point[0] + radius * math.sin(angle), point[1] + radius * math.cos(angle)


def speckle(rng: Generator, shape: tuple[int, ...]) -> ndarray:
    """Independent values in (-1, 1), triangular around 0, of standard deviation 0.41: sensor noise."""
    return rng.random(shape) - rng.random(shape)


def smooth_noise(rng: Generator, shape: tuple[int, int], cell: tuple[float, float]) -> ndarray:
    """Value noise: a random lattice, smoothly interpolated.

    Args:
        rng: draws the lattice and its offset.
        shape: (h, w) of the result, in pixels.
        cell: (h, w) of a lattice cell, in pixels; unequal sides give streaks.

    Returns:
        (h, w) values in (-1, 1), of standard deviation about 0.4.
    """
    (rows, low), (columns, left) = (_interpolation(n, size, rng.random()) for n, size in zip(shape, cell, strict=True))
    lattice = 2 * rng.random((low[-1] + 2, left[-1] + 2)) - 1
    coarse = lattice[low] + (lattice[low + 1] - lattice[low]) * rows[:, None]
    return coarse[:, left] + (coarse[:, left + 1] - coarse[:, left]) * columns


def _interpolation(length: int, cell: float, offset: float) -> tuple[ndarray, ndarray]:
    """For every pixel: the weight of the upper lattice neighbour, and the index of the lower one."""
    position = np.arange(length) / cell + offset
    lower = np.floor(position).astype(int)
    fraction = position - lower
    return fraction * fraction * (3 - 2 * fraction), lower
