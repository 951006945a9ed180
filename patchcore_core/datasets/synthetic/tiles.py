"""The stand-in for Magnetic Tile Defects (MTD): ground dark faces of every size, grey, as JPEG with PNG masks."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy import ndarray
from numpy.random import Generator

from patchcore_core.datasets.synthetic import marks
from patchcore_core.datasets.synthetic.chance import Point, choose, generator, nearby, smooth_noise, speckle, uniform
from patchcore_core.datasets.synthetic.shapes import Blob, Box, Stroke, blob, coverage, wander
from patchcore_core.datasets.synthetic.surface import Colour, Surface, changed, photograph, light
from patchcore_core.datasets.synthetic.writers import write_jpeg, write_png

FREE, DEFECTIVE = 120, 9  # images without a defect; images of each defect


def tile_face(rng: Generator) -> Surface:
    """A nominal face: grinding streaks from top to bottom, clouds, and now and then an edge or a smear."""
    shape = int(uniform(rng, 150, 380)), int(uniform(rng, 110, 300))
    height, width = shape
    y, x = np.mgrid[:height, :width] + 0.5
    streaks = smooth_noise(rng, shape, (2.0 * height, 1.3)) + smooth_noise(rng, shape, (1.2 * height, 5))
    streaks += 0.8 * np.maximum(smooth_noise(rng, shape, (0.5 * height, 1.3)) - 0.5, 0) * 4
    clouds = smooth_noise(rng, shape, (60, 60)) + 0.6 * smooth_noise(rng, shape, (22, 22))
    lit = np.exp(-(((x / width - uniform(rng, 0.2, 0.8)) / uniform(rng, 0.35, 0.8)) ** 2))
    tone = uniform(rng, 0.22, 0.42) * (0.55 + 0.65 * lit) * (1 + 0.13 * streaks + 0.10 * clouds)
    tone *= 1 + 0.10 * smooth_noise(rng, shape, (1.5, 1.5))
    surface = Surface(np.repeat(tone[..., None], 3, axis=2), np.zeros(shape))
    for feature in (_chamfer, _foot, _smear, _specks):
        if rng.random() < 0.3:
            feature(surface, rng)
    return surface
