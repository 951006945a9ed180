"""A GPU that is not there: tensors that are on it by all they say, with values that a CPU computes.

Which devices may meet in one operation is decided by torch's FakeTensorMode, so that a tensor that was left on the CPU
is found without a GPU. Values are real: what depends on them is walked through, too, and results can be compared.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensorMode
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

GPU = torch.device("cuda", 0)
FAKES = FakeTensorMode()


class OnGpu(Tensor):
    """A tensor that says it is on the GPU; its values lie in a tensor of the CPU."""

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> "OnGpu":
        found = Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=GPU,
            requires_grad=values.requires_grad,
        )
        found.values = values
        return found

    def __repr__(self) -> str:
        return f"OnGpu({self.values!r})"

    def tolist(self) -> list:
        """As of a GPU's tensor; torch refuses it to other kinds of tensors."""
        return self.values.tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _on_values(func, args, kwargs or {})


class _AbsentGpu(FakeTensorMode):
    """Makes values where FakeTensorMode makes none; by its class, torch looks for no driver."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _on_values(func, args, kwargs or {})


@contextmanager
def absent_gpu() -> Iterator[torch.device]:
    """The device "cuda", to be used inside of the `with`."""
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # else a module keeps its own kind of parameters
    try:
        with _AbsentGpu():
            yield GPU
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)


def _on_values(func, args, kwargs):
    """Do with the values what was asked for, and leave on the GPU what would be there.

    Raises:
        RuntimeError: tensors or a generator of two devices meet that may not.
    """
    given, form = tree_flatten((args, kwargs))
    tensors = [one for one in given if isinstance(one, Tensor)]
    wanted = next((one for one in given if isinstance(one, torch.device)), None)
    if wanted is None and len({one.device for one in tensors}) > 1:
        on_gpu = _meeting(func, given, form)
    else:
        on_gpu = (wanted or next((one.device for one in tensors), torch.device("cpu"))).type == GPU.type
    if on_gpu and kwargs.get("generator") is not None:
        raise RuntimeError(f"{func}: the GPU cannot draw with a generator of the CPU")
    args, kwargs = tree_map_only(torch.device, lambda _: torch.device("cpu"), (args, kwargs))
    args, kwargs = tree_map_only(OnGpu, lambda one: one.values, (args, kwargs))
    computed = func(*args, **kwargs)
    if not on_gpu:
        return computed
    changed = {id(one.values): one for one in tensors if isinstance(one, OnGpu)}
    return tree_map_only(Tensor, lambda one: changed.get(id(one), OnGpu(one)), computed)


def _meeting(func, given, form) -> bool:
    """Whether the result is on the GPU, where tensors of both devices meet."""
    first, *others = (one.device for one in given if isinstance(one, Tensor))
    if func is torch.ops.aten.index.Tensor and first.type == "cpu":  # which FakeTensorMode lets pass
        raise RuntimeError(f"{func}: a tensor on the CPU is indexed by one on {others}")
    with FAKES:
        args, kwargs = tree_unflatten([_fake(one) if isinstance(one, Tensor) else one for one in given], form)
        try:
            found = func(*args, **kwargs)
        except DynamicOutputShapeException:  # a mask on the CPU: devices are right
            return True
    return any(one.device.type == GPU.type for one in tree_flatten(found)[0] if isinstance(one, Tensor))


def _fake(one: Tensor) -> Tensor:
    return torch.empty_strided(one.shape, one.stride(), dtype=one.dtype, device=one.device)
