"""People on foot, and what should not be among them: figures seen from the side, drawn in units of their own height."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from patchcore_suite.datasets.synthetic.chance import Point
from patchcore_suite.datasets.synthetic.shapes import Box, Disc, Stroke
from patchcore_suite.datasets.synthetic.surface import Colour, Surface

SKIN, TROUSERS, JACKET, BLACK = (0.66, 0.50, 0.42), (0.14, 0.15, 0.20), (0.22, 0.24, 0.30), (0.05, 0.05, 0.06)


@dataclass(frozen=True)
class Pencil:
    """Draws one figure; its points are (up from the ground, ahead), in heights of a grown-up.

    Attributes:
        surface: what it draws on.
        ground: the point below the figure, in pixels.
        size: height of a grown-up, in pixels.
        ahead: 1 when the figure faces right, -1 when it faces left.
    """

    surface: Surface
    ground: Point
    size: float
    ahead: int

    def line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        self.surface.paint(Stroke([self._at(point) for point in points], width * self.size), colour)

    def disc(self, centre: Point, radius: float, colour: Colour, *, hole: float = 0.0) -> None:
        self.surface.paint(Disc(self._at(centre), radius * self.size, hole * self.size), colour)

    def box(self, centre: Point, half: tuple[float, float], colour: Colour) -> None:
        half_y, half_x = half
        self.surface.paint(Box(self._at(centre), (half_y * self.size, half_x * self.size), corner=1), colour)

    def shadow(self, half: float) -> None:
        line = [self._at((0, -half)), self._at((0, half))]
        self.surface.paint(Stroke(line, 0.1 * self.size), BLACK, opacity=0.3, softness=2.5)

    def _at(self, point: Point) -> Point:
        up, ahead = point
        return self.ground[0] - up * self.size, self.ground[1] + ahead * self.ahead * self.size


Figure = Callable[[Pencil, Colour, float], None]  # (pencil, colour, phase of the gait in radians)


def walker(pencil: Pencil, colour: Colour, phase: float) -> None:
    """Somebody on foot."""
    pencil.shadow(0.3)
    stride = math.sin(phase)
    hip, neck = (0.48, 0), (0.80, 0.04)
    for swing in (stride, -stride):
        pencil.line((hip, (0.25, 0.10 * swing + 0.03), (0.02 + 0.02 * swing, 0.19 * swing)), 0.10, TROUSERS)
    pencil.line((hip, neck), 0.22, colour)
    pencil.line((neck, (0.46, 0.14 * stride)), 0.08, tuple(0.8 * channel for channel in colour))
    pencil.disc((0.91, 0.05), 0.085, SKIN)


def umbrella_walker(pencil: Pencil, colour: Colour, phase: float) -> None:
    """Somebody on foot below an umbrella: rare, but nominal."""
    walker(pencil, colour, phase)
    pencil.line(((0.63, 0), (1.18, 0)), 0.04, BLACK)
    for up, half in ((1.18, 0.16), (1.12, 0.28), (1.06, 0.36)):
        pencil.line(((up, -half), (up, half)), 0.10, (0.55, 0.20, 0.22))


def cyclist(pencil: Pencil, colour: Colour, phase: float) -> None:
    """Somebody on a bicycle."""
    pencil.shadow(0.6)
    rear, front, saddle, handle, crank = (0.25, -0.40), (0.25, 0.40), (0.58, -0.15), (0.62, 0.28), (0.25, -0.02)
    for wheel in (rear, front):
        pencil.disc(wheel, 0.25, BLACK, hole=0.20)
    pencil.line((rear, saddle, handle, front), 0.06, colour)
    pencil.line((saddle, crank, handle), 0.06, colour)
    for turn in (phase, phase + math.pi):
        pencil.line((saddle, (0.42, 0.08), (0.25 - 0.10 * math.sin(turn), 0.10 * math.cos(turn))), 0.09, TROUSERS)
    pencil.line((saddle, (0.95, 0.12)), 0.20, JACKET)
    pencil.line(((0.95, 0.12), handle), 0.07, JACKET)
    pencil.disc((1.06, 0.17), 0.085, SKIN)


def skater(pencil: Pencil, colour: Colour, phase: float) -> None:
    """Somebody on a skateboard, leaning into the ride."""
    lean = 0.02 * math.sin(phase)
    pencil.shadow(0.35)
    for wheel in (-0.26, 0.26):
        pencil.disc((0.06, wheel), 0.06, (0.75, 0.70, 0.55))
    pencil.line(((0.13, -0.40), (0.13, 0.40)), 0.08, (0.55, 0.32, 0.15))
    hip, neck = (0.55, -0.04 + lean), (0.87, 0.08 + lean)
    for foot in (-0.22, 0.22):
        pencil.line((hip, (0.35, 0.6 * foot + 0.08), (0.13, foot)), 0.10, TROUSERS)
    pencil.line((hip, neck), 0.22, colour)
    for hand in (-0.34, 0.40):
        pencil.line((neck, (0.71, hand)), 0.08, colour)
    pencil.disc((0.98, 0.10 + lean), 0.085, SKIN)


def cart(pencil: Pencil, colour: Colour, phase: float) -> None:
    """A small open car; `phase` turns the marks on its hubs."""
    pencil.shadow(0.85)
    pencil.line(((0.45, 0), (0.85, 0)), 0.22, JACKET)
    pencil.disc((0.95, 0), 0.09, SKIN)
    pencil.box((0.36, 0), (0.20, 0.75), colour)
    for post in (-0.55, 0.50):
        pencil.line(((0.50, post), (1.18, post)), 0.04, BLACK)
    pencil.box((1.20, 0), (0.06, 0.68), colour)
    pencil.disc((0.40, 0.70), 0.06, (0.95, 0.92, 0.75))
    for wheel in (-0.48, 0.48):
        pencil.disc((0.16, wheel), 0.18, BLACK)
        pencil.disc((0.16, wheel), 0.08, (0.55, 0.55, 0.55))
        pencil.disc((0.16 + 0.06 * math.sin(phase), wheel + 0.06 * math.cos(phase)), 0.02, BLACK)
