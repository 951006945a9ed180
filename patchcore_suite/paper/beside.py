"""Ours beside the paper's: what a table of the paper looks like with the numbers of a run in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from patchcore_core.config import PatchCoreConfig
from patchcore_suite.paper.conditions import conditions_of
from patchcore_suite.paper.counterparts import like_for_like
from patchcore_suite.paper.published import Published, published_numbers
from patchcore_suite.paper.rows import COLUMNS, Compared, absent, empty, quoted
from patchcore_suite.results import study_metrics
from patchcore_suite.results.formats import HEADINGS, NOT_RUN, QUOTED, WEIGHTS_MISSING
from patchcore_suite.results.quantities import Said
from patchcore_suite.results.sources import images_of, index_of, paper_name
from patchcore_suite.results.study_metrics import read_intervals
from patchcore_suite.results.summaries import percent
from patchcore_suite.settings.params import MAIN_STUDY
from patchcore_suite.settings.project import ProjectDataset

# The paper's names of what this suite runs too.
SYSTEMS = {
    "patchcore-100": "PatchCore-100%",
    "patchcore-25": "PatchCore-25%",
    "patchcore-10": "PatchCore-10%",
    "patchcore-1": "PatchCore-1%",
    "ivfpq-100": "PatchCore-100% + IVFPQ",
    "ensemble-320": "PatchCore-1% ensemble",
    "ensemble-paper": "PatchCore-1% ensemble",
    "spade": "SPADE",
    "padim": "PaDiM",
    "mahalanobis": "Mah.AD",
    "1-nn": "1-NN",
}
# The configurations whose results the authors' repository ships, or its README names, by our name of the same.
OFFICIAL = {
    "patchcore-10": "IM224_WR50_L2-3_P01_D1024-1024_PS-3_AN-1",
    "ensemble-320": "IM320_Ensemble_L2-3_P001_D1024-384_PS-3_AN-1",
    "ensemble-paper": "IM320_Ensemble_L2-3_P001_D1024-384_PS-3_AN-1",
}
README = {"patchcore-10": "WR50-baseline", "ensemble-320": "Ensemble", "ensemble-paper": "Ensemble"}
QUOTES = "the paper quotes another's number"  # a reason


@dataclass(frozen=True)
class Printed:
    """The numbers of the paper that ours are set beside.

    Attributes:
        table: its name there: "T1", "S1", ...
        metric: the metric's name there, if it is another than ours.
        systems: the paper's name of each variant.
        choices: for a variant, what else picks its number (fields of `Published`), or picks it alone where `systems`
            has no name.
    """

    table: str
    metric: str = ""
    systems: Mapping[str, str] = field(default_factory=lambda: SYSTEMS)
    choices: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def numbers(self, metric: str, *, category: str, dataset: str) -> tuple[Published, ...]:
        """All numbers of a metric of ours, by the paper's name of the dataset."""
        return published_numbers(self.table, metric=self.metric or metric, category=category, dataset=dataset)

    def number_of(self, variant: str, numbers: Sequence[Published]) -> Published | None:
        """The one of these numbers that a variant is compared with."""
        wanted = dict(self.choices.get(variant, {}))
        wanted |= {"method": self.systems[variant]} if variant in self.systems else {}
        return next((number for number in numbers if number.has(wanted)), None) if wanted else None


def beside_paper(
    printed: Printed, metric: str, dataset: ProjectDataset, *, study: str = MAIN_STUDY, category: str = "mean"
) -> pd.DataFrame:
    """Our numbers of a study beside those of a table of the paper.

    Args:
        metric: one of `run.evaluate`.
        category: one of the dataset's, or "mean" over all of the study.

    Returns:
        the columns `rows.COLUMNS`; first the variants, those that could not be run among them, then the controls, then
        the systems that are only quoted. A dataset that is none of the paper's stands alone, as does a variant of which
        the paper has no number over the same categories.
    """
    rows = study_metrics.read_metrics(dataset, study=study)
    rows = rows[rows["shots"].isna()]
    values = _values(rows, metric, category)
    ours = {variant: percent(of_seeds) for variant, of_seeds in values.groupby("variant", sort=False)["value"]}
    name = paper_name(dataset)
    numbers = printed.numbers(metric, category=category, dataset=name) if name else ()
    intervals = read_intervals(dataset, metric=metric, category=category) if study == MAIN_STUDY else {}
    missing = [entry["variant"] for entry in index_of(dataset).weights_missing]
    over = list(rows["category"].unique()) if category == "mean" else [category]
    images = images_of(dataset, over)
    table, compared = [], set()
    for variant in dict.fromkeys([*dataset.studies[study].variants, *ours]):
        number = printed.number_of(variant, numbers)
        compared |= {number.method} if number else set()
        theirs = like_for_like(number, images=images, categories=over)
        if variant not in ours:
            table.append(absent(variant, WEIGHTS_MISSING if variant in missing else NOT_RUN, theirs.number))
            continue
        conditions = theirs.number and conditions_of(dataset, variant, categories=over, metric=metric)
        remarks = (QUOTES,) if theirs.number and theirs.number.from_elsewhere else ()
        one = Compared(
            variant,
            ours[variant],
            theirs.number,
            conditions,
            intervals.get(variant),
            (*theirs.remarks, *remarks),
            theirs.unlike,
            _spread_elsewhere(dataset, variant, metric, over) if ours[variant].spread is None else None,
        )
        table.append(one.row)
    for number in numbers:
        theirs = like_for_like(number, images=images, categories=over)
        if theirs.number and number.method not in compared:
            table.append(quoted(_name(number, numbers), theirs))
    return pd.DataFrame(table, columns=COLUMNS)


def metrics_beside_paper(
    sources: Mapping[str, Printed], dataset: ProjectDataset, *, study: str = MAIN_STUDY
) -> pd.DataFrame:
    """Several metrics of a study in one table, each beside the paper's.

    Args:
        sources: for each metric the paper's numbers.

    Returns:
        columns variant; METRIC, METRIC: paper, METRIC: difference; verdict and reason, which name a metric where the
        metrics have different ones.
    """
    frames = {
        HEADINGS[metric]: beside_paper(printed, metric, dataset, study=study) for metric, printed in sources.items()
    }
    rows = {heading: {row["variant"]: row for row in frame.to_dict("records")} for heading, frame in frames.items()}
    table = []
    for variant in dict.fromkeys(variant for of_metric in rows.values() for variant in of_metric):
        found = {heading: of_metric.get(variant) or empty(variant) for heading, of_metric in rows.items()}
        merged = {"variant": variant}
        for heading, row in found.items():
            merged |= {heading: row["ours"], f"{heading}: paper": row["paper"]}
            merged[f"{heading}: difference"] = row["difference"]
        for name in ("verdict", "reason"):
            merged[name] = _together({heading: row[name] for heading, row in found.items()})
        table.append(merged)
    return pd.DataFrame(table)


def same_setting(dataset: ProjectDataset, *, study: str, fields: Sequence[str]) -> dict[str, dict[str, object]]:
    """What a published number must agree in with each PatchCore variant of a study: the `choices` of `beside_paper`.

    Args:
        fields: of `paper.Conditions`.
    """
    found = {}
    for variant in dataset.studies[study].variants:
        if dataset.config(variant).method == PatchCoreConfig.method:
            ours = conditions_of(dataset, variant, categories=(), metric="")
            found[variant] = {field: getattr(ours, field) for field in fields}
    return found


def _values(rows: pd.DataFrame, metric: str, category: str) -> pd.DataFrame:
    """Columns variant, seed, value: of a category, or means over all of them."""
    if category == "mean":
        return study_metrics.mean_over_categories(rows, metric)
    return rows[(rows["metric"] == metric) & (rows["category"] == category)][["variant", "seed", "value"]]


def _spread_elsewhere(dataset: ProjectDataset, variant: str, metric: str, categories: Sequence[str]) -> float | None:
    """What another draw changes, for a variant of one seed: known from the main study, or not at all (NaN)."""
    if not _draws(dataset, variant):
        return None
    rows = study_metrics.read_metrics(dataset)
    rows = rows[rows["shots"].isna() & (rows["variant"] == variant) & rows["category"].isin(categories)]
    return float(study_metrics.mean_over_categories(rows, metric)["value"].std())


def _draws(dataset: ProjectDataset, variant: str) -> bool:
    """Whether a seed has a say in a variant: in a memory bank of everything it has none."""
    whole = [isinstance(one, PatchCoreConfig) and one.coreset_fraction == 1 for one in dataset.config(variant).members]
    return dataset.config(variant).seeded and not all(whole)


def _name(number: Published, printed: Sequence[Published]) -> str:
    """A published system's name, with whatever tells it from others of the same name."""
    if sum(other.method == number.method for other in printed) == 1:
        return number.method
    shown = {
        "backbone": number.backbone,
        "hierarchies": f"hierarchies {'+'.join(map(str, number.hierarchies or ()))}",
        "crop": f"{number.crop} px",
    }
    told = [text for name, text in shown.items() if len({getattr(other, name) for other in printed}) > 1]
    return ", ".join([number.method, *told])


def _together(said: Mapping[str, Said]) -> Said:
    """What is said of several metrics, each of which has its own row."""
    words = {heading: of_one.metrics[0][1] for heading, of_one in said.items()}
    if {given for given in words.values() if given} == {(QUOTED,)}:
        return Said.of_one(QUOTED)  # a source need not have every metric
    return Said(tuple(words.items()))
