"""The graph brings images to size as the suite does, to the last bit."""

import numpy as np
import pytest
import torch
from PIL import Image

from patchcore_suite.datasets.images import image_tensor
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.parts.onnx_resize import Resized

SHAPES = [(40, 60), (60, 41), (33, 50), (16, 16), (7, 19), (1, 1), (3, 200), (300, 90)]


def pixels(height, width):
    return np.random.default_rng(0).integers(256, size=(height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("crop", [None, 15, 16, (13, 15)])
@pytest.mark.parametrize("resize", [16, 33, (24, 32), (16, 200)])
@pytest.mark.parametrize("shape", SHAPES)
def test_images_come_out_alike(shape, resize, crop):
    images, preprocessing = pixels(*shape), Preprocessing(resize=resize, crop=crop)
    expected = image_tensor(Image.fromarray(images), preprocessing)
    found, fits = Resized(preprocessing, tuple(expected.shape[1:]))(torch.from_numpy(images)[None])
    assert fits
    assert np.array_equal(found[0], expected)


@pytest.mark.parametrize(("resize", "crop", "size"), [(16, None, (16, 16)), (16, (16, 30), (16, 30))])
def test_an_image_that_comes_out_otherwise_is_known(resize, crop, size):
    preprocessing = Preprocessing(resize=resize, crop=crop)
    _, fits = Resized(preprocessing, size)(torch.from_numpy(pixels(40, 60))[None])
    assert not fits


def test_black_and_white_stay_and_several_images_are_one_each():
    images = torch.stack([torch.zeros(50, 70, 3, dtype=torch.uint8), torch.full((50, 70, 3), 255, dtype=torch.uint8)])
    found, _ = Resized(Preprocessing((20, 24)), (20, 24))(images)
    assert found.shape == (2, 3, 20, 24)
    assert (found[0].unique().tolist(), found[1].unique().tolist()) == ([0], [1])
