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

BASE_BYTES = 1.25 * 2**30  # interpreter, libraries, a network and one batch of images: while feature maps are made
RESTING_BYTES = 0.45 * 2**30  # interpreter, libraries and a network of a process that waits for work
BASE_PIXELS, PIXEL_BYTES = 2**20, 320  # of that batch; and what each pixel of a larger one takes, in the first layers
CELL_BASE_BYTES = 1.0 * 2**30  # interpreter, libraries and the largest temporary block of any method
EVALUATION_BASE_BYTES = 0.85 * 2**30  # interpreter, libraries and resamples of image scores
MAPS_BYTES = 12  # a pixel: mask, map, and sorted scores
THRESHOLDS = 1024  # of the curves of an image that intervals are drawn from
CURVES, CURVES_AT_WORK = 3, 12  # that are kept of each result, and that are made of them
PAIR_BYTES, MOST_PAIRED = 12, 2**11  # of two test images, whose pixels are compared; of more images none are
MAP_COPIES = 3  # of the anomaly maps of a member, while they are scaled and averaged
MOST_HELD = 2**28  # bytes of descriptions that are held in any case
ROWS_A_DIMENSION = 32  # of a memory bank, from which on to describe images again is cheap beside its selection


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


def makes_anew(config: MethodConfig, shapes: Sequence[Shape], *, described: int, nominal: int) -> bool:
    """Whether a cell makes patch features from feature maps whenever it needs some, instead of holding them all.

    That is so where they are many, and the memory bank is so large that to describe images again is a small part of
    what selection and search take.

    Args:
        shapes: (h, w, d) of each member of the method.
        described, nominal: numbers of all images, and of those that it learns from.
    """
    if not isinstance(config, PatchCoreConfig):
        return False
    ((h, w, d),) = shapes
    kept, _ = memory_bank(config, (h, w, d), nominal)
    return FLOAT * described * h * w * d > MOST_HELD and kept >= ROWS_A_DIMENSION * d


def making_bytes(pixels: int) -> float:
    """Largest memory of a process that makes feature maps of so many pixels at once."""
    return BASE_BYTES + PIXEL_BYTES * max(0, pixels - BASE_PIXELS)


def peak_bytes(
    config: MethodConfig, shapes: Sequence[Shape], *, described: int, nominal: int, test: int, pixels: int = 0
) -> float:
    """Largest memory of a process that computes a cell: the `described` images, bank, selection, scores.

    Feature maps are read from disk a batch at a time, and do not count. To make them takes `BASE_BYTES`.

    Args:
        pixels: of an anomaly map.
    """
    most = max(
        costs(member).cell_values(shape, nominal=nominal, test=test)
        for member, shape in zip(config.members, shapes, strict=True)
    )
    if makes_anew(config, shapes, described=described, nominal=nominal):  # which makes no anomaly maps, either
        held = costs(config).whole_values(shapes[0], nominal=nominal)
    else:
        held = described * sum(h * w * d for h, w, d in shapes) + MAP_COPIES * len(shapes) * test * pixels
    return CELL_BASE_BYTES + FLOAT * (held + most)


def streamed_bytes(
    config: MethodConfig, shapes: Sequence[Shape], *, nominal: int, test: int, bank_on_disk: bool
) -> float:
    """The same of a cell whose patch features lie on disk; infinity for one that has to hold them.

    Args:
        nominal, test: numbers of images.
        bank_on_disk: whether its memory bank lies there as well.
    """
    if not isinstance(config, PatchCoreConfig):
        return math.inf
    counts = {"nominal": nominal, "test": test, "bank_on_disk": bank_on_disk}
    values = PatchCoreCosts(config).streamed_values(shapes[0], **counts)
    return math.inf if values is None else CELL_BASE_BYTES + FLOAT * values


def bank_lies_on_disk(config: MethodConfig, shapes: Sequence[Shape], *, budget: float, nominal: int, test: int) -> bool:
    """Whether not even the memory bank of a cell has room whose patch features lie on disk."""
    held, on_disk = (
        streamed_bytes(config, shapes, nominal=nominal, test=test, bank_on_disk=where) for where in (False, True)
    )
    return held > budget and on_disk < held


def lies_on_disk(config: MethodConfig, shapes: Sequence[Shape], *, budget: float, **counts: int) -> bool:
    """Whether a cell is computed with its patch features on disk, for want of memory; counts as of `peak_bytes`."""
    least = streamed_bytes(config, shapes, nominal=counts["nominal"], test=counts["test"], bank_on_disk=False)
    return peak_bytes(config, shapes, **counts) > budget and least < math.inf


def file_bytes(config: PatchCoreConfig, shape: Shape, *, nominal: int) -> float:
    """Disk that the patch features of a cell take, at most: while its bank is selected, or its bank alone."""
    h, w, d = shape
    n = nominal * h * w
    return FLOAT * max(n * min(d, config.projection_dimension or d), costs(config).bank_rows(n) * d)


def held_bytes(config: MethodConfig, shapes: Sequence[Shape], *, budget: float, **counts: int) -> float:
    """Largest memory of a process that computes a cell within a budget, if it can."""
    if lies_on_disk(config, shapes, budget=budget, **counts):
        numbers = {"nominal": counts["nominal"], "test": counts["test"]}
        on_disk = bank_lies_on_disk(config, shapes, budget=budget, **numbers)
        return streamed_bytes(config, shapes, **numbers, bank_on_disk=on_disk)
    return peak_bytes(config, shapes, **counts)


def evaluation_bytes(*, test: int, pixels: int, results: int) -> float:
    """Largest memory of the process that computes metrics: masks and maps, counts of every result, pairs of images.

    Args:
        pixels: of an anomaly map.
        results: of a category, whose intervals are drawn together.
    """
    counts = FLOAT * THRESHOLDS * test * (CURVES * results + CURVES_AT_WORK)
    return EVALUATION_BASE_BYTES + MAPS_BYTES * test * pixels + counts + PAIR_BYTES * min(test, MOST_PAIRED) ** 2


def result_bytes(config: MethodConfig, shapes: Sequence[Shape], *, nominal: int, test: int) -> float:
    """Disk of a cell's raw result: distances, rows of the bank and the coreset; in the store and in the reports."""
    h, w, _ = shapes[0]
    kept = costs(config).bank_rows(nominal * h * w)
    return 2 * FLOAT * (2 * test * h * w + kept)
