"""Timing on a machine that other programs use too: cases take turns, and medians are compared."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

PRODUCT_ROWS = 4096  # of the left factor of one product: its result stays in the processor's cache
SECONDS_PER_GIGA = 1e9


@dataclass(frozen=True)
class Row:
    """A line of the report: a case, its seconds, and what there is to say of it."""

    case: str
    seconds: float
    note: str = ""
    floating_point_operations: float = 0  # of its matrix products
    traffic: float = 0  # bytes that it reads and writes at least

    @property
    def rate(self) -> str:
        if self.floating_point_operations:
            return f"{self.floating_point_operations / self.seconds / SECONDS_PER_GIGA:.0f} GFLOP/s"
        return f"{self.traffic / self.seconds / SECONDS_PER_GIGA:.1f} GB/s" if self.traffic else "-"


@dataclass(frozen=True)
class Table:
    """A section of the report."""

    title: str
    text: str
    rows: Sequence[Row]
    findings: Sequence[str] = ()


def interleaved(cases: Mapping[str, Callable[[], object]], repeats: int, *, device: str = "cpu") -> dict[str, float]:
    """Median seconds of each case; the cases take turns, so that what else runs meets all of them."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, act in cases.items():
            times[name].append(once(act, device=device))
    return {name: statistics.median(of_case) for name, of_case in times.items()}


def once(act: Callable[[], object], *, device: str = "cpu") -> float:
    """Seconds that something takes, once what the GPU had to do before is done."""
    _synchronise(device)
    started = time.perf_counter()
    act()
    _synchronise(device)
    return time.perf_counter() - started


def _synchronise(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def product(left: torch.Tensor, right: torch.Tensor) -> None:
    """The matrix product (n, d) x (b, d)^T alone, in blocks that are thrown away."""
    buffer = left.new_empty(PRODUCT_ROWS, len(right))
    for part in left.split(PRODUCT_ROWS):
        torch.mm(part, right.T, out=buffer[: len(part)])


def ceilings(device: str) -> Table:
    """What the machine does of products and of reading and writing memory."""
    side = 2048
    a, b = torch.rand(side, side, device=device), torch.rand(side, side, device=device)
    c = torch.empty_like(a)
    long, other = torch.rand(2**26, device=device), torch.empty(2**26, device=device)
    halves = a.bfloat16(), b.bfloat16()
    seconds = interleaved(
        {
            "float32 product": lambda: torch.mm(a, b, out=c),
            "bfloat16 product": lambda: torch.mm(*halves),
            "copy": lambda: other.copy_(long),
        },
        9,
        device=device,
    )
    operations, copied = 2 * side**3, 2 * long.nbytes
    rows = [
        Row("float32 product, 2048 x 2048 x 2048", seconds["float32 product"], "", operations),
        Row("bfloat16 product, 2048 x 2048 x 2048", seconds["bfloat16 product"], "", operations),
        Row("copy of 256 MiB", seconds["copy"], "", 0, copied),
    ]
    return Table("Ceilings of the machine", "Measured in this run, median of 9.", rows)


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The slope of a straight line through (log size, log seconds): 1 where time grows in proportion."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
