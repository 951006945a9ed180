"""Manufactured parts, in changing pose and light: each function draws a nominal one, or one with a built-in defect.

As in `textures`, every part has details that are nominal but rare: an inspector's punch mark, a bubble, a sticker.
"""

import math
from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.random import Generator

from patchcore_suite.datasets.synthetic.chance import Point, choose, smooth_noise, speckle, uniform
from patchcore_suite.datasets.synthetic.shapes import Box, Disc, Stroke, coverage, pose, turned
from patchcore_suite.datasets.synthetic.surface import Surface

Pose = Callable[[float, float], Point]  # (across, along) on the part -> a place in the image

SHAPE = (256, 256)
TEETH = 18

WHITE, BLACK = (0.88, 0.88, 0.85), (0.07, 0.07, 0.08)
GOLD, TIN, COPPER_GREEN = (0.80, 0.64, 0.30), (0.66, 0.68, 0.70), (0.13, 0.42, 0.27)


def on_gear(rng: Generator) -> Point:
    """A place on the web of the gear, between hub and teeth."""
    return _polar((128, 128), uniform(rng, 34, 68), uniform(rng, 0, math.tau))


def gear(rng: Generator, *, broken: int | None = None) -> Surface:
    """A turned steel gear, at any angle; tooth number `broken` has snapped off."""
    centre, turn = (128 + uniform(rng, -4, 4), 128 + uniform(rng, -4, 4)), uniform(rng, 0, math.tau)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    dy, dx = y - centre[0], x - centre[1]
    r, angle = np.hypot(dy, dx), np.arctan2(dy, dx)

    place = (angle - turn) / math.tau * TEETH  # one unit a tooth
    number = np.floor(place + 0.5)
    tip = np.where(number % TEETH == broken, 83, 96) if broken is not None else 96
    flank = (np.abs(place - number) - 0.28 + 0.005 * (r - 80)) * math.tau * r / TEETH
    body = np.maximum(np.minimum(r - 80, np.maximum(r - tip, flank)), 15 - r)
    for k in range(5):
        body = np.maximum(body, -Disc(_polar(centre, 50, turn + k * math.tau / 5), 10).distance(y, x))
    keyway = Box(_polar(centre, 15, turn), (4, 5), turn)
    body = np.maximum(body, -keyway.distance(y, x))

    steel = coverage(body, 1.4)
    lathe = smooth_noise(rng, (1, 512), (1, 3))[0] + smooth_noise(rng, (1, 512), (1, 12))[0]
    sheen = np.abs(np.cos(angle - uniform(rng, 0, math.pi))) ** 6  # turned metal shines in two opposite sectors
    tone = 0.44 + 0.035 * np.interp(4 * r, np.arange(512), lathe) + 0.14 * sheen
    shadow = 1 - 0.6 * coverage(np.hypot(dy - 6, dx - 5) - 88, 16)
    floor = (0.15 + 0.02 * smooth_noise(rng, SHAPE, (60, 60)) + 0.02 * speckle(rng, SHAPE)) * shadow
    grey = steel * tone + (1 - steel) * floor
    relief = 3 * coverage(body, 5) + 2.5 * coverage(r - 27, 3)
    surface = Surface(np.repeat(grey[..., None], 3, axis=2), relief, gloss=0.08 * steel, solid=steel)

    for mark, share in ((_punch, 0.3), (_code, 0.4), (_paint_dot, 0.3)):
        if rng.random() < share:
            mark(surface, rng, centre, turn + math.tau * (choose(rng, range(5)) + 0.5) / 5)
    return surface


def _punch(surface: Surface, rng: Generator, centre: Point, angle: float) -> None:
    for offset in (-0.09, 0.0, 0.09):
        surface.paint(Disc(_polar(centre, 62, angle + offset), 2.2), BLACK, opacity=0.4, lift=-0.8)


def _code(surface: Surface, rng: Generator, centre: Point, angle: float) -> None:
    for k in range(7):
        inner, outer = 52, choose(rng, (58, 61, 64))
        turn = angle + 0.045 * (k - 3)
        surface.paint(Stroke([_polar(centre, inner, turn), _polar(centre, outer, turn)], 1.4), BLACK, opacity=0.4)


def _paint_dot(surface: Surface, rng: Generator, centre: Point, angle: float) -> None:
    surface.paint(Disc(_polar(centre, 38, angle), uniform(rng, 4, 6)), WHITE, opacity=0.5)


def on_capsule(rng: Generator) -> Point:
    """A place on the body of the capsule, whatever its pose."""
    return 128 + uniform(rng, -14, 14), 128 + uniform(rng, -50, 50)


# The imprint "P10" as strokes of (across, along), on the light half of the capsule.
IMPRINT = (
    ((8, 20), (-8, 20), (-8, 28), (-1, 29), (-1, 20)),
    ((-4, 36), (-8, 39), (8, 39)),
    ((-8, 48), (-8, 56), (8, 56), (8, 48), (-8, 48)),
)


def capsule(rng: Generator, *, squeezed: float | None = None, imprint: int = len(IMPRINT)) -> Surface:
    """A two-coloured capsule on a belt, in either direction.

    Args:
        rng: draws the part.
        squeezed: where along the capsule its wall is pressed in.
        imprint: how many characters of the imprint are there.
    """
    centre = 128 + uniform(rng, -6, 6), 128 + uniform(rng, -6, 6)
    angle = uniform(rng, -0.22, 0.22) + choose(rng, (0, 0, 0, 0, math.pi))
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    across, along = turned(y - centre[0], x - centre[1], angle)
    cap = coverage(along - 4, 3)[..., None]  # the dark half goes over the light one
    radius = 31.5 + 1.5 * cap[..., 0]
    if squeezed is not None:
        pressed = np.maximum(1 - ((along - squeezed) / 20) ** 2, 0) ** 2 * np.clip(-across / 20, 0, 1)
        radius = radius - 10 * pressed
    q = np.hypot(across, np.maximum(np.abs(along) - 50, 0))
    inside = coverage(q - radius, 1.4)[..., None]
    shadow = 1 - 0.35 * coverage(np.hypot(across - 7, np.maximum(np.abs(along - 4) - 48, 0)) - 31, 16)
    belt = (0.66 + 0.02 * smooth_noise(rng, SHAPE, (4, 4)) + 0.02 * smooth_noise(rng, SHAPE, (40, 40))) * shadow
    skin = cap * (0.62, 0.16, 0.14) + (1 - cap) * (0.86, 0.80, 0.68)
    skin *= (1 + 0.02 * smooth_noise(rng, SHAPE, (12, 12)))[..., None]
    surface = Surface(inside * skin + (1 - inside) * belt[..., None] * (0.96, 1.0, 1.03), np.zeros(SHAPE))
    surface.height += 0.55 * np.sqrt(np.maximum(radius**2 - q**2, 0))
    surface.gloss, surface.solid = 0.30 * inside[..., 0], inside[..., 0]

    at = pose(centre, angle)
    for character in IMPRINT[:imprint]:
        surface.paint(Stroke([at(*point) for point in character], 2.4), (0.25, 0.22, 0.25), opacity=0.85)
    if rng.random() < 0.3:  # an air bubble below the cap's skin
        bubble = at(uniform(rng, -16, 16), uniform(rng, -60, -10))
        surface.paint(Disc(bubble, uniform(rng, 3, 5), hole=2), WHITE, opacity=0.35, lift=0.4)
    if rng.random() < 0.3:  # the shift's ink dots
        for k in range(choose(rng, (1, 2, 3))):
            surface.paint(Disc(at(17, 24 + 9 * k), 2.4), (0.10, 0.25, 0.50), opacity=0.85)
    return surface


def on_board(rng: Generator) -> Point:
    """A place on the board, away from its edge."""
    return uniform(rng, 64, 192), uniform(rng, 64, 192)


PINS = 8  # of the connector at the lower edge
LEGS = 7  # of the chip, on either side
COMPONENTS = (  # centre and half size, in pixels from the middle of the board, and colour
    ((-62, -30), (6, 10), BLACK),
    ((-62, 4), (6, 10), BLACK),
    ((-62, 38), (6, 10), (0.55, 0.42, 0.26)),
    ((-16, 70), (10, 6), (0.55, 0.42, 0.26)),
    ((22, 70), (10, 6), BLACK),
    ((22, -74), (10, 6), (0.55, 0.42, 0.26)),
)
TRACKS = (
    *(((-21 + 7 * k, -34), (-21 + 7 * k, -44 - 3 * k), (45, -80 + 5 * k), (74, -80 + 5 * k)) for k in (3, 4, 5, 6)),
    *(((-21 + 7 * k, 34), (-21 + 7 * k, 44 + 4 * k), (50, 62 + 4 * k), (70, 62 + 4 * k)) for k in (1, 3, 5)),
    ((-62, -42), (-62, -60), (-30, -92), (40, -92)),
    ((-62, -18), (-62, -8)),
    ((-62, 16), (-62, 26)),
    ((-62, 50), (-62, 60), (-40, 82), (-14, 82)),
    ((-21, -34), (-40, -34), (-50, -24), (-62, -24)),
    ((-14, 34), (-40, 34), (-50, 44), (-62, 44)),
    ((-110, 20), (-84, 20), (-76, 28), (-62, 28)),
    ((-110, 60), (-90, 60), (-80, 70), (-30, 70)),
)
VIAS = ((40, -92), (-14, 90), (50, 92), (-84, 20), (-90, 60), (60, -40), (48, 0), (48, -20), (-40, 14))
STICKERS = ((-92, -20), (-92, 95), (50, 40))  # where an inspector's sticker goes
JUMPERS = (((-84, 20), (-36, 70)), ((48, 0), (50, 92)), ((-90, 60), (-14, 90)))


def board(rng: Generator, *, missing: int | None = None, moved: int | None = None, bent: int | None = None) -> Surface:
    """A circuit board with a chip, six small components, a row of pins and a screw.

    Args:
        rng: draws the part.
        missing: a component that was never placed; its pads stay bare.
        moved: a component that was placed askew.
        bent: a pin of the connector that leans over.
    """
    turn = uniform(rng, -0.03, 0.03)
    at = pose((128 + uniform(rng, -4, 4), 128 + uniform(rng, -4, 4)), turn)
    surface = Surface.flat(SHAPE, (0.08, 0.30, 0.19))
    lacquer = 1 + 0.05 * smooth_noise(rng, SHAPE, (3, 3)) + 0.06 * smooth_noise(rng, SHAPE, (50, 50))
    surface.albedo *= lacquer[..., None]
    surface.gloss = 0.06
    for track in TRACKS:
        surface.paint(Stroke([at(*point) for point in track], 2.2), COPPER_GREEN, lift=0.5)
    for via in VIAS:
        surface.paint(Disc(at(*via), 3.4), GOLD, lift=0.4)
        surface.paint(Disc(at(*via), 1.5), BLACK, lift=-0.4)
    for number in range(len(COMPONENTS)):
        _component(surface, at, turn, number, placed=number != missing, askew=0.3 * (number == moved))
    _chip(surface, at, turn)
    surface.paint(Disc(at(-26, -76), 15), BLACK, lift=4, softness=2)  # an electrolytic capacitor
    surface.paint(Disc(at(-26, -76), 12), TIN, lift=2, softness=3)
    surface.paint(Box(at(86, 0), (12, 66), turn, corner=2), WHITE, lift=3, softness=2)
    for pin in range(PINS):
        surface.paint(Box(at(86, 15 * pin - 52.5), (8, 2.6), turn + 0.3 * (pin == bent), corner=1), GOLD, lift=2)
    _screw(surface, rng, at(-86, -86))
    if rng.random() < 0.25:
        _sticker(surface, rng, at)
    if rng.random() < 0.2:
        _jumper(surface, rng, at)
    return surface


def _component(surface: Surface, at: Pose, turn: float, number: int, *, placed: bool, askew: float) -> None:
    (y, x), (half_y, half_x), colour = COMPONENTS[number]
    upright = half_y > half_x
    ends = ((y - half_y, x), (y + half_y, x)) if upright else ((y, x - half_x), (y, x + half_x))
    for end in ends:
        surface.paint(Box(at(*end), (5, 7) if upright else (7, 5), turn), GOLD, lift=0.6)
    if placed:
        middle, angle = at(y + 10 * askew, x - 10 * askew), turn + askew
        surface.paint(Box(middle, (half_y, half_x), angle, corner=1), TIN, lift=2)
        body = (half_y - 3.5, half_x) if upright else (half_y, half_x - 3.5)
        surface.paint(Box(middle, body, angle), colour, lift=0.5)


def _chip(surface: Surface, at: Pose, turn: float) -> None:
    for leg, side in product(range(LEGS), (-1, 1)):
        surface.paint(Box(at(7 * leg - 21, 31 * side), (1.8, 5), turn), TIN, lift=1)
    surface.paint(Box(at(0, 0), (27, 27), turn, corner=2), BLACK, lift=4, softness=2)
    surface.paint(Disc(at(-19, -19), 2.6), (0.25, 0.25, 0.26), lift=-0.5)
    for y, half in ((-2, 15), (6, 11)):
        surface.paint(Stroke([at(y, -half), at(y, half)], 2.2), (0.42, 0.42, 0.42), opacity=0.8)


def _screw(surface: Surface, rng: Generator, centre: Point) -> None:
    surface.paint(Disc(centre, 15), GOLD, lift=0.4)
    surface.paint(Disc(centre, 11), TIN, lift=3, softness=2)
    angle = uniform(rng, 0, math.pi)
    for quarter in (0, math.pi / 2):
        surface.paint(Box(centre, (1.3, 7), angle + quarter), (0.20, 0.20, 0.20), lift=-1.5)


def _sticker(surface: Surface, rng: Generator, at: Pose) -> None:
    y, x = choose(rng, STICKERS)
    surface.paint(Disc(at(y, x), uniform(rng, 8, 10)), choose(rng, (WHITE, (0.85, 0.50, 0.12))), lift=0.4)
    surface.paint(Stroke([at(y - 4, x), at(y + 4, x)], 2), BLACK, opacity=0.8)


def _jumper(surface: Surface, rng: Generator, at: Pose) -> None:
    (y0, x0), (y1, x1) = choose(rng, JUMPERS)
    bow = (y0 + y1) / 2 + uniform(rng, -12, 12), (x0 + x1) / 2 + uniform(rng, -12, 12)
    surface.paint(Stroke([at(y0, x0), at(*bow), at(y1, x1)], 3), (0.15, 0.30, 0.65), lift=2)


def _polar(centre: Point, radius: float, angle: float) -> Point:
    return centre[0] + radius * math.sin(angle), centre[1] + radius * math.cos(angle)
