"""Images and masks that are broken or odd: each lies among good ones, and their folder is looked at as for a run."""

import io
import shutil
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import tifffile
from faults.inputs import Gives, Input, Make, Refused, Remarked
from PIL import Image
from toy_folders import SIZE, mvtec_folder, save_image

from patchcore_suite.datasets.images import read_image, read_mask
from patchcore_suite.datasets.inspection import build_manifest
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.datasets.records import Record
from patchcore_suite.datasets.spec import DatasetSpec

TRAINING, DEFECTIVE, MASKS = Path("part/train/good"), Path("part/test/scratch"), Path("part/ground_truth/scratch")
STEM = "009"
NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
PIXELS = np.arange(0, 252, 14, dtype=np.uint8).reshape(2, 3, 3)
GREY = np.full((8, 8, 3), 128, np.uint8)  # which JPEG keeps as it is
DEEP = np.array([[0, 255, 256, 4660], [32768, 40000, 65280, 65535]], np.uint16)
MASK = np.zeros(SIZE, dtype=bool)
MASK[:4, :4] = True
CUT = {"PNG": "png", "JPEG": "jpg", "GIF": "gif", "WEBP": "webp", "TIFF": "tif", "BMP": "bmp", "TGA": "tga"}
CUT |= {"PPM": "ppm", "JPEG2000": "jp2"}
# How EXIF's orientations look: what is done to the rows and columns that are stored.
TURNED = {
    2: np.fliplr(PIXELS),
    3: np.flipud(np.fliplr(PIXELS)),
    4: np.flipud(PIXELS),
    5: PIXELS.swapaxes(0, 1),
    6: np.fliplr(PIXELS.swapaxes(0, 1)),
    7: np.flipud(np.fliplr(PIXELS.swapaxes(0, 1))),
    8: np.flipud(PIXELS.swapaxes(0, 1)),
}


def encoded(pixels: np.ndarray | Image.Image, kind: str = "PNG", **how: object) -> bytes:
    """The bytes of a file of a kind that Pillow writes."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def cut(content: bytes) -> bytes:
    return content[: len(content) * 3 // 5]


def flipped(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 16
    return bytes(changed)


def looked_at(root: Path) -> Manifest:
    """What the suite finds in a folder."""
    return build_manifest("toy", root, DatasetSpec(source=str(root), layout="mvtec"))


def remarks(root: Path) -> str:
    return "\n".join(looked_at(root).warnings)


def image_of(root: Path) -> object:
    """The pixels of the odd image, as they are read."""
    return np.asarray(read_image(_record(root, STEM, "train"))).tolist()


def mask_of(root: Path) -> object:
    """Where the odd mask shows a defect."""
    return read_mask(_record(root, "000", "scratch")).tolist()


def _record(root: Path, stem: str, folder: str) -> Record:
    found = [entry.record for entry in looked_at(root).entries["part"]]
    (record,) = [one for one in found if one.image.stem == stem and folder in one.image.parts]
    return record


def image(ending: str, content: bytes) -> Make:
    """An image among good ones."""

    def make(root: Path) -> None:
        mvtec_folder(root)
        (root / TRAINING / f"{STEM}.{ending}").write_bytes(content)

    return make


def mask(ending: str, content: bytes) -> Make:
    """A mask in place of a good one."""

    def make(root: Path) -> None:
        mvtec_folder(root)
        (root / MASKS / "000_mask.png").unlink()
        (root / MASKS / f"000_mask.{ending}").write_bytes(content)

    return make


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def inputs(shared: Path) -> Iterator[Input]:
    yield from damaged_images()
    yield from unsuitable_images()
    yield from odd_images()
    yield from refused_masks()
    yield from odd_masks()


def damaged_images() -> Iterator[Input]:
    huge = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0))
    wide = bytearray(encoded(NOISE, "BMP"))
    struct.pack_into("<i", wide, 18, 2**31 - 1)
    files = {f"a {kind} that is cut": (ending, cut(encoded(NOISE, kind))) for kind, ending in CUT.items()}
    files |= {
        "a deflated TIFF that is cut": ("tif", cut(encoded(NOISE, "TIFF", compression="tiff_deflate"))),
        "a PNG with a changed bit": ("png", flipped(encoded(NOISE))),
        "a PNG without pixels": ("png", encoded(NOISE)[:8]),
        "a GIF without an image": ("gif", b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"),
        "a PNG of 400 million pixels": ("png", huge + chunk(b"IDAT", b"") + chunk(b"IEND", b"")),
        "a BMP that claims to be 2^31 wide": ("bmp", bytes(wide)),
        "a pixmap of no pixels": ("ppm", b"P6 0 0 255\n"),
        "a graymap whose largest value is 0": ("pgm", b"P5 4 4 0\n" + bytes(16)),
        "a Targa of no pixels": ("tga", bytes([0, 0, 2, *[0] * 13, 24, 0])),
        "a JPEG without a scan": ("jpg", b"\xff\xd8\xff\xd9"),
        "a TIFF without a page": ("tif", b"II*\0\x08" + bytes(9)),
        "an empty file": ("png", b""),
        "an SVG called PNG": ("png", b'<svg xmlns="http://www.w3.org/2000/svg"/>'),
        "a web page called JPEG": ("jpg", b"<!doctype html><title>404</title>"),
        "a ZIP called PNG": ("png", b"PK\x05\x06" + bytes(18)),
        "a pickle called PNG": ("png", b"\x80\x04}\x94."),
        "an OpenEXR called PNG": ("png", b"\x76\x2f\x31\x01" + bytes(99)),
        "a pointer of Git LFS": ("png", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
    }
    for name, (ending, content) in files.items():
        yield Input(name, image(ending, content), looked_at, Refused([f"{STEM}.{ending}", "unreadable image"]))


def unsuitable_images() -> Iterator[Input]:
    frames = {"save_all": True, "append_images": [Image.fromarray(GREY)]}
    for kind, ending in (("WEBP", "webp"), ("GIF", "gif"), ("PNG", "png"), ("TIFF", "tif")):
        make = image(ending, encoded(NOISE[:8, :8], kind, **frames))
        yield Input(f"a {kind} of two images", make, looked_at, Refused([f"{STEM}.{ending}", "2 images in one file"]))
    for kind in (np.int32, np.float32):
        make = image("tif", encoded(GREY[..., 0].astype(kind), "TIFF"))
        yield Input(f"a TIFF of {kind.__name__}", make, looked_at, Refused([f"{STEM}.tif", "of unknown range"]))
    planes = io.BytesIO()
    tifffile.imwrite(planes, np.zeros((3, 8, 8), np.uint16), photometric="rgb", planarconfig="separate")
    make = image("tif", planes.getvalue())
    yield Input("a TIFF of 16 bits in planes", make, looked_at, Refused([f"{STEM}.tif", "16 bits in planes"]))
    colours = cv2.imencode(".png", np.full((8, 8, 3), 4000, np.uint16))[1].tobytes()
    yield Input("12 of 16 bits in colours", image("png", colours), looked_at, Refused(["stretch them to 16"]))


def odd_images() -> Iterator[Input]:
    def gives(name: str, ending: str, content: bytes, pixels: np.ndarray) -> Input:
        wanted = pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=2)
        return Input(name, image(ending, content), image_of, Gives(wanted.tolist()))

    for orientation, pixels in TURNED.items():
        exif = Image.Exif()
        exif[274] = orientation
        yield gives(f"an image that EXIF turns by {orientation}", "png", encoded(PIXELS, exif=exif), pixels)
    grey, clear = PIXELS[..., 0], np.dstack([PIXELS, np.zeros(PIXELS.shape[:2], np.uint8)])
    palette = Image.fromarray(np.array([[0, 1, 2], [2, 1, 0]], np.uint8))
    palette.putpalette([9, 8, 7, 99, 98, 97, 255, 0, 1])
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    white = io.BytesIO()
    tifffile.imwrite(white, DEEP, photometric="miniswhite")
    yield gives("a PNG in upper case", "PNG", encoded(PIXELS), PIXELS)
    yield gives("a BMP called PNG", "png", encoded(PIXELS, "BMP"), PIXELS)
    yield gives("an image of one pixel", "png", encoded(PIXELS[:1, :1]), PIXELS[:1, :1])
    yield gives("an image of one bit", "png", encoded(grey > 100), np.where(grey > 100, 255, 0))
    yield gives("grey with alpha", "png", encoded(np.dstack([grey, grey])), grey)
    yield gives("colours that are transparent", "png", encoded(clear), PIXELS)
    yield gives("a colour that stands for transparency", "png", encoded(PIXELS, transparency=(0, 14, 28)), PIXELS)
    colours = np.array([[[9, 8, 7], [99, 98, 97], [255, 0, 1]], [[255, 0, 1], [99, 98, 97], [9, 8, 7]]])
    yield gives("a palette", "png", encoded(palette), colours)
    yield gives("a palette with transparency", "png", encoded(palette, transparency=0), colours)
    yield gives("CMYK", "jpg", encoded(red, "JPEG"), np.full((8, 8, 3), (255, 0, 0)))
    stereo = encoded(GREY, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    yield gives("a photograph with its preview", "jpg", stereo, GREY)
    yield gives("16 bits", "png", encoded(DEEP), DEEP >> 8)
    yield gives("16 bits, the larger byte first", "tif", encoded(DEEP.astype(">u2"), "TIFF"), DEEP >> 8)
    yield gives("16 bits in which 0 is white", "tif", white.getvalue(), (65535 - DEEP) >> 8)
    yield gives("12 of 16 bits", "png", encoded(DEEP >> 4), (DEEP >> 4) >> 4)
    yield gives("a graymap of 12 bits", "pgm", b"P5 2 1 4095\n" + bytes([15, 255, 8, 0]), np.array([[255, 128]]))
    remark = Remarked(["12 are filled, and it is read as one of 12 bits"])
    yield Input("12 of 16 bits, remarked on", image("png", encoded(DEEP >> 4)), remarks, remark)
    yield Input("a strip of one row", image("png", encoded(NOISE[:1])), remarks, Remarked(["a square crop keeps"]))
    yield Input("images of two cameras", two_cameras, remarks, Remarked(["nearly black", "two cameras"]))


def two_cameras(root: Path) -> None:
    image("png", encoded(DEEP))(root)
    (root / TRAINING / "008.png").write_bytes(encoded(DEEP >> 4))


def refused_masks() -> Iterator[Input]:
    clear = np.dstack([MASK * np.uint8(255)] * 4)
    grey, dark = np.where(MASK, 100, 20).astype(np.uint8), np.where(MASK, 255, 254).astype(np.uint8)
    frames = {"save_all": True, "append_images": [Image.new("L", SIZE[::-1], 255)]}
    for name, ending, content, words in (
        ("of one pixel", "png", encoded(np.ones((1, 1), np.uint8)), "mask of another size"),
        ("that lies across", "png", encoded(MASK.T), "mask of another size"),
        ("of two images", "gif", encoded(MASK * np.uint8(255), "GIF", **frames), "2 images in one file"),
        ("that is transparent", "png", encoded(clear), "transparent in part"),
        ("in LAB", "tif", encoded(Image.new("LAB", SIZE[::-1]), "TIFF"), "colours of kind LAB"),
        ("below 0", "tif", encoded(-MASK.astype(np.int32), "TIFF"), "values below 0"),
        ("of floating point", "tif", encoded(MASK.astype(np.float32), "TIFF"), "floating point"),
        ("of 20 and 100", "png", encoded(grey), "mask without background"),
        ("of 254 and 255", "png", encoded(dark), "mask without background"),
        ("that is cut", "png", cut(encoded(NOISE)), "unreadable image"),
        ("that is text", "png", b"none", "unreadable image"),
    ):
        yield Input(f"a mask {name}", mask(ending, content), looked_at, Refused([f"000_mask.{ending}", words]))
    yield Input("a mask that is its image", its_image, looked_at, Refused(["000_mask.png", "mask that is its image"]))
    for name, make, words in (
        ("a mask of no image", lambda root: copied_mask(root, "777_mask.png"), "mask matches no image"),
        ("two masks of an image", lambda root: copied_mask(root, "000.png"), "mask matches no image"),
        ("a mask of two images", of_two, "mask matches several images"),
        ("a mask that is missing", unmasked, "mask missing, while other images of its defect have one"),
    ):
        yield Input(name, make, looked_at, Refused([words]))


def odd_masks() -> Iterator[Input]:
    said = MASK * np.uint8(255)
    palette = Image.fromarray(MASK.astype(np.uint8))
    palette.putpalette([0, 0, 0, 255, 0, 0])
    exchanged = Image.fromarray((~MASK).astype(np.uint8))
    exchanged.putpalette([255, 255, 255, 0, 0, 0])
    for name, ending, content in (
        ("of 0 and 1", "png", encoded(MASK.astype(np.uint8))),
        ("of one bit", "png", encoded(MASK)),
        ("of 16 bits, 0 and 255", "png", encoded(said.astype(np.uint16))),
        ("of 16 bits, 0 and 65535", "png", encoded(said.astype(np.uint16) * 257)),
        ("of 32 bits", "tif", encoded(MASK.astype(np.int32), "TIFF")),
        ("in red on black", "png", encoded(np.dstack([said, 0 * said, 0 * said]))),
        ("in colours that hide nothing", "png", encoded(np.dstack([said, said, said, 0 * said + 255]))),
        ("with a palette", "png", encoded(palette)),
        ("with a palette whose first colour is white", "gif", encoded(exchanged, "GIF")),
    ):
        yield Input(f"a mask {name}", mask(ending, content), mask_of, Gives(MASK.tolist()))
    ignored = said.copy()
    ignored[:4, :4], ignored[10:12] = 1, 255
    soft = np.where(MASK, 40_000, 256).astype(np.uint16)
    for name, ending, content, words in (
        ("that is empty", "png", encoded(0 * said), "an empty mask"),
        ("that marks all", "png", encoded(0 * said + 255), "more than half of their image"),
        ("that is inverted", "png", encoded(255 - said), "more than half of their image"),
        ("as a bad JPEG", "jpg", encoded(said, "JPEG", quality=20), "not binary"),
        ("of classes", "png", encoded(ignored), "not binary"),
        ("with a grey background", "png", encoded(soft), "not binary"),
    ):
        yield Input(f"a mask {name}", mask(ending, content), remarks, Remarked([words]))
    yield Input("a mask of an image that EXIF turns", turned, remarks, Remarked(["EXIF turns or mirrors"]))


def its_image(root: Path) -> None:
    mvtec_folder(root)
    shutil.copy(root / DEFECTIVE / "000.png", root / MASKS / "000_mask.png")


def copied_mask(root: Path, name: str) -> None:
    mvtec_folder(root)
    shutil.copy(root / MASKS / "000_mask.png", root / MASKS / name)


def of_two(root: Path) -> None:
    mvtec_folder(root)
    (root / DEFECTIVE / "000.bmp").write_bytes(encoded(np.zeros((*SIZE, 3), np.uint8), "BMP"))


def unmasked(root: Path) -> None:
    mvtec_folder(root)
    (root / MASKS / "000_mask.png").unlink()


def turned(root: Path) -> None:
    mvtec_folder(root)
    exif = Image.Exif()
    exif[274] = 3
    path = save_image(root / DEFECTIVE / "000.png", seed=9)
    path.write_bytes(encoded(Image.open(path), exif=exif))
