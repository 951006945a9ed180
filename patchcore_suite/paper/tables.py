"""Tables of the paper with the numbers of a run in them, beyond those of `beside`."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import pandas as pd

from patchcore_core.common.errors import InputError
from patchcore_suite.paper import published
from patchcore_suite.paper.beside import SYSTEMS, Printed, beside_paper
from patchcore_suite.paper.counterparts import like_for_like
from patchcore_suite.paper.rows import Row, empty
from patchcore_suite.results import study_metrics
from patchcore_suite.results.formats import HEADINGS, INTERVAL, NOT_SHOWN, NOTHING
from patchcore_suite.results.quantities import SHARES, Quantity, Said, known, share, short_of_all
from patchcore_suite.results.sources import dataset_title, images_of, index_of, paper_name
from patchcore_suite.results.table import as_text
from patchcore_suite.run.controls import CEILING, is_control
from patchcore_suite.settings.project import Project, ProjectDataset


def with_errors(frame: pd.DataFrame, dataset: ProjectDataset, *, table: str = "T1") -> pd.DataFrame:
    """`beside_paper` of image AUROC, with what is missing to 100 % and with misclassified images, ours and theirs.

    Args:
        frame: of the main study, by `SYSTEMS`.
        table: the paper's that prints both.

    Returns:
        `frame` with the columns error, misclassified, and both of the paper, before the verdict.
    """
    name, rows = paper_name(dataset), study_metrics.read_metrics(dataset)
    over, printed = list(rows["category"].unique()), {}
    images = images_of(dataset, over)
    for number in _numbers(table, "image_auroc_error", name, "mean") + _numbers(table, "misclassified", name, "all"):
        theirs = like_for_like(number, images=images, categories=over).number
        if theirs:
            printed[number.metric, number.method] = _unnamed(theirs.quantity)
    shown = study_metrics.misclassified(rows)
    systems = [SYSTEMS.get(variant, variant) for variant in frame["variant"]]
    columns = {
        "error": [short_of_all(cell) if known(cell) else NOTHING for cell in frame["ours"]],
        "error: paper": [
            printed.get(("image_auroc_error", system), short_of_all(cell) if known(cell) else NOTHING)
            for system, cell in zip(systems, frame["paper"], strict=True)
        ],
        "misclassified": frame["variant"].map(shown).astype(object).fillna(NOTHING),
        "misclassified: paper": [printed.get(("misclassified", system), NOTHING) for system in systems],
    }
    place = frame.columns.get_loc("verdict")
    return pd.concat([frame.iloc[:, :place], pd.DataFrame(columns), frame.iloc[:, place:]], axis=1)


def by_category(printed: Printed, metric: str, dataset: ProjectDataset) -> pd.DataFrame:
    """A metric of the main study by category and, for real images, the paper's beside ours.

    Returns:
        one row a category and one for the mean; a column a variant, each followed by the paper's numbers where there
        are any for these categories, none of whose images is left out; of pixel metrics, the ceiling at the end (see
        `ceiling_row`).
    """
    rows = study_metrics.read_metrics(dataset)
    rows = rows[rows["shots"].isna()]
    frame = study_metrics.by_category(rows, metric)
    categories = list(rows["category"].unique())
    if not index_of(dataset).synthetic:
        theirs = _by_category(printed, metric, dataset, categories)
        for variant, system in printed.systems.items():
            if variant in frame and any(method == system for method, _ in theirs):
                shown = [theirs.get((system, category), NOTHING) for category in frame["category"]]
                frame.insert(frame.columns.get_loc(variant) + 1, f"{variant}: paper", shown)
    ceilings = [study_metrics.read_ceiling(dataset, metric, [category]) for category in categories]
    if any(value is not None for value in ceilings):
        ceilings.append(study_metrics.read_ceiling(dataset, metric, categories))
        frame[CEILING] = [share(value) for value in ceilings]
    return frame


def other_datasets(sources: Mapping[str, str], project: Project) -> tuple[pd.DataFrame, tuple[str, ...], bool]:
    """One metric a dataset beside the paper's, datasets below one another; real and synthetic numbers never mix.

    Args:
        sources: the metric of each dataset.

    Returns:
        the columns of `beside_paper` after those of dataset and metric; the dataset of each row; whether the numbers
        are of generated images. Where some images are real, the numbers of generated ones are left out.
    """
    generated = {dataset: index_of(project.dataset(dataset)).synthetic for dataset in sources}
    synthetic = all(generated.values())
    frames = {}
    for dataset, metric in sources.items():
        frame = beside_paper(Printed("T6"), metric, project.dataset(dataset))
        if generated[dataset] and not synthetic:
            frame["ours"] = frame["ours"].where(frame["ours"] == NOTHING, NOT_SHOWN)
            frame[INTERVAL] = NOTHING
        frame.insert(0, "dataset", dataset_title(project.dataset(dataset)))
        frame.insert(1, "metric", HEADINGS[metric])
        frames[dataset] = frame
    datasets = tuple(dataset for dataset, frame in frames.items() for _ in range(len(frame)))
    return pd.concat(frames, ignore_index=True), datasets, synthetic


def readable(frame: pd.DataFrame) -> pd.DataFrame:
    """A table without the columns that say nothing in any row."""
    return frame.loc[:, [column for column in frame if not as_text(frame)[column].isin([NOTHING, ""]).all()]]


def bars(rows: pd.DataFrame, dataset: ProjectDataset) -> pd.DataFrame:
    """The rows that a figure of systems shows: all but the controls, which would push them together."""
    controls = [name for name in rows["variant"].unique() if is_control(dataset, name)]
    return rows[~rows["variant"].isin(controls)]


def ceiling_row(dataset: ProjectDataset, metric: str, categories: Sequence[str]) -> Row:
    """A row of `beside_paper` for the blurred ground truth: the highest value that a patch grid allows."""
    ceiling = share(study_metrics.read_ceiling(dataset, metric, categories))
    return empty(CEILING) | {"ours": ceiling, "reason": Said.of_one("ceiling of pixel metrics")}


def _by_category(
    printed: Printed, metric: str, dataset: ProjectDataset, categories: Sequence[str]
) -> dict[tuple[str, str], Quantity]:
    """The paper's numbers of categories, and their mean, by method and category, where they are like ours."""
    over = {category: [category] for category in categories} | {"mean": categories}
    images = {category: images_of(dataset, ours) for category, ours in over.items()}
    found = {}
    for number in _numbers(printed.table, printed.metric or metric, paper_name(dataset), *over):
        category = number.category
        theirs = like_for_like(number, images=images[category], categories=over[category]).number
        if theirs:
            found[number.method, category] = theirs.quantity
    return found


def _numbers(table: str, metric: str, dataset: str | None, *categories: str) -> list[published.Published]:
    """The numbers of a table for these categories; none for one that it does not have, or for no dataset of its own."""
    found = []
    for category in categories if dataset else ():
        with suppress(InputError):  # a category of one's own
            found += published.published_numbers(table, metric=metric, dataset=dataset, category=category)
    return found


def _unnamed(quantity: Quantity) -> Quantity:
    """A quantity whose heading says what is counted."""
    return quantity if quantity.unit in SHARES else replace(quantity, unit="")
