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
    rows = image.reshape(height, -1)
    raw = np.pad(rows, ((0, 0), (1, 0))).tobytes()  # each row starts with its filter, 0: none
    blocks = [raw[i : i + 0xFFFF] for i in range(0, len(raw), 0xFFFF)]
    data = b"\x78\x01"  # zlib header: deflate, 32 KiB window, no preset dictionary
    for block in blocks:
        size = len(block)
        data += struct.pack("<BHH", block is blocks[-1], size, size ^ 0xFFFF) + block
    data += struct.pack(">I", zlib.adler32(raw))
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if image.ndim == 3 else 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(*chunk) for chunk in chunks))


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_jpeg(path: Path, image: ndarray) -> None:
    """Write (h, w) or (h, w, 3) uint8 as JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_jpeg(image))


def write_avi(path: Path, frames: Sequence[ndarray], *, rate: int = 24) -> None:
    """Write (h, w, 3) uint8 frames as Motion JPEG: an AVI file is a list of JPEG images and an index of it.

    OpenCV's own writer would leave the bytes to whichever of its back ends is installed.
    """
    images = [_jpeg(frame) for frame in frames]
    images = [image + b"\0" * (len(image) % 2) for image in images]  # chunks start at even bytes
    height, width = frames[0].shape[:2]
    count, largest = len(images), max(map(len, images))
    main = struct.pack("<14I", 1_000_000 // rate, largest * rate, 0, 0x10, count, 0, 1, largest, width, height, *[0] * 4)
    stream = struct.pack("<4s4sIHHIIIIIIII4H", b"vids", b"MJPG", 0, 0, 0, 0, 1, rate, 0, count, largest, 0, 0, 0, 0, width, height)
    form = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MJPG", 3 * width * height, 0, 0, 0, 0)
    header = _riff(b"avih", main) + _list(b"strl", _riff(b"strh", stream) + _riff(b"strf", form))
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
