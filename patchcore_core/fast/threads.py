"""Threads that compute a block each, instead of one step of a block after the other together."""

import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise

import torch

ALIGNED = 64  # rows: products of a block are the same to the last bit where it is cut at multiples of so many
LEAST = 16  # a part of a block that is worth a thread is no smaller than one in so many
_kept = threading.local()


@contextmanager
def steps_alone() -> Generator[None]:
    """This thread does steps between blocks alone: who shares a step waits, on a busy machine for others' turns."""
    threads, outside = torch.get_num_threads(), getattr(_kept, "threads", None)
    _kept.threads = outside or threads
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        _kept.threads = outside


def threads_for_blocks() -> int:
    """How many threads may have a block each: torch's number; one where this thread has a block already."""
    return getattr(_kept, "threads", None) or torch.get_num_threads()


def side_by_side(blocks: list[slice], work: Callable[[slice], object]) -> None:
    """Do `work` on all blocks, each by one of several threads, which wait for each other only at the end."""
    modes = ((torch.no_grad, not torch.is_grad_enabled()), (torch.inference_mode, torch.is_inference_mode_enabled()))
    for mode, holds in modes:  # each thread has its own
        work = mode()(work) if holds else work
    # A thread that begins here does its steps alone, too. Where a block fails, or a key stops all, no more are begun.
    with steps_alone(), ThreadPoolExecutor(min(threads_for_blocks(), len(blocks))) as pool:
        deque(pool.map(work, blocks), maxlen=0)


def parts(start: int, stop: int, rows: int, threads: int) -> list[slice]:
    """Blocks of so many rows, cut into as many parts as keep all threads busy."""
    step = -(-max((stop - start) // threads, rows // LEAST, 1) // ALIGNED) * ALIGNED
    blocks = ((first, min(first + rows, stop)) for first in range(start, stop, rows))
    cuts = [cut for first, last in blocks for cut in range(first, max(first, last - ALIGNED) + 1, step)]
    return [slice(*pair) for pair in pairwise([*cuts, stop])]
