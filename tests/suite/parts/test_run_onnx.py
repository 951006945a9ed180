"""The loader decodes images as the suite does, to the last bit."""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from patchcore_suite.datasets.decoding import FORMATS
from patchcore_suite.datasets.images import read_image
from patchcore_suite.datasets.records import Record
from patchcore_suite.parts import export


@pytest.fixture
def loader(monkeypatch):
    """The loader, which lies beside `export`; of onnxruntime nothing is needed here."""
    with monkeypatch.context() as held:
        held.setitem(sys.modules, "onnxruntime", SimpleNamespace())
        return SimpleNamespace(**runpy.run_path(Path(export.__file__).with_name("run_onnx.py")))


def seen(loader, path, bits=16):
    model = object.__new__(loader.Model)
    model.bits = bits
    return model.pixels(path)


def read(path, bits=16):
    return np.asarray(read_image(Record(path, "a", "test", 0, "good", bits=bits)))


def pixels(height, width, channels=3):
    values = np.random.default_rng(0).integers(256, size=(height, width, channels), dtype=np.uint8)
    return values[..., 0] if channels == 1 else values


def turned(image):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter to the right
    return image, {"exif": exif}


KINDS = {
    "rgb.png": lambda: (Image.fromarray(pixels(40, 60)), {}),
    "rgb.jpg": lambda: (Image.fromarray(pixels(40, 60)), {}),
    "rgb.bmp": lambda: (Image.fromarray(pixels(40, 60)), {}),
    "rgb.webp": lambda: (Image.fromarray(pixels(40, 60)), {}),
    "grey.png": lambda: (Image.fromarray(pixels(40, 60, 1)), {}),
    "grey.tif": lambda: (Image.fromarray(pixels(40, 60, 1)), {}),
    "bilevel.png": lambda: (Image.fromarray(pixels(40, 60, 1)).convert("1"), {}),
    "alpha.png": lambda: (Image.fromarray(pixels(40, 60, 4)), {}),
    "grey_alpha.png": lambda: (Image.fromarray(pixels(40, 60, 4)).convert("LA"), {}),
    "palette.png": lambda: (Image.fromarray(pixels(40, 60)).quantize(16), {"transparency": 3}),
    "one.gif": lambda: (Image.fromarray(pixels(40, 60)).quantize(16), {}),
    "cmyk.jpg": lambda: (Image.fromarray(pixels(40, 60)).convert("CMYK"), {}),
    "turned.jpg": lambda: turned(Image.fromarray(pixels(40, 60))),
    "pixel.png": lambda: (Image.fromarray(pixels(1, 1)), {}),
    "strip.png": lambda: (Image.fromarray(pixels(3, 200)), {}),
    "deep.png": lambda: (Image.fromarray(pixels(40, 60, 1).astype(np.uint16) * 200), {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_images_of_every_kind_are_seen_alike(kind, loader, tmp_path):
    image, options = KINDS[kind]()
    image.save(tmp_path / kind, **options)
    found = seen(loader, tmp_path / kind)
    assert found.dtype == np.uint8
    assert np.array_equal(found, read(tmp_path / kind))


def test_of_twelve_bits_the_upper_eight_are_seen(loader, tmp_path):
    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64)).save(tmp_path / "a.png")
    found = seen(loader, tmp_path / "a.png", bits=12)
    assert found[0, :33, 0].tolist() == [0] * 16 + [1] * 16 + [2]
    assert np.array_equal(found, read(tmp_path / "a.png", bits=12))


def test_images_that_the_model_is_not_for_are_refused(loader, tmp_path):
    frames = [Image.fromarray(pixels(40, 60)).quantize(16), Image.fromarray(pixels(40, 60) // 2).quantize(16)]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    Image.fromarray(pixels(40, 60, 1).astype(np.int32)).save(tmp_path / "deep.tif")
    Image.fromarray(pixels(40, 60, 1).astype(np.uint16)).save(tmp_path / "half.tif")
    for name, words in [("two.gif", "of 2 images"), ("deep.tif", "I of 16 bits"), ("half.tif", "I;16 of 16 bits")]:
        with pytest.raises(ValueError, match=words):
            seen(loader, tmp_path / name)


def test_of_16_bits_what_would_come_out_black_or_cut_off_is_refused(loader, tmp_path):
    Image.fromarray(np.full((4, 4), 4095, dtype=np.uint16)).save(tmp_path / "dark.png")
    Image.fromarray(np.full((4, 4), 4096, dtype=np.uint16)).save(tmp_path / "a.png")
    assert seen(loader, tmp_path / "dark.png", bits=12).max() == 255
    assert seen(loader, tmp_path / "a.png", bits=16).max() == 16
    for name, bits in [("dark.png", 16), ("a.png", 12)]:
        with pytest.raises(ValueError, match=f"I;16 of {bits} bits. Remedy: "):
            seen(loader, tmp_path / name, bits)


def test_the_suites_own_formats_are_opened_and_no_others(loader, tmp_path):
    assert loader.FORMATS == FORMATS
    Image.fromarray(pixels(4, 4)).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.png")  # whatever a file is called
    with pytest.raises(UnidentifiedImageError):
        seen(loader, tmp_path / "a.png")
