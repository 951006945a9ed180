"""The stand-in for MVTec AD: three materials and three parts, 256 x 256."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.random import Generator

from patchcore_suite.datasets.records import NOMINAL
from patchcore_suite.datasets.synthetic import marks, objects, textures
from patchcore_suite.datasets.synthetic.chance import Point, choose, generator, uniform
from patchcore_suite.datasets.synthetic.surface import Surface, changed, light, photograph
from patchcore_suite.datasets.synthetic.writers import write_png

TRAIN, TEST_GOOD, TEST_DEFECT = 24, 10, 6  # images


@dataclass(frozen=True)
class Category:
    """One material or part.

    Attributes:
        draw: draws a nominal surface; its keyword arguments build defects in.
        place: draws a place where a mark may lie.
        built: defect name -> draws the keyword arguments that build the defect in.
        marked: defect name -> paints the defect on a finished surface, at a place.
        grey: the camera takes no colour.
    """

    draw: Callable[..., Surface]
    place: Callable[[Generator], Point]
    built: Mapping[str, Callable[[Generator], dict[str, Any]]]
    marked: Mapping[str, Callable[[Surface, Generator, Point], None]]
    grey: bool = False

    @property
    def defects(self) -> tuple[str, ...]:
        return (*self.built, *self.marked)


CATEGORIES = {
    "board": Category(
        objects.board,
        objects.on_board,
        built={
            "bent_pin": lambda rng: {"bent": choose(rng, range(objects.PINS))},
            "misplaced": lambda rng: {"moved": choose(rng, range(len(objects.COMPONENTS)))},
            "missing_part": lambda rng: {"missing": choose(rng, range(len(objects.COMPONENTS)))},
        },
        marked={"scratch": partial(marks.scratch, colour=(0.50, 0.55, 0.45))},
    ),
    "capsule": Category(
        objects.capsule,
        objects.on_capsule,
        built={
            "faulty_imprint": lambda rng: {"imprint": choose(rng, (0, 1, 2))},
            "squeeze": lambda rng: {"squeezed": uniform(rng, -45, 45)},
        },
        marked={"crack": partial(marks.crack, colour=(0.25, 0.12, 0.10)), "dent": marks.dent},
    ),
    "gear": Category(
        objects.gear,
        objects.on_gear,
        built={"missing_tooth": lambda rng: {"broken": choose(rng, range(objects.TEETH))}},
        marked={
            "rust": marks.rust,
            "scratch": partial(marks.scratch, colour=(0.85, 0.85, 0.85), length=55, width=2),
        },
        grey=True,
    ),
    "tile": Category(
        textures.tile,
        textures.anywhere,
        built={"misplaced": lambda rng: {"loose": textures.anywhere(rng)}},
        marked={
            "chip": partial(marks.chip, colour=(0.70, 0.58, 0.48)),
            "crack": partial(marks.crack, colour=(0.12, 0.12, 0.12)),
            "stain": partial(marks.stain, colour=(0.40, 0.26, 0.08), radius=15, opacity=0.6),
        },
    ),
    "weave": Category(
        textures.weave,
        textures.anywhere,
        built={
            "float": lambda rng: {"float_at": textures.anywhere(rng)},
            "missing_thread": lambda rng: {"gap": textures.anywhere(rng)},
        },
        marked={
            "cut": partial(marks.cut, colour=(0.10, 0.10, 0.12)),
            "stain": partial(marks.stain, colour=(0.25, 0.20, 0.10), opacity=0.2),
        },
    ),
    "wood": Category(
        textures.wood,
        textures.anywhere,
        built={},
        marked={
            "hole": partial(marks.hole, colour=(0.12, 0.07, 0.04)),
            "scratch": partial(marks.scratch, colour=(0.90, 0.78, 0.60), width=1.3),
            "stain": partial(marks.stain, colour=(0.20, 0.16, 0.20), opacity=0.18),
        },
    ),
}


def picture(category: str, split: str, defect: str, index: int, *, seed: int) -> tuple[ndarray, ndarray]:
    """One image of the stand-in and its mask.

    A defect is drawn into an image that is then drawn again without it: the mask is where the two differ.

    Returns:
        (256, 256, 3) or, for a grey category, (256, 256) uint8; and (256, 256) bool.
    """
    name = (seed, "mvtec", category, split, defect, index)
    image = _draw(category, name, defect)
    nominal = image if defect == NOMINAL else _draw(category, name, NOMINAL)
    return image, changed(nominal, image)


def jobs(seed: int) -> Iterator[Callable[[Path], None]]:
    """What writes the stand-in below a root, one image (and its mask) each."""
    for category, made in CATEGORIES.items():
        for index in range(TRAIN):
            yield partial(_write, category, "train", NOMINAL, index, seed)
        for index in range(TEST_GOOD):
            yield partial(_write, category, "test", NOMINAL, index, seed)
        for defect, index in product(made.defects, range(TEST_DEFECT)):
            yield partial(_write, category, "test", defect, index, seed)


def _draw(category: str, name: tuple[object, ...], defect: str) -> ndarray:
    """The image called `name`, with a defect or as it would be without."""
    made, flaw = CATEGORIES[category], generator(*name, "flaw")
    surface = made.draw(generator(*name), **(made.built[defect](flaw) if defect in made.built else {}))
    if defect in made.marked:
        made.marked[defect](surface, flaw, made.place(flaw))
    image = photograph(surface, light(generator(*name, "light"), surface.height.shape))
    return image[..., 1] if made.grey else image


def _write(category: str, split: str, defect: str, index: int, seed: int, root: Path) -> None:
    image, mask = picture(category, split, defect, index, seed=seed)
    write_png(root / category / split / defect / f"{index:03d}.png", image)
    if defect != NOMINAL:
        write_png(root / category / "ground_truth" / defect / f"{index:03d}_mask.png", np.uint8(255) * mask)
