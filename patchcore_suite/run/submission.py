"""What a variant says of the private test images of MVTec AD 2, as its server takes it.

    python -m patchcore_suite.run.submission DATASET --variant NAME --to FOLDER [--seed N]

A pixel is called anomalous where its value lies more than three standard deviations above the mean of all pixels of
the images for validation, which are nominal: the rule that the owner of the dataset suggests.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.common.files import atomic_path, writing
from patchcore_core.common.progress import progress_bar
from patchcore_core.detector import Detector
from patchcore_suite.baselines.registry import detector
from patchcore_suite.datasets.images import Batches
from patchcore_suite.datasets.layouts.mvtec_ad_2 import VALIDATION
from patchcore_suite.datasets.listing import files
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import NOMINAL, Record
from patchcore_suite.datasets.submission import (
    ANOMALOUS,
    CALLED,
    COUNTS,
    MAPS,
    check_package,
    expected,
    file_of,
    private_images,
)
from patchcore_suite.datasets.tiff import write_tiff
from patchcore_suite.run.few_shot import learned_records
from patchcore_suite.settings.project import ProjectDataset, load_project

LAYOUT = "mvtec_ad_2"
BATCH = 8  # images
DEVIATIONS = 3


def write_package(dataset: ProjectDataset, variant: str, folder: Path, *, seed: int = 0) -> str:
    """Fit a variant to each category, and write what it says of the private test images; whole or not at all.

    Returns:
        what the package holds, once it is checked.

    Raises:
        InputError: the dataset is not MVTec AD 2, whole, or the variant cuts its images or has no maps; `folder` is
            there already, or holds in the end what the server would not take.
    """
    manifest, preprocessing = dataset.manifest(), dataset.preprocessing(variant)
    _refuse(manifest, preprocessing, folder)
    images = private_images(manifest.root)
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
            fresh = Path(temporary, folder.name)
            with progress_bar(len(images), f"{dataset.name}: private test images", unit="image") as bar:
                for category in manifest.categories:
                    model = _fitted(dataset, manifest, category, variant, seed)
                    limit = _limit(model, files(manifest.root / category / VALIDATION), preprocessing)
                    of_category = {name: image for name, image in images.items() if name.parts[0] == category}
                    for name, values in zip(
                        of_category, _maps(model, list(of_category.values()), preprocessing), strict=True
                    ):
                        _write(fresh, name, values, limit)
                        bar.update(1)
            said = check_package(fresh, expected(manifest.root))
            fresh.rename(folder)
    return said.replace(str(fresh), str(folder))


def _refuse(manifest: Manifest, preprocessing: Preprocessing, folder: Path) -> None:
    problems = []
    if manifest.layout != LAYOUT:
        problems.append(f"{manifest.name} has the layout {manifest.layout}, not {LAYOUT}")
    elif not manifest.synthetic and (absent := set(COUNTS) - set(manifest.categories)):
        problems.append(f"{manifest.name} lacks categories, and the server takes all: {', '.join(sorted(absent))}")
    if preprocessing.crop is not None:
        problems.append(f"crop={preprocessing.crop} leaves pixels without a value: set it to null")
    if folder.exists():
        problems.append(f"{folder} is there already: delete it, or name another folder")
    if problems:
        raise InputError("no package for the server of MVTec AD 2 can be written", offenders=problems)


def _fitted(dataset: ProjectDataset, manifest: Manifest, category: str, variant: str, seed: int) -> Detector:
    manifest.check_unchanged(category)
    execution, preprocessing = dataset.execution, dataset.preprocessing(variant)
    model = detector(dataset.config(variant), seed=seed, weights=execution.own_weights, device=execution.device)
    nominal = learned_records(dataset, manifest, category, variant)
    return model.fit(Batches(nominal, preprocessing, BATCH, workers=execution.workers))


def _limit(model: Detector, images: Sequence[Path], preprocessing: Preprocessing) -> float:
    """The value above which a pixel is called anomalous.

    Raises:
        InputError: there are no images for validation.
    """
    if not images:
        raise InputError("there are no images for validation", remedy=f"restore {VALIDATION} of each category")
    sums = np.zeros(3)  # of values to the power of 0, 1 and 2: maps of all images would not fit into memory
    for values in _maps(model, images, preprocessing):
        sums += [np.power(values, power, dtype=np.float64).sum() for power in range(3)]
    mean = sums[1] / sums[0]
    return float(mean + DEVIATIONS * np.sqrt(max(sums[2] / sums[0] - mean**2, 0)))


def _maps(model: Detector, images: Sequence[Path], preprocessing: Preprocessing) -> Iterator[NDArray[np.float32]]:
    """The anomaly map (h, w) of each image, at the image's own size.

    Raises:
        InputError: the method scores whole images only, or values are beyond what 16 bits hold.
    """
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH]
        records = [Record(image, "", "test", 0, NOMINAL) for image in part]
        predicted = model.predict(Batches(records, preprocessing, BATCH)).maps
        if predicted is None:
            raise InputError(f"{model.config.method} scores whole images, and the server asks for maps")
        for image, values in zip(part, predicted.cpu().numpy(), strict=True):
            if not np.abs(values).max() < np.finfo(np.float16).max:
                raise InputError(f"values of the map of {image} do not fit into 16 bits", remedy="use another variant")
            with Image.open(image) as opened:
                yield np.asarray(Image.fromarray(values).resize(opened.size, Image.Resampling.BILINEAR))


def _write(folder: Path, name: Path, values: NDArray[np.float32], limit: float) -> None:
    write_tiff(file_of(folder, MAPS, name), values.astype(np.float16))
    called = np.where(values > limit, np.uint8(ANOMALOUS), np.uint8(0))
    with atomic_path(file_of(folder, CALLED, name)) as temporary:
        Image.fromarray(called).save(temporary, "PNG")


def main() -> None:
    """Write a package for the server of MVTec AD 2."""
    parser = argparse.ArgumentParser(
        prog="python -m patchcore_suite.run.submission", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("dataset", help="its name in params.yaml")
    parser.add_argument("--variant", required=True, help="its name in params.yaml")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(write_package(load_project().dataset(given.dataset), given.variant, given.to, seed=given.seed))


if __name__ == "__main__":
    with exit_on_input_error():
        main()
