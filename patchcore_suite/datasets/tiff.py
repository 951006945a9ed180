"""TIFF files of one channel: 8 bits, and floating point of 16 bits, which Pillow neither writes nor reads."""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy import ndarray
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import atomic_path

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, OFFSETS = 256, 257, 258, 259, 262, 273
SAMPLES, ROWS, COUNTS, PREDICTOR, FORMAT = 277, 278, 279, 317, 339
SHORT, LONG = 3, 4  # types of values
UNSIGNED, SIGNED, FLOATING = 1, 2, 3  # formats of samples
PLAIN, DEFLATED, BLACK_IS_ZERO = 1, 8, 1


def write_tiff(path: Path, image: ndarray) -> None:
    """Write (h, w) uint8 or float16, uncompressed and in one strip: the same pixels give the same bytes."""
    height, width = image.shape
    kind = {"u1": UNSIGNED, "f2": FLOATING}[image.dtype.str[1:]]
    data = image.astype(image.dtype.newbyteorder("<")).tobytes()
    tags = [
        (WIDTH, LONG, width),
        (HEIGHT, LONG, height),
        (BITS, SHORT, 8 * image.dtype.itemsize),
        (COMPRESSION, SHORT, PLAIN),
        (PHOTOMETRIC, SHORT, BLACK_IS_ZERO),
        (OFFSETS, LONG, 8),
        (SAMPLES, SHORT, 1),
        (ROWS, LONG, height),
        (COUNTS, LONG, len(data)),
        (FORMAT, SHORT, kind),
    ]
    directory = b"".join(struct.pack("<HHII", tag, type_, 1, value) for tag, type_, value in tags)
    padding = b"\0" * (len(data) % 2)  # a directory begins at an even byte
    header = struct.pack("<2sHI", b"II", 42, 8 + len(data) + len(padding))
    with atomic_path(path) as temporary:
        end = struct.pack("<H", len(tags)) + directory + struct.pack("<I", 0)
        temporary.write_bytes(header + data + padding + end)


@dataclass(frozen=True)
class TiffImage:
    """What a TIFF file holds, as far as its directory says.

    Attributes:
        size: (height, width).
        kind: of a value, such as "float16".
        channels: values a pixel.
        images: 1, or 2 where it holds more than one.
        values: (height, width) of one channel; None where they are packed in a way that is not read here.
    """

    size: tuple[int, int]
    kind: str
    channels: int
    images: int
    values: ndarray | None


def read_tiff(path: Path) -> TiffImage:
    """Read a TIFF file; values only of one channel, in strips that are plain or deflated.

    Raises:
        InputError: it is missing, damaged, or no TIFF file.
    """
    try:
        with path.open("rb") as file:
            header = file.read(8)
            header += file.read(8) if header[2:3] == b"\x2b" else b""  # a larger one, of files above 4 GB
            tags = ImageFileDirectory_v2(header)
            file.seek(tags.next)
            tags.load(file)
            size, channels = (tags[HEIGHT], tags[WIDTH]), tags.get(SAMPLES, 1)
            name = {UNSIGNED: "uint", SIGNED: "int", FLOATING: "float"}.get(tags.get(FORMAT, (UNSIGNED,))[0], "complex")
            kind = f"{name}{tags[BITS][0]}"
            packing = (tags.get(COMPRESSION, PLAIN), tags.get(PREDICTOR, PLAIN), channels)
            values = None
            if packing in ((PLAIN, PLAIN, 1), (DEFLATED, PLAIN, 1)) and OFFSETS in tags and kind != "complex":
                values = _values(file, tags, np.dtype(kind).newbyteorder("<" if header[:2] == b"II" else ">"))
        return TiffImage(size, kind, channels, 2 if tags.next else 1, values)
    except Exception as error:  # what a decoder raises on a damaged file is not defined
        raise InputError(f"unreadable TIFF file: {path}: {error}", remedy="write it again") from None


def _values(file: BinaryIO, tags: ImageFileDirectory_v2, kind: np.dtype) -> ndarray:
    strips = []
    for offset, count in zip(tags[OFFSETS], tags[COUNTS], strict=True):
        file.seek(offset)
        strip = file.read(count)
        strips.append(zlib.decompress(strip) if tags.get(COMPRESSION, PLAIN) == DEFLATED else strip)
    return np.frombuffer(b"".join(strips), kind).reshape(tags[HEIGHT], tags[WIDTH])
