"""From metrics in long form to the tables that people read; the only place that multiplies by 100."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from patchcore_core.errors import InputError
from patchcore_core.files import write_json, write_text
from patchcore_core.params import Params

NOT_AVAILABLE = "not available"


@dataclass(frozen=True)
class Table:
    """A table as it appears in the report.

    Attributes:
        title: its heading.
        caption: what is measured, on what, over how many seeds; a caption of generated images begins with SYNTHETIC.
        synthetic: whether its numbers come from generated images.
        frame: the cells, as text.
    """

    title: str
    caption: str
    synthetic: bool
    frame: pd.DataFrame

    def __post_init__(self) -> None:
        if self.synthetic and "SYNTHETIC" not in self.caption:
            object.__setattr__(self, "caption", f"SYNTHETIC images. {self.caption}")

    def write(self, folder: Path, name: str) -> None:
        """Write NAME.csv, and NAME.json with what is said about it."""
        described = {"title": self.title, "caption": self.caption, "synthetic": self.synthetic}
        write_text(folder / f"{name}.csv", self.frame.to_csv(index=False, lineterminator="\n"))
        write_json(folder / f"{name}.json", described)

    @classmethod
    def read(cls, folder: Path, name: str) -> "Table":
        """Read a table that `write` wrote.

        Raises:
            InputError: there is none.
        """
        try:
            described = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
            frame = pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"there is no table {name} in {folder}: {error}", remedy=f"run `dvc repro {name}`"
            ) from None
        return cls(**described, frame=frame)


def read_metrics(name: str, params: Params) -> pd.DataFrame:
    """The metrics of a dataset in long form: columns dataset, category, variant, seed, metric, value.

    Raises:
        InputError: they have not been computed.
    """
    path = params.path(f"reports/metrics/{name}.csv")
    if not path.is_file():
        raise InputError(f"there are no metrics {path}", remedy=f"run `dvc repro evaluate@{name}`")
    return pd.read_csv(path, dtype={"category": str, "variant": str})


def percent(values: pd.Series, digits: int = 1) -> str:
    """A metric over seeds as mean and standard deviation in percent: "97.3 ± 0.4"; one seed has no deviation."""
    if values.isna().any() or values.empty:
        return NOT_AVAILABLE
    mean = f"{100 * values.mean():.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {100 * values.std(ddof=1):.{digits}f}"


def mean_over_categories(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One value a variant and seed: the mean over categories, empty if one category has none.

    Args:
        rows: metrics in long form (see `evaluation`).

    Returns:
        columns variant, seed, value.
    """
    chosen = rows[rows["metric"] == metric]
    return chosen.groupby(["variant", "seed"], sort=False)["value"].agg(_mean_of_all).reset_index()


def by_variant(rows: pd.DataFrame, metric: str, *, digits: int = 1) -> pd.Series:
    """The mean over categories of a metric as text, by variant."""
    means = mean_over_categories(rows, metric)
    return means.groupby("variant", sort=False)["value"].agg(lambda values: percent(values, digits))


def by_category(rows: pd.DataFrame, metric: str, *, digits: int = 1) -> pd.DataFrame:
    """A metric as text: one row a category, one column a variant, and a last row with the means."""
    chosen = rows[rows["metric"] == metric]
    cells = chosen.groupby(["category", "variant"], sort=False)["value"].agg(lambda values: percent(values, digits))
    table = cells.unstack("variant")[list(chosen["variant"].unique())]
    table.loc["mean"] = by_variant(rows, metric, digits=digits)
    return table.rename_axis(columns=None).reset_index()


def misclassified(rows: pd.DataFrame) -> pd.Series:
    """Images of all categories on the wrong side of their category's F1-optimal threshold, by variant, as text."""
    errors = rows[rows["metric"].isin(["false_positives", "false_negatives"])]
    totals = errors.groupby(["variant", "seed"], sort=False)["value"].sum().reset_index()
    return totals.groupby("variant", sort=False)["value"].agg(_count)


def describe_seeds(rows: pd.DataFrame) -> str:
    """How many seeds stand behind a table: "mean ± standard deviation over 3 seeds"."""
    count = rows["seed"].nunique()
    return f"mean ± standard deviation over {count} seeds" if count > 1 else "one seed"


def with_missing_weights(frame: pd.DataFrame, column: str, variants: Sequence[str]) -> pd.DataFrame:
    """Add a row for each variant whose weights could not be had, so that no table leaves one out silently."""
    rows = [{name: variant if name == column else "weights missing" for name in frame.columns} for variant in variants]
    return pd.concat([frame, pd.DataFrame(rows, columns=frame.columns)], ignore_index=True)


def _mean_of_all(values: pd.Series) -> float:
    return values.mean(skipna=False)


def _count(values: pd.Series) -> str:
    mean = f"{values.mean():.0f}" if values.nunique() == 1 else f"{values.mean():.1f}"
    return mean if len(values) < 2 else f"{mean} ± {values.std(ddof=1):.1f}"
