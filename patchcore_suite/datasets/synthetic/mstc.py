"""The stand-in for mSTC, stored as ShanghaiTech Campus: two scenes of people on foot, where wheels are anomalous."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy import ndarray
from numpy.random import Generator

from patchcore_suite.datasets.synthetic import movers
from patchcore_suite.datasets.synthetic.chance import choose, generator, sign, smooth_noise, speckle, uniform
from patchcore_suite.datasets.synthetic.shapes import Box, Disc, Stroke, blob
from patchcore_suite.datasets.synthetic.surface import Colour, Surface, changed, light, quantise
from patchcore_suite.datasets.synthetic.writers import write_avi, write_jpeg, write_npy

SCENES = {  # scene -> who does not belong there, one test clip each
    "01": (movers.cyclist, movers.skater),
    "02": (movers.cart, movers.cyclist),
}
TRAIN_CLIPS, TRAIN_FRAMES = 2, 100  # clips of a scene, frames of a clip
TEST_FRAMES = 90
SHAPE = (192, 320)
HORIZON = 62  # the row where the pavement begins

COATS = ((0.22, 0.24, 0.30), (0.48, 0.45, 0.42), (0.36, 0.17, 0.16), (0.16, 0.27, 0.38), (0.66, 0.64, 0.58))
BODYWORK = ((0.52, 0.20, 0.18), (0.20, 0.30, 0.45))


@dataclass(frozen=True)
class Mover:
    """Somebody or something that crosses the scene at an even pace.

    Attributes:
        figure: how it looks.
        colour: of coat or bodywork.
        start: x at frame 0, in pixels.
        pace: pixels a frame; below 0 to the left.
        lane: y of the ground below it, in pixels.
        phase: of the gait at frame 0, in radians.
    """

    figure: movers.Figure
    colour: Colour
    start: float
    pace: float
    lane: float
    phase: float = 0.0

    def paint(self, surface: Surface, number: int) -> None:
        """Draw it as it is in frame `number`; farther lanes look smaller."""
        place = self.lane, self.start + self.pace * number
        pencil = movers.Pencil(surface, place, 18 + 0.26 * (self.lane - HORIZON), 1 if self.pace > 0 else -1)
        self.figure(pencil, self.colour, self.phase + 0.35 * number)


def backdrop(rng: Generator) -> Surface:
    """An empty scene: a building and a hedge behind a pavement that recedes."""
    surface = Surface.flat(SHAPE, choose(rng, ((0.50, 0.49, 0.47), (0.47, 0.46, 0.42))))
    vanishing = (HORIZON - 70, uniform(rng, 100, 220))
    joint = (0.38, 0.37, 0.36)
    for k in range(1, 9):
        y = HORIZON + 2.2 * k**1.9
        surface.paint(Stroke(((y, 0), (y, SHAPE[1])), 0.8 + 0.08 * k), joint, opacity=0.7)
    for k in range(-12, 13):
        foot = (SHAPE[0] + 10, vanishing[1] + 60 * k)
        surface.paint(Stroke((vanishing, foot), 1.1), joint, opacity=0.7)

    wall = choose(rng, ((0.46, 0.34, 0.28), (0.55, 0.52, 0.46)))
    surface.paint(Box((HORIZON / 2 - 12, SHAPE[1] / 2), (HORIZON / 2 + 2, SHAPE[1])), wall)
    left = uniform(rng, -20, 0)
    for k in range(9):
        surface.paint(Box((20, left + 42 * k), (11, 9)), (0.20, 0.24, 0.28))
        surface.paint(Stroke(((20, left + 42 * k - 9), (20, left + 42 * k + 9)), 1.2), (0.62, 0.60, 0.56))
    surface.paint(Box((HORIZON - 5, SHAPE[1] / 2), (6, SHAPE[1])), (0.25, 0.34, 0.17))
    for k in range(46):
        bush = (HORIZON - 10 + uniform(rng, -3, 3), 7 * k + uniform(rng, -3, 3))
        shade = uniform(rng, 0.7, 1.2)
        surface.paint(blob(rng, bush, uniform(rng, 5, 9)), (0.17 * shade, 0.27 * shade, 0.12 * shade), softness=2)
    for _ in range(2):
        post = uniform(rng, 20, 300)
        surface.paint(Stroke(((HORIZON + 4, post), (4, post)), 2.4), (0.16, 0.17, 0.18))
        surface.paint(Disc((6, post), 4.5), (0.80, 0.79, 0.72))
    texture = 1 + 0.05 * smooth_noise(rng, SHAPE, (2, 3)) + 0.07 * smooth_noise(rng, SHAPE, (40, 70))
    surface.albedo *= texture[..., None]
    return surface


def _people(rng: Generator) -> list[Mover]:
    """The walkers of a clip; about one in eight carries an umbrella."""
    people = []
    for _ in range(7):
        figure, ahead = choose(rng, (movers.umbrella_walker, *[movers.walker] * 7)), sign(rng)
        start, pace = 160 - ahead * uniform(rng, -130, 230), ahead * uniform(rng, 0.8, 1.4)
        lane, phase = uniform(rng, HORIZON + 18, SHAPE[0] - 8), uniform(rng, 0, math.tau)
        people.append(Mover(figure, choose(rng, COATS), start, pace, lane, phase))
    return people


def _intruder(rng: Generator, figure: movers.Figure) -> Mover:
    """Who does not belong there: crosses the whole scene, and is gone before the clip ends."""
    ahead, pace, enters = sign(rng), uniform(rng, 5.8, 6.6), uniform(rng, 12, 20)
    lane = uniform(rng, HORIZON + 40, SHAPE[0] - 25)
    return Mover(figure, choose(rng, BODYWORK), 160 - ahead * (200 + enters * pace), ahead * pace, lane)


def clip(scene: str, split: str, index: int, *, frames: int, seed: int) -> tuple[list[ndarray], ndarray]:
    """One clip of the stand-in.

    Args:
        scene: a key of `SCENES`.
        split: "training", people only, or "testing", with an intruder.
        index: which of the split's clips, from 0.
        frames: its length.
        seed: of the whole stand-in.

    Returns:
        `frames` images (h, w, 3) uint8, and their masks (frames, h, w) bool: where the intruder is to be seen.
    """
    name = (seed, "mstc", scene, split, index)
    ground, people = backdrop(generator(seed, "mstc", scene)), _people(generator(*name))
    intruders = [_intruder(generator(*name, "intruder"), SCENES[scene][index])] if split == "testing" else []
    level = light(generator(*name, "light"), SHAPE, uneven=0.2).level
    images, masks = [], np.zeros((frames, *SHAPE), bool)
    for number in range(frames):
        noise = 0.012 * speckle(generator(*name, number), (*SHAPE, 3))
        images.append(_frame(ground, people + intruders, number, level, noise))
        if intruders:
            masks[number] = changed(_frame(ground, people, number, level, noise), images[-1])
    return images, masks


def _frame(ground: Surface, cast: Sequence[Mover], number: int, level: ndarray, noise: ndarray) -> ndarray:
    """Frame `number` of a clip; who is nearer hides who is farther."""
    surface = Surface(ground.albedo.copy(), np.zeros(SHAPE))
    for mover in sorted(cast, key=lambda mover: mover.lane):
        mover.paint(surface, number)
    return quantise(surface.albedo * level[..., None] + noise)


def jobs(seed: int) -> Iterator[Callable[[Path], None]]:
    """What writes the stand-in below a root, one clip each."""
    for scene, intruders in SCENES.items():
        for index in range(TRAIN_CLIPS):
            yield partial(_write_training, scene, index, seed)
        for index in range(len(intruders)):
            yield partial(_write_testing, scene, index, seed)


def _write_training(scene: str, index: int, seed: int, root: Path) -> None:
    images, _ = clip(scene, "training", index, frames=TRAIN_FRAMES, seed=seed)
    write_avi(root / "training" / "videos" / f"{scene}_{index + 1:03d}.avi", images)


def _write_testing(scene: str, index: int, seed: int, root: Path) -> None:
    images, masks = clip(scene, "testing", index, frames=TEST_FRAMES, seed=seed)
    folder, name = root / "testing", f"{scene}_{index + 1:04d}"
    for number, image in enumerate(images):
        write_jpeg(folder / "frames" / name / f"{number:03d}.jpg", image)
    write_npy(folder / "test_pixel_mask" / f"{name}.npy", masks.astype(np.uint8))
    write_npy(folder / "test_frame_mask" / f"{name}.npy", masks.any(axis=(1, 2)).astype(np.uint8))
