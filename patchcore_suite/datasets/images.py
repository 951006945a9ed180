"""Image files become tensors, and masks become arrays, in the same way everywhere.

Torch, which takes seconds to import, is imported where images become tensors: what only asks how they would be, as
params.yaml does, goes without.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from PIL import Image

from patchcore_core.common.errors import InputError
from patchcore_core.common.progress import progress_bar
from patchcore_suite.datasets.decoding import DEEP, decode
from patchcore_suite.datasets.listing import mask_files
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import Record
from patchcore_suite.datasets.videos import VIDEO_SUFFIXES, open_stack, read_frame

if TYPE_CHECKING:
    from torch import Tensor

Item, Result = TypeVar("Item"), TypeVar("Result")


def read_image(record: Record) -> Image.Image:
    """Read an image or a frame as RGB: upright, without alpha, of more than 8 bits the upper 8; turned by `rotation`.

    Raises:
        InputError: the file is missing, damaged, or of a kind whose full range is not known.
    """
    if record.image.suffix.lower() in VIDEO_SUFFIXES:
        image = Image.fromarray(read_frame(record.image, record.frame))
    else:
        image = as_rgb(decode(record.image), record)
    return turned(image, record.rotation) if record.rotation else image


def turned(image: Image.Image, degrees: float) -> Image.Image:
    """An image turned about its centre, counter-clockwise, at its own size; what comes in at its sides is mirrored.

    Bilinear, as Damm et al. (2024) do it. Departs from their code: it turns about a point half a pixel beside the
    centre, so that a half turn is a pixel off.
    """
    import cv2  # masks and manifests are read without it

    centre = (image.width - 1) / 2, (image.height - 1) / 2
    matrix = cv2.getRotationMatrix2D(centre, degrees, 1.0)
    pixels = np.asarray(image)
    return Image.fromarray(
        cv2.warpAffine(pixels, matrix, image.size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    )


def as_rgb(image: Image.Image, record: Record) -> Image.Image:
    """A record's image that is decoded already, as `read_image` gives it.

    Raises:
        InputError: it is of a kind whose full range is not known.
    """
    if image.mode.startswith("I;16"):
        upper = np.asarray(image) >> (record.bits - 8)
        if upper.max() > 255:
            problem = (
                f"unsuitable image: {record.image}: values above {2**record.bits - 1}, which {record.bits} bits hold"
            )
            raise InputError(problem, remedy="give images of the camera that all others are of")
        return Image.fromarray(upper.astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise InputError(
            f"unsuitable image: {record.image}: 32 bits a pixel or signed, of unknown range",
            remedy="save it with 8 or 16 bits",
        )
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def image_tensor(image: Image.Image, preprocessing: Preprocessing) -> "Tensor":
    """Bring an RGB image to size; bilinear and antialiased, as torchvision does.

    Returns:
        (3, h, w) float32 in [0, 1].
    """
    import torch  # masks and manifests are read without it

    pixels = np.array(_fit(image, preprocessing, Image.Resampling.BILINEAR))
    return torch.from_numpy(pixels).permute(2, 0, 1).to(torch.float32, memory_format=torch.contiguous_format) / 255


def read_mask(record: Record) -> np.ndarray:
    """Read the ground truth at the image's own size.

    Returns:
        (h, w) bool, True on the defect; all False for a nominal image.

    Raises:
        InputError: the image is anomalous and has no mask, or the mask cannot be read.
    """
    if record.label == 0:
        image = read_image(record)
        return np.zeros((image.height, image.width), dtype=bool)
    return foreground(mask_values(record))


def mask_array(mask: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Bring a (h, w) bool mask to the size of its image by the rule `preprocessing.masks`, with the same crop."""
    if preprocessing.masks == "bilinear":
        grey = Image.fromarray(mask.astype(np.uint8) * 255)
        return np.asarray(_fit(grey, preprocessing, Image.Resampling.BILINEAR)) == 255
    return np.asarray(_fit(Image.fromarray(mask), preprocessing, Image.Resampling.NEAREST))


def mask_values(record: Record) -> np.ndarray:
    """The mask as it is stored: (h, w) whole numbers or bool; of a coloured mask the largest channel.

    Of several masks in a folder, (h, w) bool: where any of them shows a defect.
    """
    if record.mask is None:
        raise InputError(f"no mask: {record.name}", remedy="add its mask, or do without pixel metrics")
    if record.mask.is_dir():
        return _joined(record.mask)
    if record.mask.suffix.lower() == ".npy":
        stack = open_stack(record.mask, ndim=3)
        if not 0 <= (record.frame or 0) < len(stack):
            problem = f"unsuitable mask: {record.mask}: frame {record.frame} is wanted of {len(stack)}"
            raise InputError(problem, remedy="fetch the file again")
        return np.asarray(stack[record.frame])
    return _decoded_mask(record.mask)


def _joined(folder: Path) -> np.ndarray:
    """Where any of the masks in a folder shows a defect."""
    each = {file: foreground(_decoded_mask(file)) for file in mask_files(folder)}
    if not each:
        raise InputError(f"no mask in the folder {folder}", remedy="restore the masks of this image")
    if len({mask.shape for mask in each.values()}) > 1:
        sizes = ", ".join(f"{file.name} {mask.shape}" for file, mask in each.items())
        raise InputError(f"masks of several sizes in {folder}: {sizes}", remedy="restore the masks of this image")
    return np.logical_or.reduce(list(each.values()))


def _decoded_mask(path: Path) -> np.ndarray:
    image = decode(path)
    if _has_alpha(image):
        raise InputError(
            f"unsuitable mask: {path}: transparent in part, so that the defect may lie in colours or in alpha",
            remedy="save it in grey, without an alpha channel",
        )
    if image.mode in ("LAB", "HSV"):
        raise InputError(
            f"unsuitable mask: {path}: colours of kind {image.mode}", remedy="save it in grey, with 8 bits"
        )
    if image.mode not in ("1", "L", "I", "F") and not image.mode.startswith("I;16"):
        image = image.convert("RGB")
    values = np.asarray(image)
    if values.dtype.kind == "i" and values.min() < 0:
        problem = f"unsuitable mask: {path}: values below 0, which is background"
        raise InputError(problem, remedy="save it with 8 bits, background 0")
    if values.dtype.kind == "f":
        raise InputError(f"unsuitable mask: {path}: floating point", remedy="save it with 8 bits")
    if image.info.get(DEEP) and values.ndim == 3 and values.max() < 128:  # all below 256 was read as 0
        raise InputError(
            f"unsuitable mask: {path}: colours of 16 bits, of which the lower 8 are not read",
            remedy="save it in grey, or with 8 bits",
        )
    return values if values.ndim == 2 else values.max(axis=2)


def foreground(values: np.ndarray) -> np.ndarray:
    """Where a stored mask shows a defect: values in the upper half of its type's range, or not 0 if none is.

    So 0/255 and 0/1 masks and numbered regions all work, and the soft edges of MTD's masks are cut at one half.
    """
    if values.dtype == bool:
        return values
    half = np.iinfo(values.dtype).max // 2 + 1
    return values >= (half if values.max() >= half else 1)


class Batches(Iterator["Tensor"]):
    """Images read in order, some at a time; `operator.length_hint` says how many batches are left.

    Args:
        batch_size: images of a batch.
        workers: threads that read ahead.
        description: shows a progress bar of this name.

    Yields:
        (n, 3, h, w) float32 in [0, 1].

    Raises:
        InputError: an image cannot be read, or comes out in another size than the first.
    """

    def __init__(
        self,
        records: Sequence[Record],
        preprocessing: Preprocessing,
        batch_size: int,
        *,
        workers: int = 0,
        description: str | None = None,
    ) -> None:
        self._left = -(-len(records) // batch_size)
        self._read = _read_batches(records, preprocessing, batch_size, workers, description)

    def __next__(self) -> "Tensor":
        batch = next(self._read)
        self._left -= 1
        return batch

    def __length_hint__(self) -> int:
        return self._left


def _read_batches(
    records: Sequence[Record], preprocessing: Preprocessing, batch_size: int, workers: int, description: str | None
) -> Iterator["Tensor"]:
    import torch

    parts = [records[start : start + batch_size] for start in range(0, len(records), batch_size)]

    def read(part: Sequence[Record]) -> list["Tensor"]:
        return [image_tensor(read_image(record), preprocessing) for record in part]

    size = None
    with progress_bar(len(records), description or "", unit="image", show=description is not None) as bar:
        for part, tensors in zip(parts, map_ahead(read, parts, workers), strict=True):
            for record, tensor in zip(part, tensors, strict=True):
                size = size or tensor.shape[1:]
                if tensor.shape[1:] != size:
                    raise InputError(
                        f"images of different sizes cannot be used together after resize={preprocessing.resize}",
                        offenders=[f"{records[0].name}: {tuple(size)}", f"{record.name}: {tuple(tensor.shape[1:])}"],
                        remedy="give resize as [height, width], or add a crop",
                    )
            yield torch.stack(tensors)
            bar.update(len(part))


def map_ahead(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """Like `map`, with `workers` threads that run a little ahead of the caller; 0 works in the caller's own."""
    if workers == 0:
        yield from map(function, items)
        return
    pool, waiting = ThreadPoolExecutor(workers), deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _has_alpha(image: Image.Image) -> bool:
    """Whether anything of an image is transparent."""
    if "transparency" in image.info:
        image = image.convert("RGBA")
    bands = image.getbands()
    return bands[-1] in ("A", "a") and image.getchannel(len(bands) - 1).getextrema()[0] < 255


def _fit(image: Image.Image, preprocessing: Preprocessing, resampling: Image.Resampling) -> Image.Image:
    """Resize and crop as torchvision does, to the last bit, without the seconds that it takes to import."""
    shape = (image.height, image.width)
    (height, width), size = preprocessing.resized(shape), preprocessing.size(shape)
    resized = image.resize((width, height), resampling)
    top, left = (round((whole - kept) / 2) for whole, kept in zip((height, width), size, strict=True))
    return resized.crop((left, top, left + size[1], top + size[0]))
