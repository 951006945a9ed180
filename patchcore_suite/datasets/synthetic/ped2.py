"""The stand-in for UCSD Ped2: a grey scene of people on foot, where somebody on wheels is anomalous."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from patchcore_suite.datasets.synthetic import mstc
from patchcore_suite.datasets.synthetic.parts import write_lines
from patchcore_suite.datasets.synthetic.writers import write_bmp
from patchcore_suite.datasets.tiff import write_tiff

SCENE, DRAWN = "UCSDped2", "01"
CLIPS, TRAIN_FRAMES, TEST_FRAMES = 2, 60, 60  # clips for training and for test, frames of a clip


def jobs(seed: int) -> Iterator[Callable[[Path], None]]:
    """What writes the stand-in below a root."""
    for clip in range(CLIPS):
        yield partial(_write_training, clip, seed)
    yield partial(_write_testing, seed)


def _write_training(clip: int, seed: int, root: Path) -> None:
    images, _ = mstc.clip(DRAWN, "training", clip, frames=TRAIN_FRAMES, seed=seed)
    for number, image in enumerate(images, start=1):
        write_tiff(root / SCENE / "Train" / f"Train{clip + 1:03}" / f"{number:03}.tif", image[..., 1])


def _write_testing(seed: int, root: Path) -> None:
    """Write all test clips: the file that names their anomalous frames is about all of them."""
    folder, lines = root / SCENE / "Test", ["TestVideoFile = {};"]
    for clip in range(CLIPS):
        name = f"Test{clip + 1:03}"
        images, masks = mstc.clip(DRAWN, "testing", clip, frames=TEST_FRAMES, seed=seed)
        for number, (image, mask) in enumerate(zip(images, masks, strict=True), start=1):
            write_tiff(folder / name / f"{number:03}.tif", image[..., 1])
            write_bmp(folder / f"{name}_gt" / f"{number:03}.bmp", np.uint8(255) * mask)
        shown = 1 + np.flatnonzero(masks.any(axis=(1, 2)))
        lines.append(f"TestVideoFile{{end+1}}.gt_frame = [{shown[0]}:{shown[-1]}];")
    write_lines(folder / f"{SCENE}.m", lines)
