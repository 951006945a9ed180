"""How much work a run is, before it is done: operations, seconds, memory and disk, from counts alone.

Everything here is an estimate. Formulas count what grows with images, patches and memory bank; n are the nominal
patches, q those of test images, l the rows of the memory bank, d their dimensions.
"""

import math
from collections.abc import Sequence

from patchcore_core.backbones import PIXELS
from patchcore_core.config import MethodConfig, PatchCoreConfig
from patchcore_core.coreset import coreset_size
from patchcore_core.learned_banks import KMEANS_ROUNDS, PROXY_BATCH, PROXY_STEPS
from patchcore_core.memory_bank import selection_numbers
from patchcore_core.neighbours import EXACT
from patchcore_core.searches import CELLS, IN_VIEW, LINKS, MOST_CODES, PROBES, ROWS_A_CELL
from patchcore_suite.baselines.config import PadimConfig, SpadeConfig
from patchcore_suite.preflight.operations import FLOAT, Work

BASE_BYTES = 1.25 * 2**30  # interpreter, libraries, a network and one batch of images
BLOCK_BYTES = 128 * 2**20  # the largest temporary block of any method
CANDIDATES = 512  # that a round of the greedy coreset compares, on average
IVF_ROUNDS, IVF_ROWS = 10, 256  # of faiss's training of cells: rounds, and rows a cell

Shape = tuple[int, int, int]  # h, w, d of what is kept of an image


def described_shape(config: MethodConfig, maps: Sequence[Shape]) -> Shape:
    """(h, w, d) of what a method keeps of an image, from the shapes (c, h, w) of its feature maps, finest first.

    Of a method that describes whole images, h = w = 1.
    """
    of = dict(zip(config.map_hierarchies, maps, strict=True))
    if isinstance(config, PatchCoreConfig):
        _, h, w = maps[0]
        d = config.dimension or sum(c for c, _, _ in maps)
        return math.ceil(h / config.stride), math.ceil(w / config.stride), d
    if isinstance(config, SpadeConfig):
        maps = [of[j] for j in config.hierarchies]
    channels = sum(c for c, _, _ in maps)
    if isinstance(config, SpadeConfig):
        return *maps[0][1:], channels
    if isinstance(config, PadimConfig):
        return *maps[0][1:], min(config.dimensions, channels)
    return (*maps[0][1:], channels) if config.backbone == PIXELS else (1, 1, channels)


def describing_work(config: MethodConfig, maps: Sequence[Shape]) -> Work:
    """From an image's feature maps to what is kept of it: maps are read, averaged over p x p, rescaled."""
    h, w, d = described_shape(config, maps)
    values = sum(math.prod(shape) for shape in maps)
    p = config.neighbourhood_size if isinstance(config, PatchCoreConfig) else 1
    return Work(traffic=FLOAT * (values * (2 + p * p) + 6 * h * w * d))


def memory_bank(config: MethodConfig, shape: Shape, nominal: int) -> tuple[int, int]:
    """(l, d): the rows that PatchCore keeps of `nominal` images; of another method, all that it keeps."""
    h, w, d = shape
    n = nominal * h * w
    return (coreset_size(n, config.coreset_fraction) if isinstance(config, PatchCoreConfig) else n), d


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
        n, q = nominal * h * w, test * h * w
        if isinstance(member, PatchCoreConfig):
            kept, _ = memory_bank(member, (h, w, d), nominal)
            work += coreset_work(member, n, kept, d) + search_work(member, q, kept, d) + _products(test, kept, d)
            if radius:
                work += _products(n, kept, d)
            if len(config.members) > 1:  # an ensemble scores each nominal image without its own patches
                work += _products(n, kept, d) + Work(traffic=4 * FLOAT * nominal * kept * d)
        elif isinstance(member, SpadeConfig):
            rows = min(member.neighbour_images, nominal) * h * w
            work += _products(q, rows, d) + Work(traffic=4 * FLOAT * test * rows * d)
        elif isinstance(member, PadimConfig):
            fitted = Work(products=4 * n * d * d, solves=h * w * d**3 / 3, traffic=12 * FLOAT * n * d)
            work += fitted + Work(solves=q * d * d, traffic=12 * FLOAT * q * d)
        else:
            work += Work(traffic=4 * FLOAT * (n + q) * d)
    height, width = size
    return work + Work(ranked=test * height * width, traffic=2 * FLOAT * test * height * width)


def coreset_work(config: PatchCoreConfig, n: int, kept: int, d: int) -> Work:
    """Filling the memory bank.

    Greedy: projection to d* (2 n d d*), distances of all rows to all picks (2 n l d*), and in each round those of the
    candidates to the picks before (2 l l d*) and to each other. k-means: 25 rounds of 2 n l d. Proxies: 1000 batches of
    1024 rows, forwards and backwards.
    """
    if kept >= n or config.sampler == "random":
        return Work(traffic=2 * FLOAT * kept * d)
    if config.sampler == "kmeans":
        return _products(n, kept, d) * KMEANS_ROUNDS
    if config.sampler == "proxies":
        return (_products(PROXY_BATCH, kept, d) * 6 + Work(traffic=8 * FLOAT * kept * d)) * PROXY_STEPS
    p = min(d, config.projection_dimension or d)
    projected = Work(products=2 * n * d * p if p < d else 0)
    return (
        projected
        + _products(n, kept, p)
        + Work(products=2 * kept * kept * p, traffic=2 * FLOAT * CANDIDATES * kept * p)
    )


def search_work(config: PatchCoreConfig, q: int, kept: int, d: int) -> Work:
    """Searching the memory bank: 2 q l d, or only the share of the cells that is visited."""
    if config.search in EXACT:
        return _products(q, kept, d) + Work(traffic=3 * FLOAT * q * d)
    if config.search == "hnsw":  # rows met are read one by one; the graph is built by one thread
        return Work(traffic=FLOAT * (q + kept) * min(kept, IN_VIEW * LINKS) * d)
    cells = max(1, min(round(CELLS * kept**0.5), kept // ROWS_A_CELL))
    visited = kept * min(1, PROBES / cells)
    trained = _products(min(kept, IVF_ROWS * cells), cells, d) * IVF_ROUNDS + _products(kept, cells, d)
    if config.search == "ivfpq":
        return trained + _products(q, cells, d) + Work(traffic=FLOAT * q * visited * min(d, MOST_CODES))
    return trained + _products(q, cells, d) + Work(traffic=FLOAT * q * visited * d)


def cell_bytes(config: MethodConfig, shapes: Sequence[Shape], *, nominal: int, test: int) -> float:
    """Memory that a cell takes beside the descriptions: banks, their centred copies, queries, projections."""
    most = 0.0
    for member, (h, w, d) in zip(config.members, shapes, strict=True):
        n, q = nominal * h * w, test * h * w
        if isinstance(member, PatchCoreConfig):
            kept, _ = memory_bank(member, (h, w, d), nominal)
            bank = 0 if kept == n else kept * d
            selected = {
                "greedy": n * selection_numbers(d, member.projection_dimension),
                "random": 0,
                "kmeans": 3 * n * d,
                "proxies": 4 * kept * d,
            }[member.sampler]
            copies = 1 if member.search == "torch" else 3
            most = max(most, bank + max(selected if kept < n else 0, copies * kept * d + q * d))
        elif isinstance(member, SpadeConfig):
            most = max(most, 2 * min(member.neighbour_images, nominal) * h * w * d)
        elif isinstance(member, PadimConfig):
            most = max(most, h * w * d * d)
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
    kept = memory_bank(config.members[0], shapes[0], nominal)[0] if isinstance(config, PatchCoreConfig) else 0
    return 2 * FLOAT * (2 * test * h * w + kept)


def _products(rows: int, others: int, d: int) -> Work:
    """All products of two sets of rows; they go into a buffer that is used again, and count as traffic once."""
    return Work(products=2 * rows * others * d, traffic=FLOAT * rows * others)
