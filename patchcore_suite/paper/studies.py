"""Settings of a study beside the numbers that the paper has for them, in its figures, text and Table S5."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from patchcore_suite.paper import beside, published
from patchcore_suite.paper.conditions import conditions_of
from patchcore_suite.results import formats, study_metrics, study_tables
from patchcore_suite.results.sources import paper_name
from patchcore_suite.run.controls import is_control
from patchcore_suite.settings.project import ProjectDataset


def settings_beside_paper(
    table: str,
    dataset: ProjectDataset,
    study: str,
    *,
    methods: Mapping[str, str],
    fields: Sequence[str] = (),
    metric: str = "image_auroc",
) -> pd.DataFrame:
    """Our numbers beside those of a figure or section of the paper, where a setting of the study has one there.

    Args:
        methods: the paper's name of each variant.
        fields: those that must agree for two numbers to be compared.

    Returns:
        the columns of `paper.beside`; variants without a number in the paper are left out, controls are not.
    """
    choices = {name: {field: getattr(dataset.config(name).members[0], field) for field in fields} for name in methods}
    frame = beside.beside_paper(table, metric, dataset, study=study, systems=methods, choices=choices)
    controls = [name for name in dataset.variants if is_control(dataset, name)]
    shown = (frame["paper"] != formats.NOTHING) | (frame["ours"] == formats.WEIGHTS_MISSING)
    shown |= frame["variant"].isin(controls)
    return frame[shown].reset_index(drop=True)


def low_shot_beside_paper(dataset: ProjectDataset, study: str, *, metric: str) -> pd.DataFrame:
    """A study of shots beside Table S5 of the paper: the columns of `paper.beside`, and nominal images."""
    values = study_tables.study_values(dataset, study, metrics=[metric])
    values = values[values["shots"].notna() | values["control"]]
    count = study_metrics.read_metrics(dataset, study=study)["category"].nunique()
    name = paper_name(dataset)
    theirs = published.published_numbers("S5", metric=metric, dataset=name) if name else ()
    printed = {(n.method, n.shots): n for n in theirs}
    found, conditions = {}, {}
    for variant, shots in values[["variant", "shots"]].dropna().drop_duplicates().itertuples(index=False):
        number = printed.pop((beside.SYSTEMS.get(variant), int(shots)), None)
        if number is None:
            continue
        ours = conditions_of(dataset, variant, categories=count, metric=metric)
        found[f"{variant}, {shots:.0f}"] = number
        conditions[f"{variant}, {shots:.0f}"] = replace(ours, shots=int(shots))
    names = values["variant"] + [", all" if pd.isna(shots) else f", {shots:.0f}" for shots in values["shots"]]
    quoted = [replace(number, method=f"{number.method}, {number.shots}") for number in printed.values()]
    long = values.assign(variant=names).rename(columns={metric: "value"})[["variant", "seed", "value"]]
    frame = beside.beside(long, found, conditions=conditions, quoted=quoted)
    parts = frame.pop("variant").str.rsplit(", ", n=1, expand=True).set_axis(["variant", "nominal images"], axis=1)
    return pd.concat([parts, frame], axis=1)
