"""Image and video files whose bytes depend on the pixels alone."""

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy import ndarray
from PIL import Image


def write_png(path: Path, image: ndarray) -> None:
    """Write (h, w) or (h, w, 3) uint8 as PNG, without compression.

    The same pixels compress to other bytes with another zlib (zlib-ng, for one), so the image data go into stored
    blocks, whose form leaves no choice.
    """
    height, width = image.shape[:2]
    data = np.pad(image.reshape(height, -1), ((0, 0), (1, 0))).tobytes()  # each row begins with its filter: 0, none
    stored = [b"\x78\x01"]  # zlib's header: deflate, 32 KiB window, no dictionary
    for start in range(0, len(data), 0xFFFF):
        block = data[start : start + 0xFFFF]
        last = start + len(block) == len(data)
        stored += [struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF), block]
    stored.append(struct.pack(">I", zlib.adler32(data)))
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if image.ndim == 3 else 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", b"".join(stored)), (b"IEND", b""))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(*chunk) for chunk in chunks))


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_bmp(path: Path, image: ndarray) -> None:
    """Write (h, w) or (h, w, 3) uint8 as BMP: rows from the lowest up, each of a multiple of four bytes, blue first."""
    height, width = image.shape[:2]
    colours = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image[..., ::-1]
    rows = colours[::-1].reshape(height, -1)
    data = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))).tobytes()
    header = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54 + len(data), 0, 0, 54, 40, width, height, 1, 24, 0, len(data),
                         2835, 2835, 0, 0)  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + data)


def write_jpeg(path: Path, image: ndarray) -> None:
    """Write (h, w) or (h, w, 3) uint8 as JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_jpeg(image))


def write_avi(path: Path, frames: Sequence[ndarray], *, rate: int = 24) -> None:
    """Write (h, w, 3) uint8 frames as Motion JPEG: an AVI file is a list of JPEG images and an index of it.

    OpenCV's own writer would leave the bytes to whichever of its back ends is installed.
    """
    images = [_jpeg(frame) for frame in frames]
    images = [image + b"\0" * (len(image) % 2) for image in images]  # a chunk begins at an even byte
    (height, width), count, largest = frames[0].shape[:2], len(images), max(map(len, images))
    main = (1_000_000 // rate, largest * rate, 0, 0x10, count, 0, 1, largest, width, height, 0, 0, 0, 0)
    stream = (b"vids", b"MJPG", 0, 0, 0, 0, 1, rate, 0, count, largest, 0, 0, 0, 0, width, height)
    form = (40, width, height, 1, 24, b"MJPG", 3 * width * height, 0, 0, 0, 0)
    strh = _riff(b"strh", struct.pack("<4s4sIHHIIIIIIII4H", *stream))
    strf = _riff(b"strf", struct.pack("<IiiHH4sIiiII", *form))
    header = _riff(b"avih", struct.pack("<14I", *main)) + _list(b"strl", strh + strf)
    places = np.cumsum([4] + [8 + len(image) for image in images[:-1]])
    index = b"".join(struct.pack("<4sIII", b"00dc", 0x10, int(p), len(i)) for p, i in zip(places, images, strict=True))
    movie = b"".join(_riff(b"00dc", image) for image in images)
    body = _list(b"hdrl", header) + _list(b"movi", movie) + _riff(b"idx1", index)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_riff(b"RIFF", b"AVI " + body))


def _jpeg(image: ndarray) -> bytes:
    """Baseline JPEG; libjpeg-turbo's integer transform and its standard tables give the same bytes everywhere."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=92, subsampling=0, optimize=False, progressive=False)
    return file.getvalue()


def _riff(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data


def _list(kind: bytes, data: bytes) -> bytes:
    return _riff(b"LIST", kind + data)


def write_npy(path: Path, array: ndarray) -> None:
    """Write an array in NumPy's own format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array, allow_pickle=False)
