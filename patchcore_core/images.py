"""The door of every method: which images it takes, and what is told of others."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from patchcore_core.common.errors import InputError

Batch = Tensor | NDArray[np.floating[Any]]  # (n, 3, H, W)
Images = Batch | Iterable[Batch | Sequence[Any]]  # all images, or batches of them, alone or before their labels
BATCH = 32  # images that are described at once when all come in one tensor
ROUNDING = 1e-3  # by which resized images may leave [0, 1]
SHOWN = 5  # images that a message names
WANTED = "give RGB images (n, 3, H, W) of floating-point values in [0, 1], not normalised"


def split(images: Images) -> Iterable[object]:
    """Batches of images, as they were given or of those that come in one tensor or array.

    Raises InputError: type, shape or channels of what is there already: one tensor or array, or a sequence of batches.
    """
    given: Any = images
    if isinstance(given, Sequence):
        for batch in cast("Sequence[object]", given):
            _refuse(_problems_of_form(without_labels(batch)))
    elif isinstance(given, Tensor | np.ndarray | np.generic) or not {"__iter__", "__getitem__"} & {*dir(given)}:
        _refuse(_problems_of_form(given))
        whole = cast("Tensor", given)
        return [whole[start : start + BATCH] for start in range(0, len(whole), BATCH)]
    return images


def without_labels(batch: Any) -> Any:
    """The images of a batch (images, labels, ...), as a DataLoader gives it; any other batch as it is.

    Raises InputError: what stands after the images are images, too.
    """
    images, *others = cast("Sequence[Any]", batch if isinstance(batch, list | tuple) and batch else [batch])
    shape = getattr(images, "shape", ())
    if len(shape) == 4 and any(getattr(other, "shape", ()) == shape for other in others):
        _refuse([f"a batch of {len(others) + 1} tensors {tuple(shape)}, of which one alone can be the images"])
    return images


def checked(batch: object, *, first: int, device: torch.device) -> Tensor:
    """The images (n, 3, H, W) of a batch in single precision on the device, if they are what a method takes.

    Args:
        batch: images, alone or before their labels.
        first: the number of its first image, for the message.

    Raises InputError: the type, shape, channels or values of images; all that is wrong with the batch is listed.
    """
    images = without_labels(batch)
    _refuse(_problems_of_form(images))
    if isinstance(images, np.ndarray):
        with np.errstate(over="ignore"):  # what becomes infinite is refused below
            images = torch.tensor(np.ascontiguousarray(images, np.float32))  # torch takes no foreign byte order
    values = cast("Tensor", images).to(device, torch.float32)
    _refuse(_problems_of_values(values, first))
    return values


def _problems_of_form(images: Any) -> list[str]:
    """What is wrong with type, shape and channels."""
    if isinstance(images, np.ma.MaskedArray):
        return ["a masked array, whose mask would be passed over: images.filled(...)"]
    if isinstance(images, Tensor):
        floating = images.is_floating_point()
        if images.layout != torch.strided or images.is_meta or images.is_nested:
            return [f"a tensor of {images.layout} on {images.device}, which holds no array of values"]
    elif isinstance(images, np.ndarray):
        floating = cast("NDArray[Any]", images).dtype.kind == "f"
    else:
        return [f"{type(images).__name__} in place of a tensor or array"]
    form, problems = cast("Batch", images), list[str]()
    if not floating:
        problems.append(f"values are {form.dtype}; if they are whole numbers of 0 to 255: images.float() / 255")
    shape = tuple(form.shape)
    if len(shape) != 4 or shape[1] != 3 or 0 in shape[2:]:
        problems.append(f"shape {shape}{_way_from(shape)}")
    return problems


def _way_from(shape: tuple[int, ...]) -> str:
    """How images of another shape become (n, 3, H, W)."""
    if len(shape) == 3 and shape[0] == 3:
        return ", an image alone: images[None]"
    if len(shape) != 4:
        return ""
    if shape[1] == 1:
        return ", one channel: images.expand(-1, 3, -1, -1)"
    if shape[1] == 4:
        return ", RGBA: images[:, :3]"
    return ", channels last: images.permute(0, 3, 1, 2)" if shape[3] in (1, 3, 4) else ""


def _problems_of_values(images: Tensor, first: int) -> Iterator[str]:
    """What is wrong with the values of (n, 3, H, W), which are read once if nothing is."""
    if not len(images):
        return
    low, high = torch.aminmax(images)  # NaN if any value is
    if low >= -ROUNDING and high <= 1 + ROUNDING:
        return
    finite = images.isfinite()
    if not finite.all():
        yield f"NaN or infinite values in {_numbers(~finite, first)}"
    outside = finite & ((images < -ROUNDING) | (images > 1 + ROUNDING))
    if outside.any():
        low, high = (float(end) for end in torch.aminmax(images[finite]))
        way = "they were normalised" if low < -ROUNDING else "if they are of 0 to 255: images / 255"
        yield f"values of {low:.4g} to {high:.4g} in {_numbers(outside, first)}; {way}"


def _numbers(where: Tensor, first: int) -> str:
    """The images in which something (n, 3, H, W) holds anywhere, as words."""
    numbers = [first + int(i) for i in where.flatten(1).any(dim=1).nonzero()]
    more = f" and {len(numbers) - SHOWN} more" * (len(numbers) > SHOWN)
    return f"image{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers[:SHOWN]))}{more}"


def _refuse(problems: Iterable[str]) -> None:
    offenders = list(problems)
    if offenders:
        raise InputError("these images cannot be used", offenders=offenders, remedy=WANTED)
