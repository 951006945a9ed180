"""How much memory a fitted method takes."""

from collections.abc import Iterator, Mapping

import numpy as np
from torch import Tensor, nn

from patchcore_core.detector import Detector

OWN = ("patchcore_core", "patchcore_suite")  # packages whose objects are looked into


def model_bytes(model: Detector) -> int:
    """Bytes of the tensors and arrays that a fitted method keeps, each once, without its network.

    Of an ensemble these are those of all its models. What a library keeps behind an index of its own is not seen.
    """
    kept: dict[int, int] = {}
    for array in _arrays(vars(model), set()):
        if isinstance(array, Tensor):
            kept[array.data_ptr()] = array.nbytes
        else:
            kept[array.ctypes.data] = array.nbytes
    return sum(kept.values())


def _arrays(value: object, seen: set[int]) -> Iterator[Tensor | np.ndarray]:
    """All tensors and arrays that can be reached, but those of networks."""
    if id(value) in seen or isinstance(value, nn.Module):
        return
    seen.add(id(value))
    if isinstance(value, Tensor | np.ndarray):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _arrays(item, seen)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _arrays(item, seen)
    elif type(value).__module__.partition(".")[0] in OWN and hasattr(value, "__dict__"):
        yield from _arrays(vars(value), seen)
