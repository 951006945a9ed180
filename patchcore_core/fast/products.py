"""Matrix products in blocks, and what is read off them while they are in the processor's cache."""

import threading
import timeit
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from patchcore_core.fast.threads import parts, side_by_side, threads_for_blocks
from patchcore_core.patches import Rows

BLOCK_VALUES = 2**21  # values of one temporary block of products: 8 MB in float32, which a processor's cache holds
GPU_BLOCK_VALUES = 2**26  # there, few large blocks cost less than many small ones
SMALLEST_BLOCK = 64  # rows: with no fewer a GPU that is out of memory is given up
GROUP = 64  # columns whose smallest value is looked for together
PROBE_SHAPE, PROBES = (8192, 512, 128), 4  # of the products that are timed: large, as those that they stand for
WORTH_WHILE = 1.7  # times as fast: what else a screening costs is then saved


def block_rows(values: int, device: torch.device) -> int:
    """How many rows a block has, each of which takes so many values."""
    return max(1, (GPU_BLOCK_VALUES if device.type == "cuda" else BLOCK_VALUES) // max(1, values))


def in_blocks(
    n: int, rows: int, work: Callable[[slice], object], source: Rows | None = None, *, cut: bool = True
) -> None:
    """Do `work` on the rows 0..n in blocks of so many rows; on a GPU that is out of memory, on blocks half as long.

    Args:
        work: may be called again for the same rows when it fails.
        source: what it reads rows of. Of a tensor on a CPU, several threads work on a block each.
        cut: whether blocks that are left, too few for all threads, may be cut; else all threads share their steps.

    Raises:
        torch.OutOfMemoryError: even the smallest blocks do not fit.
    """
    start, threads = 0, threads_for_blocks()
    if threads > 1 and isinstance(source, Tensor) and source.device.type == "cpu":
        whole = n // (rows * threads) * rows * threads
        blocks = parts(0, whole, rows, 1) + (parts(whole, n, rows, threads) if cut else [])
        if len(blocks) > 1:
            side_by_side(blocks, work)
            start = blocks[-1].stop
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


class Product(threading.local):
    """Matrix products, each of which overwrites its thread's last: room is asked for once, and stays in the cache."""

    def __init__(self) -> None:
        self._room: Tensor | None = None

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        """(n, d) @ (d, m)."""
        n, m = len(left), right.shape[1]
        if self._room is None or len(self._room) < n * m:
            self._room = None  # the old room is given back before a larger one is asked for
            self._room = left.new_empty(n * m)
        return torch.mm(left, right, out=self._room[: n * m].view(n, m))


def half_distance_factors(rows: Tensor, centre: Tensor) -> Tensor:
    """Rows c (m, d) as factors (n, d + 1) of half squared distances about a centre (d,), without |x|^2/2.

    |x - c|^2/2 - |x|^2/2 = |c|^2/2 - x c is the product of (x, 1), which `shifted` makes, and (-c, |c|^2/2). From two
    groups of columns on, the last row is repeated until `smallest` can look at whole groups.
    """
    m, d = rows.shape
    factors = centre.new_empty(m + (-m % GROUP if m >= 2 * GROUP else 0), d + 1)
    torch.sub(centre, rows, out=factors[:m, :d])
    for part in torch.split(factors[:m], block_rows(d, rows.device)):  # the squares of all would be another copy
        part[:, d] = part[:, :d].square().sum(dim=1) / 2
    factors[m:] = factors[m - 1 : m]
    return factors


def shifted(rows: Tensor, centre: Tensor) -> Tensor:
    """Rows (n, d) less the centre (d,), with a column of ones: (n, d + 1)."""
    n, d = rows.shape
    longer = centre.new_ones(n, d + 1)
    torch.sub(rows, centre, out=longer[:, :d])
    return longer


def smallest(values: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest value of each row (n, m), and the first column that has it, both (n,): `values.min(dim=1)`.

    On a CPU, whole groups of columns are looked through one by one, which is several times as fast: only the group
    that has the smallest value is searched for its place.
    """
    n, m = values.shape
    if values.is_cuda or m < 2 * GROUP or m % GROUP or not values.is_contiguous():
        lows, columns = values.min(dim=1)
        return lows, columns
    groups = values.view(-1, GROUP)
    lows, group = groups.amin(dim=1).view(n, -1).min(dim=1)
    first = torch.arange(0, len(groups), m // GROUP, device=values.device)  # group of each row
    return lows, group * GROUP + groups.index_select(0, first + group).argmin(dim=1)


@cache
def bfloat16_pays(device: torch.device) -> bool:
    """Whether the processor multiplies bfloat16 much faster than float32: measured once, in hundredths of a second."""
    if device.type != "cpu":
        return False
    m, n, k = PROBE_SHAPE
    left, right = torch.ones(m, k), torch.ones(n, k)
    seconds: dict[torch.dtype, float] = {}
    for kind in (torch.float32, torch.bfloat16):
        a, b = left.to(kind), right.to(kind).T
        seconds[kind] = min(timeit.repeat(lambda a=a, b=b: torch.mm(a, b), number=1, repeat=PROBES))
    return WORTH_WHILE * seconds[torch.bfloat16] < seconds[torch.float32]
