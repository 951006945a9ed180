"""What the numbers of a study say, as text for its notebook; where nothing was measured, the text says that."""

from collections.abc import Mapping, Sequence

import pandas as pd

from patchcore_core.config import CHOICES, UNTRAINED, PatchCoreConfig
from patchcore_suite.results import quantities, summaries
from patchcore_suite.results.formats import HEADINGS
from patchcore_suite.run.metric_registry import METRICS
from patchcore_suite.settings.project import ProjectDataset

NOTHING_MEASURED = "Nothing was measured here: the table says for which networks weights are missing."


def best(values: pd.DataFrame, setting: str, metrics: Sequence[str], *, form: str = "{}") -> str:
    """Say which value of a setting is the best for each metric, and what the choice is worth.

    Args:
        values: of `ablation.study_values`; metrics that some value of the setting lacks are left out.
        form: how a value reads: "p = {:g}".
    """
    means = _means(values, setting, metrics)
    if means.empty:
        return NOTHING_MEASURED
    settings = (means * _sign(means)).idxmax()
    named = [f"{form.format(value)} for {HEADINGS[metric]}" for metric, value in settings.items()]
    low, high = means.iloc[:, 0].min(), means.iloc[:, 0].max()
    return (
        f"The best are {', '.join(named)}. Between the worst and the best value lie "
        f"{quantities.step(low, high)} points of {HEADINGS[means.columns[0]]}."
    )


def place(values: pd.DataFrame, setting: str, chosen: object, metrics: Sequence[str]) -> str:
    """Say in which place a value of a setting comes for each metric, 1 the best; nothing if it was not measured."""
    means = _means(values, setting, metrics)
    if chosen not in means.index or means.empty:
        return ""
    places = (means * _sign(means)).rank(ascending=False, method="min").loc[chosen]
    ranks = ", ".join(f"{rank:.0f} in {HEADINGS[metric]}" for metric, rank in places.items())
    return f"The paper's choice, {chosen}, comes in place {ranks} of {len(means)}."


def ranges(groups: Mapping[str, pd.DataFrame], metric: str) -> str:
    """Say how far the worst and the best row of each group lie apart."""
    gaps = {name: quantities.step(rows[metric].min(), rows[metric].max()) for name, rows in groups.items()}
    named = ", ".join(f"{gap} points for {name}" for name, gap in gaps.items())
    return f"Between the worst and the best value lie {named} of {HEADINGS[metric]}."


def leaders(values: pd.DataFrame, metrics: Sequence[str]) -> str:
    """Say which method leads at the smallest and at the largest number of nominal images, by means over draws.

    Args:
        values: of `ablation.study_values`, of a study of shots, with the variant as `method`.
    """
    means = values.dropna(subset=["shots"]).groupby(["shots", "method"], sort=False)[list(metrics)].mean()
    means = means.dropna(axis=1)
    if means.empty:
        return NOTHING_MEASURED
    texts = []
    for metric in means:
        of = (means[metric] * _sign(means)[metric]).unstack().idxmax(axis=1)
        texts.append(
            f"{HEADINGS[metric]}: **{of.iloc[0]}** with {of.index[0]:g} nominal image(s), "
            f"**{of.iloc[-1]}** with {of.index[-1]:g}, PatchCore at {int(of.str.startswith('patchcore').sum())} of "
            f"{len(of)} numbers of images"
        )
    return "Who leads, by means over draws: " + "; ".join(texts) + "."


def largest_step(steps: pd.DataFrame, metric: str, end: str) -> str:
    """Say which switch of `switches.profile_steps` changes a metric most, and what all together change."""
    means = steps.groupby("step", sort=False)[metric].mean()
    changes = means.diff().dropna()
    if changes.empty:
        return f"The way to {end} was not measured."
    step = changes.abs().idxmax()
    return (
        f"On the way to {end} the largest step in {HEADINGS[metric]} is **{step}** "
        f"({quantities.step(0, changes[step])} points), and all together change it by "
        f"{quantities.step(means.iloc[0], means.iloc[-1])} points."
    )


def _sign(means: pd.DataFrame) -> pd.Series:
    """1 for each metric of which more is better, else -1."""
    return pd.Series({metric: -1 if METRICS[metric].higher_is_better is False else 1 for metric in means})


def _means(values: pd.DataFrame, setting: str, metrics: Sequence[str]) -> pd.DataFrame:
    """Mean of each metric by value of the setting; without metrics that some value lacks."""
    return values.groupby(setting, sort=False)[list(metrics)].mean().dropna(axis=1)


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


def subsampling_claims(values: pd.DataFrame, dataset: ProjectDataset) -> list[str]:
    """What the paper says of Figure 5, checked on image AUROCs.

    Args:
        values: columns variant, seed, value.
    """
    by = {sampler: {} for sampler in CHOICES["sampler"]}
    for variant, of_seeds in values.groupby("variant", sort=False)["value"]:
        config = dataset.config(variant)
        if isinstance(config, PatchCoreConfig) and not config.backbone.startswith(UNTRAINED):
            by[config.sampler][config.coreset_fraction] = of_seeds
    claims = []
    for sampler in ("random", "kmeans", "proxies"):
        for fraction in sorted(set(by["greedy"]) & set(by[sampler])):
            greedy, other = by["greedy"][fraction], by[sampler][fraction]
            claims.append(
                f"At {_share(fraction)}, the greedy coreset is better than {_NAMES[sampler]}: "
                f"{compare(greedy, other)} ({summaries.percent(greedy)} against {summaries.percent(other)})."
            )
    if {0.01, 0.1} <= set(by["greedy"]):
        small, large = by["greedy"][0.01], by["greedy"][0.1]
        held = HOLDS if large.mean() - small.mean() <= SAME_WITHIN else FAILS
        claims.append(
            f"The greedy coreset of 1 % loses at most 0.5 points to that of 10 %: {held} "
            f"({summaries.percent(small)} against {summaries.percent(large)})."
        )
    return claims


def low_shot_claims(values: pd.DataFrame, dataset: ProjectDataset) -> list[str]:
    """Whether PatchCore is ahead with few nominal images, as Figure 6 has it.

    Args:
        values: columns variant, shots, seed, value.
    """
    variants = list(values["variant"].unique())
    ours = [v for v in variants if isinstance(dataset.config(v), PatchCoreConfig)]
    claims = []
    for mine in ours:
        for other in (v for v in variants if v not in ours):
            found = {}
            for shots, rows in values.groupby("shots"):
                of = {v: rows[rows["variant"] == v]["value"] for v in (mine, other)}
                if all(len(v) for v in of.values()):
                    found[shots] = compare(of[mine], of[other])
            if found:
                said = "; ".join(f"{shots}: {verdict}" for shots, verdict in found.items())
                claims.append(f"{mine} is better than {other}, by number of nominal images: {said}.")
    return claims


def _share(fraction: float) -> str:
    return f"{100 * fraction:g} %"
