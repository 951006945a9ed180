"""What a setting is worth: the studies of `params.yaml` as frames to draw and tables to read."""

from collections.abc import Mapping, Sequence

import pandas as pd

from patchcore_suite.results import study_metrics, summaries
from patchcore_suite.results.formats import HEADINGS, NOTHING, label
from patchcore_suite.results.quantities import nominal_images, of_setting
from patchcore_suite.results.sources import index_of, scope
from patchcore_suite.run.controls import is_control
from patchcore_suite.run.metric_registry import METRICS
from patchcore_suite.run.raw_results import read_timings
from patchcore_suite.settings.project import ProjectDataset
from patchcore_suite.settings.variants import IMAGE_KEYS


def setting(dataset: ProjectDataset, variant: str, name: str) -> object:
    """A variant's value of a field of its configuration or of its images; None where it has no such field.

    Besides those there are `method`, and `side`, the shorter one of the images in pixels. Sequences come as text.
    """
    config, images = dataset.config(variant), dataset.preprocessing(variant)
    if name == "side":
        size = images.crop or images.resize
        return size if isinstance(size, int) else min(size)
    if name == "method":
        return config.method
    value = getattr(images if name in IMAGE_KEYS else config.members[0], name, None)
    return ("+" if name == "hierarchies" else " x ").join(map(str, value)) if isinstance(value, tuple) else value


def study_values(
    dataset: ProjectDataset, study: str, *, metrics: Sequence[str], fields: Sequence[str] = ()
) -> pd.DataFrame:
    """Metrics of a study and the settings that they were obtained with.

    Args:
        metrics: of `run.evaluate`.
        fields: see `setting`.

    Returns:
        columns variant, control, seed, shots (NaN: all images), `fields` and `metrics`: one row a variant, number of
        shots and seed, with means over the study's categories, NaN where one of them has none. Controls come last. In
        a study of shots, a variant ends with what it reaches with all images, if the main study has it.
    """
    rows = study_metrics.read_metrics(dataset, study=study)
    variants, categories = dataset.studies[study].variants, list(rows["category"].unique())
    if None not in dataset.studies[study].shots:
        main = study_metrics.read_metrics(dataset)
        rows = pd.concat([rows, main[main["variant"].isin(variants) & main["category"].isin(categories)]])
        rows = rows.drop_duplicates(["category", "variant", "shots", "seed", "metric"])
    rows = rows.assign(shots=rows["shots"].astype(float))
    order = {variant: number for number, variant in enumerate(rows["variant"].unique())}
    cells = rows.set_index(["variant", "shots", "seed", "metric", "category"])["value"].unstack("category")
    means = cells.reindex(columns=categories).mean(axis=1, skipna=False).unstack("metric").reindex(columns=metrics)
    frame = means.reset_index().rename_axis(columns=None)
    frame = frame.assign(order=frame["variant"].map(order)).sort_values(["order", "shots", "seed"], ignore_index=True)
    controls = [is_control(dataset, variant) for variant in frame["variant"]]
    settings = {name: [setting(dataset, variant, name) for variant in frame["variant"]] for name in fields}
    return frame.assign(control=controls, **settings)[["variant", "control", "seed", "shots", *fields, *metrics]]


def study_table(
    dataset: ProjectDataset, study: str, *, metrics: Sequence[str], fields: Sequence[str] = ()
) -> pd.DataFrame:
    """`study_values` for readers: a row a variant and number of shots, with controls and variants without weights."""
    values = study_values(dataset, study, metrics=metrics, fields=fields)
    rows = []
    for (variant, shots), part in values.groupby(["variant", "shots"], sort=False, dropna=False):
        row = {"variant": variant, "nominal images": nominal_images(shots)}
        control = bool(part["control"].iloc[0])
        row |= {_words(name): NOTHING if control else of_setting(part[name].iloc[0], name) for name in fields}
        rows.append(row | {METRICS[metric].heading: summaries.of_metric(part[metric], metric) for metric in metrics})
    table = pd.DataFrame(rows)
    if values["shots"].isna().all():
        table = table.drop(columns="nominal images")
    missing = [entry["variant"] for entry in index_of(dataset).weights_missing]
    wanted = [variant for variant in dataset.studies[study].variants if variant in missing]
    return study_metrics.with_missing_weights(table, "variant", wanted)


def one_at_a_time(values: pd.DataFrame, *names: str, fields: Sequence[str]) -> pd.DataFrame:
    """The rows in which `names` vary, and all other fields have the values that most variants have.

    Args:
        values: of `study_values`, with all `fields`. Of variants with equal settings the first is kept; no controls.
    """
    rows = values[~values["control"]]
    if rows.empty:
        return rows
    settings = pd.DataFrame({name: [label(value, name) for value in rows[name]] for name in fields}, index=rows.index)
    first = settings.groupby(rows["variant"], sort=False).first()
    others = [name for name in fields if name not in names]
    alike = first[(first[others] == first[others].mode().iloc[0]).all(axis=1)].drop_duplicates(list(names))
    return rows[rows["variant"].isin(alike.index)]


def as_bars(values: pd.DataFrame, name: str, metrics: Sequence[str], *, prefix: str = "") -> pd.DataFrame:
    """Rows of `study_values` for `figures.grouped_bars`: columns setting (the text of `name`), metric, auroc_or_pro."""
    shown = values.assign(setting=[prefix + label(value, name) for value in values[name]])
    long = shown.melt(["setting"], list(metrics), "metric", "auroc_or_pro")
    return long.assign(metric=long["metric"].map(HEADINGS))


def describe(dataset: ProjectDataset, study: str) -> str:
    """What a study's numbers come from: the images, the categories, how many seeds."""
    rows = study_metrics.read_metrics(dataset, study=study)
    own = rows[rows["variant"].isin(dataset.studies[study].variants)]
    return scope(dataset, own, naming=True)


def seed_note(dataset: ProjectDataset, study: str, *, metric: str = "image_auroc") -> str:
    """A sentence on what another seed changes: the yardstick for the differences within a study of one seed."""
    categories = study_metrics.read_metrics(dataset, study=study)["category"].unique()
    rows = study_metrics.read_metrics(dataset)
    means = study_metrics.mean_over_categories(rows[rows["category"].isin(categories)], metric)
    methods = [variant for variant in means["variant"].unique() if not is_control(dataset, variant)]
    spread = means[means["variant"].isin(methods)].groupby("variant")["value"].std().median()
    if pd.isna(spread):
        return "Nothing ran with several seeds, so that it is not known which differences mean anything."
    return (
        f"On these categories another seed changes {HEADINGS[metric]} by {100 * spread:.1f} points (standard "
        "deviation, median over the methods of the main study): differences of that size mean little."
    )


def selection_seconds(dataset: ProjectDataset, study: str) -> pd.DataFrame:
    """How long it took to build the memory banks of a study, and on which machine.

    Returns:
        columns variant, seed, seconds (mean over categories), machine; empty without the file in `reports/timings`,
        which is no result of a stage.
    """
    index = index_of(dataset)
    times, cells = read_timings(dataset.timings, index), index.cells
    chosen = dataset.studies[study]
    categories = chosen.chosen(list(dict.fromkeys(cell["category"] for cell in cells)))
    rows = [
        (cell["variant"], cell["seed"], times[cell["file"]]["coreset_s"], _machine(times[cell["file"]]["machine"]))
        for cell in cells
        if cell["variant"] in chosen.variants and cell["seed"] in chosen.seeds and cell["shots"] in chosen.shots
        if cell["category"] in categories and cell["file"] in times
    ]
    frame = pd.DataFrame(rows, columns=["variant", "seed", "seconds", "machine"])
    return frame.groupby(["variant", "seed"], sort=False).agg({"seconds": "mean", "machine": "first"}).reset_index()


def _words(name: str) -> str:
    return name.replace("_", " ")


def _machine(machine: Mapping[str, object]) -> str:
    return f"{machine['gpu'] or machine['processor']}, {machine['cores']} cores"
