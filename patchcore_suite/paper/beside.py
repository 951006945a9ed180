"""Ours beside the paper's: what a table of the paper looks like with the numbers of a run in it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from patchcore_core.common.errors import InputError
from patchcore_core.config import PatchCoreConfig
from patchcore_suite.paper import published, verdicts
from patchcore_suite.paper.conditions import SYNTHETIC, Conditions, conditions_of, differences
from patchcore_suite.paper.published import Published
from patchcore_suite.paper.verdicts import verdict
from patchcore_suite.results import formats, study_metrics
from patchcore_suite.results.formats import HEADINGS, NOT_RUN, NOTHING, QUOTED, interval_text, percent, signed_points
from patchcore_suite.results.sources import index_of, paper_name
from patchcore_suite.results.study_metrics import read_intervals
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
FROM_ELSEWHERE = "quoted by the paper"  # in the note of a number that it did not obtain itself


def beside_paper(
    table: str,
    metric: str,
    dataset: ProjectDataset,
    *,
    study: str = MAIN_STUDY,
    category: str = "mean",
    paper_metric: str | None = None,
    systems: Mapping[str, str] | None = None,
    choices: Mapping[str, Mapping[str, object]] | None = None,
) -> pd.DataFrame:
    """Our numbers of a study beside those of a table of the paper.

    Args:
        table: its name there: "T1", "S1", ...
        metric: one of `evaluation`.
        dataset: its name in `params.yaml`.
        category: one of the dataset's, or "mean" over all of the study.
        paper_metric: the metric's name in the paper's file, if it is another.
        systems: the paper's name of each variant; `SYSTEMS` if not given.
        choices: for a variant, what else picks its published number (see `published_numbers`), or picks it alone where
            `systems` has no name.

    Returns:
        the columns of `beside`; first the variants, those that could not be run among them, then the controls,
        then the systems that are only quoted. A dataset that is none of the paper's stands alone.
    """
    systems, choices = SYSTEMS if systems is None else systems, choices or {}
    rows = study_metrics.read_metrics(dataset, study=study)
    rows = rows[rows["shots"].isna()]
    if category == "mean":
        values = study_metrics.mean_over_categories(rows, metric)
    else:
        values = rows[(rows["metric"] == metric) & (rows["category"] == category)][["variant", "seed", "value"]]
    name, printed = paper_name(dataset), ()
    if name is not None:
        printed = published.published_numbers(table, metric=paper_metric or metric, category=category, dataset=name)
    run = list(values["variant"].unique())
    planned = dataset.studies[study].variants
    found: dict[str, published.Published] = {}
    for variant in dict.fromkeys([*planned, *run]):
        wanted = dict(choices.get(variant, {}))
        wanted |= {"method": systems[variant]} if variant in systems else {}
        fitting = [n for n in printed if all(getattr(n, field) == value for field, value in wanted.items())]
        if wanted and fitting:
            found[variant] = fitting[0]
    compared = {number.method for number in found.values()}
    count = rows["category"].nunique() if category == "mean" else 1
    frame = beside(
        values,
        found,
        conditions={
            variant: conditions_of(dataset, variant, categories=count, metric=metric)
            for variant in found
            if variant in run
        },
        intervals=read_intervals(dataset, metric=metric, category=category) if study == MAIN_STUDY else None,
        quoted=[replace(n, method=_name(n, printed)) for n in printed if n.method not in compared],
    )
    theirs = [variant for variant, number in found.items() if FROM_ELSEWHERE in number.note]
    told = frame["variant"].isin(theirs) & ~frame["reason"].str.contains(SYNTHETIC)
    frame.loc[told, "reason"] = [
        _joined(reason, "the paper quotes another's number") for reason in frame["reason"][told]
    ]
    missing = [entry["variant"] for entry in index_of(dataset).weights_missing]
    absent = [
        dict.fromkeys(frame.columns, formats.NOTHING)
        | {
            "variant": variant,
            "ours": formats.WEIGHTS_MISSING if variant in missing else NOT_RUN,
            "paper": found[variant].text() if variant in found else formats.NOTHING,
            "verdict": verdicts.NO_VERDICT,
        }
        for variant in planned
        if variant not in run
    ]
    frame = pd.concat([frame, pd.DataFrame(absent, columns=frame.columns)])
    order = {variant: number for number, variant in enumerate(dict.fromkeys([*planned, *frame["variant"]]))}
    return frame.sort_values("variant", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def metrics_beside_paper(
    sources: Mapping[str, str],
    dataset: ProjectDataset,
    *,
    study: str = MAIN_STUDY,
    systems: Mapping[str, Mapping[str, str]] | None = None,
    choices: Mapping[str, Mapping[str, object]] | None = None,
) -> pd.DataFrame:
    """Several metrics of a study in one table, each beside the paper's.

    Args:
        sources: for each metric the table of the paper, which may be the same one.
        systems: for a metric, the paper's names of the variants, where they are not `SYSTEMS`.
        choices: as in `beside_paper`.

    Returns:
        columns variant; METRIC, METRIC: paper, METRIC: difference; verdict and reason, which name a metric where the
        metrics have different ones.
    """
    frames = {
        HEADINGS[metric]: beside_paper(
            table, metric, dataset, study=study, systems=(systems or {}).get(metric), choices=choices
        ).set_index("variant")
        for metric, table in sources.items()
    }
    variants = list(dict.fromkeys(variant for frame in frames.values() for variant in frame.index))
    frames = {heading: frame.reindex(variants, fill_value=formats.NOTHING) for heading, frame in frames.items()}
    parts = [
        frame[["ours", "paper", "difference"]].set_axis(
            [heading, f"{heading}: paper", f"{heading}: difference"], axis=1
        )
        for heading, frame in frames.items()
    ]
    said = {
        name: [
            _together({heading: frame.at[variant, name] for heading, frame in frames.items()}) for variant in variants
        ]
        for name in ("verdict", "reason")
    }
    return pd.concat(parts, axis=1).assign(**said).rename_axis("variant").reset_index()


def same_setting(dataset: ProjectDataset, *, study: str, fields: Sequence[str]) -> dict[str, dict[str, object]]:
    """What a published number must agree in with each PatchCore variant of a study: the `choices` of `beside_paper`.

    Args:
        fields: of `paper.Conditions`.
    """
    found = {}
    for variant in dataset.studies[study].variants:
        if dataset.config(variant).method == PatchCoreConfig.method:
            ours = conditions_of(dataset, variant, categories=1, metric="")
            found[variant] = {field: getattr(ours, field) for field in fields}
    return found


def _joined(reason: str, another: str) -> str:
    return another if reason == formats.NOTHING else f"{reason}; {another}"


def _name(number: published.Published, printed: Sequence[published.Published]) -> str:
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


def _together(said: Mapping[str, str]) -> str:
    """What is said of several metrics: once where all say the same, else each with its metric's name."""
    words = {heading: text for heading, text in said.items() if text != formats.NOTHING}
    if not words:
        return formats.NOTHING
    if set(words.values()) == {QUOTED}:
        return QUOTED  # a source need not have every metric
    parts: dict[str, list[str]] = {}
    for heading, text in words.items():
        for part in text.split("; "):
            parts.setdefault(part, []).append(heading)
    return "; ".join(
        part if len(headings) == len(said) else f"{', '.join(headings)}: {part}" for part, headings in parts.items()
    )


def beside(
    values: pd.DataFrame,
    published: Mapping[str, Published],
    *,
    conditions: Mapping[str, Conditions],
    intervals: Mapping[str, tuple[float, float]] | None = None,
    quoted: Sequence[Published] = (),
    digits: int = 1,
) -> pd.DataFrame:
    """Our numbers beside the paper's, as text in percent.

    Args:
        values: columns variant, seed, value: fractions, as `tables.mean_over_categories` returns them.
        published: the number that a variant is compared with; variants without one may be absent.
        conditions: those of each variant that is compared.
        intervals: 95 % intervals, by variant.
        quoted: numbers of systems that were not run here; they get rows of their own, without a verdict.
        digits: after the point.

    Returns:
        columns variant, ours, paper, difference (in points), interval (95 %), verdict, reason.

    Raises:
        InputError: a variant that is compared has no conditions.
    """
    rows = []
    for variant, of_seeds in values.groupby("variant", sort=False)["value"]:
        theirs, interval = published.get(variant), (intervals or {}).get(variant)
        if theirs and variant not in conditions:
            raise InputError(
                f"variant {variant!r} has no conditions", remedy="say what its numbers were obtained under"
            )
        found = verdict(
            of_seeds.mean(skipna=False),
            theirs,
            spread=of_seeds.std(ddof=1) if len(of_seeds) > 1 else None,
            interval=interval,
            reasons=differences(conditions[variant], theirs.conditions) if theirs else (),
        )
        rows.append(
            {
                "variant": variant,
                "ours": percent(of_seeds, digits),
                "paper": theirs.text(digits) if theirs else NOTHING,
                "difference": signed_points(found.difference, digits),
                "interval (95 %)": interval_text(interval, digits),
                "verdict": found.name,
                "reason": "; ".join(found.reasons) or NOTHING,
            }
        )
    for system in quoted:
        row = {"variant": system.method, "paper": system.text(digits), "reason": "quoted"}
        rows.append(row | {name: NOTHING for name in ("ours", "difference", "interval (95 %)", "verdict")})
    return pd.DataFrame(
        rows, columns=["variant", "ours", "paper", "difference", "interval (95 %)", "verdict", "reason"]
    )
