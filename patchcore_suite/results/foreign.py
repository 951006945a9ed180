"""Results of other code, read from its CSV: the authors' results.csv, anomalib's, and any table that names its columns.

A table has a row a category, with a column a metric; or a row a value, with columns category, metric and value, as
`make publish` writes them. Shares may be fractions or percent.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.names import from_csv

# What others call our metrics, without case, spaces, - and _. Means over images are what the authors publish as PRO.
METRIC_NAMES = {
    "image_auroc": ("imageauroc", "instanceauroc", "imageauc", "imagelevelauroc", "iauroc"),
    "pixel_auroc": ("pixelauroc", "fullpixelauroc", "pixelauc", "pixellevelauroc", "pauroc"),
    "pro": ("pro", "aupro", "pixelaupro", "pixelpro"),
    "pro_per_image": ("anomalypro", "properimage"),
}
CATEGORY_NAMES = ("category", "rownames", "class", "object", "classname")
SEED_NAMES = ("seed",)
VARIANT_NAMES = ("variant",)
SHOTS = "shots"  # of a table of this suite; rows with few nominal images are none of all of them
LONG = ("metric", "value")
OVERALL = ("mean", "average", "avg", "overall", "total")  # rows that say nothing of a category
PREFIX = re.compile(r"mvtec_(ad_)?", re.IGNORECASE)  # of the authors' names of categories
PERCENT = 100


@dataclass(frozen=True)
class Foreign:
    """What a file of others holds.

    Attributes:
        rows: columns category, metric, seed (NaN where it says none), value as a fraction.
        notes: what was not taken, and what was read how.
    """

    rows: pd.DataFrame
    notes: tuple[str, ...]


def read_foreign(path: str | Path, *, variant: str | None = None) -> Foreign:
    """Read a CSV of others.

    Args:
        variant: which rows are taken, where the file has a column `variant`.

    Raises:
        InputError: there is no such file, or it names no category or metric that is known; or its values are no shares,
            in two scales, or given twice. All that is wrong is listed.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False).map(from_csv)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as CSV: {error}", remedy="name a CSV with a header") from None
    names = {_plain(name): name for name in table}
    category = _column(names, CATEGORY_NAMES)
    if not set(LONG) <= names.keys():
        table, metrics = _long(table, category, names)
    else:
        table = table.rename(columns={names[name]: name for name in LONG})
        metrics = list(table["metric"].unique())
    known = {name: ours for name in metrics if (ours := _metric(name))}
    problems = list(_unknown(table, category, known, metrics))
    if problems:
        raise InputError(f"{path} cannot be compared with", offenders=problems, remedy=_remedy())
    table, notes = _chosen(table, category, _column(names, VARIANT_NAMES), variant)
    seed = _column(names, SEED_NAMES)
    taken = {category, seed, *known, *LONG, _column(names, VARIANT_NAMES)}
    if left_out := [name for name in dict.fromkeys([*names.values(), *metrics]) if name not in taken]:
        notes.append(f"not compared: {', '.join(left_out)}")
    rows = pd.DataFrame(
        {
            "category": table[category].map(lambda name: PREFIX.sub("", name.strip())),
            "metric": table["metric"].map(known),
            "seed": pd.to_numeric(table[seed], errors="coerce") if seed else float("nan"),
            "text": table["value"],
            "called": table["metric"],
        }
    )
    rows = rows[rows["metric"].notna() & (rows["text"].str.strip() != "")]
    seeded = rows.groupby(["category", "metric"])["seed"].transform("count") > 0  # beside which a mean says nothing new
    rows = rows[rows["seed"].notna() | ~seeded].reset_index(drop=True)
    return _as_fractions(path, rows, notes)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", str(name)).lower()


def _metric(name: str) -> str | None:
    """Our name of a metric of theirs."""
    return next((ours for ours, theirs in METRIC_NAMES.items() if _plain(name) in theirs), None)


def _column(names: dict[str, str], wanted: Sequence[str]) -> str | None:
    """A column by one of its names, alone or as the last part of a dotted one: data.init_args.category."""
    return next((own for plain, own in names.items() if plain in wanted or plain.rpartition(".")[2] in wanted), None)


def _long(table: pd.DataFrame, category: str | None, names: dict[str, str]) -> tuple[pd.DataFrame, list[str]]:
    """A row a value, of a table with a column a metric; columns that are no metric are settings of theirs."""
    metrics = [name for name in table if _metric(name)]
    if category is None or not metrics:
        return table.assign(metric="", value=""), metrics
    kept = [name for name in table if name not in metrics]
    return table.melt(id_vars=kept, value_vars=metrics, var_name="metric", value_name="value"), metrics


def _unknown(table: pd.DataFrame, category: str | None, known: dict[str, str], metrics: Sequence[str]) -> Iterator[str]:
    """Why nothing of a table is understood."""
    if category is None:
        yield f"no column names the category: {', '.join(map(str, table))}"
    if not known:
        shown = []
        for name in metrics or table:
            near = get_close_matches(str(name), METRIC_NAMES, 1, 0.7)
            shown.append(f"{name} (did you mean {near[0]}?)" if near else str(name))
        yield f"no metric is known: {', '.join(shown)}"
    for ours in METRIC_NAMES:
        if len(twice := [name for name, found in known.items() if found == ours]) > 1:
            yield f"{ours} is given by {' and '.join(twice)}"


def _chosen(
    table: pd.DataFrame, category: str, column: str | None, variant: str | None
) -> tuple[pd.DataFrame, list[str]]:
    """The rows of single categories, and of one variant where there are several."""
    overall = table[category].str.strip().str.lower().isin(OVERALL)
    few = table[SHOTS] != "" if SHOTS in table else False
    table, notes = table[~overall & ~few], []
    if column is None:
        return table, notes
    there = list(table[column].unique())
    if len(there) > 1 or variant is not None:
        chosen = variant if variant in there else None
        if chosen is None:
            raise InputError(
                f"variant {variant!r} is not in the file" if variant else "the file holds several variants",
                offenders=there,
                remedy="name one of them: THEIRS=NAME",
            )
        table = table[table[column] == chosen]
        notes.append(f"of several variants: {chosen}")
    return table, notes


def _as_fractions(path: str | Path, rows: pd.DataFrame, notes: list[str]) -> Foreign:
    """Values as fractions, each of them once.

    Raises:
        InputError: values are no shares, in two scales, or given twice.
    """
    rows["value"] = pd.to_numeric(rows["text"], errors="coerce")
    problems = [
        f"{row.category}, {row.called}: {row.text!r} is no share"
        for row in rows.itertuples()
        if not 0 <= row.value <= PERCENT
    ]
    for metric, of_metric in rows[rows["value"].between(0, PERCENT)].groupby("metric", sort=False):
        if of_metric["value"].max() <= 1:
            continue
        fractions = of_metric[of_metric["value"] <= 1]
        problems += [
            f"{row.category}, {row.called}: {row.text} beside {of_metric['value'].max():g}: fractions and percent"
            for row in fractions.itertuples()
        ]
        rows.loc[of_metric.index, "value"] = of_metric["value"] / PERCENT
        notes.append(f"{of_metric['called'].iloc[0]} is read as percent ({metric})")
    twice = rows[rows.duplicated(["category", "metric", "seed"], keep=False)]
    for (category, called), again in twice.groupby(["category", "called"], sort=False):
        problems.append(f"{category}, {called}: given {len(again)} times: {', '.join(again['text'])}")
    if problems:
        raise InputError(f"values of {path} cannot be used", offenders=problems, remedy="correct these rows")
    return Foreign(rows[["category", "metric", "seed", "value"]], tuple(notes))


def _remedy() -> str:
    metrics = ", ".join(METRIC_NAMES)
    return f"name columns category and some of {metrics}; or category, metric and value"
