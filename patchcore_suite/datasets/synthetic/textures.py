"""Textured materials, seen at a fixed scale: each function draws one nominal piece, or one with a built-in defect.

Every material has structures that are nominal but rare (a slub, a knot, a decorated tile). A memory bank that loses
them takes them for defects; they make the choice of a coreset matter as it does on real parts.
"""

import math

import numpy as np
from numpy import ndarray
from numpy.random import Generator

from patchcore_suite.datasets.synthetic.chance import Point, choose, smooth_noise, speckle, uniform
from patchcore_suite.datasets.synthetic.shapes import Box, Disc, Stroke, coverage
from patchcore_suite.datasets.synthetic.surface import Surface

SHAPE = (256, 256)
THREAD = 8.0  # pixels from one thread of the weave to the next
TILE = 52.0  # pixels from one tile of the mosaic to the next


def anywhere(rng: Generator) -> Point:
    """A place well inside the central 224 pixels, which are all that the usual centre crop keeps."""
    return uniform(rng, 56, 200), uniform(rng, 56, 200)


def weave(rng: Generator, *, gap: Point | None = None, float_at: Point | None = None) -> Surface:
    """Plain-woven cloth.

    Args:
        rng: draws the piece.
        gap: where a weft thread is torn out.
        float_at: where the warp runs over the weft instead of in and out of it.
    """
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    across = (y + 2.5 * smooth_noise(rng, SHAPE, (80, 80)) + uniform(rng, 8, 16)) / THREAD
    along = (x + 2.5 * smooth_noise(rng, SHAPE, (80, 80)) + uniform(rng, 8, 16)) / THREAD
    weft, warp = np.floor(across).astype(int), np.floor(along).astype(int)
    across, along = across - weft - 0.5, along - warp - 0.5
    tones = 0.08 * speckle(rng, (2, 64))
    slub = sum((_slub(rng, x, weft) for _ in range(choose(rng, (0, 0, 1, 2)))), np.zeros(SHAPE))
    marker = choose(rng, (0, 0, 0, 1)) * (warp == choose(rng, range(6, 28)))

    over = (weft + warp) % 2 == 0  # the weft lies on top
    torn = np.zeros(SHAPE, bool)
    if gap is not None:
        torn = (weft == weft[_pixel(gap)]) & (np.abs(x - gap[1]) < 3.5 * THREAD)
    if float_at is not None:
        over &= ~((np.abs(weft - weft[_pixel(float_at)]) <= 3) & (np.abs(warp - warp[_pixel(float_at)]) <= 1))
    weft_height = (1 + slub) * np.cos(math.pi * across) * (0.7 + 0.5 * np.cos(math.pi * along))
    warp_height = np.cos(math.pi * along) * (0.7 + 0.5 * np.cos(math.pi * across))
    height = np.where(over, np.where(torn, 0, weft_height), warp_height)
    tone = np.where(over, 0.12 + tones[0, weft] + 0.15 * slub - 0.35 * torn, tones[1, warp])
    tone += 0.75 + 0.25 * height
    tone += 0.06 * smooth_noise(rng, SHAPE, (2.5, 2.5)) + 0.06 * smooth_noise(rng, SHAPE, (60, 60))
    red = np.where(over, 0, marker)[..., None]
    cloth = (1 - red) * (0.52, 0.55, 0.60) + red * (0.62, 0.24, 0.22)
    return Surface(cloth * tone[..., None], 1.2 * height)


def _slub(rng: Generator, x: ndarray, weft: ndarray) -> ndarray:
    """A thick place in one weft thread, tapering at both ends."""
    thread, middle, length = choose(rng, range(6, 26)), uniform(rng, 40, 216), uniform(rng, 12, 30)
    return (weft == thread) * np.clip(1 - ((x - middle) / length) ** 2, 0, 1)


def wood(rng: Generator) -> Surface:
    """A planed board, its grain upright; every other board has a knot or two, one in five a resin pocket."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    grain = x + 14 * smooth_noise(rng, SHAPE, (150, 90)) + uniform(rng, 0, 40)
    knots = [_knot(rng) for _ in range(choose(rng, (0, 0, 0, 1, 1, 2)))]
    heart, ring = np.zeros(SHAPE), np.zeros(SHAPE)
    for centre, radius in knots:
        dy, dx = (y - centre[0]) / 1.5, x - centre[1]
        reach = np.hypot(dy, dx) / radius
        grain = grain - 2.2 * dx * np.exp(-((dy / (2.4 * radius)) ** 2) - (dx / (3.0 * radius)) ** 2)
        heart = np.maximum(heart, coverage(reach - 1, 0.5))
        ring = ring + coverage(reach - 1, 0.5) * np.cos(2.5 * math.tau * reach)

    rings = 1 + smooth_noise(rng, (1, 1024), (1, 13))[0] + 0.6 * smooth_noise(rng, (1, 1024), (1, 4))[0]
    late = np.interp(grain + 100, np.arange(1024), rings)  # dark late wood against pale early wood
    fibres = smooth_noise(rng, SHAPE, (45, 1.3)) + 0.7 * smooth_noise(rng, SHAPE, (16, 1.2))
    pores = np.clip(smooth_noise(rng, SHAPE, (14, 1.4)) * 4 - 2.4, 0, 1)
    dark = np.clip(0.22 * late + 0.07 * fibres + 0.25 * pores, 0, 1)[..., None]
    board = (1 - dark) * (0.80, 0.62, 0.43) + dark * (0.42, 0.25, 0.13)
    heart, ring = heart[..., None], ring[..., None]
    board = (1 - 0.8 * heart) * board + 0.8 * heart * (np.array((0.38, 0.22, 0.12)) * (1 + 0.25 * ring))
    surface = Surface(board, -0.5 * pores + 0.1 * fibres)
    if rng.random() < 0.2:
        surface.paint(_pocket(rng), (0.36, 0.17, 0.07), opacity=0.8, softness=2)
    return surface


def _knot(rng: Generator) -> tuple[Point, float]:
    """Centre and half width of a knot."""
    return (uniform(rng, 40, 216), uniform(rng, 40, 216)), uniform(rng, 4, 10)


def _pocket(rng: Generator) -> Stroke:
    """A resin pocket: a short dark line with the grain."""
    y, x, half = uniform(rng, 50, 206), uniform(rng, 40, 216), uniform(rng, 8, 16)
    return Stroke([(y - half, x - 0.6), (y, x + 0.6), (y + half, x - 0.6)], uniform(rng, 2.5, 3.5))


def tile(rng: Generator, *, loose: Point | None = None) -> Surface:
    """A mosaic of glazed tiles in grout; some pieces have a decorated tile or two.

    Args:
        rng: draws the piece.
        loose: where the nearest tile has slipped and turned.
    """
    surface = Surface.flat(SHAPE, (0.62, 0.60, 0.56))
    surface.albedo += (0.06 * smooth_noise(rng, SHAPE, (2, 2)) + 0.03 * speckle(rng, SHAPE))[..., None]
    shift = uniform(rng, 0, TILE), uniform(rng, 0, TILE)
    glaze = np.array(choose(rng, ((0.30, 0.43, 0.50), (0.33, 0.45, 0.50), (0.28, 0.42, 0.52))))
    centres = [(shift[0] + TILE * i, shift[1] + TILE * j) for i in range(-1, 6) for j in range(-1, 6)]
    decorated = {choose(rng, range(len(centres))): choose(rng, MOTIFS) for _ in range(choose(rng, (0, 1, 2, 3)))}
    slipped = -1 if loose is None else min(range(len(centres)), key=lambda i: math.dist(centres[i], loose))
    for i, (cy, cx) in enumerate(centres):
        centre, angle = (cy + uniform(rng, -0.7, 0.7), cx + uniform(rng, -0.7, 0.7)), uniform(rng, -0.012, 0.012)
        tone = 1 + uniform(rng, -0.12, 0.12)
        if i == slipped:
            centre, angle = (centre[0] + 3, centre[1] - 4), angle + 0.14
        surface.paint(Box(centre, (22.5, 22.5), angle, corner=3), tuple(glaze * tone), lift=3, softness=2.5)
        if i in decorated:
            decorated[i](surface, centre)
    mottle = 0.10 * smooth_noise(rng, SHAPE, (7, 7)) + 0.06 * smooth_noise(rng, SHAPE, (2.5, 2.5))
    surface.albedo *= (1 + mottle)[..., None]
    surface.gloss = 0.10
    return surface


CREAM = (0.82, 0.77, 0.62)


def _ring(surface: Surface, centre: Point) -> None:
    surface.paint(Disc(centre, 14, hole=10), CREAM)
    surface.paint(Disc(centre, 4), CREAM)


def _diamond(surface: Surface, centre: Point) -> None:
    surface.paint(Box(centre, (11, 11), math.pi / 4), CREAM)
    surface.paint(Box(centre, (6, 6), math.pi / 4), (0.62, 0.30, 0.22))


def _cross(surface: Surface, centre: Point) -> None:
    surface.paint(Box(centre, (14, 3.5)), CREAM)
    surface.paint(Box(centre, (3.5, 14)), CREAM)


MOTIFS = (_ring, _diamond, _cross)


def _pixel(point: Point) -> tuple[int, int]:
    return int(point[0]), int(point[1])
