"""What `benchmarks.noise` measured, as tables, claims and a figure that the page of results and the report show."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd

from patchcore_suite import figures
from patchcore_suite.report.measured import Block, Drawing
from patchcore_suite.results.formats import HEADINGS, NOTHING
from patchcore_suite.results.leads import Lead, ahead
from patchcore_suite.results.quantities import Quantity, difference
from patchcore_suite.results.summaries import percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS = {name: HEADINGS[name] for name in ("image_auroc", "aupimo")}
FLOOR = 0.1  # of a metric that no method exceeds without noise: it has nothing to lose
MOVED = "anomalous images moved in %"
NOTE = (
    "By the share of the anomalous test images that stand among the training images; mean ± standard deviation over "
    "{seeds} draws of those, each tested on the images that no level of its draw moves. Every memory bank holds 1 % of "
    "the patches. Last, what is lost from the lowest to the highest share, in points, with the interval (95 %) of "
    "Student's t over draws."
)


def noise_blocks(rows: pd.DataFrame, name: str, title: str) -> tuple[Block, ...]:
    """The tables of what was measured on a category, a metric each, with claims; the first has the figure.

    Args:
        rows: one a fitted model: columns network, every, variant, noise, seed, train, moved and the metrics.
    """
    drawing = Drawing(f"{name}_noise", f"{title}: metrics against the share that was moved", curves(rows, title=title))
    return tuple(
        Block(
            f"{heading} by noise",
            NOTE.format(seeds=rows["seed"].nunique()),
            pd.concat([table(of, metric) for _, of in networks(rows)], ignore_index=True).fillna(NOTHING),
            tuple(claim for network, of in networks(rows) for claim in claims(of, metric, network)),
            drawing=drawing if number == 0 else None,
        )
        for number, (metric, heading) in enumerate(METRICS.items())
    )


def networks(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each network with its rows, in their order."""
    return ((str(network), of) for network, of in rows.groupby("network", sort=False))


def noise_counts(rows: pd.DataFrame, name: str) -> Iterator[str]:
    """How many training images there were, by network, level by level, of the first draw; equal ones are told once."""
    told: dict[str, list[str]] = {}
    for network, of in networks(rows):
        first = of[of["seed"] == of["seed"].min()].drop_duplicates("noise")
        trained = ", ".join(f"{100 * row.noise:g} %: {row.moved} of {row.train}" for row in first.itertuples())
        every = int(first["every"].iloc[0])
        nth = {2: "2nd", 3: "3rd"}.get(every, f"{every}th")
        used = f"; of the training images every {nth} is used" if every > 1 else "; all training images are used"
        told.setdefault(trained + used, []).append(network)
    for trained, of in told.items():
        yield f"`{name}`, {', '.join(of)}: anomalous of the training images, by the share that was moved: {trained}"


def table(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A metric of one network: one row a method, one column a level, what is lost between the first and the last."""
    levels, found = sorted(rows["noise"].unique()), losses(rows, metric)
    cells = rows.groupby(["variant", "noise"], sort=False)[metric].agg(percent).unstack("noise")
    frame = pd.DataFrame({"network": rows["network"].iloc[0], "method": found.keys()})
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


def claims(rows: pd.DataFrame, metric: str, network: str) -> list[str]:
    """Which method loses least with a network, and which is the best at each level."""
    levels, heading, found = sorted(rows["noise"].unique()), METRICS[metric], losses(rows, metric)
    if len(levels) < 2 or not found:
        return []
    means = rows.groupby(["noise", "variant"], sort=False)[metric].mean()
    if (most := means[levels[0]].max()) < FLOOR:
        most_of = f"{heading} is low with every method even at {100 * levels[0]:g} % ({_percent(most)} at most)"
        return [f"With {network} {most_of}: no claim."]
    ranked = sorted(found, key=lambda name: found[name].mean)
    losing = [f"*{name}*" for name in ranked if found[name].interval.low > 0]
    least = ", ".join(f"*{name}* {_told(found[name])}" for name in ranked)
    best = [f"{100 * level:g} %: *{means[level].idxmax()}* ({_percent(means[level].max())})" for level in levels]
    with_all = f"With {network} and {100 * levels[-1]:g} % of the anomalous images among the training images"
    return [
        f"{with_all} *{ranked[0]}* loses least of {heading} by means; in points: {least}. By these intervals there is "
        f"a loss of {', '.join(losing) or 'none'}.",
        f"With {network} the highest {heading} at each share, by means: {'; '.join(best)}.",
    ]


def curves(rows: pd.DataFrame, *, title: str) -> "Figure":
    """The metrics against the share that was moved, a line a method; a row of panels a metric, a panel a network."""
    shown = rows.rename(columns={"variant": "series"}).assign(**{MOVED: 100 * rows["noise"]})
    panels = {f"{heading}, {name}": (metric, name) for metric, heading in METRICS.items() for name, _ in networks(rows)}
    for panel, (metric, name) in panels.items():
        shown[panel] = rows[metric].where(rows["network"] == name)
    figure = figures.sweep(shown, x=MOVED, values=list(panels), title=title)
    for axis, panel in zip(figure.axes, panels, strict=True):
        axis.set_title(panel)  # the network by its name
    return figure


def _told(one: Lead) -> str:
    return str(difference(one.mean)) + (f" ({one.interval})" if one.seeds > 1 else "")


def _percent(value: float) -> Quantity:
    return Quantity(value, unit="%")
