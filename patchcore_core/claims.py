"""What the paper claims of subsampling and of few nominal images, checked on numbers of a run."""

import pandas as pd

from patchcore_core import tables
from patchcore_core.config import PatchCoreConfig
from patchcore_core.params import Params

SAME_WITHIN = 0.005  # what counts as no loss: half a point
HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
_NAMES = {"random": "random patches", "kmeans": "k-means centroids", "proxies": "learned proxies"}


def compare(first: pd.Series, second: pd.Series) -> str:
    """Whether the first values are larger: over seeds, by more than twice the spread of the difference.

    One seed has no spread; any difference then counts, and the answer says so.
    """
    difference = first.mean() - second.mean()
    noise = 2 * sum(values.std(ddof=1) ** 2 for values in (first, second) if len(values) > 1) ** 0.5
    seeds = "" if len(first) > 1 or len(second) > 1 else " (one seed)"
    if abs(difference) <= noise or difference == 0:
        return UNDECIDED + seeds
    return (HOLDS if difference > 0 else FAILS) + seeds


def subsampling_claims(values: pd.DataFrame, dataset: str, params: Params) -> list[str]:
    """What the paper says of Figure 5, checked on image AUROCs.

    Args:
        values: columns variant, seed, value.
    """
    by = {"greedy": {}, "random": {}, "kmeans": {}, "proxies": {}}
    for variant, of_seeds in values.groupby("variant", sort=False)["value"]:
        config = params.config(dataset, variant)
        if isinstance(config, PatchCoreConfig) and not config.backbone.startswith("untrained/"):
            by[config.sampler][config.coreset_fraction] = of_seeds
    claims = []
    for sampler in ("random", "kmeans", "proxies"):
        for fraction in sorted(set(by["greedy"]) & set(by[sampler])):
            greedy, other = by["greedy"][fraction], by[sampler][fraction]
            claims.append(
                f"At {_share(fraction)}, the greedy coreset is better than {_NAMES[sampler]}: "
                f"{compare(greedy, other)} ({tables.percent(greedy)} against {tables.percent(other)})."
            )
    if {0.01, 0.1} <= set(by["greedy"]):
        small, large = by["greedy"][0.01], by["greedy"][0.1]
        held = HOLDS if large.mean() - small.mean() <= SAME_WITHIN else FAILS
        claims.append(
            f"The greedy coreset of 1 % loses at most 0.5 points to that of 10 %: {held} "
            f"({tables.percent(small)} against {tables.percent(large)})."
        )
    return claims


def low_shot_claims(values: pd.DataFrame, dataset: str, params: Params) -> list[str]:
    """Whether PatchCore is ahead with few nominal images, as Figure 6 has it.

    Args:
        values: columns variant, shots, seed, value.
    """
    variants = list(values["variant"].unique())
    ours = [v for v in variants if isinstance(params.config(dataset, v), PatchCoreConfig)]
    claims = []
    for mine in ours:
        for other in (v for v in variants if v not in ours):
            found = {}
            for shots, rows in values.groupby("shots"):
                of = {v: rows[rows["variant"] == v]["value"] for v in (mine, other)}
                if all(len(v) for v in of.values()):
                    found[shots] = compare(of[mine], of[other])
            said = "; ".join(f"{shots}: {verdict}" for shots, verdict in found.items())
            claims.append(f"{mine} is better than {other}, by number of nominal images: {said}.")
    return claims


def _share(fraction: float) -> str:
    return f"{100 * fraction:g} %"
