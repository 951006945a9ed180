"""Results of other code beside ours, category by category, with paired differences: a section of the report.

    python -m patchcore_suite.results.compare FILE.csv [--dataset NAME] [--variant NAME] [--theirs NAME]

What files are understood says `foreign`. The page shows the section when it is built again, as `make compare` does.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_suite.datasets.names import MEAN, shown
from patchcore_suite.results import study_metrics
from patchcore_suite.results.foreign import Foreign, read_foreign
from patchcore_suite.results.formats import HEADINGS, NOTHING
from patchcore_suite.results.quantities import Cell, Interval, difference
from patchcore_suite.results.section import Section
from patchcore_suite.results.sources import index_of
from patchcore_suite.results.summaries import percent
from patchcore_suite.results.table import Heading, Table, as_text
from patchcore_suite.run.percentiles import percentile_interval
from patchcore_suite.settings.project import ProjectDataset, load_project

KEY = "compare_"  # how sections and tables of this kind begin
ORDER = 1000  # after all that notebooks show
RESAMPLES, LEVEL, SEED = 10_000, 0.95, 0
FEWEST = 3  # categories of which resamples say something
CAPTION = (
    "Ours is {variant}, mean ± standard deviation over seeds. Differences are ours less theirs, in percentage points. "
    "Intervals (95 %) of a category are of our test images, theirs taken as it is."
)
OF_MEANS = "Those of a mean are of the paired differences of {count} categories, drawn with replacement."


def beside(dataset: ProjectDataset, variant: str, theirs: Foreign) -> pd.DataFrame:
    """Ours beside theirs: columns metric, category, ours, theirs, difference, interval; a last row a metric, the mean.

    Raises:
        InputError: the variant has no results here, or none of their categories is here.
    """
    rows = study_metrics.read_rows(dataset)
    rows = rows[rows["shots"].isna()].assign(category=rows["category"].map(shown))
    ours = rows[rows["variant"] == variant]
    if ours.empty:
        there = ", ".join(rows["variant"].unique())
        raise InputError(f"{dataset.name} has no results of variant {variant!r}", remedy=f"choose one of {there}")
    here, there = list(ours["category"].unique()), list(theirs.rows["category"].unique())
    if not set(here) & set(there):
        raise InputError(
            f"no category of the file is one of {dataset.name}",
            offenders=[f"theirs: {', '.join(there)}", f"ours: {', '.join(here)}"],
            remedy="rename theirs, or choose another dataset: DATASET=NAME",
        )
    table: list[dict[str, Cell]] = []
    for metric in dict.fromkeys(theirs.rows["metric"]):
        table += _of_metric(dataset, metric, ours[ours["metric"] == metric], theirs.rows)
    return pd.DataFrame(table, columns=["metric", "category", "ours", "theirs", "difference", "interval (95 %)"])


def paired_interval(differences: Sequence[float]) -> Interval | str:
    """Interval of the mean of paired differences, one a category, over resampled categories; none of fewer than 3."""
    found = np.asarray(differences)
    if len(found) < FEWEST:
        return NOTHING
    drawn = np.random.default_rng(SEED).integers(len(found), size=(RESAMPLES, len(found)))
    return Interval(*percentile_interval(found[drawn].mean(axis=1), level=LEVEL), form="+.1f")


def _of_metric(dataset: ProjectDataset, metric: str, ours: pd.DataFrame, theirs: pd.DataFrame) -> list[dict[str, Cell]]:
    """The rows of one metric: its categories, then the mean over those that both have."""
    heading, both, table = HEADINGS[metric], [], []
    theirs = theirs[theirs["metric"] == metric]
    for category in ours["category"].unique():
        mine = ours[ours["category"] == category]["value"].dropna()
        other = theirs[theirs["category"] == category]["value"]
        if mine.empty or other.empty:
            continue
        both.append((mine.mean(), other.mean()))
        found = study_metrics.read_intervals(dataset, metric=metric, category=category)
        interval = found.get(ours["variant"].iloc[0])
        table.append(
            {
                "metric": heading,
                "category": category,
                "ours": percent(mine),
                "theirs": percent(other),
                "difference": difference(mine.mean() - other.mean()),
                "interval (95 %)": NOTHING
                if interval is None
                else Interval(interval.low - other.mean(), interval.high - other.mean(), form="+.1f"),
            }
        )
    if len(both) > 1:
        mine, other = np.array(both).T
        table.append(
            {
                "metric": heading,
                "category": MEAN,
                "ours": percent(pd.Series([mine.mean()])),
                "theirs": percent(pd.Series([other.mean()])),
                "difference": difference(mine.mean() - other.mean()),
                "interval (95 %)": paired_interval(mine - other),
            }
        )
    return table


def section(dataset: ProjectDataset, variant: str, theirs: Foreign, *, name: str) -> Section:
    """The table as a section of the report.

    Args:
        name: of the file, by which the section is told from others.
    """
    frame = beside(dataset, variant, theirs)
    lacking = [category for category in theirs.rows["category"].unique() if category not in set(frame["category"])]
    notes = [*theirs.notes, *([f"not here: {', '.join(lacking)}"] if lacking else [])]
    key = KEY + re.sub(r"[^A-Za-z0-9]+", "_", name)
    count = frame["category"][frame["category"] != MEAN].nunique()
    said = [CAPTION.format(variant=variant), *([OF_MEANS.format(count=count)] if count >= FEWEST else [])]
    caption = " ".join([*said, *(f"{note[0].upper()}{note[1:]}." for note in notes)])
    title = f"{dataset.name}: {variant} beside {name}"
    table = Table(title, caption, index_of(dataset).synthetic, frame, datasets=(dataset.name,))
    return Section(key, Heading("Beside other code", name), ORDER, {key: table}, by_command=True)


def main() -> None:
    """Write the section, and print its table."""
    parser = argparse.ArgumentParser(prog="python -m patchcore_suite.results.compare", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--dataset", help="of params.yaml; by default the first")
    parser.add_argument("--variant", help="ours; by default the first of the dataset")
    parser.add_argument("--theirs", help="which of their variants, where the file has a column `variant`")
    arguments = parser.parse_args()
    project = load_project()
    dataset = project.dataset(arguments.dataset or next(iter(project.datasets)))
    theirs = read_foreign(arguments.file, variant=arguments.theirs)
    made = section(dataset, arguments.variant or dataset.variants[0], theirs, name=arguments.file.stem)
    for table in made.tables.values():
        print(f"{table.title}\n{table.caption}\n{as_text(table.frame).to_string(index=False)}")
    made.write(project.reports)


if __name__ == "__main__":
    with exit_on_input_error():
        main()
