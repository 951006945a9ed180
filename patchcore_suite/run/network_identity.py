"""What tells a caller's network from another when it is made again: its code and values, without an image."""

import functools
import hashlib
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from types import CellType, CodeType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from patchcore_core.common.errors import InputError

BOOKKEEPING = vars(nn.Module()).keys() - {"_forward_hooks", "_forward_pre_hooks"}  # parts and tensors are told apart
OWN = [str(Path(__file__).parents[2] / name) for name in ("patchcore_core", "patchcore_suite")]
LIBRARIES = (*(sysconfig.get_path(of) for of in ("stdlib", "purelib", "platlib")), *OWN)
PLAIN = (bool, int, float, complex, str, bytes, type(None), Enum, np.generic, torch.dtype, torch.device)


def network_sha256(network: Callable[..., object]) -> str:
    """SHA-256 of a network: its parts, their parameters, buffers and plain attributes, and what their code does.

    Functions and values that this code names count, too; what installed libraries define counts by its name. Code is
    compared as this version of Python compiles it.

    Raises:
        InputError: it is no `nn.Module`, so that nothing tells it from another later.
    """
    if not isinstance(network, nn.Module):
        raise InputError(
            f"{network!r} is no nn.Module, so that nothing would tell it from another network later",
            remedy="wrap it in an nn.Module",
        )
    return fingerprint(network)


def fingerprint(value: object) -> str:
    """SHA-256 of all that is known of a value now."""
    digest = hashlib.sha256()
    for fact in _facts(value, set()):
        digest.update(len(fact).to_bytes(8, "big") + fact)
    return digest.hexdigest()


def _facts(value: Any, seen: set[int]) -> Iterator[bytes]:
    """All that is known of a value, in an order that is the same in every process."""
    yield type(value).__qualname__.encode()
    if isinstance(value, PLAIN):
        yield repr(cast("object", value)).encode()
    elif isinstance(value, ModuleType):
        yield value.__name__.encode()
    elif isinstance(value, Tensor):
        yield repr((value.dtype, tuple(value.shape))).encode()
        yield value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    elif isinstance(value, np.ndarray):
        array = cast("NDArray[Any]", value)
        yield repr((array.dtype.str, array.shape)).encode() + array.tobytes()
    elif isinstance(value, list | tuple):
        for item in cast("list[Any]", value):
            yield from _facts(item, seen)
    elif isinstance(value, set | frozenset):
        yield from sorted(b" ".join(_facts(item, seen)) for item in cast("set[Any]", value))
    elif isinstance(value, Mapping):
        for key, item in cast("Mapping[Any, Any]", value).items():
            yield from _facts((key, item), seen)
    elif id(value) in seen:
        return
    elif isinstance(value, nn.Module):
        yield from _of_module(value, seen)
    elif isinstance(value, type):
        yield from _of_class(value, seen)
    elif isinstance(value, FunctionType | CodeType):
        yield from _of_code(value, seen)
    elif isinstance(value, MethodType | staticmethod | classmethod):
        yield from _facts(value.__func__, seen)
    elif isinstance(value, property | functools.cached_property):
        yield from _facts(value.fget if isinstance(value, property) else value.func, seen)
    elif isinstance(value, functools.partial):
        yield from _facts((value.func, value.args, value.keywords), seen)
    elif isinstance(value, SimpleNamespace) or (
        hasattr(value, "__dict__") and not _in_library(type(cast("object", value)))
    ):
        seen.add(id(value))
        yield from _facts(vars(value), seen)


def _in_library(kind: type) -> bool:
    return (getattr(sys.modules.get(kind.__module__), "__file__", None) or "").startswith(LIBRARIES)


def _of_module(network: nn.Module, seen: set[int]) -> Iterator[bytes]:
    for name, part in cast("Iterator[tuple[str, nn.Module]]", network.named_modules()):
        seen.add(id(part))
        yield from (name.encode(), *_facts(type(part), seen))
        for attribute, value in sorted(vars(part).items()):
            if attribute.startswith("_forward_"):  # hooks, by numbers that count all hooks of the process
                value = [*value.values()]
            if attribute not in BOOKKEEPING:
                yield from _facts((attribute, value), seen)
        if isinstance(part, torch.jit.ScriptModule):
            yield str(part.code).encode()
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        yield from _facts((name, tensor), seen)


def _of_class(kind: type, seen: set[int]) -> Iterator[bytes]:
    seen.add(id(kind))
    for base in kind.__mro__:
        yield base.__qualname__.encode()
        for name, value in () if _in_library(base) else vars(base).items():
            if not name.startswith("__") or isinstance(value, FunctionType):
                yield from _facts((name, value), seen)


def _of_code(of: FunctionType | CodeType, seen: set[int]) -> Iterator[bytes]:
    seen.add(id(of))
    code = of.__code__ if isinstance(of, FunctionType) else of
    yield code.co_qualname.encode()
    if code.co_filename.startswith(LIBRARIES):
        return
    if isinstance(of, FunctionType):
        closure = [cell.cell_contents for cell in of.__closure__ or () if cell != CellType()]
        yield from _facts((of.__defaults__, of.__kwdefaults__, closure), seen)
        yield from _facts([(name, of.__globals__.get(name)) for name in _names(code)], seen)
    yield code.co_code
    yield from _facts((code.co_names, code.co_consts), seen)


def _names(code: CodeType) -> list[str]:
    """Names of globals and attributes that code mentions, functions within it too."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return [*code.co_names, *(name for part in inner for name in _names(part))]
