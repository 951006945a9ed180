"""TIFF files of one channel: 8 bits, and floating point of 16 bits, which Pillow neither writes nor reads."""

import struct
from pathlib import Path

from numpy import ndarray

from patchcore_core.common.files import atomic_path

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, OFFSETS = 256, 257, 258, 259, 262, 273
SAMPLES, ROWS, COUNTS, FORMAT = 277, 278, 279, 339
SHORT, LONG = 3, 4  # types of values
UNSIGNED, FLOATING = 1, 3  # formats of samples
PLAIN, BLACK_IS_ZERO = 1, 1


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
