"""Image files as they look, or a refusal where Pillow is known to misread them."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from patchcore_core.common.errors import InputError

# Whatever a file is called: Pillow hands some others, such as EPS, to a program that runs them.
FORMATS = ("BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")

# Tags of TIFF: bits a sample, what the lowest value is, and whether channels lie apart.
BITS, PHOTOMETRIC, PLANES = 258, 262, 284
WHITE_IS_ZERO = 0
JPEG2000_SIZES = b"\xff\x4f\xff\x51"  # begins the segment of an image's size, with the bits of a sample less one
ORIENTATION, UPRIGHT = 274, 1  # EXIF's tag of how an image lies in its file
TURNED = "turned"  # whether EXIF turns or mirrors an image, in its `info`
DEEP = "deep"  # whether a file is of 16 bits, in the `info` of a decoded image: Pillow keeps them of grey ones only


def decode(path: Path) -> Image.Image:
    """Open and decode an image file: upright, and of 16 bits with black at 0.

    Raises:
        InputError: it is missing or damaged, holds several images, or is of a kind that is known to be misread.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # MPO: a photograph and its preview
            tags = dict(image.tag_v2) if image.format == "TIFF" else {}
            deep = _is_deep(image, path)
            image.load()
            turned = image.getexif().get(ORIENTATION, UPRIGHT) != UPRIGHT
            upright = ImageOps.exif_transpose(image)
    except FileNotFoundError:
        raise InputError(f"no such image: {path}", remedy="restore the file") from None
    except UnidentifiedImageError:
        raise InputError(f"unreadable image: {path}: not an image, or damaged", remedy="replace the file") from None
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise InputError(
            f"unreadable image: {path}: more than {most:,} pixels: save it smaller, or as several images",
            remedy="save it smaller, or as several images",
        ) from None
    except Exception as error:  # what a decoder raises on a damaged file is not defined
        raise InputError(f"unreadable image: {path}: {error}", remedy="replace the file") from None
    if frames > 1:
        raise InputError(f"unsuitable image: {path}: {frames} images in one file", remedy="save each as a file")
    found = _as_it_looks(upright, image.format, tags, path)
    found.info |= {DEEP: deep, TURNED: turned}
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
