"""The stand-in for Magnetic Tile Defects (MTD): ground faces of every size, grey, as JPEG with masks as PNG."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy import ndarray
from numpy.random import Generator

from patchcore_suite.datasets.synthetic.chance import Point, choose, generator, nearby, sign, smooth_noise, uniform
from patchcore_suite.datasets.synthetic.shapes import Box, Stroke, blob, wander
from patchcore_suite.datasets.synthetic.surface import Surface, changed, light, photograph
from patchcore_suite.datasets.synthetic.writers import write_jpeg, write_png

FREE, DEFECTIVE = 90, 9  # images without a defect, and of each kind of defect
EXPOSURES = 6  # the public set photographed a tile up to six times, hence its file names

DARK, PALE = (0.05, 0.05, 0.05), (0.80, 0.80, 0.80)


def face(rng: Generator) -> Surface:
    """A nominal face: streaks from the grinding wheel and clouds, in a light that falls off to the sides."""
    shape = int(uniform(rng, 150, 380)), int(uniform(rng, 110, 300))
    height, width = shape
    x = (np.arange(width) + 0.5) / width
    streaks = smooth_noise(rng, shape, (2 * height, 1.3)) + smooth_noise(rng, shape, (height, 5))
    glints = np.maximum(smooth_noise(rng, shape, (height / 2, 1.3)) - 0.55, 0)
    clouds = smooth_noise(rng, shape, (60, 60)) + 0.6 * smooth_noise(rng, shape, (22, 22))
    grain = smooth_noise(rng, shape, (1.5, 1.5))
    lit = 0.55 + 0.65 * np.exp(-(((x - uniform(rng, 0.2, 0.8)) / uniform(rng, 0.35, 0.8)) ** 2))
    tone = uniform(rng, 0.22, 0.42) * lit * (1 + 0.12 * streaks + 2.0 * glints + 0.10 * clouds + 0.10 * grain)
    surface = Surface(np.repeat(tone[..., None], 3, axis=2), np.zeros(shape))
    for feature in (_chamfer, _foot, _smear, _nick):
        if rng.random() < 0.3:
            feature(surface, rng)
    return surface


def _chamfer(surface: Surface, rng: Generator) -> None:
    """One side is bevelled: a bright line, and shadow beyond it."""
    height, width = surface.height.shape
    inset = uniform(rng, 4, 14)
    x, outside = choose(rng, ((inset, 0.0), (width - inset, float(width))))
    surface.paint(Box((height / 2, outside), (height, inset)), DARK, opacity=0.55)
    surface.paint(Stroke([(0, x), (height, x)], 2.5), PALE, opacity=0.5)


def _foot(surface: Surface, rng: Generator) -> None:
    """The lower or upper end face shows as a dark band."""
    height, width = surface.height.shape
    end = choose(rng, (0.0, float(height)))
    surface.paint(Box((end, width / 2), (uniform(rng, 3, 9), width), uniform(rng, -0.02, 0.02)), DARK, opacity=0.8)


def _smear(surface: Surface, rng: Generator) -> None:
    """Faint marks of handling."""
    height, width = surface.height.shape
    middle = uniform(rng, 0.2, 0.8) * height, uniform(rng, 0.2, 0.8) * width
    for _ in range(choose(rng, (2, 3, 5))):
        line = wander(rng, nearby(rng, middle, 25), uniform(rng, 15, 50), angle=uniform(rng, 0, math.pi), bend=0.5)
        surface.paint(Stroke(line, uniform(rng, 1.5, 4)), DARK, opacity=0.25, softness=2)


def _nick(surface: Surface, rng: Generator) -> None:
    """A bright nick in one corner."""
    height, width = surface.height.shape
    corner = choose(rng, (0.0, float(height))), choose(rng, (0.0, float(width)))
    surface.paint(blob(rng, corner, uniform(rng, 6, 13)), PALE, opacity=0.35, lift=-1)


def _blowhole(surface: Surface, rng: Generator, at: Point) -> None:
    """One or two gas pores."""
    for _ in range(choose(rng, (1, 2))):
        surface.paint(blob(rng, at, uniform(rng, 2.2, 4)), DARK, opacity=0.6, lift=-0.8)
        at = nearby(rng, at, 22)


def _break(surface: Surface, rng: Generator, at: Point) -> None:
    """A piece has come off the side: a rough, dull bed with a dark rim."""
    side = (at[0], choose(rng, (0.0, float(surface.height.shape[1]))))
    bed = blob(rng, side, uniform(rng, 13, 24), roughness=0.5)
    surface.paint(bed, DARK, opacity=0.4, lift=-1)
    for _ in range(6):
        surface.paint(blob(rng, nearby(rng, side, 0.6 * bed.radius), 4), PALE, opacity=0.2, lift=-0.5)


def _crack(surface: Surface, rng: Generator, at: Point) -> None:
    """A thin dark line, more or less along the streaks."""
    length = uniform(rng, 0.15, 0.45) * surface.height.shape[0]
    line = wander(rng, at, length, angle=math.pi / 2 + uniform(rng, -0.3, 0.3), bend=0.35, pieces=12)
    surface.paint(Stroke(line, uniform(rng, 1.2, 1.8)), DARK, opacity=0.6, lift=-0.3)


def _fray(surface: Surface, rng: Generator, at: Point) -> None:
    """A worn patch without streaks."""
    spot = blob(rng, at, uniform(rng, 0.14, 0.22) * surface.height.shape[1])
    surface.paint(spot, (0.16, 0.16, 0.16), opacity=0.4)


def _uneven(surface: Surface, rng: Generator, at: Point) -> None:
    """One end was ground twice: brighter, down to a clear border."""
    height, width = surface.height.shape
    end, depth = choose(rng, (0.0, float(height))), uniform(rng, 0.15, 0.35) * height
    surface.paint(Box((end, width / 2), (depth, width), sign(rng) * uniform(rng, 0.02, 0.1)), PALE, opacity=0.15)


DEFECTS: dict[str, Callable[[Surface, Generator, Point], None]] = {
    "Blowhole": _blowhole,
    "Break": _break,
    "Crack": _crack,
    "Fray": _fray,
    "Uneven": _uneven,
}


def picture(kind: str, index: int, *, seed: int) -> tuple[ndarray, ndarray]:
    """One image of the stand-in, "Free" or of a kind of defect, and its mask: both (h, w), uint8 and bool."""
    image = _draw(kind, index, seed, defect=kind)
    nominal = image if kind == "Free" else _draw(kind, index, seed, defect="Free")
    return image, changed(nominal, image)


def jobs(seed: int) -> Iterator[Callable[[Path], None]]:
    """What writes the stand-in below a root, one image and its mask each."""
    for number, kind in enumerate(("Free", *DEFECTS)):
        for index in range(FREE if kind == "Free" else DEFECTIVE):
            name = f"exp{index % EXPOSURES + 1}_num_{1000 * (number + 1) + 7 * (index // EXPOSURES)}"
            yield partial(_write, kind, index, name, seed)


def _draw(kind: str, index: int, seed: int, *, defect: str) -> ndarray:
    """The image `index` of `kind`, with a defect or as it would be without."""
    name = (seed, "mtd", kind, index)
    surface = face(generator(*name))
    height, width = surface.height.shape
    if defect in DEFECTS:
        flaw = generator(*name, "flaw")
        DEFECTS[defect](surface, flaw, (uniform(flaw, 0.2, 0.8) * height, uniform(flaw, 0.2, 0.8) * width))
    return photograph(surface, light(generator(*name, "light"), (height, width), uneven=0.15))[..., 1]


def _write(kind: str, index: int, name: str, seed: int, root: Path) -> None:
    image, mask = picture(kind, index, seed=seed)
    folder = root / f"MT_{kind}" / "Imgs"
    write_jpeg(folder / f"{name}.jpg", image)
    write_png(folder / f"{name}.png", np.uint8(255) * mask)
