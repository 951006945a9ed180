"""The metrics of a study, read and averaged over categories and seeds."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.names import MEAN, from_csv, shown
from patchcore_suite.results.formats import NOTHING, WEIGHTS_MISSING
from patchcore_suite.results.quantities import Interval
from patchcore_suite.results.summaries import count, of_metric, percent
from patchcore_suite.run.controls import CEILING, is_control
from patchcore_suite.run.evaluated import check_metrics
from patchcore_suite.run.metric_registry import METRICS
from patchcore_suite.run.raw_results import ScoreIndex
from patchcore_suite.settings.params import MAIN_STUDY
from patchcore_suite.settings.project import ProjectDataset


def read_rows(dataset: ProjectDataset) -> pd.DataFrame:
    """All metrics of all raw results of a dataset: columns dataset, category, variant, shots, seed, metric, value.

    Raises:
        InputError: there are none, or they are damaged, changed or another dataset's.
    """
    rows = _read(dataset, dataset.metrics, ("shots", "value"))
    return rows.astype({"shots": "Int64"})


def read_intervals(dataset: ProjectDataset, *, metric: str, category: str = MEAN) -> dict[str, Interval]:
    """The 95 % bootstrap interval of a metric by variant of the main study; of metrics that have none, nothing.

    Args:
        category: as `names.shown`, or `names.MEAN` for the mean over all.
    """
    rows = _read(dataset, dataset.intervals, ("low", "high"))
    chosen = rows[(rows["metric"] == metric) & (rows["category"] == category)]
    return {row.variant: Interval(row.low, row.high) for row in chosen.itertuples()}


def read_metrics(dataset: ProjectDataset, *, study: str = MAIN_STUDY) -> pd.DataFrame:
    """The metrics of a study on a dataset in long form, and those of the controls on the same categories.

    Returns:
        columns dataset, category, variant, shots, seed, metric, value; variants in the order of `params.yaml`, then
        the controls.

    Raises:
        InputError: they have not been computed, or the dataset has no such study.
    """
    rows, studies = read_rows(dataset), dataset.studies
    if study not in studies:
        raise InputError(
            f"dataset {dataset.name!r} has no study {study!r}",
            remedy=f"add it under datasets.{dataset.name}.studies; there are {', '.join(studies)}",
        )
    chosen = studies[study]
    rows = rows[rows["category"].isin(chosen.chosen(rows["category"].unique()))]
    shots = rows["shots"].isin([count for count in chosen.shots if count is not None])
    if None in chosen.shots:
        shots |= rows["shots"].isna()
    mine = rows[rows["variant"].isin(chosen.variants) & shots & rows["seed"].isin(chosen.seeds)]
    controls = [variant for variant in studies[MAIN_STUDY].variants if is_control(dataset, variant)]
    others = [variant for variant in controls if variant not in chosen.variants]
    beside = rows[rows["variant"].isin(others) & rows["shots"].isna()]
    order = {variant: number for number, variant in enumerate([*chosen.variants, *others])}
    return pd.concat([mine, beside]).sort_values(
        "variant", key=lambda column: column.map(order), kind="stable", ignore_index=True
    )


def read_ceiling(dataset: ProjectDataset, metric: str, categories: Sequence[str]) -> float | None:
    """The mean of a pixel metric over categories that the blurred ground truth reaches; None without masks."""
    rows = read_rows(dataset)
    chosen = rows[(rows["variant"] == CEILING) & (rows["metric"] == metric) & rows["category"].isin(categories)]
    return None if len(chosen) < len(set(categories)) else float(chosen["value"].mean())


def mean_over_categories(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One value a variant and seed: the mean over categories, empty if one category has none.

    Args:
        rows: metrics in long form (see `run.evaluate`).

    Returns:
        columns variant, seed, value.
    """
    chosen = rows[rows["metric"] == metric]
    return chosen.groupby(["variant", "seed"], sort=False)["value"].agg(_mean_of_all).reset_index()


def by_variant(rows: pd.DataFrame, metric: str) -> pd.Series:
    """The mean over categories of a share, by variant."""
    return mean_over_categories(rows, metric).groupby("variant", sort=False)["value"].agg(percent)


def overview(rows: pd.DataFrame) -> pd.DataFrame:
    """What the table of a dataset shows: columns variant, the metrics that the registry has for it, misclassified.

    Those that a dataset has to ask for are shown if it did.
    """
    given = set(rows["metric"])
    columns = {
        metric.heading: mean_over_categories(rows, metric.name)
        .groupby("variant", sort=False)["value"]
        .agg(of_metric, metric=metric.name)
        for metric in METRICS.values()
        if metric.table and (not metric.asked or metric.name in given)
    }
    return pd.DataFrame(columns | {"misclassified": misclassified(rows)}).rename_axis("variant").reset_index()


def by_category(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A share: one row a category, one column a variant, and a last row with the means."""
    chosen = rows[rows["metric"] == metric]
    cells = chosen.groupby(["category", "variant"], sort=False)["value"].agg(percent)
    table = cells.unstack("variant")[list(chosen["variant"].unique())]
    table.index = table.index.map(shown)
    table.loc[MEAN] = by_variant(rows, metric)
    return table.rename_axis(columns=None).reset_index()


def misclassified(rows: pd.DataFrame) -> pd.Series:
    """Images of all categories on the wrong side of their category's F1-optimal threshold, by variant.

    Not available where a category has none, for want of nominal test images.
    """
    errors = rows[rows["metric"].isin(["false_positives", "false_negatives"])]
    totals = errors.groupby(["variant", "seed"], sort=False)["value"].agg(_sum_of_all).reset_index()
    return totals.groupby("variant", sort=False)["value"].agg(count)


def describe_seeds(rows: pd.DataFrame) -> str:
    """How many seeds stand behind a table: "mean ± standard deviation over 3 seeds"."""
    count = rows["seed"].nunique()
    return f"mean ± standard deviation over {count} seeds" if count > 1 else "one seed"


def missing_weights(index: ScoreIndex, variants: Sequence[str]) -> list[str]:
    """Those of the variants that could not run for want of weights."""
    without = {entry["variant"] for entry in index.weights_missing}
    return [variant for variant in variants if variant in without]


def with_missing_weights(
    frame: pd.DataFrame, column: str, variants: Sequence[str], *, shown: str | None = None
) -> pd.DataFrame:
    """Add a row for each variant whose weights could not be had, so that no table leaves one out silently.

    Args:
        column: the one that names the variant.
        shown: the one that says what is missing; all others if None.
    """
    rows = []
    for variant in variants:
        said = {name: WEIGHTS_MISSING if shown in (None, name) else NOTHING for name in frame.columns}
        rows.append(said | {column: variant})
    return pd.concat([frame, pd.DataFrame(rows, columns=frame.columns)], ignore_index=True)


def _read(dataset: ProjectDataset, path: Path, numbers: Sequence[str]) -> pd.DataFrame:
    """A file that `evaluate` wrote, whose columns `numbers` may be empty; names are none but texts."""
    remedy = f"run `dvc repro evaluate@{dataset.name}`"
    if not path.is_file():
        raise InputError(f"there are no metrics {path}", remedy=remedy)
    check_metrics(dataset)
    names, empty = dict.fromkeys(("dataset", "category", "variant"), str), {column: [""] for column in numbers}
    try:
        rows = pd.read_csv(path, dtype=names, keep_default_na=False, na_values=empty)
        rows = rows.astype(dict.fromkeys(numbers, float))
        rows["category"] = rows["category"].map(from_csv)
        datasets = set(rows["dataset"])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"the metrics {path} are damaged: {error}", remedy=remedy) from None
    if datasets - {dataset.name}:
        raise InputError(f"the metrics {path} are those of {', '.join(map(str, datasets))}", remedy=remedy)
    return rows


def _sum_of_all(values: pd.Series) -> float:
    return values.sum(skipna=False)


def _mean_of_all(values: pd.Series) -> float:
    return values.mean(skipna=False)
