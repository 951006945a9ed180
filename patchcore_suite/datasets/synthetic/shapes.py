"""Shapes, as signed distances in pixels: negative inside, so that coverage(distance) is an antialiased drawing."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy import ndarray
from numpy.random import Generator

from patchcore_suite.datasets.synthetic.chance import Point, uniform


class Shape(Protocol):
    """Anything that can be painted."""

    def bounds(self) -> tuple[float, float, float, float]:
        """Top, left, bottom and right of a box around the shape."""

    def distance(self, y: ndarray, x: ndarray) -> ndarray:
        """Signed distance of every pixel to the outline."""


@dataclass(frozen=True)
class Disc:
    """A disc; with `hole`, a ring."""

    centre: Point
    radius: float
    hole: float = 0.0

    def bounds(self) -> tuple[float, float, float, float]:
        return _around(self.centre, self.radius)

    def distance(self, y: ndarray, x: ndarray) -> ndarray:
        r = np.hypot(y - self.centre[0], x - self.centre[1])
        return np.maximum(r - self.radius, self.hole - r) if self.hole else r - self.radius


@dataclass(frozen=True)
class Box:
    """A box turned by `angle` (radians), with corners rounded by `corner` pixels."""

    centre: Point
    half: tuple[float, float]
    angle: float = 0.0
    corner: float = 0.0

    def bounds(self) -> tuple[float, float, float, float]:
        return _around(self.centre, math.hypot(*self.half))

    def distance(self, y: ndarray, x: ndarray) -> ndarray:
        across, along = turned(y - self.centre[0], x - self.centre[1], self.angle)
        dy = np.abs(across) - self.half[0] + self.corner
        dx = np.abs(along) - self.half[1] + self.corner
        outside = np.hypot(np.maximum(dy, 0), np.maximum(dx, 0))
        return outside + np.minimum(np.maximum(dy, dx), 0) - self.corner


@dataclass(frozen=True)
class Stroke:
    """A line through `points`, `width` pixels wide, with round ends."""

    points: Sequence[Point]
    width: float

    def bounds(self) -> tuple[float, float, float, float]:
        ys, xs = zip(*self.points, strict=True)
        reach = self.width / 2
        return min(ys) - reach, min(xs) - reach, max(ys) + reach, max(xs) + reach

    def distance(self, y: ndarray, x: ndarray) -> ndarray:
        pieces = zip(self.points, self.points[1:], strict=False)
        nearest = np.inf
        for (y0, x0), (y1, x1) in pieces:
            dy, dx = y1 - y0, x1 - x0
            along = np.clip(((y - y0) * dy + (x - x0) * dx) / max(dy * dy + dx * dx, 1e-9), 0, 1)
            nearest = np.minimum(nearest, np.hypot(y - y0 - along * dy, x - x0 - along * dx))
        return nearest - self.width / 2


@dataclass(frozen=True)
class Blob:
    """An irregular, roundish spot: a circle whose radius swings by `swings` (amplitude, phase) around it."""

    centre: Point
    radius: float
    swings: Sequence[tuple[float, float]]

    def bounds(self) -> tuple[float, float, float, float]:
        return _around(self.centre, self.radius * (1 + sum(amplitude for amplitude, _ in self.swings)))

    def distance(self, y: ndarray, x: ndarray) -> ndarray:
        dy, dx = y - self.centre[0], x - self.centre[1]
        angle = np.arctan2(dy, dx)
        swing = sum(a * np.sin(k * angle + phase) for k, (a, phase) in enumerate(self.swings, start=2))
        return np.hypot(dy, dx) - self.radius * (1 + swing)


def blob(rng: Generator, centre: Point, radius: float, roughness: float = 0.35) -> Blob:
    """A spot of random outline; `roughness` 0 is a circle."""
    swings = [(uniform(rng, 0.2, 1) * roughness / k, uniform(rng, 0, math.tau)) for k in range(2, 7)]
    return Blob(centre, radius, swings)


def wander(
    rng: Generator, start: Point, length: float, *, angle: float, bend: float = 0.25, pieces: int = 8
) -> list[Point]:
    """A line of `pieces` pieces, centred on `start`, that turns by up to `bend` radians after each piece."""
    points = [(0.0, 0.0)]
    for _ in range(pieces):
        y, x = points[-1]
        points.append((y + math.sin(angle) * length / pieces, x + math.cos(angle) * length / pieces))
        angle += uniform(rng, -bend, bend)
    middle_y, middle_x = points[pieces // 2]
    return [(start[0] + y - middle_y, start[1] + x - middle_x) for y, x in points]


def turned(y: ndarray | float, x: ndarray | float, angle: float) -> tuple[ndarray | float, ndarray | float]:
    """Coordinates in axes that are turned by `angle` (clockwise on the screen): across and along."""
    cos, sin = math.cos(angle), math.sin(angle)
    return cos * y - sin * x, sin * y + cos * x


def pose(centre: Point, angle: float) -> Callable[[float, float], Point]:
    """Place a part: the result says where in the image a point (across, along) of the part lies."""

    def at(across: float, along: float) -> Point:
        dy, dx = turned(across, along, -angle)
        return centre[0] + dy, centre[1] + dx

    return at


def coverage(distance: ndarray, softness: float = 1.2) -> ndarray:
    """How much of each pixel lies inside; the outline is `softness` pixels wide."""
    return np.clip(0.5 - distance / softness, 0, 1)


def _around(centre: Point, reach: float) -> tuple[float, float, float, float]:
    return centre[0] - reach, centre[1] - reach, centre[0] + reach, centre[1] + reach
