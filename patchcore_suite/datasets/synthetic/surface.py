"""A surface that is painted, embossed, and then lit: this gives flat drawings the look of a photographed part."""

import math
from dataclasses import dataclass

import numpy as np
from numpy import ndarray
from numpy.random import Generator
from scipy.ndimage import binary_closing, binary_fill_holes

from patchcore_suite.datasets.synthetic.chance import smooth_noise, speckle, uniform
from patchcore_suite.datasets.synthetic.shapes import Shape, coverage

Colour = tuple[float, float, float]


@dataclass
class Surface:
    """What the camera looks at; painting changes it in place.

    Attributes:
        albedo: (h, w, 3) colour in [0, 1].
        height: (h, w) relief in pixels, towards the camera.
        gloss: strength of the highlights, one number or (h, w).
        solid: where there is something that takes paint, from 0 to 1; one number or (h, w).
    """

    albedo: ndarray
    height: ndarray
    gloss: ndarray | float = 0.0
    solid: ndarray | float = 1.0

    @classmethod
    def flat(cls, shape: tuple[int, int], colour: Colour) -> "Surface":
        """An even surface of one colour."""
        return cls(np.tile(np.asarray(colour, float), (*shape, 1)), np.zeros(shape))

    def paint(
        self, shape: Shape, colour: Colour, *, opacity: float = 1.0, lift: float = 0.0, softness: float = 1.2
    ) -> None:
        """Lay `shape` on the surface: its colour, and `lift` pixels of height (below 0: a dent)."""
        rows, columns = _window(shape, softness, self.height.shape)
        y, x = np.mgrid[rows, columns] + 0.5
        solid = np.broadcast_to(self.solid, self.height.shape)[rows, columns]
        inside = solid * coverage(shape.distance(y, x), softness)
        albedo = self.albedo[rows, columns]
        albedo += (opacity * inside)[..., None] * (np.asarray(colour) - albedo)
        self.height[rows, columns] += lift * inside


@dataclass(frozen=True)
class Light:
    """One lighting of the scene.

    Attributes:
        direction: (y, x) towards the light, for a height of 1; flat ground looks the same whatever it is.
        level: (h, w) illumination, 1 on average.
        noise: (h, w, 3) sensor noise, in units of the full scale.
    """

    direction: tuple[float, float]
    level: ndarray
    noise: ndarray


def light(rng: Generator, shape: tuple[int, int], *, uneven: float = 0.08, noise: float = 0.015) -> Light:
    """Draw a lighting: from the upper left, brighter on one side, with a grainy camera."""
    height, width = shape
    y, x = np.mgrid[:height, :width]
    slope_y, slope_x, exposure = uniform(rng, -uneven, uneven), uniform(rng, -uneven, uneven), uniform(rng, 0.94, 1.06)
    level = exposure * (1 + slope_y * (2 * y / height - 1) + slope_x * (2 * x / width - 1))
    level = level * (1 + 0.5 * uneven * smooth_noise(rng, shape, (90, 90)))
    direction = (uniform(rng, -0.75, -0.55), uniform(rng, -0.55, -0.35))
    return Light(direction, level, noise * speckle(rng, (height, width, 3)))


def photograph(surface: Surface, lighting: Light) -> ndarray:
    """The (h, w, 3) uint8 image of a surface: Lambert shading, a Blinn highlight, noise; rounded only here."""
    slope_y, slope_x = np.gradient(surface.height)
    light_y, light_x = lighting.direction
    steepness = np.sqrt(1 + slope_y**2 + slope_x**2)
    diffuse = (1 - slope_y * light_y - slope_x * light_x) / steepness
    # A mirror shines where its normal lies half way between the light (y, x, 1) and the camera (0, 0, 1).
    middle_y, middle_x = light_y / 2, light_x / 2
    mirrored = (1 - slope_y * middle_y - slope_x * middle_x) / (steepness * math.hypot(1, middle_y, middle_x))
    shine = surface.gloss * np.maximum(mirrored, 0) ** 24
    image = surface.albedo * (lighting.level * np.maximum(diffuse, 0.05))[..., None] + shine[..., None] + lighting.noise
    return quantise(image)


def quantise(image: ndarray) -> ndarray:
    """[0, 1] to uint8, rounded to nearest."""
    return np.floor(np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def changed(nominal: ndarray, flawed: ndarray) -> ndarray:
    """The (h, w) mask of a defect: where an image differs from its nominal twin.

    As an annotator would, it bridges gaps of a pixel or two (where the defect has by chance the colour of what it
    hides) and includes what the change encloses (the middle of a displaced tile looks as before).
    """
    differs = np.any(np.atleast_3d(nominal != flawed), axis=2)
    return binary_fill_holes(binary_closing(np.pad(differs, 1), np.ones((3, 3)))[1:-1, 1:-1])


def _window(shape: Shape, softness: float, size: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns that painting `shape` can touch."""
    top, left, bottom, right = shape.bounds()
    margin = softness / 2 + 1
    rows, columns = (
        slice(*np.clip((low - margin, high + margin + 1), 0, length).astype(int))
        for low, high, length in ((top, bottom, size[0]), (left, right, size[1]))
    )
    return rows, columns
