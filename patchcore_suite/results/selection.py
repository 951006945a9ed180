"""What the choice of a memory bank's rows is worth: selections of equal size, by network; a table, sentences."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import pandas as pd

from patchcore_suite import figures
from patchcore_suite.results import study_tables
from patchcore_suite.results.formats import HEADINGS, NOTHING
from patchcore_suite.results.leads import Lead, Resamples, ahead
from patchcore_suite.results.quantities import Cell, Quantity, difference
from patchcore_suite.results.summaries import percent, plain
from patchcore_suite.run.metric_registry import METRICS as REGISTRY
from patchcore_suite.settings.project import ProjectDataset

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STUDY = "selection"  # of the grid of real images
GREEDY = "greedy"
METRICS = ("image_auroc", "pro", "aupimo")  # that the selection is judged by; AUPIMO where a dataset asks for it
RADIUS = "covering_radius"
SETTINGS = ("backbone", "coreset_fraction", "sampler")


def selection_values(dataset: ProjectDataset, study: str) -> pd.DataFrame:
    """`study_tables.study_values` of a study of selections, with `SETTINGS` and the metrics that were measured."""
    values = study_tables.study_values(dataset, study, metrics=[RADIUS, *METRICS], fields=SETTINGS)
    values = values[~values["control"] & values["sampler"].notna()]
    not_measured = [name for name in (RADIUS, *METRICS) if values[name].isna().all()]
    return values.drop(columns=not_measured).reset_index(drop=True)


def bank_table(values: pd.DataFrame) -> pd.DataFrame:
    """One row a selection: network, share kept, sampler, radius and metrics over seeds.

    Args:
        values: of `selection_values`.
    """
    rows: list[dict[str, Cell]] = []
    for (variant, backbone, fraction, sampler), part in values.groupby(["variant", *SETTINGS], sort=False):
        row = {"variant": variant, "network": backbone, "patches kept in %": kept(fraction), "sampler": sampler}
        for metric in measured(values):
            digits = plain(part[metric], digits=2) if metric == RADIUS else percent(part[metric])
            row[REGISTRY[metric].heading] = digits
        rows.append(row)
    return pd.DataFrame(rows)


def lead(
    values: pd.DataFrame,
    metric: str,
    *,
    backbone: str,
    fraction: float,
    other: str,
    resamples: Resamples | None = None,
) -> Lead | None:
    """How far greedy is ahead of another sampler; None where no seed has both."""
    chosen = values[(values["backbone"] == backbone) & (values["coreset_fraction"] == fraction)]
    parts = [chosen[chosen["sampler"] == name] for name in (GREEDY, other)]
    drawn = None
    if resamples is not None and not any(part.empty for part in parts):
        drawn = tuple(resamples.get(part["variant"].iloc[0], {}).get(metric, {}) for part in parts)
    return ahead(*(part.groupby("seed")[metric].first() for part in parts), drawn)


def lead_table(values: pd.DataFrame, resamples: Resamples | None = None) -> pd.DataFrame:
    """What greedy is worth beside every other selection of equal size, in points, with intervals over seeds.

    Args:
        values: of `selection_values`.
        resamples: of `study_resamples`, for intervals over test images beside those.
    """
    rows: list[dict[str, Cell]] = []
    several = values["seed"].nunique() > 1
    for backbone, fraction, others in compared(values):
        for other in others:
            row: dict[str, Cell] = {"network": backbone, "patches kept in %": kept(fraction), "beside": other}
            if RADIUS in values:
                row["its radius, times greedy's"] = _ratio(values, backbone, fraction, other)
            where = {"backbone": backbone, "fraction": fraction, "other": other, "resamples": resamples}
            for metric in (name for name in METRICS if name in values):
                found, heading = lead(values, metric, **where), HEADINGS[metric]
                row[f"{heading}: greedy is ahead by"] = NOTHING if found is None else difference(found.mean)
                if several:
                    row[f"{heading}: interval"] = NOTHING if found is None else found.interval
                if resamples is not None:
                    row[f"{heading}: over images"] = (found and found.images) or NOTHING
            rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else ["network", "patches kept in %", "beside"])


def claims(values: pd.DataFrame, resamples: Resamples | None = None) -> list[str]:
    """What greedy is worth, a sentence for each network, size and metric, the strictest metric first.

    Args:
        values, resamples: as `lead_table`.
    """
    said = []
    for backbone, fraction, others in compared(values):
        where = {"backbone": backbone, "fraction": fraction, "resamples": resamples}
        for metric in (name for name in reversed(METRICS) if name in values):
            found = {other: one for other in others if (one := lead(values, metric, other=other, **where))}
            if found:
                named = [f"{difference(one.mean)} beside *{other}*{_over(one)}" for other, one in found.items()]
                named[0] = named[0].replace(" beside", f" points of {HEADINGS[metric]} beside", 1)
                start = f"At {100 * fraction:g} % with {backbone}"
                said.append(f"{start}, *greedy* is worth {', '.join(named)}.{_verdict(found.values())}")
    return said


def curves(values: pd.DataFrame, *, title: str = "") -> "Figure":
    """Radius and metrics against the share of patches that each sampler keeps, of the network with most of both."""
    kinds = values.groupby("backbone", sort=False)[["sampler", "coreset_fraction"]].value_counts()
    rows = values[values["backbone"] == kinds.groupby("backbone", sort=False).size().idxmax()]
    axis = "patches kept in %"
    rows = rows.rename(columns={name: REGISTRY[name].heading for name in measured(values)} | {"sampler": "series"})
    shown = rows.assign(**{axis: 100 * rows["coreset_fraction"]})
    drawn = [REGISTRY[name].heading for name in measured(values)]
    return figures.sweep(shown, x=axis, values=drawn, title=title, log=True)


def compared(values: pd.DataFrame) -> list[tuple[str, float, list[str]]]:
    """Networks and sizes, in falling order, that greedy was measured with, each with the other samplers."""
    found = []
    for backbone, of_network in values.groupby("backbone", sort=False):
        for fraction in sorted(of_network["coreset_fraction"].unique(), reverse=True):
            names = list(of_network[of_network["coreset_fraction"] == fraction]["sampler"].unique())
            others = [name for name in names if name != GREEDY]
            if GREEDY in names and others:
                found.append((str(backbone), float(fraction), others))
    return found


def measured(values: pd.DataFrame) -> list[str]:
    """The radius and the metrics that are there."""
    return [name for name in (RADIUS, *METRICS) if name in values]


def kept(fraction: float) -> Quantity:
    """A share of the patches in percent, as an axis can be numbered by it."""
    return Quantity(100 * fraction, form="g")


def _ratio(values: pd.DataFrame, backbone: str, fraction: float, other: str) -> Cell:
    """How many times greedy's covering radius another selection's is, by means over seeds."""
    chosen = values[(values["backbone"] == backbone) & (values["coreset_fraction"] == fraction)]
    means = chosen.groupby("sampler")[RADIUS].mean()
    return Quantity(float(means[other] / means[GREEDY]), form=".2f")


def _over(one: Lead) -> str:
    """The intervals in brackets, over seeds, then over test images; over one seed there is none of the first kind."""
    over = [str(one.interval)] if one.seeds > 1 else []
    if one.images is not None:
        over.append(str(one.images) if over else f"{one.images} over test images")
    return f" ({'; '.join(over)})" if over else ""


def _verdict(leads: Collection[Lead]) -> str:
    """What the intervals leave no doubt of."""
    if all(one.seeds == 1 for one in leads):
        return " One seed: nothing is known of others."
    better, worse = (sum(one.decided and one.mean * sign > 0 for one in leads) for sign in (1, -1))
    others = "selection" if len(leads) == 1 else "selections"
    by = "By these intervals" if any(one.images is None for one in leads) else "By both intervals"
    return f" {by} better than {better} and worse than {worse} of {len(leads)} other {others}."
