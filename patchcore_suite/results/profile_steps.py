"""The way from one compatibility profile to another: what each switch does to the metrics."""

from collections.abc import Sequence

import pandas as pd

from patchcore_core.common.errors import InputError
from patchcore_suite.results import study_tables
from patchcore_suite.results.formats import HEADINGS
from patchcore_suite.results.quantities import step
from patchcore_suite.settings import profiles
from patchcore_suite.settings.project import ProjectDataset


def profile_steps(dataset: ProjectDataset, study: str, start: str, end: str, *, metrics: Sequence[str]) -> pd.DataFrame:
    """The way from one profile to another, switch by switch, with the variants of a study that stand on it.

    Args:
        study: its first variant names the network.

    Returns:
        columns step, changes, variant, seed and `metrics`: the start profile, each switch with the values after it.
        A step whose weights are missing has NaN.

    Raises:
        InputError: the study has no variant for a step.
    """
    names = dataset.studies[study].variants
    configs = {name: dataset.config(name).members[0] for name in names}
    backbone = next(iter(configs.values())).backbone
    dimension = next((c.dimension for c in configs.values() if getattr(c, "dimension", None)), None)
    switches = profiles.steps(start, end, backbone=backbone, dimension=dimension)
    found = []
    for count, (name, changes) in enumerate([(start, ""), *((switch.name, switch.changes) for switch in switches)]):
        wanted, images = profiles.switched(start, end, count, backbone=backbone, dimension=dimension)
        fitting = [
            name
            for name in names
            if all(getattr(configs[name], key, None) == value for key, value in wanted.items())
            and all(getattr(dataset.preprocessing(name), key) == value for key, value in images.items())
        ]
        if not fitting:
            raise InputError(
                f"study {study!r} of {dataset.name!r} has no variant for {count} switches from {start} to {end}"
            )
        found.append({"step": name, "changes": changes, "variant": fitting[0]})
    values = study_tables.study_values(dataset, study, metrics=metrics)
    return pd.DataFrame(found).merge(values[["variant", "seed", *metrics]], on="variant", how="left")


def to_waterfall(steps: pd.DataFrame, metric: str, end: str) -> pd.DataFrame:
    """The rows of `figures.waterfall`: those of `profile_steps` up to the first without a value, and the end.

    There are none if not even the first has a value.
    """
    known = steps[steps[metric].isna().cumsum() == 0]
    if known.empty:
        return known
    last = known[known["step"] == known["step"].iloc[-1]]
    name = end if len(known) == len(steps) else f"towards {end}, the rest is not available"
    return pd.concat([known, last.assign(step=name)], ignore_index=True)


def costs(steps: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """What each switch of `profile_steps` changes, in words and in percentage points (means over seeds)."""
    means = steps.groupby(["step", "changes", "variant"], sort=False)[list(metrics)].mean()
    table = means.reset_index()[["step", "changes"]]
    for metric in metrics:
        changes = [step(*pair) for pair in zip(means[metric].shift(), means[metric], strict=True)]
        table[f"{HEADINGS[metric]}, points"] = changes
    return table.iloc[1:].reset_index(drop=True)
