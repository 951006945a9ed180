"""Matrix products in blocks, and what is read off them while they are in the processor's cache."""

import time
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

BLOCK_VALUES = 2**22  # values of one temporary product block (16 MB in float32)
SMALLEST_BLOCK = 64  # rows: with no fewer a GPU that is out of memory is given up
GROUP = 64  # columns whose smallest value is looked for together
PROBE_SHAPE, PROBES = (2048, 256, 128), 5  # of the products that are timed


def in_blocks(n: int, rows: int, work: Callable[[slice], None]) -> None:
    """Do `work` on the rows 0..n, block by block; on a GPU that is out of memory, on blocks half as long.

    Args:
        n: how many rows there are.
        rows: of a block.
        work: may be called again for the same rows when it fails.

    Raises:
        torch.OutOfMemoryError: even the smallest blocks do not fit.
    """
    start = 0
    while start < n:
        try:
            work(slice(start, min(start + rows, n)))
        except torch.OutOfMemoryError:
            if rows <= SMALLEST_BLOCK:
                raise
            rows = max(SMALLEST_BLOCK, rows // 2)
            torch.cuda.empty_cache()
        else:
            start += rows


def smallest(values: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest value of each row, and the first column that has it: `values.min(dim=1)`.

    On a CPU, columns are looked through in groups, which is several times as fast: only the group that has the
    smallest value is searched for its place.

    Args:
        values: (n, m).

    Returns:
        (n,) values and (n,) columns.
    """
    m = values.shape[1]
    whole = m - m % GROUP
    if values.is_cuda or whole < 2 * GROUP:
        return tuple(values.min(dim=1))
    lows = values[:, :whole].unflatten(1, (-1, GROUP)).amin(dim=2)
    if whole < m:
        lows = torch.cat([lows, values[:, whole:].amin(dim=1, keepdim=True)], dim=1)
    group = lows.argmin(dim=1, keepdim=True)
    # The last group may be short: the one that ends with the row holds it, and larger values before it.
    columns = (group * GROUP).clamp_max(m - GROUP) + torch.arange(GROUP, device=values.device)
    place = values.gather(1, columns).argmin(dim=1, keepdim=True)
    return lows.gather(1, group)[:, 0], columns.gather(1, place)[:, 0]


@cache
def bfloat16_pays(device: torch.device) -> bool:
    """Whether the processor multiplies bfloat16 at least twice as fast as float32: measured once, in milliseconds."""
    if device.type != "cpu":
        return False
    m, n, k = PROBE_SHAPE
    left, right = torch.ones(m, k), torch.ones(n, k)
    seconds = {}
    for kind in (torch.float32, torch.bfloat16):
        a, b = left.to(kind), right.to(kind).T
        times = []
        for _ in range(PROBES):
            started = time.perf_counter()
            a @ b
            times.append(time.perf_counter() - started)
        seconds[kind] = min(times)
    return 2 * seconds[torch.bfloat16] < seconds[torch.float32]
