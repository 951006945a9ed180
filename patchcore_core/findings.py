"""What the numbers of a study say, as text for its notebook; where nothing was measured, the text says that."""

from collections.abc import Mapping, Sequence

import pandas as pd

from patchcore_core import ablation

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
    named = [f"{form.format(value)} for {ablation.HEADINGS[metric]}" for metric, value in means.idxmax().items()]
    low, high = means.iloc[:, 0].min(), means.iloc[:, 0].max()
    return (
        f"The best are {', '.join(named)}. Between the worst and the best value lie "
        f"{ablation.points(low, high)} points of {ablation.HEADINGS[means.columns[0]]}."
    )


def place(values: pd.DataFrame, setting: str, chosen: object, metrics: Sequence[str]) -> str:
    """Say in which place a value of a setting comes for each metric, 1 the best; nothing if it was not measured."""
    means = _means(values, setting, metrics)
    if chosen not in means.index or means.empty:
        return ""
    places = means.rank(ascending=False, method="min").loc[chosen]
    ranks = ", ".join(f"{rank:.0f} in {ablation.HEADINGS[metric]}" for metric, rank in places.items())
    return f"The paper's choice, {chosen}, comes in place {ranks} of {len(means)}."


def ranges(groups: Mapping[str, pd.DataFrame], metric: str) -> str:
    """Say how far the worst and the best row of each group lie apart."""
    gaps = {name: ablation.points(rows[metric].min(), rows[metric].max()) for name, rows in groups.items()}
    named = ", ".join(f"{gap} points for {name}" for name, gap in gaps.items())
    return f"Between the worst and the best value lie {named} of {ablation.HEADINGS[metric]}."


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
        of = means[metric].unstack().idxmax(axis=1)
        texts.append(
            f"{ablation.HEADINGS[metric]}: **{of.iloc[0]}** with {of.index[0]:g} nominal image(s), **{of.iloc[-1]}** "
            f"with {of.index[-1]:g}, PatchCore at {int(of.str.startswith('patchcore').sum())} of {len(of)} numbers of "
            "images"
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
        f"On the way to {end} the largest step in {ablation.HEADINGS[metric]} is **{step}** "
        f"({ablation.points(0, changes[step])} points), and all together change it by "
        f"{ablation.points(means.iloc[0], means.iloc[-1])} points."
    )


def _means(values: pd.DataFrame, setting: str, metrics: Sequence[str]) -> pd.DataFrame:
    """Mean of each metric by value of the setting; without metrics that some value lacks."""
    return values.groupby(setting, sort=False)[list(metrics)].mean().dropna(axis=1)
