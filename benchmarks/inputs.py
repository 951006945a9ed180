"""What is timed: the features and maps of real tiles where they are given, else drawn ones of the same shape."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from patchcore_core import PatchCore, PatchCoreConfig
from patchcore_core.common.progress import progress_bar
from patchcore_core.coreset import coreset_size, random_coreset, random_projection
from patchcore_core.detector import generator
from patchcore_core.neighbours import nearest
from patchcore_core.scoring import anomaly_maps
from patchcore_suite import datasets
from patchcore_suite.datasets.images import Batches, mask_array, read_mask
from patchcore_suite.datasets.preprocessing import Preprocessing

GRID, DIMENSION = 28, 152  # of MTD's images at 224 pixels with EfficientNet-Lite0
TRAIN, TEST, SIDE = 762, 582, 224
PREPROCESSING = Preprocessing(resize=(SIDE, SIDE))
BATCH, WORKERS = 16, 2
DRAWN = 24  # dimensions in which drawn features vary most


@dataclass(frozen=True)
class Inputs:
    """Nominal and test patch features (n, d), the maps and masks (n, H, W) of test images."""

    origin: str
    nominal: Tensor
    projected: Tensor
    test: Tensor
    bank: Tensor
    masks: NDArray[np.bool_]
    maps: NDArray[np.float32]


def make_inputs(mtd: Path | None, *, share: float, device: str) -> Inputs:
    """Describe MTD's images, or draw as many features.

    Args:
        mtd: the dataset's folder.
        share: of the images, for a quick run.
    """
    if mtd is None:
        origin = "drawn features of the shape of MTD's"
        train, test, masks = _drawn(round(share * TRAIN), round(share * TEST))
    else:
        origin = "MTD, real images, tf_efficientnet_lite0"
        train, test, masks = _described(mtd, share)
    nominal, queries = train.flatten(0, 2).to(device), test.flatten(0, 2).to(device)
    size = coreset_size(len(nominal), 0.01)
    bank = nominal[random_coreset(nominal, size, generator=generator(0, "bank"))]
    distances, _ = nearest(queries, bank)
    maps = anomaly_maps(distances.view(test.shape[:3]), (SIDE, SIDE)).cpu().numpy()
    projected = random_projection(nominal, 128, generator=generator(0, "projection"))
    return Inputs(origin, nominal, projected, queries, bank, masks, maps)


def _described(mtd: Path, share: float) -> tuple[Tensor, Tensor, NDArray[np.bool_]]:
    model, found = PatchCore(PatchCoreConfig()), []
    for split in ("train", "test"):
        records = list(datasets.load(mtd, split=split))
        records = records[:: round(1 / share)]
        images = Batches(records, PREPROCESSING, BATCH, workers=WORKERS, description=f"inputs: {split} images")
        found.append(torch.cat([model.describe_images(batch)[0] for batch in images]))
    masks = np.stack([mask_array(read_mask(record), PREPROCESSING) for record in records])
    return *found, masks


def _drawn(train: int, test: int) -> tuple[Tensor, Tensor, NDArray[np.bool_]]:
    draw = torch.Generator().manual_seed(0)
    spread = torch.linspace(0, -3, DIMENSION).exp() * (torch.arange(DIMENSION) < DRAWN).float().clamp_min(0.2)
    found = []
    with progress_bar(train + test, "inputs: drawn images", unit="image") as bar:
        for n in (train, test):
            features = torch.empty(n, GRID, GRID, DIMENSION)
            for image in features:  # around a centre of its own
                image.copy_(torch.randn(GRID, GRID, DIMENSION, generator=draw))
                image += torch.randn(DIMENSION, generator=draw)
                bar.update(1)
            found.append(30 * features * spread)
    masks = np.zeros((test, SIDE, SIDE), dtype=bool)
    for number in range(0, test, 2):
        top, left = 8 * (number % 20), 8 * (number % 17)
        masks[number, top : top + 40, left : left + 30] = True
    return *found, masks
