"""The leaderboard, a page of its own beside the report: all methods of each dataset by all metrics, and their costs.

What was run stands in one kind of table, what papers print in another: no row of one is ever in the other.
"""

from dataclasses import dataclass

import pandas as pd

from patchcore_suite.datasets.names import MEAN
from patchcore_suite.datasets.spec import PAPER_NAMES
from patchcore_suite.paper.quoted import quoted
from patchcore_suite.report.frontier_chart import FrontierChart, frontier_chart
from patchcore_suite.report.links import Links, timings_of
from patchcore_suite.report.measured import FOLDER, Measured, read_all, read_values
from patchcore_suite.report.method_costs import method_costs
from patchcore_suite.report.rendering import render
from patchcore_suite.report.shown_tables import Shown
from patchcore_suite.results import study_metrics
from patchcore_suite.results.quantities import Interval
from patchcore_suite.results.sources import FEW, index_of, paper_name, scope
from patchcore_suite.results.standings import COSTS, FRONTIER, Standings, intervals_table, ranked_table, standings
from patchcore_suite.results.table import Table
from patchcore_suite.run.controls import is_control
from patchcore_suite.run.metric_registry import METRICS
from patchcore_suite.settings.project import Project, ProjectDataset

PAGE = "leaderboard.html"  # in reports/, and its template
CONTROL = "control-"  # how the grid of results calls what is there to be compared with


@dataclass(frozen=True)
class Board:
    """The methods of one dataset.

    Attributes:
        key: its anchor.
        title: what it is called.
        about: what its numbers come from, a sentence; of generated images it begins with SYNTHETIC.
        costs: what is known of costs, and how.
        synthetic: whether the images are generated.
        ranked, intervals: its tables.
        charts: the first metric against each cost that is known.
    """

    key: str
    title: str
    about: str
    costs: str
    synthetic: bool
    ranked: Shown
    intervals: Shown
    charts: tuple[FrontierChart, ...]


def build_leaderboard(project: Project) -> str:
    """The page as HTML.

    Raises:
        InputError: results or metrics of a dataset are missing or damaged, or what was measured is.
    """
    links = Links(project)
    boards = [board for dataset in project.datasets.values() if (board := _of_project(dataset, links))]
    found = read_all(project.path(FOLDER))
    given = ((one, read_values(project.path(FOLDER), one.name)) for one in found)
    boards += [board for one, values in given if (board := _of_measured(one, values, links))]
    named = [*(paper_name(dataset) for dataset in project.datasets.values()), *(one.title for one in found)]
    papers = [name for name in PAPER_NAMES.values() if name in named]
    return render(
        PAGE,
        boards=boards,
        synthetic=[board.title for board in boards if board.synthetic],
        quoted=[_quoted(name, links) for name in papers],
    )


def _of_project(dataset: ProjectDataset, links: Links) -> Board | None:
    """What this project ran; None where no method of the main study has results."""
    rows = study_metrics.read_rows(dataset)
    methods = [name for name in dataset.variants if not is_control(dataset, name)]
    rows = rows[rows["variant"].isin(methods) & rows["shots"].isna() & rows["seed"].isin(dataset.seeds)]
    if rows.empty:
        return None
    intervals = {name: study_metrics.read_intervals(dataset, metric=name) for name in METRICS}
    found = standings(rows, intervals, method_costs(dataset, rows))
    machines = {timing["machine"]["processor"] for timing in timings_of(dataset, index_of(dataset)).values()}
    return _board(
        dataset.name,
        dataset.name,
        f"{scope(dataset, rows)}.",
        f"Measured on {' and '.join(sorted(machines))}." if machines else "No times are known.",
        found,
        synthetic=index_of(dataset).synthetic,
        links=links,
    )


def _of_measured(one: Measured, values: pd.DataFrame, links: Links) -> Board | None:
    """What was measured on real images before: the methods of its main study, which alone have intervals; if any."""
    means = values[values["seed"].isna() & (values["category"] == MEAN)]
    means = means[~means["variant"].str.startswith(CONTROL)]
    if means.empty:
        return None
    intervals: dict[str, dict[str, Interval]] = {}
    for row in means.itertuples():
        intervals.setdefault(row.metric, {})[row.variant] = Interval(row.low, row.high)
    rows = values[values["seed"].notna() & values["shots"].isna() & values["variant"].isin(means["variant"])]
    categories = [name for name in one.stamp["images"] if name not in (one.title, one.name)]
    named = f" ({', '.join(categories)})" if 0 < len(categories) <= FEW else ""
    machines = ", ".join(sorted({str(machine["processor"]) for machine in one.stamp["machines"]}))
    return _board(
        f"{FOLDER}-{one.name}",
        f"{one.title}{named}, real images",
        f"Real images. {one.described}",
        f"Measured on {machines}, beside other programs: seconds compare roughly."
        if one.costs
        else "No times are known.",
        standings(rows, intervals, pd.DataFrame.from_dict(one.costs, orient="index", columns=list(COSTS))),
        synthetic=False,
        links=links,
    )


def _board(
    key: str, title: str, about: str, costs: str, found: Standings, *, synthetic: bool, links: Links
) -> Board:  # fmt: skip
    frame = ranked_table(found)
    known = [cost for cost in COSTS if found.costs[cost].notna().any()]
    unknown = [COSTS[cost] for cost in COSTS if cost not in known] + ([] if known else [FRONTIER])
    frame = frame.drop(columns=unknown)
    of = Table(f"{title}: ranks and costs", "Run by this suite.", synthetic, frame)
    ends = Table(f"{title}: 95 % intervals", "Run by this suite.", synthetic, intervals_table(found))
    charts = (frontier_chart(found, cost) for cost in known)
    return Board(
        key=key,
        title=title,
        about=about,
        costs=costs,
        synthetic=synthetic,
        ranked=Shown("", f"{key}-ranked", of, links, formats=()),
        intervals=Shown("", f"{key}-intervals", ends, links, formats=()),
        charts=tuple(chart for chart in charts if chart),
    )


def _quoted(name: str, links: Links) -> Shown:
    table = Table(f"{name}, quoted", "Printed by papers; none of these was run here.", False, quoted(name))
    return Shown("", f"quoted-{name.lower().replace(' ', '-')}", table, links, formats=())
