"""Metrics of single raw results on resampled test images: what paired intervals are made of.

All results of a category are measured on the same draws, whatever their variant, shots and seed, and those of another
dataset with the same test images, too. So the replicates of two results can be subtracted one from another: what
remains says how a difference depends on the images that were tested.
"""

from collections import ChainMap
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from patchcore_core.metrics import Regions
from patchcore_suite.datasets.images import map_ahead
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.run.asked_intervals import ASKED_PIXEL_METRICS, asked_statistics
from patchcore_suite.run.evaluate import at_once, judged_results
from patchcore_suite.run.image_intervals import auroc_replicates
from patchcore_suite.run.pixel_intervals import PIXEL_METRICS, pixel_replicates, pixel_statistics
from patchcore_suite.run.raw_results import ScoreIndex
from patchcore_suite.run.result_metrics import Judged
from patchcore_suite.settings.project import ProjectDataset


class CellName(NamedTuple):
    """What tells one raw result of a dataset from another."""

    category: str
    variant: str
    shots: int | None
    seed: int


Replicates = Mapping[str, NDArray[np.float64]]  # (1000,) of each metric


def cell_replicates(
    dataset: ProjectDataset, metrics: Collection[str], *, wanted: Callable[[CellName], bool]
) -> dict[CellName, Replicates]:
    """Replicates of the raw results that are wanted.

    Args:
        metrics: image_auroc and pixel metrics that have intervals; a result lacks those that it has no maps for.

    Raises:
        InputError: results are missing, damaged, or of other images than there are now.
    """
    index, manifest = ScoreIndex.read(dataset.scores), dataset.manifest()
    index = replace(index, cells=tuple(cell for cell in index.cells if wanted(_name(cell))))
    found: dict[CellName, Replicates] = {}
    for number, category in enumerate(manifest.categories):
        if not any(cell["category"] == category for cell in index.cells):
            continue
        manifest.check_unchanged(category)
        masks: dict[Preprocessing, Regions | None] = {}
        results = judged_results(dataset, manifest, index, category, masks)

        def measure(given: tuple[Mapping[str, object], Judged], number: int = number) -> tuple[CellName, Replicates]:
            cell, judged = given
            return _name(cell), _replicates(judged, metrics, category=number)

        found.update(map_ahead(measure, results, at_once(dataset.preprocessing(), manifest, category)))
    return found


def _replicates(judged: Judged, metrics: Collection[str], *, category: int) -> Replicates:
    labels, drawn = judged.labels, []
    if "image_auroc" in metrics:
        drawn.append({"image_auroc": auroc_replicates(labels, judged.scores, category=category)})
    counted = [(PIXEL_METRICS, pixel_statistics), (ASKED_PIXEL_METRICS, asked_statistics)]
    for _, statistics in (kind for kind in counted if set(kind[0]) & set(metrics) and judged.maps is not None):
        drawn.append(pixel_replicates(labels, [statistics(judged.regions, judged.maps)], category=category))
    values = ChainMap(*drawn)
    return {name: values[name] for name in metrics if name in values}


def _name(cell: Mapping[str, object]) -> CellName:
    return CellName(*(cell[field] for field in CellName._fields))
