"""What the numbers of a dataset were obtained from and under, in the terms that the paper's tables use."""

import pandas as pd

from patchcore_suite.results import study_metrics
from patchcore_suite.run.raw_results import ScoreIndex
from patchcore_suite.settings.params import MAIN_STUDY
from patchcore_suite.settings.project import ProjectDataset

PAPER_NAMES = {"mvtec": "MVTec AD", "mtd": "MTD", "mstc": "mSTC"}  # by layout
COMPLETE = {"MVTec AD": 5354, "MTD": 952 + 392}  # images, training and test
COMPLETE_SCENES = 12  # of mSTC


def images_of(dataset: ProjectDataset) -> str:
    """Whether a dataset's images are "synthetic", "complete" or "reduced" (some of the paper's are left out)."""
    manifest = dataset.manifest()
    if manifest.synthetic:
        return "synthetic"
    name = PAPER_NAMES[dataset.spec.layout]
    if name == "mSTC":
        return "complete" if len(manifest.categories) == COMPLETE_SCENES else "reduced"
    count = sum(len(manifest.records(category)) for category in manifest.categories)
    return "complete" if count == COMPLETE[name] else "reduced"


def index_of(dataset: ProjectDataset) -> ScoreIndex:
    """The index of a dataset's raw results."""
    return ScoreIndex.read(dataset.scores)


def remedies(dataset: ProjectDataset, *, study: str = MAIN_STUDY) -> str:
    """What to do for the variants of a study whose weights are missing, as a list in Markdown."""
    planned = dataset.studies[study].variants
    missing = [entry for entry in index_of(dataset).weights_missing if entry["variant"] in planned]
    items = [f"- `{entry['variant']}`: {entry['remedy']}".replace("\n", "\n  ") for entry in missing]  # lists within it
    return "\n".join(items) or "No weights are missing."


def scope(dataset: ProjectDataset, rows: pd.DataFrame) -> str:
    """What a table's numbers come from: the images, how many categories, how many seeds."""
    name = PAPER_NAMES[dataset.spec.layout]
    origin = f"SYNTHETIC stand-ins for {name}" if index_of(dataset).synthetic else name
    return f"{origin}, categories: {rows['category'].nunique()}, {study_metrics.describe_seeds(rows)}"
