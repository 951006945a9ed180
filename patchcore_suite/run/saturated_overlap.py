"""Saturated per-region overlap (sPRO), the metric of MVTec LOCO AD, of the raw results of a dataset in its layout.

    python -m patchcore_suite.run.saturated_overlap DATASET [--to FILE]

Bergmann et al. (2022): of a defect, s pixels suffice, as defects_config.json says by the grey value of its mask: at a
threshold, sPRO is the mean over all defects of min(found / s, 1). It is integrated over false-positive rates up to 5 %,
for logical and for structural anomalies, each beside the good images.

Masks and maps have the size at which images are scored, and numbers of pixels are brought to it. The evaluation of
the authors works at the size of the images: the same scores give nearly the same value there, not the same one.
"""

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchcore_core import metrics
from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.common.files import write_text
from patchcore_suite.datasets.images import mask_array, mask_values
from patchcore_suite.datasets.layouts.mvtec_loco import CONFIG, KINDS
from patchcore_suite.datasets.listing import mask_files
from patchcore_suite.datasets.names import csv_text
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import NOMINAL, Record
from patchcore_suite.run.raw_results import RawResult, ScoreIndex
from patchcore_suite.run.result_metrics import maps_of
from patchcore_suite.settings.project import ProjectDataset, load_project

MAX_FPR = 0.05
COLUMNS = ["dataset", "category", "variant", "shots", "seed", "anomalies", "spro", "defects", "defects_out_of_sight"]


class Enough(NamedTuple):
    """How much of a defect suffices: a share of it, or a number of pixels of the image."""

    amount: float
    relative: bool

    def pixels(self, area: int, scale: float) -> float:
        """How many of the `area` pixels of a defect, where an image's pixel is `scale` pixels."""
        return min(self.amount * (area if self.relative else scale), area)


class Defect(NamedTuple):
    """One defect of a test image.

    Attributes:
        image: its index.
        mask: (H, W) bool.
        enough: how many of its pixels suffice.
    """

    image: int
    mask: NDArray[np.bool_]
    enough: float


def spro(defects: Sequence[Defect], maps: NDArray[np.floating], max_fpr: float = MAX_FPR) -> float:
    """sPRO, averaged over false-positive rates up to `max_fpr`.

    It is PRO, exactly, with other weights of the pixels: those of a defect that score highest, as many as suffice,
    share a weight of 1, and the others have none.

    Args:
        defects: of all images, each of one pixel or more; they may overlap.
        maps: (n, H, W) anomaly maps; all pixels outside of defects count as nominal.
    """
    weights = np.zeros(maps.shape)
    masks = np.zeros(maps.shape, dtype=bool)
    for image, mask, enough in defects:
        ranked = np.argsort(-maps[image][mask], kind="stable")
        share = np.clip(enough - np.arange(len(ranked)), 0, 1) / enough
        of_pixels = np.empty(len(ranked))
        of_pixels[ranked] = share
        weights[image][mask] += of_pixels
        masks[image] |= mask
    numbers = np.ones(int(masks.sum()), dtype=np.int32)
    return metrics.pro(metrics.Regions(masks, numbers, weights[masks]), maps, max_fpr)


def read_config(path: Path) -> dict[int, Enough]:
    """How much of a defect suffices, by the grey value of its masks.

    Raises:
        InputError: the file is missing, damaged, or says something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        found = {
            int(item["pixel_value"]): Enough(float(item["saturation_threshold"]), bool(item["relative_saturation"]))
            for item in value
        }
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise InputError(f"cannot read {path}: {type(error).__name__}: {error}", remedy="fetch it again") from None
    if odd := [f"pixel_value {grey}: {enough.amount}" for grey, enough in found.items() if not enough.amount > 0]:
        raise InputError(f"amounts in {path} that cannot suffice", offenders=odd, remedy="fetch it again")
    return found


def defects_of(
    record: Record, image: int, config: Mapping[int, Enough], preprocessing: Preprocessing
) -> Iterator[Defect]:
    """The defects of a test image as they are scored; of one that is out of sight there the mask is empty.

    Raises:
        InputError: a mask has a value of which the configuration says nothing.
    """
    for file in mask_files(record.mask):
        values = mask_values(replace(record, mask=file))
        resized = math.prod(preprocessing.resized(values.shape))
        for grey in np.unique(values[values > 0]):
            if int(grey) not in config:
                raise InputError(f"{CONFIG} says nothing of the value {grey} of the mask {file}")
            mask = mask_array(values == grey, preprocessing)
            yield Defect(image, mask, config[int(grey)].pixels(int(mask.sum()), resized / values.size))


def of_dataset(dataset: ProjectDataset) -> pd.DataFrame:
    """sPRO of every raw result that has maps: `COLUMNS`, one row for each kind of anomaly.

    Raises:
        InputError: the dataset has another layout, or results are missing, damaged or of other images.
    """
    manifest, index = dataset.manifest(), ScoreIndex.read(dataset.scores)
    if manifest.layout != "mvtec_loco":
        raise InputError(f"{dataset.name} has the layout {manifest.layout}: only mvtec_loco says how much suffices")
    rows = []
    for category in manifest.categories:
        manifest.check_unchanged(category)
        records, config = manifest.records(category, "test"), read_config(manifest.root / category / CONFIG)
        known: dict[Preprocessing, list[Defect]] = {}
        for cell, result in index.results(dataset.scores, category=category, store=dataset.project.cells):
            if result.stamp["images_sha256"] != manifest.digest(category):
                raise InputError(f"{cell['file']} is of other images", remedy=f"run `dvc repro score@{dataset.name}`")
            if result.distances is None:
                continue
            prepared = Preprocessing(**result.stamp["preprocessing"])
            if prepared not in known:
                known[prepared] = [
                    defect for n, record in enumerate(records) for defect in defects_of(record, n, config, prepared)
                ]
            about = [dataset.name, category, cell["variant"], cell["shots"], cell["seed"]]
            rows += [[*about, *row] for row in _of_kinds(known[prepared], records, result)]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"shots": "Int64"})


def _of_kinds(defects: Sequence[Defect], records: Sequence[Record], result: RawResult) -> Iterator[list[object]]:
    """Kind of anomaly, sPRO beside the good images, and numbers of defects."""
    maps = None
    for kind in KINDS:
        chosen = [n for n, record in enumerate(records) if record.defect in (kind, NOMINAL)]
        place = {n: index for index, n in enumerate(chosen)}
        of_kind = [defect for defect in defects if defect.image in place]
        seen = [defect._replace(image=place[defect.image]) for defect in of_kind if defect.mask.any()]
        if seen:
            maps = maps_of(result, seen[0].mask.shape) if maps is None else maps
            yield [kind, spro(seen, maps[chosen]), len(of_kind), len(of_kind) - len(seen)]


def main() -> None:
    """Print sPRO of a dataset, or write it to a file."""
    parser = argparse.ArgumentParser(
        prog="python -m patchcore_suite.run.saturated_overlap", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("dataset", help="its name in params.yaml")
    parser.add_argument("--to", type=Path, metavar="FILE", help="a CSV file, in place of the terminal")
    given = parser.parse_args()
    text = csv_text(of_dataset(load_project().dataset(given.dataset)))
    if given.to is None:
        print(text, end="")
    else:
        write_text(given.to, text)


if __name__ == "__main__":
    with exit_on_input_error():
        main()
