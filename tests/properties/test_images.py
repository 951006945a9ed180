"""Whatever an image file is, it is read as it looks or refused."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import bounded, mutated, unless_refused
from PIL import Image

from patchcore_suite.datasets.images import foreground, mask_values, read_image
from patchcore_suite.datasets.records import Record

SIDES = st.integers(1, 40)
LOSSLESS = (".png", ".bmp", ".tif", ".ppm", ".tga")
MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16"]
FORMATS = (*LOSSLESS, ".jpg", ".webp", ".gif", ".jp2")


def record_of(image, mask=None):
    return Record(image, "part", "test", int(mask is not None), "dent" if mask else "good", mask, None)


@st.composite
def pixels(draw, channels, kind=np.uint8):
    """(h, w[, channels]) values of the whole range of a type, among them often its ends."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    highest = draw(st.sampled_from([np.iinfo(kind).max, 1, np.iinfo(kind).max // 2]))
    shape = (draw(SIDES), draw(SIDES), channels)[: 2 if channels == 1 else 3]
    return rng.integers(0, highest, shape, dtype=kind, endpoint=True)


@bounded
@given(values=st.sampled_from([1, 3]).flatmap(pixels), suffix=st.sampled_from(LOSSLESS))
def test_eight_bits_are_read_as_they_are(values, suffix, tmp_path):
    path = tmp_path / f"image{suffix}"
    Image.fromarray(values).save(path)
    expected = values if values.ndim == 3 else np.stack([values] * 3, axis=2)
    assert np.array_equal(np.asarray(read_image(record_of(path))), expected)


@bounded
@given(values=st.sampled_from([1, 3]).flatmap(lambda n: pixels(n, np.uint16)), suffix=st.sampled_from([".png", ".tif"]))
def test_of_sixteen_bits_the_upper_eight_are_read(values, suffix, tmp_path):
    path = tmp_path / f"image{suffix}"
    cv2.imwrite(str(path), values[..., ::-1] if values.ndim == 3 else values)
    expected = (values >> 8).astype(np.uint8)
    found = np.asarray(read_image(record_of(path)))
    assert np.array_equal(found, expected if values.ndim == 3 else np.stack([expected] * 3, axis=2))


@bounded
@given(
    values=pixels(3),
    mode=st.sampled_from(MODES),
    suffix=st.sampled_from(FORMATS),
)
def test_every_mode_and_format_is_read_at_its_size_or_refused(values, mode, suffix, tmp_path):
    path = tmp_path / f"image{suffix}"
    try:
        image = Image.fromarray(values)
        image = image.convert("L" if mode == "I;16" else mode) if mode != "PA" else image.convert("P").convert("PA")
        (image.convert("I;16") if mode == "I;16" else image).save(path)
    except (OSError, ValueError, KeyError):
        return  # Pillow cannot write that
    read = unless_refused(lambda: read_image(record_of(path)), path)
    assert read is None or (read.mode, read.size) == ("RGB", values.shape[1::-1])


@bounded
@given(data=st.data(), suffix=st.sampled_from(FORMATS))
def test_a_changed_file_is_read_as_rgb_or_refused_with_its_name(data, suffix, tmp_path):
    path = tmp_path / f"image{suffix}"
    Image.fromarray(np.arange(24 * 16 * 3, dtype=np.uint8).reshape(24, 16, 3)).save(path)
    path.write_bytes(data.draw(mutated(path.read_bytes())))
    read = unless_refused(lambda: read_image(record_of(path)), path)
    assert read is None or read.mode == "RGB"


@bounded
@given(values=st.one_of(pixels(1), pixels(1, np.uint16)), suffix=st.sampled_from([".png", ".tif", ".npy"]))
def test_a_mask_marks_the_upper_half_of_its_type_or_all_that_is_not_zero(values, suffix, tmp_path):
    path = tmp_path / f"mask{suffix}"
    record = record_of(tmp_path / "image.png", path)
    if suffix == ".npy":
        np.save(path, values[None])
        record = Record(record.image, "part", "test", 1, "dent", path, 0)
    else:
        Image.fromarray(values).save(path)
    half = 128 if values.dtype == np.uint8 else 32768
    expected = values >= half if (values >= half).any() else values > 0
    assert np.array_equal(foreground(mask_values(record)), expected)


@bounded
@given(data=st.data(), suffix=st.sampled_from([".png", ".bmp", ".tif", ".npy"]))
def test_a_changed_mask_is_read_or_refused_with_its_name(data, suffix, tmp_path):
    path = tmp_path / f"mask{suffix}"
    values = np.zeros((1, 12, 9), dtype=np.uint8)
    values[0, :4] = 255
    if suffix == ".npy":
        np.save(path, values)
    else:
        Image.fromarray(values[0]).save(path)
    path.write_bytes(data.draw(mutated(path.read_bytes())))
    record = Record(tmp_path / "image.png", "part", "test", 1, "dent", path, 0)
    found = unless_refused(lambda: foreground(mask_values(record)), path)
    assert found is None or (found.dtype, found.ndim) == (bool, 2)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_a_mask_is_the_same_in_every_mode(mode, tmp_path):
    values = np.zeros((12, 9), dtype=np.uint8)
    values[:4] = 255
    Image.fromarray(values).convert(mode).save(tmp_path / "mask.png")
    assert np.array_equal(foreground(mask_values(record_of(tmp_path / "image.png", tmp_path / "mask.png"))), values > 0)
