"""What anomalous images among the training images cost each method, on a category of MVTec AD.

    python -m benchmarks.noise --category FOLDER [--levels 0 0.05 0.1 0.2 0.4] [--seeds 3]

All levels are tested on the images that none of them moves, so that numbers differ by the training images alone.
"""

import argparse
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.asked_metrics import CROPPED
from benchmarks.inputs import BATCH, WORKERS
from patchcore_core import PatchCore, PatchCoreConfig, metrics
from patchcore_core.common.errors import exit_on_input_error
from patchcore_core.config import MethodConfig
from patchcore_core.detector import put_together
from patchcore_suite import datasets
from patchcore_suite.baselines.registry import detector
from patchcore_suite.baselines.softpatch import SoftPatchConfig
from patchcore_suite.baselines.trimmed_patchcore import TrimmedPatchCoreConfig
from patchcore_suite.datasets.images import Batches, mask_array, read_mask
from patchcore_suite.datasets.noise import with_noise
from patchcore_suite.datasets.records import Record
from patchcore_suite.datasets.spec import DatasetSpec
from patchcore_suite.metrics.pimo import aupimo

SHARE = 0.01  # of all patches, in every memory bank
METHODS: Mapping[str, MethodConfig] = {
    "PatchCore": PatchCoreConfig(coreset_fraction=SHARE),
    "PatchCore, random rows": PatchCoreConfig(coreset_fraction=SHARE, sampler="random"),
    "trimmed, 5 % left out": TrimmedPatchCoreConfig(coreset_fraction=SHARE, left_out=0.05),
    "trimmed, 15 % left out": TrimmedPatchCoreConfig(coreset_fraction=SHARE, left_out=0.15),
    "SoftPatch, LOF": SoftPatchConfig(coreset_fraction=SHARE, discriminator="lof"),
    "SoftPatch, nearest": SoftPatchConfig(coreset_fraction=SHARE, discriminator="nearest"),
    "SoftPatch, Gaussian": SoftPatchConfig(coreset_fraction=SHARE, discriminator="gaussian"),
}


@dataclass(frozen=True)
class Images:
    """Patch features (n, h, w, d) of a category's images, and the masks (n, H, W) of those."""

    records: list[Record]
    features: Tensor
    masks: NDArray[np.bool_]

    @classmethod
    def of(cls, folder: Path) -> "Images":
        """Describe all images of the folder of a category; all methods see the same features."""
        records = [r for split in ("train", "test") for r in datasets.load(folder.parent, folder.name, split)]
        images = Batches(records, CROPPED, BATCH, workers=WORKERS, description="images")
        model = PatchCore()
        described = (model.describe_images(batch) for batch in images)
        (features,) = put_together(described, count=len(records), device=torch.device("cpu"))
        return cls(records, features, np.stack([mask_array(read_mask(record), CROPPED) for record in records]))

    def places(self, noise: float, seed: int, split: str) -> list[int]:
        """The places of the images of a split, at a level of noise."""
        spec = DatasetSpec(source="images", layout="mvtec", noise=noise, seed=seed)
        return [place for place, record in enumerate(with_noise(self.records, spec).records) if record.split == split]


def measured(images: Images, config: MethodConfig, *, noise: float, most: float, seed: int) -> dict[str, float]:
    """Metrics of a method, fitted with noise, on the images that the highest level leaves for test."""
    train, test = images.places(noise, seed, "train"), images.places(most, seed, "test")
    started = time.perf_counter()
    model = detector(config, seed=seed).fit_described([images.features[train]])
    fitted = time.perf_counter() - started
    size = images.masks.shape[1:]
    prediction = model.predict_described([images.features[test]], size)
    masks, maps = images.masks[test], prediction.maps.numpy()
    labels = np.array([images.records[place].label for place in test])
    return {
        "image AUROC": 100 * metrics.image_auroc(labels, prediction.scores.numpy()),
        "PRO": 100 * metrics.pro(masks, maps),
        "AUPIMO": 100 * aupimo(masks, maps),
        "seconds to fit": fitted,
    }


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.noise", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--category", type=Path, required=True, help="its folder, in MVTec AD's layout")
    parser.add_argument("--levels", type=float, nargs="+", default=[0, 0.05, 0.1, 0.2, 0.4])
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    images, most = Images.of(given.category), max(given.levels)
    print(f"{given.category.name}, {len(images.records)} images; mean ± standard deviation over {given.seeds} seeds")
    for noise in given.levels:
        for name, config in METHODS.items():
            runs = [measured(images, config, noise=noise, most=most, seed=seed) for seed in range(given.seeds)]
            columns = []
            for metric in runs[0]:
                values = [run[metric] for run in runs]
                spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
                columns.append(f"{metric} {statistics.mean(values):.1f}{spread}")
            print(f"noise {100 * noise:3.0f} %  {name:24}", *columns, sep="  ", flush=True)


if __name__ == "__main__":
    with exit_on_input_error():
        main()
