"""Defects that lie on a surface: each paints itself near a given place."""

import math
from dataclasses import replace

from numpy.random import Generator

from patchcore_suite.datasets.synthetic.chance import Point, nearby, sign, uniform
from patchcore_suite.datasets.synthetic.shapes import Disc, Stroke, blob, wander
from patchcore_suite.datasets.synthetic.surface import Colour, Surface


def scratch(
    surface: Surface, rng: Generator, at: Point, *, colour: Colour, length: float = 40, width: float = 1.6
) -> None:
    """A fine groove, almost straight, that shows the material below."""
    line = wander(rng, at, length * uniform(rng, 0.7, 1.3), angle=uniform(rng, 0, math.pi), bend=0.12)
    surface.paint(Stroke(line, width), colour, opacity=0.6, lift=-0.6)


def crack(surface: Surface, rng: Generator, at: Point, *, colour: Colour) -> None:
    """A jagged dark line with one branch."""
    length, angle = uniform(rng, 30, 58), uniform(rng, 0, math.pi)
    line = wander(rng, at, length, angle=angle, bend=0.8)
    branch = wander(rng, line[3], 16, angle=angle + sign(rng) * uniform(rng, 0.6, 1.1), bend=0.5, pieces=4)
    for points in (line, branch):
        surface.paint(Stroke(points, 1.6), colour, opacity=0.85, lift=-0.8)


def stain(
    surface: Surface, rng: Generator, at: Point, *, colour: Colour, radius: float = 12, opacity: float = 0.45
) -> None:
    """A spill: an irregular spot, darker in the middle, and a few drops beside it."""
    spot = blob(rng, at, radius * uniform(rng, 0.75, 1.25))
    surface.paint(spot, colour, opacity=opacity, softness=2)
    core = replace(spot, radius=spot.radius * 0.8)
    surface.paint(core, colour, opacity=opacity * 0.35, softness=6)
    for _ in range(3):
        drop = nearby(rng, at, 2.0 * radius)
        surface.paint(Disc(drop, uniform(rng, 0.2, 0.3) * radius), colour, opacity=opacity)


def hole(surface: Surface, rng: Generator, at: Point, *, colour: Colour) -> None:
    """A small hole with a raised rim."""
    size = uniform(rng, 2.4, 3.9)
    surface.paint(Disc(at, 1.5 * size), colour, opacity=0.12, lift=0.5, softness=2)
    surface.paint(blob(rng, at, size, roughness=0.15), colour, opacity=0.9, lift=-2)


def dent(surface: Surface, rng: Generator, at: Point) -> None:
    """A soft hollow: only the light gives it away."""
    size = uniform(rng, 6.4, 9.6)
    surface.paint(blob(rng, at, size, roughness=0.2), (0.0, 0.0, 0.0), opacity=0.04, lift=-1.8, softness=size)


def cut(surface: Surface, rng: Generator, at: Point, *, colour: Colour) -> None:
    """A slit whose lips stand up a little."""
    line = wander(rng, at, uniform(rng, 18, 34), angle=uniform(rng, 0, math.pi), bend=0.15)
    surface.paint(Stroke(line, 6), colour, opacity=0.0, lift=0.8, softness=2)
    surface.paint(Stroke(line, 3), colour, opacity=0.85, lift=-1.6)


def chip(surface: Surface, rng: Generator, at: Point, *, colour: Colour) -> None:
    """A splinter broken out, leaving a rough, lighter bed."""
    surface.paint(blob(rng, at, uniform(rng, 5.6, 9.1), roughness=0.5), colour, opacity=0.75, lift=-2)


def rust(surface: Surface, rng: Generator, at: Point) -> None:
    """A cluster of brown spots that have eaten into metal."""
    for _ in range(9):
        spot = nearby(rng, at, 13)
        shade = uniform(rng, 0.7, 1.1)
        colour = (0.45 * shade, 0.24 * shade, 0.12 * shade)
        surface.paint(blob(rng, spot, uniform(rng, 2.6, 6.5)), colour, opacity=0.8, lift=-0.6, softness=1.6)
