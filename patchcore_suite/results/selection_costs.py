"""What a selection needs if the patch features lie on several machines, and what it gives up: sentences and a table."""

import math

import pandas as pd

from patchcore_core.config import PatchCoreConfig
from patchcore_suite.plugins import CHEAPER
from patchcore_suite.results import quantities
from patchcore_suite.results.formats import NOTHING
from patchcore_suite.results.sources import index_of
from patchcore_suite.settings.project import ProjectDataset

FLOAT = 4  # bytes
AT_ONCE, SENT = "rows at once", "sent, MiB"  # columns


def rows_at_once(config: PatchCoreConfig, n: int, size: int) -> float:
    """How many of n patch features a selection looks at together at one place, at most; NaN: at a subset."""
    part = -(-n // config.shards)
    match config.sampler:
        case _ if size == n:
            return 0
        case "greedy" | "kmeans" | "proxies":
            return n
        case "two_round":
            return max(part, min(n, config.shards * size))
        case "merge_reduce":  # two reduced parts, or in the end one for each level
            return max(part, min(n, max(2, config.shards.bit_count()) * size))
        case "distance_sampling":
            return math.nan
    return 0


def rows_sent(config: PatchCoreConfig, n: int, size: int) -> int:
    """How many patch features travel if each part lies on a machine of its own, to where greedy selection goes on.

    Of the greedy coreset on one machine these are all that lie elsewhere. Of merge-reduce one reduced part for each
    merge. What is kept is not counted: it travels whatever the selection.
    """
    part = n // config.shards
    match config.sampler:
        case _ if size == n:
            return 0
        case "greedy" | "kmeans" | "proxies":
            return n - part
        case "two_round" | "merge_reduce":
            return (config.shards - 1) * min(size, part)
    return 0


def selection_costs(dataset: ProjectDataset, study: str) -> pd.DataFrame:
    """Rows at once and bytes sent by the selections of a study: columns variant, seed, `AT_ONCE`, `SENT`; means."""
    chosen, rows = dataset.studies[study], []
    for variant in chosen.variants:
        config = dataset.config(variant)
        if not isinstance(config, PatchCoreConfig):
            continue
        for cell, result in index_of(dataset).results(dataset.scores, variant=variant):
            if cell["seed"] not in chosen.seeds or cell["shots"] is not None or result.distances is None:
                continue
            size, d = result.stamp["memory_bank"]
            n = result.stamp["nominal_images"] * math.prod(result.distances.shape[1:])
            sent = rows_sent(config, n, size) * min(d, config.projection_dimension or d) * FLOAT / 2**20
            rows.append((variant, cell["seed"], cell["category"], rows_at_once(config, n, size), sent))
    frame = pd.DataFrame(rows, columns=["variant", "seed", "category", AT_ONCE, SENT])
    if chosen.categories is not None:
        available = list(dict.fromkeys(cell["category"] for cell in index_of(dataset).cells))
        frame = frame[frame["category"].isin(chosen.chosen(available))]
    return frame.groupby(["variant", "seed"], sort=False)[[AT_ONCE, SENT]].mean().reset_index()


def with_costs(table: pd.DataFrame, costs: pd.DataFrame) -> pd.DataFrame:
    """A table of variants with the columns of `selection_costs` at its end."""
    means = costs.groupby("variant")[[AT_ONCE, SENT]].mean()
    columns = {
        name: [_cost(means[name].get(variant), form) for variant in table["variant"]]
        for name, form in ((AT_ONCE, ".0f"), (SENT, ".2f"))
    }
    return table.assign(**columns)


def _cost(value: float | None, form: str) -> quantities.Cell:
    if value is None:
        return NOTHING
    return "a subset" if math.isnan(value) else quantities.Quantity(value, form=form)


def claims(values: pd.DataFrame) -> list[str]:
    """What each cheaper selection gives up beside the greedy coreset of the same size, one sentence each.

    Args:
        values: of `study_tables.study_values` with fields sampler and coreset_fraction; no controls.
    """
    means = values.groupby(["sampler", "coreset_fraction"])[["image_auroc", "covering_radius"]].mean()
    said = []
    for sampler in (*CHEAPER, "random"):
        for fraction in sorted(values.loc[values["sampler"] == sampler, "coreset_fraction"].unique()):
            if ("greedy", fraction) not in means.index:
                continue
            ours, greedy = means.loc[(sampler, fraction)], means.loc[("greedy", fraction)]
            if pd.isna([*ours, *greedy]).any():
                continue
            ratio = ours["covering_radius"] / greedy["covering_radius"]
            said.append(
                f"At {100 * fraction:g} %, *{sampler}* covers within **{ratio:.2f}** times the radius of *greedy*; "
                f"image AUROC differs by {quantities.step(greedy['image_auroc'], ours['image_auroc'])} points."
            )
    return said
