"""What each method of a dataset costs, from the times and sizes that were kept beside its raw results."""

import pandas as pd

from patchcore_suite.report.links import timings_of
from patchcore_suite.results.sources import index_of
from patchcore_suite.results.standings import COSTS
from patchcore_suite.settings.project import ProjectDataset

TEST_IMAGES = "test_images"  # a metric


def method_costs(dataset: ProjectDataset, rows: pd.DataFrame) -> pd.DataFrame:
    """Seconds a test image, and megabytes of the model, by variant: means over what was timed of all nominal images.

    Args:
        rows: the metrics of the dataset in long form (see `run.evaluate`).
    """
    images = rows[rows["metric"] == TEST_IMAGES].groupby("category")["value"].first()
    timings, found = timings_of(dataset, index_of(dataset)), []
    for cell in index_of(dataset).cells:
        timing = timings.get(cell["file"])
        if timing and cell["shots"] is None and cell["category"] in images:
            size = timing.get("model_bytes", float("nan")) / 1e6
            found.append((cell["variant"], timing["scoring_s"] / images[cell["category"]], size))
    return pd.DataFrame(found, columns=["variant", *COSTS]).groupby("variant").mean()
