"""Settings of a study beside the numbers that the paper has for them, in its figures, text and Table S5."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from patchcore_suite.paper.beside import SYSTEMS, Printed, beside_paper
from patchcore_suite.paper.conditions import conditions_of
from patchcore_suite.paper.counterparts import Counterpart, like_for_like
from patchcore_suite.paper.published import published_numbers
from patchcore_suite.paper.rows import Compared, quoted
from patchcore_suite.results import formats, quantities, study_metrics, study_tables
from patchcore_suite.results.quantities import nominal_images
from patchcore_suite.results.sources import images_of, paper_name
from patchcore_suite.results.summaries import percent
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
        the columns of `paper.rows`; variants without a number in the paper are left out, controls are not.
    """
    choices = {name: {field: getattr(dataset.config(name).members[0], field) for field in fields} for name in methods}
    printed = Printed(table, systems=methods, choices=choices)
    frame = beside_paper(printed, metric, dataset, study=study)
    controls = [name for name in dataset.variants if is_control(dataset, name)]
    shown = (frame["paper"] != formats.NOTHING) | (frame["ours"] == formats.WEIGHTS_MISSING)
    shown |= frame["variant"].isin(controls)
    return frame[shown].reset_index(drop=True)


def random_step_read_off(dataset: ProjectDataset, study: str) -> str:
    """What random selection loses to the coreset at 1 % in the paper's Figure 5, as the end of a sentence.

    Empty where it is not of the images that the study is of: the figure is of all of MVTec AD.
    """
    over = list(study_metrics.read_metrics(dataset, study=study)["category"].unique())
    name, images = paper_name(dataset), images_of(dataset, over)
    read = published_numbers("Fig. 5", metric="image_auroc", dataset=name) if name else ()
    theirs = {
        number.method: like_for_like(number, images=images, categories=over).number
        for number in read
        if number.coreset_fraction == 0.01
    }
    coreset, random = (theirs.get(f"PatchCore, {sampler}") for sampler in ("coreset", "random"))
    if not (coreset and random):
        return ""
    return f", in what others read off the paper's figure by {quantities.step(coreset.value, random.value)} points"


def low_shot_beside_paper(dataset: ProjectDataset, study: str, *, metric: str) -> pd.DataFrame:
    """A study of shots beside Table S5 of the paper: the columns of `paper.rows`, and nominal images."""
    values = study_tables.study_values(dataset, study, metrics=[metric])
    values = values[values["shots"].notna() | values["control"]]
    over = list(study_metrics.read_metrics(dataset, study=study)["category"].unique())
    name, images = paper_name(dataset), images_of(dataset, over)
    theirs = published_numbers("S5", metric=metric, dataset=name) if name else ()
    printed = {(number.method, number.shots): number for number in theirs}
    table = []
    for (variant, shots), part in values.groupby(["variant", "shots"], sort=False, dropna=False):
        theirs, conditions = Counterpart(), None
        if not pd.isna(shots):
            number = printed.pop((SYSTEMS.get(variant), int(shots)), None)
            theirs = like_for_like(number, images=images, categories=over)
            ours = conditions_of(dataset, variant, categories=over, metric=metric)
            conditions = replace(ours, shots=int(shots))
        mean = percent(part[metric])
        spread = math.nan if mean.spread is None else None  # each seed draws its own images
        row = Compared(variant, mean, theirs.number, conditions, unlike=theirs.unlike, spread=spread).row
        table.append({"variant": variant, "nominal images": nominal_images(shots)} | row)
    for number in printed.values():
        theirs = like_for_like(number, images=images, categories=over)
        if theirs.number:
            shots = {"variant": number.method, "nominal images": nominal_images(number.shots)}
            table.append(shots | quoted(number.method, theirs))
    return pd.DataFrame(table)
