"""The report: one page that shows every table and figure, says what they are worth and what made them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.common.files import write_json, write_text
from patchcore_suite.paper import verdicts
from patchcore_suite.report.charts import chart, packed_library, points
from patchcore_suite.report.links import Links, describe_dataset
from patchcore_suite.report.pictures import Figure, read_figure
from patchcore_suite.report.sections import CHARTS, CONTENTS, PAPER_SECTIONS, TIMED
from patchcore_suite.report.shown_tables import VERDICT_KINDS, Shown, count_verdicts
from patchcore_suite.results.table import Table
from patchcore_suite.run.environment import commit, machine, versions
from patchcore_suite.settings.project import Project, load_project

TEMPLATE = "report.html"


@dataclass(frozen=True)
class Section:
    """What one notebook made."""

    key: str
    heading: str
    notebook: str  # relative to reports/
    tables: tuple[Shown, ...]
    figures: tuple[Figure, ...]
    note: str = ""

    @property
    def short(self) -> str:
        """The heading up to its colon."""
        return self.heading.partition(":")[0]

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
    shown = {item.name: item.table for section in sections for item in section.tables}
    counts, synthetic = count_verdicts([table.frame for table in shown.values()])
    charted = any(figure.chart for section in sections for figure in section.figures)
    environment = Environment(
        loader=PackageLoader("patchcore_suite.report"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(
        sections=sections,
        contents=list(_contents(sections, shown)),
        verdicts=[(name, kind, counts[name]) for name, kind in VERDICT_KINDS.items()],
        synthetic_verdicts=synthetic,
        other_verdicts=counts[verdicts.NO_VERDICT] - synthetic,
        synthetic=[section.short for section in sections if section.synthetic],
        real=[section.short for section in sections if not section.synthetic],
        datasets=[describe_dataset(dataset) for dataset in project.datasets.values()],
        raw_results=links.results,
        library=packed_library() if charted else "",
        stamp={"commit": commit(project.root), "versions": versions(), "machine": machine()},
    )


def write_plots(project: Project) -> None:
    """Write the points of the charts to reports/plots, for `dvc plots show` and `dvc plots diff`."""
    for name, (table, x, series) in CHARTS.items():
        found = points(Table.read(project.tables, table), x, series)
        write_text(project.plots / f"{name}.csv", found.to_csv(index=False, lineterminator="\n"))


def _sections(project: Project, links: Links) -> Iterator[Section]:
    for key, heading, names, figures in PAPER_SECTIONS:
        yield _section(project, links, key, heading, key, names, figures)
    for name in project.datasets:
        pictures = (f"score_histograms_{name}", f"anomaly_maps_{name}")
        key = f"results_{name}"
        yield _section(project, links, key, f"Dataset {name}", f"dataset_results@{name}", (key,), pictures)


def _section(
    project: Project,
    links: Links,
    key: str,
    heading: str,
    executed: str,
    tables: tuple[str, ...],
    figures: tuple[str, ...],
) -> Section:
    reports = project.reports
    timed = TIMED.get(key)
    measured = bool(timed) and all((reports / f"timings/{timed}.{kind}").is_file() for kind in ("csv", "json", "png"))
    names = [*(("timings", timed),) * measured, *(("tables", name) for name in tables)]
    pictures = [*(("timings", timed),) * measured, *(("figures", name) for name in figures)]
    shown = {name: Shown(folder, name, key, Table.read(reports / folder, name), links) for folder, name in names}
    return Section(
        key=key,
        heading=heading,
        notebook=f"executed/{executed}.html",
        tables=tuple(shown.values()),
        figures=tuple(read_figure(reports, folder, name, _chart(name, shown)) for folder, name in pictures),
        note=f"The times were not measured here: run notebooks/{key}.ipynb." if timed and not measured else "",
    )


def _chart(figure: str, shown: Mapping[str, Shown]) -> dict[str, object] | None:
    """What a figure that can be explored is drawn from; None for the others."""
    if figure not in CHARTS:
        return None
    table, x, series = CHARTS[figure]
    return chart(shown[table].table, x, series)


def _contents(sections: Sequence[Section], shown: Mapping[str, Table]) -> Iterator[Mapping[str, object]]:
    """One row a table or figure of the paper, then one a section that belongs to none of them."""
    listed: set[str] = set()
    for number, subject, names in CONTENTS:
        section = next(s for s in sections if names[0] in [item.name for item in s.tables])
        listed.add(section.key)
        counts, _ = count_verdicts([shown[name].frame for name in names])
        yield {
            "number": number,
            "subject": subject,
            "anchor": f"table-{names[0]}",
            "verdicts": [(name, kind, counts[name]) for name, kind in VERDICT_KINDS.items() if counts[name]],
            "synthetic": any(shown[name].synthetic for name in names),
        }
    for section in sections:
        if section.key not in listed:
            _, _, subject = section.heading.partition(": ")
            yield {
                "number": section.short,
                "subject": subject or "all metrics, scores, anomaly maps",
                "anchor": section.key,
                "verdicts": [],
                "synthetic": section.synthetic,
            }


def main() -> None:
    """Write reports/index.html, and reports/plots for DVC."""
    project = load_project()
    write_text(project.page, build_report(project))
    write_plots(project)
    # What DVC knows the page by: the page itself names the machine, and so is another on each.
    contents = [{"section": key, "tables": tables, "figures": figures} for key, _, tables, figures in PAPER_SECTIONS]
    write_json(project.reports / "contents.json", contents)
    print(f"report: {project.page}")


if __name__ == "__main__":
    with exit_on_input_error():
        main()
