"""A model of parts with a tiny network, and files of tiny images, for tests of what is done with one."""

import numpy as np
from PIL import Image
from small_networks import SmallPyramid, pictures

from patchcore_core import PatchCore, PatchCoreConfig
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.parts.model import PartsModel
from patchcore_suite.parts.thresholds import Threshold

SIZE = (32, 48)


def small_model(network=None, seed=0, **config):
    """Fitted to four images of 32 x 48; images of any size are brought to that."""
    network = network or SmallPyramid(hierarchies=(1, 2), channels=(4, 6))
    detector = PatchCore(PatchCoreConfig(**{"coreset_fraction": 0.3, **config}), network=network)
    detector.fit(pictures(4, seed=seed))
    return PartsModel(
        detector=detector,
        preprocessing=Preprocessing(SIZE),
        size=SIZE,
        grid=(8, 12),
        tiles=None,
        region=None,
        patches=4 * 96,
        bits=16,
        threshold=Threshold(float(detector.predict(pictures(1, seed=1)).scores[0]) + 1e-3, "given"),
        thresholds={},
        nominal_scores=np.array([1.0, 2.0], dtype=np.float32),
        sources=(),
        tested={},
    )


def image_files(folder, n, size=SIZE, seed=1):
    """Paths of n images in a folder."""
    paths = [folder / f"ä {number:02}.png" for number in range(n)]
    for path, picture in zip(paths, pictures(n, size, seed=seed), strict=True):
        Image.fromarray((picture.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)).save(path)
    return paths


def decoded(path):
    """An image file as pixels (height, width, 3)."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
