"""All results of a project as one tidy table that others can read: a row a metric of a raw result, with what made it.

    python -m patchcore_suite.results.publish [--to FOLDER]

Writes results.csv, and results.parquet where pyarrow is installed. A row without a seed is the mean over seeds, with
its bootstrap interval over test images.
"""

import argparse
import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.common.files import atomic_path, sha256_json, write_text
from patchcore_suite.datasets.names import MEAN, csv_text, from_csv, shown
from patchcore_suite.results import study_metrics
from patchcore_suite.results.sources import index_of
from patchcore_suite.run.metric_registry import METRICS
from patchcore_suite.settings.project import Project, ProjectDataset, load_project

FOLDER = "reports/published"
NAME = "results"
CELL = ("category", "variant", "shots", "seed")  # what tells one raw result of a dataset from another
TEXTS = {  # columns and what they hold
    "dataset": "as params.yaml calls it",
    "synthetic": "true or false: whether the images were drawn by the suite",
    "category": f"as tables call it; {MEAN}: the mean over all",
    "variant": "as params.yaml calls it",
    "method": "patchcore, spade, ...",
    "metric": "image_auroc, pixel_auroc, pro, ...; shares are fractions",
    "key": "SHA-256 of all that determines the raw result",
    "images_sha256": "of all images of the category",
    "config_sha256": "of the method's configuration and of how images are prepared",
    "config": "the configuration, as JSON",
    "weights": "NAME=SHA-256 of each network, with spaces between",
    "networks_sha256": "of the file of own networks, if one was used",
    "versions": "NAME=VERSION of each library, with spaces between",
    "device": "cpu or cuda",
}
NUMBERS = {
    "shots": "nominal images; empty: all",
    "seed": "empty: the mean over seeds",
    "value": "of the metric; empty where it is not available",
    "low": "of the 95 % bootstrap interval over test images",
    "high": "of the same",
}
COLUMNS = (
    "dataset", "synthetic", "category", "variant", "method", "shots", "seed", "metric", "value", "low", "high",
    "key", "images_sha256", "config_sha256", "config", "weights", "networks_sha256", "versions", "device",
)  # fmt: skip


def published(project: Project) -> pd.DataFrame:
    """The table of all datasets that params.yaml names, with the columns `COLUMNS`; empty texts and NaN for nothing.

    Raises:
        InputError: results or metrics of a dataset are missing or damaged; all such datasets are named.
    """
    found, lacking = [], []
    for dataset in project.datasets.values():
        try:
            found.append(published_of(dataset))
        except InputError as error:
            lacking.append(f"{dataset.name}: {error.problem} ({error.remedy})")
    if lacking:
        raise InputError("results cannot be published", offenders=lacking, remedy="run `make repro`")
    return pd.concat(found, ignore_index=True)


def published_of(dataset: ProjectDataset) -> pd.DataFrame:
    """The table of one dataset; errors are those of reading its results and metrics."""
    frame = pd.concat([_of_cells(dataset), _of_means(dataset)], ignore_index=True).reindex(columns=COLUMNS)
    frame = frame.astype(dict.fromkeys(NUMBERS, float))
    return frame.fillna(dict.fromkeys(TEXTS, ""))


def write(frame: pd.DataFrame, folder: Path) -> list[Path]:
    """Write what `published` gives as files of a folder; those that were written."""
    written = [folder / f"{NAME}.csv"]
    write_text(written[0], as_csv(frame))
    if find_spec("pyarrow") is not None:
        written.append(folder / f"{NAME}.parquet")
        with atomic_path(written[1]) as temporary:
            frame.to_parquet(temporary, index=False)
    return written


def as_csv(frame: pd.DataFrame) -> str:
    """The table, or some of its columns, as CSV."""
    return csv_text(frame.astype({"shots": "Int64", "seed": "Int64"}))


def read(path: str | Path) -> pd.DataFrame:
    """Read a table that `write` wrote, exactly as it was.

    Raises:
        InputError: there is none, or it lacks columns.
    """
    empty = {name: [""] for name in NUMBERS}
    try:
        frame = pd.read_csv(path, dtype=dict.fromkeys(TEXTS, str), keep_default_na=False, na_values=empty)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}", remedy="name a file that `make publish` wrote") from None
    if lacking := [name for name in COLUMNS if name not in frame]:
        raise InputError(f"{path} lacks columns", offenders=lacking, remedy="name a file that `make publish` wrote")
    frame = frame.astype(dict.fromkeys(NUMBERS, float))
    for name in TEXTS:
        frame[name] = frame[name].map(from_csv)
    return frame[list(COLUMNS)]


def _of_cells(dataset: ProjectDataset) -> pd.DataFrame:
    """A row a metric of each raw result."""
    rows, index = study_metrics.read_rows(dataset), index_of(dataset)
    stamps = {}
    for cell, result in index.results(dataset.scores, store=dataset.project.cells):
        stamps[tuple(cell[name] for name in CELL)] = {"key": cell["key"], **_described(result.stamp)}
    given = rows[list(CELL)].astype(object).where(rows[list(CELL)].notna(), None)
    made = pd.DataFrame([stamps.get(tuple(cell), {}) for cell in given.itertuples(index=False)], index=rows.index)
    rows = rows.assign(category=rows["category"].map(shown), synthetic=_word(index.synthetic))
    return pd.concat([rows, made], axis=1)


def _of_means(dataset: ProjectDataset) -> pd.DataFrame:
    """A row a mean over seeds that has an interval."""
    rows = study_metrics.read_rows(dataset)
    rows = rows[rows["shots"].isna() & rows["variant"].isin(dataset.variants) & rows["seed"].isin(dataset.seeds)]
    found = []
    for metric in (metric.name for metric in METRICS.values() if metric.interval):
        of_metric = rows[rows["metric"] == metric]
        means = {
            shown(category): of_category.groupby("variant")["value"].mean()
            for category, of_category in of_metric.groupby("category", sort=False)
        }
        means[MEAN] = study_metrics.mean_over_categories(rows, metric).groupby("variant")["value"].mean()
        for category, values in means.items():
            for variant, interval in study_metrics.read_intervals(dataset, metric=metric, category=category).items():
                found.append((category, variant, metric, values[variant], interval.low, interval.high))
    frame = pd.DataFrame(found, columns=["category", "variant", "metric", "value", "low", "high"])
    return frame.assign(dataset=dataset.name, synthetic=_word(index_of(dataset).synthetic))


def _described(stamp: Mapping[str, object]) -> dict[str, str]:
    """What of a stamp stands in each row."""
    config, preparation = stamp["config"], stamp["preprocessing"]
    return {
        "method": stamp["method"],
        "images_sha256": stamp["images_sha256"],
        "config_sha256": sha256_json([stamp["method"], config, preparation]),
        "config": json.dumps({**config, "preprocessing": preparation}, sort_keys=True),
        "weights": " ".join(f"{used['backbone']}={used['sha256']}" for used in stamp["weights"]),
        "networks_sha256": stamp.get("networks_sha256", ""),
        "versions": " ".join(f"{name}={version}" for name, version in stamp["versions"].items()),
        "device": stamp["device"],
    }


def _word(value: bool) -> str:
    return "true" if value else "false"


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(prog="python -m patchcore_suite.results.publish", description=__doc__)
    parser.add_argument("--to", type=Path, help=f"folder; by default {FOLDER}")
    arguments = parser.parse_args()
    project = load_project()
    frame = published(project)
    for path in write(frame, arguments.to or project.path(FOLDER)):
        print(f"published: {path} ({len(frame):,} rows)")
    if find_spec("pyarrow") is None:
        print("note: no parquet: pip install pyarrow")


if __name__ == "__main__":
    with exit_on_input_error():
        main()
