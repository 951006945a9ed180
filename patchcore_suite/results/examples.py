"""Which test images are worth a look, and what PatchCore saw in them."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from patchcore_core.common.errors import InputError
from patchcore_core.scoring import anomaly_maps
from patchcore_suite.datasets.images import image_tensor, mask_array, read_image, read_mask
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import Record
from patchcore_suite.run.raw_results import RawResult, ScoreIndex
from patchcore_suite.settings.project import ProjectDataset

Example = tuple[str, NDArray, NDArray | None, NDArray]  # caption, image, mask, map


@dataclass(frozen=True)
class DatasetResults:
    """The raw results of one variant on one dataset, with their images."""

    index: ScoreIndex
    manifest: Manifest
    by_category: dict[str, RawResult]  # of the first seed
    variant: str

    @classmethod
    def read(cls, dataset: ProjectDataset, variant: str | None) -> "DatasetResults":
        """Read the results of a variant with its first seed.

        Args:
            variant: None for the dataset's first one whose weights were there.

        Raises:
            InputError: they are not there; the message names the variants that are.
        """
        folder = dataset.scores
        index = ScoreIndex.read(folder)
        missing = [entry["variant"] for entry in index.weights_missing]
        variant = variant or next(name for name in dataset.variants if name not in missing)
        found: dict[str, RawResult] = {}
        for cell, result in index.results(folder, variant=variant):
            if cell["shots"] is not None:
                continue
            found.setdefault(cell["category"], result)
        if not found:
            known = ", ".join(sorted({cell["variant"] for cell in index.cells}))
            raise InputError(f"{dataset.name} has no results of variant {variant!r}", remedy=f"choose from {known}")
        if any(result.distances is None for result in found.values()):
            raise InputError(f"variant {variant!r} scores whole images: it has no maps", remedy="choose another")
        manifest = dataset.manifest()
        return cls(index, manifest, found, variant)

    def scores(self) -> dict[str, tuple[NDArray, NDArray]]:
        """Labels (n,) and image scores (n,) of the test images, by category."""
        labels = {
            category: np.array([record.label for record in self.manifest.records(category, "test")])
            for category in self.by_category
        }
        return {category: (labels[category], result.scores) for category, result in self.by_category.items()}

    def examples(self, count: int) -> dict[str, list[Example]]:
        """For each category two nominal images, where it has any, and `count` - 2 anomalous ones, with their maps.

        The nominal ones are the median and the worst false alarm; the anomalous ones are spread over the whole range
        of scores, from the most overlooked to the most evident.
        """
        return {category: self._examples(category, count) for category in self.by_category}

    def _examples(self, category: str, count: int) -> list[Example]:
        records = self.manifest.records(category, "test")
        result = self.by_category[category]
        order = np.argsort(result.scores, kind="stable")
        nominal = [row for row in order if not records[row].label]
        anomalous = [row for row in order if records[row].label]
        spread = np.linspace(0, len(anomalous) - 1, min(count - 2, len(anomalous))).round().astype(int)
        few = [nominal[len(nominal) // 2], nominal[-1]] if nominal else []
        shown = [*few, *(anomalous[position] for position in spread)]

        preprocessing = Preprocessing(**result.stamp["preprocessing"])
        distances = torch.from_numpy(result.distances[shown])
        config = result.stamp["config"]
        maps = anomaly_maps(
            distances,
            result.stamp["image_size"],
            sigma=config["smoothing_sigma"],
            upsampling=config.get("upsampling", "bilinear"),
        ).numpy()
        return [
            (
                f"{records[row].defect}  {result.scores[row]:.1f}",
                image_tensor(read_image(records[row]), preprocessing).permute(1, 2, 0).numpy(),
                _mask(records[row], preprocessing),
                anomaly_map,
            )
            for row, anomaly_map in zip(shown, maps, strict=True)
        ]


def _mask(record: Record, preprocessing: Preprocessing) -> NDArray | None:
    if record.label and record.mask is None:
        return None
    return mask_array(read_mask(record), preprocessing)
