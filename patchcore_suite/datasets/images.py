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
from PIL import Image, ImageOps, UnidentifiedImageError

from patchcore_core.common.errors import InputError
from patchcore_core.common.progress import progress_bar
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import Record
from patchcore_suite.datasets.videos import VIDEO_SUFFIXES, open_stack, read_frame

if TYPE_CHECKING:
    from torch import Tensor

# Tags of TIFF: bits a sample, what the lowest value is, and whether channels lie apart.
BITS, PHOTOMETRIC, PLANES = 258, 262, 284
WHITE_IS_ZERO = 0
JPEG2000_SIZES = b"\xff\x4f\xff\x51"  # begins the segment of an image's size, with the bits of a sample less one
DEEP = "deep"  # whether a file is of 16 bits, in the `info` of a decoded image: Pillow keeps them of grey ones only

Item, Result = TypeVar("Item"), TypeVar("Result")


def read_image(record: Record) -> Image.Image:
    """Read an image or a frame as RGB: upright, without alpha, of more than 8 bits the upper 8.

    Raises:
        InputError: the file is missing, damaged, or of a kind whose full range is not known.
    """
    if record.image.suffix.lower() in VIDEO_SUFFIXES:
        return Image.fromarray(read_frame(record.image, record.frame))
    return as_rgb(decode(record.image), record)


def as_rgb(image: Image.Image, record: Record) -> Image.Image:
    """A record's image that is decoded already, as `read_image` gives it.

    Raises:
        InputError: it is of a kind whose full range is not known.
    """
    if image.mode.startswith("I;16"):
        upper = np.asarray(image) >> (record.bits - 8)
        return Image.fromarray(upper.clip(max=255).astype(np.uint8)).convert("RGB")
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
    """The mask as it is stored: (h, w) whole numbers or bool; of a coloured mask the largest channel."""
    if record.mask is None:
        raise InputError(f"no mask: {record.name}", remedy="add its mask, or do without pixel metrics")
    if record.mask.suffix.lower() == ".npy":
        stack = open_stack(record.mask, ndim=3)
        if not 0 <= (record.frame or 0) < len(stack):
            problem = f"unsuitable mask: {record.mask}: frame {record.frame} is wanted of {len(stack)}"
            raise InputError(problem, remedy="fetch the file again")
        return np.asarray(stack[record.frame])
    image = decode(record.mask)
    if _has_alpha(image):
        raise InputError(
            f"unsuitable mask: {record.mask}: transparent in part, so that the defect may lie in colours or in alpha",
            remedy="save it in grey, without an alpha channel",
        )
    if image.mode not in ("1", "L", "I", "F") and not image.mode.startswith("I;16"):
        image = image.convert("RGB")
    values = np.asarray(image)
    if values.dtype.kind == "f":
        raise InputError(f"unsuitable mask: {record.mask}: floating point", remedy="save it with 8 bits")
    if image.info.get(DEEP) and values.ndim == 3 and values.max() < 128:  # all below 256 was read as 0
        raise InputError(
            f"unsuitable mask: {record.mask}: colours of 16 bits, of which the lower 8 are not read",
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


def decode(path: Path) -> Image.Image:
    """Open and decode an image file: upright, and of 16 bits with black at 0.

    Raises:
        InputError: it is missing or damaged, holds several images, or is of a kind that is known to be misread.
    """
    try:
        with Image.open(path) as image:
            frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # MPO: a photograph and its preview
            tags = dict(image.tag_v2) if image.format == "TIFF" else {}
            deep = _is_deep(image, path)
            image.load()
            upright = ImageOps.exif_transpose(image)
    except FileNotFoundError:
        raise InputError(f"no such image: {path}", remedy="restore the file") from None
    except UnidentifiedImageError:
        raise InputError(f"unreadable image: {path}: not an image, or damaged", remedy="replace the file") from None
    except Exception as error:  # what a decoder raises on a damaged file is not defined
        raise InputError(f"unreadable image: {path}: {error}", remedy="replace the file") from None
    if frames > 1:
        raise InputError(f"unsuitable image: {path}: {frames} images in one file", remedy="save each as a file")
    found = _as_it_looks(upright, image.format, tags, path)
    found.info[DEEP] = deep
    return found


def _is_deep(image: Image.Image, path: Path) -> bool:
    """Whether a file that is not loaded yet is of 16 bits; of JPEG 2000 its header tells, of PPM the largest value."""
    if image.format == "JPEG2000":
        with path.open("rb") as file:
            header = file.read(2**16)
        sizes = header.find(JPEG2000_SIZES)
        return sizes >= 0 and header[sizes + 42] & 0x7F == 15
    arguments = str([tile.args for tile in image.tile])
    return ";16" in arguments or (image.format == "PPM" and "65535" in arguments)


def _as_it_looks(image: Image.Image, kind: str | None, tags: dict[int, object], path: Path) -> Image.Image:
    """What Pillow decodes otherwise than it looks, put right; TIFF's tags tell.

    Raises:
        InputError: 16 bits in planes, of which Pillow makes something else without an error.
    """
    bits = tags.get(BITS, ())
    if tags.get(PLANES) == 2 and 16 in bits:
        raise InputError(f"unsuitable image: {path}: 16 bits in planes", remedy="save its channels interleaved")
    if kind == "PPM" and image.mode == "I":  # brought to 16 bits, whatever its largest value is
        return Image.fromarray(np.asarray(image).astype(np.uint16))
    if image.mode.startswith("I;16"):
        values = np.asarray(image)
        if bits and bits[0] < 16:
            values = (values.astype(np.uint32) * 65535 // (2 ** bits[0] - 1)).astype(np.uint16)
        return Image.fromarray(65535 - values if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else values)
    return image


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
