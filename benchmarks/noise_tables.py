"""What `benchmarks.noise` measured, as tables, claims and a figure that the page of results and the report show."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from patchcore_core import PatchCoreConfig
from patchcore_core.backbones import backbone_weights
from patchcore_suite import figures
from patchcore_suite.report.measured import Block, Drawing, Measured
from patchcore_suite.results.formats import HEADINGS
from patchcore_suite.results.quantities import Quantity, difference
from patchcore_suite.results.selection import Lead, ahead
from patchcore_suite.results.summaries import percent
from patchcore_suite.run.environment import commit, machine, versions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS = {name: HEADINGS[name] for name in ("image_auroc", "aupimo")}
FLOOR = 0.1  # of a metric that no method exceeds without noise: it has nothing to lose
LAST = 100  # place among what was measured, behind the datasets of the grid
MOVED = "anomalous images moved in %"
NOTE = (
    "By the share of the anomalous test images that stand among the training images; mean ± standard deviation over "
    "{seeds} draws of those, each tested on the images that no level of its draw moves. Every memory bank holds 1 % of "
    "the patches. Last, what is lost from the lowest to the highest share, in points, with the interval (95 %) of "
    "Student's t over draws."
)


def noise_results(rows: pd.DataFrame, name: str, sha256: str, *, every: int = 1) -> tuple[Measured, pd.DataFrame]:
    """What was measured on a category, and its values as they are written beside it.

    Args:
        rows: of `noise.run`.
        name: of the category.
        sha256: of its images.
        every: of the training images, how manyth was used.
    """
    title = f"{name} with anomalous training images"
    drawing = Drawing(f"{name}_noise", f"{title}: metrics against the share that was moved", curves(rows, title=title))
    blocks = tuple(
        Block(
            f"{heading} by noise",
            NOTE.format(seeds=rows["seed"].nunique()),
            table(rows, metric),
            tuple(claims(rows, metric)),
            drawing=drawing if number == 0 else None,
        )
        for number, (metric, heading) in enumerate(METRICS.items())
    )
    backbone = PatchCoreConfig().backbone
    weights = backbone_weights(backbone)
    root = Path(__file__).parents[1]
    stamp = {
        "commits": [commit(root)],
        "versions": [versions()],
        "weights": {backbone: [weights.sha256, weights.origin]},
        "images": {name: sha256},
        "machines": [{key: value for key, value in machine().items() if key != "threads"}],
    }
    found = Measured(
        name=f"{name}_noise", order=LAST, title=title, counts=tuple(counts(rows, name, every)), missing=(), pending=(),
        blocks=blocks, stamp=stamp,
    )  # fmt: skip
    values = rows.melt(["variant", "method", "noise", "seed"], list(METRICS), "metric", "value")
    return found, values.assign(dataset=f"{name}_noise", category=name, shots=float("nan"))


def counts(rows: pd.DataFrame, name: str, every: int) -> list[str]:
    """How many training images there were, level by level, of the first draw."""
    of = rows[rows["seed"] == rows["seed"].min()].drop_duplicates("noise")
    trained = ", ".join(f"{100 * row.noise:g} %: {row.moved} of {row.train}" for row in of.itertuples())
    said = [f"`{name}`: anomalous of the training images, by the share that was moved: {trained}"]
    nth = {2: "2nd", 3: "3rd"}.get(every, f"{every}th")
    return [*said, *([f"of the training images every {nth} is used"] if every > 1 else [])]


def table(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A metric: one row a method, one column a level, and what is lost between the first and the last."""
    levels, found = sorted(rows["noise"].unique()), losses(rows, metric)
    cells = rows.groupby(["variant", "noise"], sort=False)[metric].agg(percent).unstack("noise")
    frame = pd.DataFrame({"method": found.keys()})
    for level in levels:
        frame[f"{100 * level:g} %"] = [cells.loc[name, level] for name in found]
    frame["lost"] = [difference(one.mean) for one in found.values()]
    if rows["seed"].nunique() > 1:
        frame["interval"] = [one.interval for one in found.values()]
    return frame


def losses(rows: pd.DataFrame, metric: str) -> dict[str, Lead]:
    """What each method loses from the lowest to the highest level, by method in the order of `rows`."""
    levels, found = sorted(rows["noise"].unique()), {}
    for name, of in rows.groupby("variant", sort=False):
        by_seed = {level: of[of["noise"] == level].set_index("seed")[metric] for level in (levels[0], levels[-1])}
        if (one := ahead(by_seed[levels[0]], by_seed[levels[-1]])) is not None:
            found[str(name)] = one
    return found


def claims(rows: pd.DataFrame, metric: str) -> list[str]:
    """Which method loses least, and which is the best at each level."""
    levels, heading, found = sorted(rows["noise"].unique()), METRICS[metric], losses(rows, metric)
    if len(levels) < 2 or not found:
        return []
    means = rows.groupby(["noise", "variant"], sort=False)[metric].mean()
    if (most := means[levels[0]].max()) < FLOOR:
        return [
            f"{heading} is low with every method even at {100 * levels[0]:g} % ({_percent(most)} at most): no claim."
        ]
    ranked = sorted(found, key=lambda name: found[name].mean)
    losing = [f"*{name}*" for name in ranked if found[name].interval.low > 0]
    least = ", ".join(f"*{name}* {_told(found[name])}" for name in ranked)
    best = [f"{100 * level:g} %: *{means[level].idxmax()}* ({_percent(means[level].max())})" for level in levels]
    return [
        f"With {100 * levels[-1]:g} % of the anomalous images among the training images *{ranked[0]}* loses least of "
        f"{heading} by means; in points: {least}. By these intervals there is a loss of {', '.join(losing) or 'none'}.",
        f"The highest {heading} at each share, by means: {'; '.join(best)}.",
    ]


def curves(rows: pd.DataFrame, *, title: str) -> "Figure":
    """The metrics against the share that was moved, a line a method."""
    shown = rows.rename(columns={"variant": "series", **METRICS}).assign(**{MOVED: 100 * rows["noise"]})
    return figures.sweep(shown, x=MOVED, values=list(METRICS.values()), title=title)


def _told(one: Lead) -> str:
    return str(difference(one.mean)) + (f" ({one.interval})" if one.seeds > 1 else "")


def _percent(value: float) -> Quantity:
    return Quantity(value, unit="%")
