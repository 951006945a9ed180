"""The report: one page that shows every table and figure, says what they are worth and what made them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.common.files import write_json, write_text
from patchcore_suite.datasets.names import csv_text
from patchcore_suite.paper import verdicts
from patchcore_suite.report.charts import drawn, packed_library, points
from patchcore_suite.report.leaderboard import PAGE, build_leaderboard
from patchcore_suite.report.links import Links, address, describe_dataset
from patchcore_suite.report.measured import FOLDER, Block, Measured, read_all
from patchcore_suite.report.pictures import Figure, read_figure
from patchcore_suite.report.rendering import render
from patchcore_suite.report.shown_tables import VERDICT_KINDS, Shown, count_verdicts
from patchcore_suite.results.section import Section, made_again
from patchcore_suite.results.table import Heading, Table
from patchcore_suite.run.environment import commit, machine, versions
from patchcore_suite.run.leftovers import clear_reports
from patchcore_suite.settings.project import Project, load_project

TEMPLATE = "report.html"


@dataclass(frozen=True)
class ShownSection:
    """What one notebook made."""

    key: str
    heading: Heading
    tables: tuple[Shown, ...]
    figures: tuple[Figure, ...]
    note: str
    notebook: str  # a link to the executed notebook; empty where a command or a person made it
    by_command: bool
    files: tuple[str, ...] = ()  # links to the data that it shows, where these lie outside of reports/

    @property
    def synthetic(self) -> bool:
        return any(shown.table.synthetic for shown in self.tables)


def build_report(project: Project) -> str:
    """The page as HTML, from what lies in reports/.

    Raises:
        InputError: a table, a figure or a result that it shows has not been made.
    """
    if not any(project.scores.glob("*/index.json")):
        raise InputError(
            "there is nothing to report yet: reports/scores holds no results",
            remedy="run `make repro` (or `dvc repro`), which computes everything; the README says how long it takes",
        )
    links = Links(project)
    sections = list(_sections(project, links))
    measured = list(_measured(project, links))
    if not sections:
        raise InputError(
            f"no notebook has handed anything to the report: {project.sections} is empty",
            remedy="run the notebooks again, by `dvc repro --force`",
        )
    counts, synthetic = count_verdicts([shown.table.frame for section in sections for shown in section.tables])
    charted = any(figure.chart for section in sections for figure in section.figures)
    return render(
        TEMPLATE,
        sections=sections + measured,
        contents=list(_contents(sections + measured)),
        measured=[verdict for section in measured for verdict in _verdicts(section)],
        verdicts=[(name, kind, counts[name]) for name, kind in VERDICT_KINDS.items()],
        synthetic_verdicts=synthetic,
        other_verdicts=counts[verdicts.NO_VERDICT] - synthetic,
        synthetic=[section.heading.name for section in sections if section.synthetic],
        real=[section.heading.name for section in sections + measured if not section.synthetic],
        datasets=[describe_dataset(dataset) for dataset in project.datasets.values()],
        raw_results=links.results,
        leaderboard=PAGE,
        library=packed_library() if charted else "",
        stamp={"commit": commit(project.root), "versions": versions(), "machine": machine()},
    )


def write_plots(project: Project) -> None:
    """Write the points of the charts to reports/plots, for `dvc plots show` and `dvc plots diff`."""
    for section in _read_sections(project):
        for name, picture in section.pictures.items():
            if picture.chart:
                found = points(section.tables[picture.chart.table], picture.chart)
                write_text(project.plots / f"{name}.csv", csv_text(found))


def _read_sections(project: Project) -> list[Section]:
    """What the notebooks made, in the order of the report; without what is of datasets that params.yaml dropped."""
    sections = [Section.read(path) for path in project.sections.glob("*.json")]
    kept = [
        section
        for section in sections
        if all(name in project.params.datasets for table in section.tables.values() for name in table.datasets)
    ]
    return sorted(kept, key=lambda section: (section.order, section.notebook, not section.measured))


def _sections(project: Project, links: Links) -> Iterator[ShownSection]:
    for key, of_notebook in groupby(_read_sections(project), key=lambda section: section.notebook):
        parts = list(of_notebook)
        for part in parts:
            part.check_files(project.reports)
        measured, executed = any(part.measured for part in parts), f"executed/{key}.html"
        yield ShownSection(
            key=key,
            heading=parts[0].heading,
            tables=tuple(table for part in parts for table in _tables(project, links, part)),
            figures=tuple(figure for part in parts for figure in _figures(project, part)),
            note="" if measured else parts[0].unmeasured,
            notebook=address(executed) if (project.reports / executed).is_file() else "",
            by_command=parts[0].by_command,
        )


def _measured(project: Project, links: Links) -> Iterator[ShownSection]:
    """What was measured on real images before, in one section."""
    found = read_all(project.path(FOLDER))
    if not found:
        return
    yield ShownSection(
        key=FOLDER,
        heading=Heading("Measured on real images", ""),
        tables=tuple(
            Shown(FOLDER, f"{FOLDER}_{one.name}_{number}", _measured_table(one, block), links, formats=())
            for one in found
            for number, block in enumerate(one.blocks)
        ),
        figures=tuple(_drawings(project, found)),
        note=" ".join(one.described for one in found),
        notebook="",
        by_command=True,
        files=tuple(address(f"../{FOLDER}/{one.name}.{kind}") for one in found for kind in ("json", "csv")),
    )


def _drawings(project: Project, found: Sequence[Measured]) -> Iterator[Figure]:
    for drawing in (block.drawing for one in found for block in one.blocks if block.drawing):
        figure = read_figure(project.path(FOLDER) / f"{drawing.name}.png", drawing.shows)
        yield replace(figure, folder=f"../{FOLDER}")  # as the page lies in reports/


def _measured_table(found: Measured, block: Block) -> Table:
    claims = [claim.replace("*", "") for claim in block.claims]  # which emphasise names, in Markdown
    said = [f"{block.note.removesuffix('.')}.", *claims]
    return Table(f"{found.title}. {block.heading}", " ".join(said), synthetic=False, frame=block.frame)


def _verdicts(section: ShownSection) -> list[tuple[str, str, int]]:
    """How many comparisons of a section came to which verdict, with its kind."""
    counts, _ = count_verdicts([shown.table.frame for shown in section.tables])
    return [(name, kind, counts[name]) for name, kind in VERDICT_KINDS.items() if counts[name]]


def _tables(project: Project, links: Links, section: Section) -> Iterator[Shown]:
    folder = section.folder("tables")
    for name, table in section.tables.items():
        path = project.reports / folder / f"{name}.csv"
        if not path.is_file():
            raise InputError(f"there is no table {path}", remedy=made_again(section.notebook, options=""))
        yield Shown(folder, name, table, links)


def _figures(project: Project, section: Section) -> Iterator[Figure]:
    for name, picture in section.pictures.items():
        chart = picture.chart and drawn(section.tables[picture.chart.table], picture.chart)
        yield read_figure(project.reports / section.folder("figures") / f"{name}.png", picture.shows, chart)


def _contents(sections: Sequence[ShownSection]) -> Iterator[Mapping[str, object]]:
    """One row a table or figure of the paper, and one a section that belongs to none of them."""
    for section in sections:
        ours = [shown for shown in section.tables if shown.table.paper]
        for number, of_number in groupby(ours, key=lambda shown: shown.table.paper.name):
            tables = list(of_number)  # the first one is linked
            counts, _ = count_verdicts([shown.table.frame for shown in tables])
            yield {
                "number": number,
                "subject": tables[0].table.paper.subject,
                "anchor": f"table-{tables[0].name}",
                "verdicts": [(name, kind, counts[name]) for name, kind in VERDICT_KINDS.items() if counts[name]],
                "synthetic": any(shown.table.synthetic for shown in tables),
            }
        if not ours:
            yield {
                "number": section.heading.name,
                "subject": section.heading.subject,
                "anchor": section.key,
                "verdicts": _verdicts(section),
                "synthetic": section.synthetic,
            }


def main() -> None:
    """Write reports/index.html, the leaderboard beside it, and reports/plots for DVC."""
    project = load_project()
    clear_reports(project)
    write_text(project.page, build_report(project))
    write_text(project.reports / PAGE, build_leaderboard(project))
    write_plots(project)
    # What DVC knows the page by: the page itself names the machine, and so is another on each.
    contents = [
        {"section": section.notebook, "tables": list(section.tables), "figures": list(section.pictures)}
        for section in _read_sections(project)
        if not (section.measured or section.by_command)
    ]
    write_json(project.reports / "contents.json", contents)
    print(f"report: {project.page}")


if __name__ == "__main__":
    with exit_on_input_error():
        main()
