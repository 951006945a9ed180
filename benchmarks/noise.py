"""What anomalous images among the training images cost each method, on MTD and on a category of MVTec AD.

    python -m benchmarks.noise [--category FOLDER] [--mtd FOLDER] [--backbone NAME ...] [--every 1]
        [--levels 0 0.05 0.1 0.2 0.4] [--seeds 3] [--to measured]

All levels are tested on the images that none of them moves, so that numbers differ by the training images alone. What
is printed is written to the folder as well, where the report and the page of results find it, beside what it holds of
other networks. With `--every` only every so manyth training image is used, of the nominal ones and of those that were
moved: their shares stay.
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.asked_metrics import CROPPED
from benchmarks.inputs import BATCH, PREPROCESSING, WORKERS
from benchmarks.noise_files import earlier, write
from benchmarks.noise_tables import METRICS
from patchcore_core import PatchCore, PatchCoreConfig, metrics
from patchcore_core.backbones import backbone_weights
from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.common.files import sha256_json
from patchcore_core.config import DEFAULT_BACKBONE, MethodConfig
from patchcore_core.detector import put_together
from patchcore_suite import datasets
from patchcore_suite.baselines.registry import detector
from patchcore_suite.baselines.softpatch import SoftPatchConfig
from patchcore_suite.baselines.trimmed_patchcore import TrimmedPatchCoreConfig
from patchcore_suite.datasets.images import Batches, mask_array, read_mask
from patchcore_suite.datasets.listing import sha256_content
from patchcore_suite.datasets.noise import with_noise
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import Record
from patchcore_suite.datasets.spec import DatasetSpec
from patchcore_suite.metrics.pimo import aupimo
from patchcore_suite.report.measured import FOLDER

SHARE = 0.01  # of all patches, in every memory bank
METHODS: Mapping[str, MethodConfig] = {
    "PatchCore": PatchCoreConfig(coreset_fraction=SHARE),
    "PatchCore, random rows": PatchCoreConfig(coreset_fraction=SHARE, sampler="random"),
    "trimmed, 5 % left out": TrimmedPatchCoreConfig(coreset_fraction=SHARE, left_out=0.05),
    "SoftPatch, LOF": SoftPatchConfig(coreset_fraction=SHARE, discriminator="lof"),
    "SoftPatch, nearest": SoftPatchConfig(coreset_fraction=SHARE, discriminator="nearest"),
    "SoftPatch, Gaussian": SoftPatchConfig(coreset_fraction=SHARE, discriminator="gaussian"),
}


@dataclass(frozen=True)
class Images:
    """Patch features (n, h, w, d) of images, and the masks (n, H, W) of those.

    Attributes:
        name: of the category.
        records: where they lie.
        network: that described them.
        every: of the training images, how manyth is used.
    """

    name: str
    records: list[Record]
    features: Tensor
    masks: NDArray[np.bool_]
    network: str = DEFAULT_BACKBONE
    every: int = 1

    @classmethod
    def of(
        cls, name: str, records: list[Record], preprocessing: Preprocessing, *, network: str, every: int
    ) -> "Images":
        """Describe all images; all methods see the same features."""
        images = Batches(records, preprocessing, BATCH, workers=WORKERS, description=f"{name}, {network}: images")
        model = PatchCore(PatchCoreConfig(backbone=network))
        described = (model.describe_images(batch) for batch in images)
        (features,) = put_together(described, count=len(records), device=torch.device("cpu"))
        masks = np.stack([mask_array(read_mask(record), preprocessing) for record in records])
        return cls(name, records, features, masks, network, every)

    @property
    def sha256(self) -> str:
        """Of all images and masks, as a manifest has it."""
        rows = [
            [r.split, r.label, r.defect, r.frame, sha256_content(r.image), r.mask and sha256_content(r.mask)]
            for r in self.records
        ]
        return sha256_json(rows)

    def places(self, noise: float, seed: int, split: str) -> list[int]:
        """The places of the images of a split, at a level of noise."""
        spec = DatasetSpec(source="images", layout="mvtec", noise=noise, seed=seed)
        moved = with_noise(self.records, spec).records
        found = [[p for p, r in enumerate(moved) if r.split == split and r.label == label] for label in (0, 1)]
        if split == "train":
            found = [of_label[:: self.every] for of_label in found]
        return sorted(found[0] + found[1])


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
        "image_auroc": metrics.image_auroc(labels, prediction.scores.numpy()),
        "aupimo": aupimo(masks, maps),
        "seconds": fitted,
    }


def run(images: Images, levels: Sequence[float], seeds: int, folder: Path | None) -> None:
    """Measure, print, and write what there is after each seed.

    Raises:
        InputError: the folder holds what was measured on other images.
    """
    before = earlier(folder, images.name, images.sha256) if folder else None
    rows = []
    for seed in range(seeds):
        for noise in levels:
            train = images.places(noise, seed, "train")
            moved = sum(images.records[place].label for place in train)
            for name, config in METHODS.items():
                found = measured(images, config, noise=noise, most=max(levels), seed=seed)
                about = {"network": images.network, "every": images.every, "variant": name, "method": config.method}
                rows.append(about | {"noise": noise, "seed": seed, "train": len(train), "moved": moved} | found)
                told = [f"{heading} {100 * found[metric]:.1f}" for metric, heading in METRICS.items()]
                told.append(f"{found['seconds']:.1f} s")
                print(f"seed {seed}  {100 * noise:3.0f} %  {name:24}", *told, sep="  ", flush=True)
        if folder:
            write(pd.DataFrame(rows), before, images.name, images.sha256, folder)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.noise", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--category", type=Path, help="its folder, in MVTec AD's layout")
    parser.add_argument("--mtd", type=Path, help="the folder of Magnetic Tile Defects")
    parser.add_argument("--backbone", nargs="+", default=[DEFAULT_BACKBONE], help=f"networks [{DEFAULT_BACKBONE}]")
    parser.add_argument("--every", type=int, default=1, help="of the training images, how manyth is used [1]")
    parser.add_argument("--levels", type=float, nargs="+", default=[0, 0.05, 0.1, 0.2, 0.4])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--to", type=Path, help=f"folder that results are written to, such as {FOLDER}")
    given = parser.parse_args()
    if not (given.category or given.mtd):
        raise InputError("no images were given", remedy="give --category FOLDER, --mtd FOLDER or both")
    for network in given.backbone:
        backbone_weights(network)  # what is wrong with any of them is said before the first one is measured
    for name, preprocessing, records in _datasets(given.category, given.mtd):
        for network in given.backbone:
            images = Images.of(name, records, preprocessing, network=network, every=given.every)
            run(images, given.levels, given.seeds, given.to)


def _datasets(category: Path | None, mtd: Path | None) -> Iterator[tuple[str, Preprocessing, list[Record]]]:
    """Name, preprocessing and images of what was given."""
    if category:
        root, name = category.parent, category.name
        yield name, CROPPED, [r for split in ("train", "test") for r in datasets.load(root, name, split)]
    if mtd:
        yield "mtd", PREPROCESSING, [r for split in ("train", "test") for r in datasets.load(mtd, split=split)]


if __name__ == "__main__":
    with exit_on_input_error():
        main()
