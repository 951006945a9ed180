"""The tables of a dataset's studies, with what is claimed of them, for what was measured on real images."""

from collections.abc import Iterator

import pandas as pd

from patchcore_suite.report.measured import Block, Drawing
from patchcore_suite.results import selection, study_metrics
from patchcore_suite.results.formats import HEADINGS, NOT_AVAILABLE, NOTHING
from patchcore_suite.results.quantities import Cell, Quantity
from patchcore_suite.results.selection_costs import selection_costs, with_costs
from patchcore_suite.results.sentences import low_shot_claims, subsampling_claims
from patchcore_suite.results.sources import dataset_title, is_papers
from patchcore_suite.results.study_resamples import study_resamples
from patchcore_suite.results.study_tables import selection_seconds
from patchcore_suite.results.summaries import percent, plain
from patchcore_suite.settings.params import MAIN_STUDY
from patchcore_suite.settings.project import ProjectDataset

METRICS = ("image_auroc", "image_auroc_reweighted", "pixel_auroc", "pro")
ASKED = ("aupimo",)  # where the dataset asks for it
LEADS = (
    "differences in points, seed by seed. Two intervals (95 %): of Student's t over seeds, on these test images; then "
    "over test images, with these seeds (1000 resamples, nominal and anomalous images apart, the same ones for both "
    "selections and all seeds). Better or worse is what both say"
)
# Headings, and where the paper has such a study of its images.
STUDIES = {
    "subsampling": ("Subsampling", "Figure 5"),
    selection.STUDY: ("What the selection is worth", ""),
    "scale": ("Cheaper selections", ""),
    "covering": ("Covering radius (Eq. 5)", ""),
    "locality": ("Locality, hierarchies and switches of the method", "Figure 4"),
    "backbones": ("Backbones", "Table S6"),
    "larger": ("Larger images, ensemble", "Table 4"),
    "resolution": ("Image size", ""),
    "search": ("Approximate search", "Table 5"),
    "profiles": ("Compatibility profiles", ""),
    "score": ("Image score: Eq. 6 and Eq. 7", ""),
    "low_shot": ("Few nominal images", "Figure 6, Table S5"),
}


def study_blocks(dataset: ProjectDataset) -> Iterator[Block]:
    """The tables of every study that has results, but of the main one."""
    for study, chosen in dataset.studies.items():
        if study == MAIN_STUDY:
            continue
        rows = study_metrics.read_metrics(dataset, study=study)
        rows = rows[rows["variant"].isin(chosen.variants)]
        if rows.empty:
            continue
        heading, note = _study_heading(study, dataset), describe_seeds(dataset, rows)
        if study == selection.STUDY:
            yield from _selection_blocks(dataset, heading, note)
            continue
        if chosen.shots != (None,):
            few = rows[rows["shots"].notna()]
            for metric in ("image_auroc", "pixel_auroc"):
                claims = ()
                if metric == "image_auroc":
                    claims = tuple(low_shot_claims(_means(few, metric), dataset))
                yield Block(f"{heading}: {HEADINGS[metric]}", note, _shots_frame(few, metric), claims)
            continue
        claims = ()
        if study in ("subsampling", "centroids"):
            claims = tuple(subsampling_claims(study_metrics.mean_over_categories(rows, "image_auroc"), dataset))
        yield Block(heading, note, metrics_frame(rows, radius=chosen.covering_radius), claims)


def _selection_blocks(dataset: ProjectDataset, heading: str, note: str) -> Iterator[Block]:
    """Selections of equal size: what each reaches and takes, and what greedy is worth beside the others."""
    values = selection.selection_values(dataset, selection.STUDY)
    table = with_costs(selection.bank_table(values), selection_costs(dataset, selection.STUDY))
    times = selection_seconds(dataset, selection.STUDY)
    if len(times):
        medians = times.groupby("variant")["seconds"].median()
        table["fit (s)"] = [_seconds(medians.get(name)) for name in table["variant"]]
        note = f"{note}; times are medians with one thread, beside other programs, and compare roughly"
    title = f"{dataset_title(dataset)}: selections of equal size"
    shows = f"{title}, radius and metrics against the share of patches that each sampler keeps"
    drawing = Drawing(f"{dataset.name}_{selection.STUDY}", shows, selection.curves(values, title=title))
    yield Block(heading, note, table, drawing=drawing)
    if selection.compared(values):
        resamples = study_resamples(dataset, selection.STUDY, selection.METRICS)
        frame, claims = selection.lead_table(values, resamples), tuple(selection.claims(values, resamples))
        yield Block(f"{heading}: greedy beside the others", LEADS, frame, claims)


def _seconds(value: float | None) -> Cell:
    return NOTHING if value is None else Quantity(value, form=".0f")


def describe_seeds(dataset: ProjectDataset, rows: pd.DataFrame) -> str:
    """How many seeds stand behind a table, and which of its variants have fewer though a seed has a say in them."""
    counts = rows.groupby(["variant", "shots"], sort=False, dropna=False)["seed"].nunique()
    fewest = counts.groupby("variant", sort=False).min()
    drawn = rows["shots"].notna().any()
    fewer = [name for name in fewest.index[fewest < counts.max()] if drawn or dataset.config(name).seeded]
    said = study_metrics.describe_seeds(rows)
    return f"{said}; fewer: {', '.join(f'{name} ({fewest[name]})' for name in fewer)}" if fewer else said


def _study_heading(study: str, dataset: ProjectDataset) -> str:
    heading, source = STUDIES.get(study, (study, ""))
    return f"{heading} ({source})" if source and is_papers(dataset) else heading


def metrics_frame(rows: pd.DataFrame, *, radius: bool = False) -> pd.DataFrame:
    """One row a variant, one column a metric."""
    frame = pd.DataFrame({"variant": rows["variant"].unique()}).set_index("variant")
    for metric in (*METRICS, *(name for name in ASKED if name in set(rows["metric"]))):
        frame[HEADINGS[metric]] = study_metrics.by_variant(rows, metric)
    frame["misclassified"] = study_metrics.misclassified(rows)
    banks = rows[rows["metric"] == "memory_bank"].groupby("variant")["value"].max()
    frame["rows of the bank"] = [
        Quantity(banks[name], form=",.0f") if pd.notna(banks.get(name)) else NOTHING for name in frame.index
    ]
    if radius:
        frame["covering radius"] = _plain(rows, "covering_radius")
    return frame.fillna(NOT_AVAILABLE).reset_index()


def _plain(rows: pd.DataFrame, metric: str) -> pd.Series:
    """A metric that is no share, mean and spread over seeds, by variant."""
    means = study_metrics.mean_over_categories(rows, metric).groupby("variant", sort=False)["value"]
    return means.agg(lambda values: plain(values, digits=3))


def _means(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Means over categories by variant, shots and seed."""
    chosen = rows[rows["metric"] == metric]
    means = chosen.groupby(["variant", "shots", "seed"], sort=False)["value"]
    return means.agg(lambda values: values.mean(skipna=False)).reset_index()


def _shots_frame(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row a variant, one column a number of nominal images."""
    cells = _means(rows, metric).groupby(["variant", "shots"], sort=False)["value"].agg(percent)
    frame = cells.unstack("shots").loc[list(rows["variant"].unique())]
    return frame[sorted(frame.columns)].rename_axis(columns=None).reset_index()
