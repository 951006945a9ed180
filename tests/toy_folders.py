"""Small datasets on disk, in each of the layouts, for the tests of several modules."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

SIZE = (24, 32)  # height, width


def save_image(path: Path, *, seed: int = 0, size: tuple[int, int] = SIZE) -> Path:
    """Write noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
    return path


def save_mask(path: Path, *, size: tuple[int, int] = SIZE) -> Path:
    """Write a mask with a defect of 4 x 4 pixels in the upper left corner."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros(size, dtype=np.uint8)
    values[:4, :4] = 255
    Image.fromarray(values).save(path)
    return path


def mvtec_folder(root: Path, category: str = "part", *, training: int = 3) -> Path:
    """CATEGORY with three (or `training`) training images, two nominal and two anomalous test images."""
    for index in range(training):
        save_image(root / category / "train" / "good" / f"{index:03}.png", seed=index)
    for index in range(2):
        save_image(root / category / "test" / "good" / f"{index:03}.png", seed=100 + index)
        save_image(root / category / "test" / "scratch" / f"{index:03}.png", seed=200 + index)
        save_mask(root / category / "ground_truth" / "scratch" / f"{index:03}_mask.png")
    return root


def mtd_folder(root: Path, *, nominal: int = 10) -> Path:
    """Nominal images and two blowholes, each with its mask, in different sizes."""
    for index in range(nominal):
        size = (20 + index, 30)
        image = save_image(root / "MT_Free" / "Imgs" / f"exp1_num_{index}.jpg", seed=index, size=size)
        Image.new("L", size[::-1]).save(image.with_suffix(".png"))
    for index in range(2):
        image = save_image(root / "MT_Blowhole" / "Imgs" / f"exp2_num_{index}.jpg", seed=100 + index)
        save_mask(image.with_suffix(".png"))
    return root


def mstc_folder(root: Path, *, frames: int = 12) -> Path:
    """Scene 01: a training video whose frames get lighter, and a test clip whose second half is anomalous."""
    video = root / "training" / "videos" / "01_001.avi"
    video.parent.mkdir(parents=True)
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10, SIZE[::-1])
    for index in range(frames):
        writer.write(np.full((*SIZE, 3), 20 * index % 256, dtype=np.uint8))
    writer.release()
    for index in range(frames):
        save_image(root / "testing" / "frames" / "01_0001" / f"{index:03}.jpg", seed=index)
    labels = (np.arange(frames) >= frames // 2).astype(np.uint8)
    masks = np.zeros((frames, *SIZE), dtype=np.uint8)
    masks[labels == 1, 2:6, 3:9] = 1
    for kind, values in (("frame", labels), ("pixel", masks)):
        folder = root / "testing" / f"test_{kind}_mask"
        folder.mkdir()
        np.save(folder / "01_0001.npy", values)
    return root
