"""Which results there are to be looked at."""

from collections.abc import Callable

from patchcore_core.common.errors import InputError
from patchcore_core.config import MethodConfig, PatchCoreConfig
from patchcore_suite.run.raw_results import INDEX_FILE, ScoreIndex
from patchcore_suite.settings.project import Project, ProjectDataset


def read_index(dataset: ProjectDataset) -> ScoreIndex:
    """What results a dataset has.

    Raises:
        InputError: there are none yet, or they were written by another version.
    """
    folder = dataset.scores
    if not (folder / INDEX_FILE).is_file():
        raise InputError(
            f"there are no results of {dataset.name} yet",
            remedy=f"run `make repro`, or `dvc repro score@{dataset.name}` for these alone, and choose it again",
        )
    return ScoreIndex.read(folder)


def variants(index: ScoreIndex, category: str, project: Project, suits: Callable[[MethodConfig], bool]) -> list[str]:
    """Variants among the results of a category that suit, in order."""
    of_category = [cell for cell in index.cells if (cell["category"], cell["shots"]) == (category, None)]
    names = dict.fromkeys(cell["variant"] for cell in of_category)
    return [
        name for name in names if name in project.params.variants and suits(project.dataset(index.dataset).config(name))
    ]


def keeps_patches(config: MethodConfig) -> bool:
    """Whether a variant's memory bank consists of patches of training images, at plain distances."""
    patchcore = isinstance(config, PatchCoreConfig)
    return patchcore and config.sampler in ("greedy", "random") and not config.squared_distances


def is_coreset(config: MethodConfig) -> bool:
    """Whether a variant's memory bank is a greedy coreset of less than everything."""
    return keeps_patches(config) and config.sampler == "greedy" and config.coreset_fraction < 1
