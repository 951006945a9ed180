"""The loader sees images as the suite does, to the last bit."""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from patchcore_suite.datasets.images import image_tensor, read_image
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import Record
from patchcore_suite.parts import export


@pytest.fixture
def loader(monkeypatch):
    """The loader, which lies beside `export`; of onnxruntime nothing is needed here."""
    with monkeypatch.context() as held:
        held.setitem(sys.modules, "onnxruntime", SimpleNamespace())
        return SimpleNamespace(**runpy.run_path(Path(export.__file__).with_name("run_onnx.py")))


def seen(loader, path, size, **preprocessing):
    model = object.__new__(loader.Model)
    model.facts = {"size": list(size), "preprocessing": preprocessing}
    return model.image(path)


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
    preprocessing = Preprocessing(resize=(24, 32), crop=(17, 21))
    expected = image_tensor(read_image(Record(tmp_path / kind, "a", "test", 0, "good")), preprocessing)
    found = seen(loader, tmp_path / kind, (17, 21), resize=[24, 32], crop=[17, 21])
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("crop", [None, 15, 16])
@pytest.mark.parametrize("resize", [16, 33])
@pytest.mark.parametrize("shape", [(40, 60), (60, 41), (33, 50), (16, 16), (7, 19)])
def test_sizes_come_out_alike(shape, resize, crop, loader, tmp_path):
    Image.fromarray(pixels(*shape)).save(tmp_path / "a.png")
    expected = image_tensor(Image.open(tmp_path / "a.png"), Preprocessing(resize=resize, crop=crop))
    found = seen(loader, tmp_path / "a.png", expected.shape[1:], resize=resize, crop=crop)
    assert np.array_equal(found, expected)


def test_of_twelve_bits_the_upper_eight_are_seen(loader, tmp_path):
    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64)).save(tmp_path / "a.png")
    record = Record(tmp_path / "a.png", "a", "test", 0, "good", bits=12)
    expected = image_tensor(read_image(record), Preprocessing(resize=(64, 64)))
    assert np.array_equal(seen(loader, tmp_path / "a.png", (64, 64), resize=[64, 64], bits=12), expected)


def test_images_that_the_model_is_not_for_are_refused(loader, tmp_path):
    frames = [Image.fromarray(pixels(40, 60)).quantize(16), Image.fromarray(pixels(40, 60) // 2).quantize(16)]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    Image.fromarray(pixels(40, 60, 1).astype(np.int32)).save(tmp_path / "deep.tif")
    Image.fromarray(pixels(40, 60, 1).astype(np.uint16)).save(tmp_path / "half.tif")
    Image.fromarray(pixels(40, 60)).save(tmp_path / "a.png")
    for name, words in [("two.gif", "2 images in one"), ("deep.tif", "mode I of TIFF"), ("half.tif", "mode I;16")]:
        with pytest.raises(ValueError, match=words):
            seen(loader, tmp_path / name, (16, 24), resize=16)
    with pytest.raises(ValueError, match="comes out at 16 x 24 pixels, the model is for 16 x 16"):
        seen(loader, tmp_path / "a.png", (16, 16), resize=16)
    with pytest.raises(ValueError, match="comes out at 16 x 24"):
        seen(loader, tmp_path / "a.png", (30, 30), resize=16, crop=30)
