"""How much work a run is, before it is done: operations, seconds, memory and disk, from counts alone.

Everything here is an estimate. What a method costs its configuration says (see `BaselineConfig`); n are the nominal
patches, l the rows of a memory bank, d their dimensions.
"""

import math
from collections.abc import Sequence

from patchcore_core.config import MethodConfig, PatchCoreConfig
from patchcore_suite.baselines.config import BaselineConfig
from patchcore_suite.baselines.costs import FLOAT, Shape, Work, all_products
from patchcore_suite.baselines.patchcore_work import PatchCoreCosts

BASE_BYTES = 1.25 * 2**30  # interpreter, libraries, a network and one batch of images
BLOCK_BYTES = 128 * 2**20  # the largest temporary block of any method


def costs(config: MethodConfig) -> BaselineConfig | PatchCoreCosts:
    """Who says what a method costs."""
    return config if isinstance(config, BaselineConfig) else PatchCoreCosts(config)


def described_shape(config: MethodConfig, maps: Sequence[Shape]) -> Shape:
    """(h, w, d) of what a method keeps of an image, from the shapes (c, h, w) of its feature maps, finest first.

    Of a method that describes whole images, h = w = 1.
    """
    return costs(config).described_shape(maps)


def describing_work(config: MethodConfig, maps: Sequence[Shape]) -> Work:
    """From an image's feature maps to what is kept of it: maps are read, averaged over p x p, rescaled."""
    h, w, d = described_shape(config, maps)
    values = sum(math.prod(shape) for shape in maps)
    p = costs(config).window
    return Work(traffic=FLOAT * (values * (2 + p * p) + 6 * h * w * d))


def memory_bank(config: PatchCoreConfig, shape: Shape, nominal: int) -> tuple[int, int]:
    """(l, d): the rows that PatchCore keeps of `nominal` images."""
    h, w, d = shape
    return costs(config).bank_rows(nominal * h * w), d


def cell_work(
    config: MethodConfig, shapes: Sequence[Shape], *, nominal: int, test: int, size: tuple[int, int], radius: bool
) -> Work:
    """A cell from described images to metrics.

    Args:
        shapes: (h, w, d) of each member of the method.
        nominal, test: numbers of images.
        size: (H, W) of an image, in pixels.
        radius: whether the covering radius is measured.
    """
    work = Work()
    for member, (h, w, d) in zip(config.members, shapes, strict=True):
        work += costs(member).cell_work((h, w, d), nominal=nominal, test=test)
        n = nominal * h * w
        kept = costs(member).bank_rows(n)
        if radius:
            work += all_products(n, kept, d)
        if len(config.members) > 1:  # an ensemble scores each nominal image without its own patches
            work += all_products(n, kept, d) + Work(traffic=4 * FLOAT * nominal * kept * d)
    height, width = size
    return work + Work(ranked=test * height * width, traffic=2 * FLOAT * test * height * width)


def cell_bytes(config: MethodConfig, shapes: Sequence[Shape], *, nominal: int, test: int) -> float:
    """Memory that a cell takes beside the descriptions: banks, their centred copies, queries, projections."""
    most = max(
        costs(member).cell_values(shape, nominal=nominal, test=test)
        for member, shape in zip(config.members, shapes, strict=True)
    )
    return FLOAT * most + BLOCK_BYTES


def peak_bytes(config: MethodConfig, shapes: Sequence[Shape], *, described: int, nominal: int, test: int) -> float:
    """Largest memory of a cell: the descriptions of all `described` images, for a moment twice, or once with the cell.

    Feature maps are read from disk a batch at a time, and do not count.
    """
    kept = FLOAT * described * sum(h * w * d for h, w, d in shapes)
    return BASE_BYTES + max(2 * kept, kept + cell_bytes(config, shapes, nominal=nominal, test=test))


def result_bytes(config: MethodConfig, shapes: Sequence[Shape], *, nominal: int, test: int) -> float:
    """Disk of a cell's raw result: distances, rows of the bank and the coreset; in the store and in the reports."""
    h, w, _ = shapes[0]
    kept = costs(config).bank_rows(nominal * h * w)
    return 2 * FLOAT * (2 * test * h * w + kept)
