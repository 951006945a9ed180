"""Memory that a process frees: kept for its next arrays, as `make` asks for, or given back to the system."""

import ctypes
import sys

import psutil

ROOMY = 4 * 2**30  # bytes free for each process, from which on memory may be kept while something is computed
RESTS = 2 * 2**30  # bytes of a process, from which on it keeps nothing once it is done
PLAIN = {
    -1: 2**17,
    -2: 2**17,
    -3: 2**17,
}  # of mallopt: when to trim the heap, by how much to grow it, what lies outside


def give_back(*, from_now_on: bool) -> None:
    """Give memory that is free in this process back to the system, and, if so, let it go back as soon as it is freed.

    What `make` sets (MALLOC_...) then holds no longer. Does nothing where the C library is none of GNU's.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(library, "malloc_trim"):
        return
    for option, value in PLAIN.items() if from_now_on else ():
        library.mallopt(option, value)
    library.malloc_trim(0)


def rest() -> None:
    """Keep little while others compute."""
    if psutil.Process().memory_info().rss > RESTS:
        give_back(from_now_on=False)
