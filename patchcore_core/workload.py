"""How much work a run is, before it is done: operations, seconds, memory and disk, from counts alone.

Everything here is an estimate. Formulas count what grows with images, patches and memory bank; n are the nominal
patches, q those of test images, l the rows of the memory bank, d their dimensions.
"""

import io
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from patchcore_core import metrics
from patchcore_core.backbones import PIXELS, UNTRAINED, feature_maps, load_backbone
from patchcore_core.baselines.config import PadimConfig, SpadeConfig
from patchcore_core.config import MethodConfig, PatchCoreConfig
from patchcore_core.coreset import coreset_size
from patchcore_core.neighbours import CELLS, EXACT, IN_VIEW, LINKS, MOST_CODES, PROBES, ROWS_A_CELL
from patchcore_core.patchcore import selection_numbers
from patchcore_core.proxies import KMEANS_ROUNDS, PROXY_BATCH, PROXY_STEPS

FLOAT = 4  # bytes of a float32
BASE_BYTES = 1.25 * 2**30  # interpreter, libraries, a network and one batch of images
BLOCK_BYTES = 128 * 2**20  # the largest temporary block of any method
EFFICIENCY = 0.8  # of several threads, each compared with one alone
CANDIDATES = 512  # that a round of the greedy coreset compares, on average
IVF_ROUNDS, IVF_ROWS = 10, 256  # of faiss's training of cells: rounds, and rows a cell

Shape = tuple[int, int, int]  # h, w, d of what is kept of an image


@dataclass(frozen=True)
class Work:
    """Numbers of operations by kind; each kind has a rate of its own on a machine."""

    products: float = 0  # floating-point operations of float32 matrix products
    convolutions: float = 0  # those of convolutions
    grouped: float = 0  # those of convolutions in groups, down to one channel each, which are slower
    solves: float = 0  # those of float64 triangular systems and factorisations, many small ones
    traffic: float = 0  # bytes read or written by everything elementwise
    decoded: float = 0  # pixels of image files
    ranked: float = 0  # pixels of anomaly maps whose metrics are computed

    def __add__(self, other: "Work") -> "Work":
        return Work(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(self)))

    def __mul__(self, times: float) -> "Work":
        return Work(*(getattr(self, item.name) * times for item in fields(self)))

    def seconds(self, rates: "Work") -> float:
        """How long this takes where each kind has such a rate per second, one thing after the other."""
        return sum(getattr(self, item.name) / getattr(rates, item.name) for item in fields(self))


def calibrate(device: str = "cpu", *, seconds: float = 1.0) -> Work:
    """What this machine does of each kind per second when nothing else runs on it, measured for about `seconds`.

    On the CPU one thread's own time is measured, so that other programs do not count; products and convolutions are
    then taken to use all threads.
    """
    on = {"device": device}
    left, right, out = torch.rand(2048, 128, **on), torch.rand(128, 1024, **on), torch.empty(2048, 1024, **on)
    convolution = nn.Conv2d(256, 256, 3, padding=1, **on).requires_grad_(False)
    images = torch.rand(8, 256, 28, 28, **on)
    factors = torch.eye(100, dtype=torch.float64, **on).repeat(256, 1, 1)
    values = torch.rand(256, 100, 40, dtype=torch.float64, **on)
    depthwise = nn.Conv2d(240, 240, 5, padding=2, groups=240, **on).requires_grad_(False)
    channels = torch.rand(8, 240, 28, 28, **on)
    long = torch.rand(2**24, **on)
    file = io.BytesIO()
    picture = np.random.default_rng(0).integers(100, 116, (512, 512, 3), dtype=np.uint8)
    Image.fromarray(picture).save(file, "png")
    maps = np.random.default_rng(0).random((4, 128, 128), dtype=np.float32)
    masks = np.zeros(maps.shape, dtype=bool)
    masks[:2, 40:60, 40:60] = True

    tasks: dict[str, tuple[float, Callable[[], object]]] = {
        "products": (2 * 2048 * 128 * 1024, lambda: torch.mm(left, right, out=out)),
        "convolutions": (2 * 8 * 256 * 256 * 9 * 28 * 28, lambda: convolution(images)),
        "grouped": (2 * 8 * 240 * 25 * 28 * 28, lambda: depthwise(channels)),
        "solves": (256 * 40 * 100**2, lambda: torch.linalg.solve_triangular(factors, values, upper=False)),
        "traffic": (2 * FLOAT * len(long), lambda: torch.clamp(long, min=0.5)),
        "decoded": (512 * 512, lambda: Image.open(file).convert("RGB").resize((256, 256))),
        "ranked": (maps.size, lambda: (metrics.pixel_metrics(masks, maps), metrics.pro_per_image(masks, maps))),
    }
    threads = torch.get_num_threads()
    gpu = device.startswith("cuda")
    clock = time.perf_counter if gpu else time.process_time
    rates = {}
    try:
        torch.set_num_threads(1)
        for name, (amount, act) in tasks.items():
            act()  # what is built on first use
            times: list[float] = []
            while len(times) < 3 or sum(times) < seconds / len(tasks):
                started = clock()
                act()
                if gpu:
                    torch.cuda.synchronize(device)
                times.append(clock() - started)
            rates[name] = amount / max(float(np.median(times)), 1e-9)
            if not gpu and name in ("products", "convolutions", "grouped"):
                rates[name] *= max(1, EFFICIENCY * threads)
    finally:
        torch.set_num_threads(threads)
    return Work(**rates)


class _Traffic(TorchDispatchMode):
    """Counts the bytes of all results, each written once and read once, and the operations of grouped convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.grouped = 0

    def __torch_dispatch__(self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.bytes += 2 * FLOAT * result.numel()
        if func is torch.ops.aten.convolution.default and args[8] > 1:
            self.grouped += 2 * result.numel() * args[1][0].numel()
        return result


@cache
def backbone_work(name: str, hierarchies: tuple[int, ...], size: tuple[int, int]) -> Work:
    """One image of `size` (H, W) through a network: the convolutions as torch counts them, and the traffic.

    No weights are needed, and where the network allows it, no values are computed.
    """
    architecture = name if name == PIXELS or name.startswith(UNTRAINED) else UNTRAINED + name

    def run() -> Work:
        network = load_backbone(architecture, hierarchies)
        with _Traffic() as traffic, FlopCounterMode(display=False) as operations:
            feature_maps(network, torch.zeros(1, 3, *size))
        dense = operations.get_total_flops() - traffic.grouped
        return Work(convolutions=dense, grouped=traffic.grouped, traffic=traffic.bytes)

    try:
        with torch.device("meta"):
            return run()
    except RuntimeError:  # the network looks at values while it is built, and the meta device has none
        return run()


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
