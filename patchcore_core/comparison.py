"""Ours beside the paper's: what a table of the paper looks like with the numbers of a run in it."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pandas as pd

from patchcore_core import paper, tables
from patchcore_core.config import PatchCoreConfig
from patchcore_core.errors import InputError
from patchcore_core.params import MAIN_STUDY, Params
from patchcore_core.provenance import PAPER_NAMES, conditions, images_of, index_of
from patchcore_core.sanity import is_control

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
HEADINGS = {
    "image_auroc": "image AUROC",
    "image_auroc_reweighted": "image AUROC, Eq. 7",
    "pixel_auroc": "pixel AUROC",
    "pro": "PRO",
    "pro_per_image": "PRO per image",
}
NOT_RUN, NOT_SHOWN, QUOTED = "not run", "synthetic: not shown", "quoted"
INTERVAL = "interval (95 %)"  # a column
FROM_ELSEWHERE = "quoted by the paper"  # in the note of a number that it did not obtain itself


def beside_paper(
    table: str,
    metric: str,
    dataset: str,
    params: Params,
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
        choices: for a variant, what else picks its published number (see `paper.published`), or picks it alone where
            `systems` has no name.

    Returns:
        the columns of `paper.beside`; first the variants, those that could not be run among them, then the controls,
        then the systems that are only quoted.
    """
    systems, choices = SYSTEMS if systems is None else systems, choices or {}
    rows = tables.read_metrics(dataset, params, study=study)
    rows = rows[rows["shots"].isna()]
    if category == "mean":
        values = tables.mean_over_categories(rows, metric)
    else:
        values = rows[(rows["metric"] == metric) & (rows["category"] == category)][["variant", "seed", "value"]]
    name = PAPER_NAMES[params.dataset(dataset).spec.layout]
    printed = paper.published(table, metric=paper_metric or metric, category=category, dataset=name)
    run = list(values["variant"].unique())
    planned = params.dataset(dataset).studies[study].variants
    found: dict[str, paper.Published] = {}
    for variant in dict.fromkeys([*planned, *run]):
        wanted = dict(choices.get(variant, {}))
        wanted |= {"method": systems[variant]} if variant in systems else {}
        fitting = [n for n in printed if all(getattr(n, field) == value for field, value in wanted.items())]
        if wanted and fitting:
            found[variant] = fitting[0]
    beside = {number.method for number in found.values()}
    count = rows["category"].nunique() if category == "mean" else 1
    frame = paper.beside(
        values,
        found,
        conditions={
            variant: conditions(dataset, variant, params, categories=count, metric=metric)
            for variant in found
            if variant in run
        },
        intervals=read_intervals(dataset, params, metric=metric, category=category) if study == MAIN_STUDY else None,
        quoted=[replace(n, method=_name(n, printed)) for n in printed if n.method not in beside],
    )
    theirs = [variant for variant, number in found.items() if FROM_ELSEWHERE in number.note]
    told = frame["variant"].isin(theirs) & ~frame["reason"].str.contains(paper.SYNTHETIC)
    frame.loc[told, "reason"] = [
        _joined(reason, "the paper quotes another's number") for reason in frame["reason"][told]
    ]
    missing = [entry["variant"] for entry in index_of(dataset, params).weights_missing]
    absent = [
        dict.fromkeys(frame.columns, paper.NOTHING)
        | {
            "variant": variant,
            "ours": tables.WEIGHTS_MISSING if variant in missing else NOT_RUN,
            "paper": found[variant].text() if variant in found else paper.NOTHING,
            "verdict": paper.NO_VERDICT,
        }
        for variant in planned
        if variant not in run
    ]
    frame = pd.concat([frame, pd.DataFrame(absent, columns=frame.columns)])
    order = {variant: number for number, variant in enumerate(dict.fromkeys([*planned, *frame["variant"]]))}
    return frame.sort_values("variant", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def metrics_beside_paper(
    sources: Mapping[str, str],
    dataset: str,
    params: Params,
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
            table, metric, dataset, params, study=study, systems=(systems or {}).get(metric), choices=choices
        ).set_index("variant")
        for metric, table in sources.items()
    }
    variants = list(dict.fromkeys(variant for frame in frames.values() for variant in frame.index))
    frames = {heading: frame.reindex(variants, fill_value=paper.NOTHING) for heading, frame in frames.items()}
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


def same_setting(dataset: str, params: Params, *, study: str, fields: Sequence[str]) -> dict[str, dict[str, object]]:
    """What a published number must agree in with each PatchCore variant of a study: the `choices` of `beside_paper`.

    Args:
        fields: of `paper.Conditions`.
    """
    found = {}
    for variant in params.dataset(dataset).studies[study].variants:
        if params.config(dataset, variant).method == PatchCoreConfig.method:
            ours = conditions(dataset, variant, params, categories=1, metric="")
            found[variant] = {field: getattr(ours, field) for field in fields}
    return found


def with_errors(frame: pd.DataFrame, dataset: str, params: Params, *, table: str = "T1") -> pd.DataFrame:
    """`beside_paper` of image AUROC, with what is missing to 100 % and with misclassified images, ours and theirs.

    Args:
        frame: of the main study, by `SYSTEMS`.
        table: the paper's that prints both.

    Returns:
        `frame` with the columns error, misclassified, and both of the paper, before the verdict.
    """
    name = PAPER_NAMES[params.dataset(dataset).spec.layout]
    theirs = _numbers(table, "image_auroc_error", name, "mean") + _numbers(table, "misclassified", name, "all")
    printed = {(number.metric, number.method): number.text() for number in theirs}
    shown = tables.misclassified(tables.read_metrics(dataset, params))
    systems = [SYSTEMS.get(variant, variant) for variant in frame["variant"]]
    columns = {
        "error": frame["ours"].map(_error),
        "error: paper": [printed.get(("image_auroc_error", system), paper.NOTHING) for system in systems],
        "misclassified": frame["variant"].map(shown).fillna(paper.NOTHING),
        "misclassified: paper": [
            printed.get(("misclassified", system), paper.NOTHING).removesuffix(" images") for system in systems
        ],
    }
    place = frame.columns.get_loc("verdict")
    return pd.concat([frame.iloc[:, :place], pd.DataFrame(columns), frame.iloc[:, place:]], axis=1)


def by_category(
    table: str, metric: str, dataset: str, params: Params, *, paper_metric: str | None = None
) -> pd.DataFrame:
    """A metric of the main study by category and, for real images, the paper's beside ours.

    Returns:
        one row a category and one for the mean; a column a variant, each followed by the paper's numbers where there
        are any for these categories; of pixel metrics, the ceiling at the end (see `ceiling_row`).
    """
    rows = tables.read_metrics(dataset, params)
    rows = rows[rows["shots"].isna()]
    frame = tables.by_category(rows, metric)
    categories = list(rows["category"].unique())
    if not index_of(dataset, params).synthetic:
        name = PAPER_NAMES[params.dataset(dataset).spec.layout]
        known = [*categories, "mean"] if images_of(dataset, params) == "complete" else categories
        theirs = _numbers(table, paper_metric or metric, name, *known)
        printed = {(number.method, number.category): number.text() for number in theirs}
        for variant, system in SYSTEMS.items():
            if variant in frame and any(method == system for method, _ in printed):
                shown = [printed.get((system, category), paper.NOTHING) for category in frame["category"]]
                frame.insert(frame.columns.get_loc(variant) + 1, f"{variant}: paper", shown)
    ceilings = [tables.read_ceiling(dataset, params, metric, [category]) for category in categories]
    if any(value is not None for value in ceilings):
        ceilings.append(tables.read_ceiling(dataset, params, metric, categories))
        frame[tables.CEILING] = [tables.NOT_AVAILABLE if value is None else f"{100 * value:.1f}" for value in ceilings]
    return frame


def other_datasets(sources: Mapping[str, str], params: Params, *, table: str = "T6") -> tuple[pd.DataFrame, bool]:
    """One metric a dataset beside the paper's, datasets below one another; real and synthetic numbers never mix.

    Args:
        sources: the metric of each dataset.

    Returns:
        the columns of `beside_paper` after those of dataset and metric, and whether the numbers are of generated
        images. Where some images are real, the numbers of generated ones are left out.
    """
    generated = {dataset: index_of(dataset, params).synthetic for dataset in sources}
    synthetic = all(generated.values())
    frames = []
    for dataset, metric in sources.items():
        frame = beside_paper(table, metric, dataset, params)
        if generated[dataset] and not synthetic:
            frame["ours"] = frame["ours"].where(frame["ours"] == paper.NOTHING, NOT_SHOWN)
            frame[INTERVAL] = paper.NOTHING
        frame.insert(0, "dataset", PAPER_NAMES[params.dataset(dataset).spec.layout])
        frame.insert(1, "metric", HEADINGS[metric])
        frames.append(frame)
    return pd.concat(frames, ignore_index=True), synthetic


def readable(frame: pd.DataFrame) -> pd.DataFrame:
    """A table without the columns that say nothing in any row."""
    return frame.loc[:, [column for column in frame if not frame[column].isin([paper.NOTHING, ""]).all()]]


def bars(rows: pd.DataFrame, dataset: str, params: Params) -> pd.DataFrame:
    """The rows that a figure of systems shows: all but the controls, which would push them together."""
    controls = [name for name in rows["variant"].unique() if is_control(dataset, name, params)]
    return rows[~rows["variant"].isin(controls)]


def read_intervals(
    dataset: str, params: Params, *, metric: str, category: str = "mean"
) -> dict[str, tuple[float, float]]:
    """The 95 % bootstrap interval of a metric by variant of the main study; of metrics that have none, nothing."""
    path: Path = params.path(f"reports/metrics/{dataset}_intervals.csv")
    if not path.is_file():
        raise InputError(f"there are no intervals {path}", remedy=f"run `dvc repro evaluate@{dataset}`")
    empty = {"low": [""], "high": [""]}
    rows = pd.read_csv(path, dtype={"category": str, "variant": str}, keep_default_na=False, na_values=empty)
    chosen = rows[(rows["metric"] == metric) & (rows["category"] == category)]
    return {row.variant: (row.low, row.high) for row in chosen.itertuples()}


def ceiling_row(dataset: str, params: Params, metric: str, categories: Sequence[str]) -> dict[str, str]:
    """A row of `beside_paper` for the blurred ground truth: the highest value that a patch grid allows."""
    value = tables.read_ceiling(dataset, params, metric, categories)
    shown = tables.NOT_AVAILABLE if value is None else f"{100 * value:.1f}"
    return {"variant": tables.CEILING, "ours": shown, "reason": "ceiling of pixel metrics"} | dict.fromkeys(
        ("paper", "difference", "interval (95 %)", "verdict"), paper.NOTHING
    )


def _joined(reason: str, another: str) -> str:
    return another if reason == paper.NOTHING else f"{reason}; {another}"


def _numbers(table: str, metric: str, dataset: str, *categories: str) -> list[paper.Published]:
    """The numbers of a table for these categories, none for one that it does not have."""
    found = []
    for category in categories:
        with suppress(InputError):  # a category of one's own
            found += paper.published(table, metric=metric, dataset=dataset, category=category)
    return found


def _name(number: paper.Published, printed: Sequence[paper.Published]) -> str:
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
    words = {heading: text for heading, text in said.items() if text != paper.NOTHING}
    if not words:
        return paper.NOTHING
    if set(words.values()) == {QUOTED}:
        return QUOTED  # a source need not have every metric
    parts: dict[str, list[str]] = {}
    for heading, text in words.items():
        for part in text.split("; "):
            parts.setdefault(part, []).append(heading)
    return "; ".join(
        part if len(headings) == len(said) else f"{', '.join(headings)}: {part}" for part, headings in parts.items()
    )


def _error(shown: str) -> str:
    """What a mean in percent is short of 100, in the same digits; its spread is the same."""
    mean, plus_minus, spread = shown.partition(" ± ")
    try:
        return f"{100 - float(mean):.1f}{plus_minus}{spread}"
    except ValueError:
        return paper.NOTHING
