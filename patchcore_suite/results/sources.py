"""What the numbers of a dataset were obtained from and under, in the terms that the paper's tables use."""

from collections.abc import Iterable

import pandas as pd

from patchcore_suite.datasets.identity import REDUCED, extent
from patchcore_suite.datasets.spec import PAPER_NAMES
from patchcore_suite.results import study_metrics
from patchcore_suite.results.table import Heading
from patchcore_suite.run.raw_results import ScoreIndex
from patchcore_suite.settings.params import MAIN_STUDY
from patchcore_suite.settings.project import ProjectDataset

FEW = 3  # categories that a caption names


def paper_name(dataset: ProjectDataset) -> str | None:
    """What the paper calls a dataset that is, or stands in for, one of its own; None for any other."""
    return PAPER_NAMES.get(dataset.manifest().paper)


def dataset_title(dataset: ProjectDataset) -> str:
    """What tables call a dataset: its name in the paper, or in params.yaml if it is none of the paper's."""
    return paper_name(dataset) if is_papers(dataset) else dataset.name


def is_papers(dataset: ProjectDataset) -> bool:
    """Whether a dataset bears a name of the paper's: it consists of whole categories of one, or stands in for one.

    Of some images of a category, nobody can tell whose they are.
    """
    manifest = dataset.manifest()
    return manifest.paper is not None and extent(manifest, manifest.categories) != REDUCED


def stands_for(dataset: ProjectDataset, name: str, subject: str) -> Heading | None:
    """The table or figure of the paper that one of a dataset stands for; None where the dataset is not the paper's."""
    return Heading(name, subject) if is_papers(dataset) else None


def images_of(dataset: ProjectDataset, categories: Iterable[str] | None = None) -> str:
    """Whether images are "synthetic", "own", "complete" or "reduced" (some of the paper's are left out).

    Args:
        categories: of these alone; None: of the paper's whole dataset.
    """
    return extent(dataset.manifest(), categories)


def index_of(dataset: ProjectDataset) -> ScoreIndex:
    """The index of a dataset's raw results."""
    return ScoreIndex.read(dataset.scores)


def remedies(dataset: ProjectDataset, *, study: str = MAIN_STUDY) -> str:
    """What to do for the variants of a study whose weights are missing, as a list in Markdown."""
    planned = dataset.studies[study].variants
    missing = [entry for entry in index_of(dataset).weights_missing if entry["variant"] in planned]
    items = [f"- `{entry['variant']}`: {entry['remedy']}".replace("\n", "\n  ") for entry in missing]  # lists within it
    return "\n".join(items) or "No weights are missing."


def scope(dataset: ProjectDataset, rows: pd.DataFrame, *, naming: bool = False) -> str:
    """What a table's numbers come from: the images, how many categories, how many seeds.

    Args:
        naming: name the categories as well, where they are few.
    """
    origin = dataset_title(dataset)
    if index_of(dataset).synthetic:
        origin = f"SYNTHETIC stand-ins for {origin}" if paper_name(dataset) else f"SYNTHETIC images ({origin})"
    names = rows["category"].unique()
    named = f" ({', '.join(names)})" if naming and len(names) <= FEW else ""
    return f"{origin}, categories: {len(names)}{named}, {study_metrics.describe_seeds(rows)}"
