"""Metrics of a study on resampled test images, for intervals of differences between its variants."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from patchcore_suite.results.leads import Resamples
from patchcore_suite.run.metric_registry import METRICS
from patchcore_suite.run.resamples import CellName, cell_replicates
from patchcore_suite.settings.project import ProjectDataset


def study_resamples(dataset: ProjectDataset, study: str, metrics: Sequence[str]) -> Resamples:
    """Replicates of metrics (see `run.resamples`): means over the study's categories, where all have them.

    Args:
        study: of all nominal images.
        metrics: those that have to be asked for are left out where the dataset does not.

    Raises:
        InputError: results are missing, damaged, or of other images than there are now.
    """
    chosen = dataset.studies[study]
    metrics = [name for name in metrics if not METRICS[name].asked or name in dataset.asked]
    categories = chosen.chosen(dataset.manifest().categories)

    def wanted(cell: CellName) -> bool:
        of_study = cell.variant in chosen.variants and cell.seed in chosen.seeds and cell.shots is None
        return of_study and cell.category in categories

    found = cell_replicates(dataset, metrics, wanted=wanted)
    resamples: dict[str, dict[str, dict[int, NDArray[np.float64]]]] = {}
    for variant, seed in dict.fromkeys((cell.variant, cell.seed) for cell in found):
        of_categories = [found.get(CellName(category, variant, None, seed), {}) for category in categories]
        for metric in (name for name in metrics if all(name in one for one in of_categories)):
            mean = np.mean([one[metric] for one in of_categories], axis=0)
            resamples.setdefault(variant, {}).setdefault(metric, {})[seed] = mean
    return resamples
