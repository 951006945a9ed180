import json
import shutil
from dataclasses import replace
from urllib.parse import unquote, urlsplit

import pandas as pd
import pytest
import toy_report
from conftest import ToyProject
from html_page import Page
from sealed_files import rewrite as rewrite_json
from toy_report import BY_VARIANT, drawing, make_everything, percent, sections

from patchcore_core.common.errors import InputError
from patchcore_suite.paper import verdicts
from patchcore_suite.report.page import build_report, write_plots
from patchcore_suite.report.shown_tables import count_verdicts
from patchcore_suite.results.quantities import Said
from patchcore_suite.results.section import FOLDER, Picture, Section
from patchcore_suite.results.table import Heading
from patchcore_suite.run import environment
from patchcore_suite.run.raw_results import ScoreIndex
from patchcore_suite.settings.project import Project

SECTIONS = list(sections())
CHARTS = {name: p.chart for section in SECTIONS for name, p in section.pictures.items() if p.chart}


@pytest.fixture(scope="module")
def reported_once(tmp_path_factory):
    return make_everything(ToyProject(tmp_path_factory.mktemp("reported")).draw())


@pytest.fixture
def reported(reported_once, tmp_path):
    """A toy project in which everything that the report shows has been made, to be changed by the test."""
    project = ToyProject(shutil.copytree(reported_once.root, tmp_path / "project"))
    project.tables = dict(reported_once.tables)
    return project


def rewrite(reported, name, **changes):
    """Change a table that is there."""
    reports = reported.root / "reports"
    for path in (reports / FOLDER).iterdir():
        section = Section.read(path)
        if name in section.tables:
            tables = section.tables | {name: replace(section.tables[name], **changes)}
            pictures = {key: replace(picture, figure=drawing()) for key, picture in section.pictures.items()}
            replace(section, tables=tables, pictures=pictures).write(reports)


def test_every_table_and_figure_is_shown(reported):
    page = Page(build_report(Project(reported.params)))
    for section in SECTIONS:
        assert str(section.heading) in page.text
        assert all(f"title of {name}" in page.text for name in section.tables)
    assert len(page.images) == sum(len(section.pictures) for section in SECTIONS)


def test_sections_stand_in_their_order_and_measured_times_first(reported):
    html = build_report(Project(reported.params))
    places = [html.index(f'<section id="{section.notebook}"') for section in SECTIONS]
    assert places == sorted(places)
    assert html.count('<section id="t5_inference_time"') == 1
    assert html.index('id="table-t5_inference_time"') < html.index('id="table-t5_accuracy"')


def test_what_is_of_a_dataset_that_was_dropped_is_not_shown(reported):
    rewrite(reported, "s_profiles", datasets=("gone",))
    html = build_report(Project(reported.params))
    assert "title of s_profiles" not in html
    assert "title of t1_image_auroc" in html


def assert_links_lead_somewhere(reported):
    page = Page(build_report(Project(reported.params)))
    inside = [link for link in page.links if "://" not in link]
    assert inside
    for link in inside:
        parts = urlsplit(link)
        target = reported.root / "reports" / unquote(parts.path)
        assert not parts.query
        assert target.exists() if parts.path else parts.fragment in page.ids, link
    return page


def test_every_link_leads_somewhere(reported):
    assert_links_lead_somewhere(reported)


def test_a_section_that_a_person_made_is_shown_last_and_without_a_page_of_its_notebook(reported):
    tables, pictures = (
        {"own_model": toy_report.table("own_model", BY_VARIANT, datasets=())},
        {"own_maps": Picture(drawing(), "Maps: x")},
    )
    made = Section("bring_your_own", Heading("Your parts", "bottle"), 300, tables, pictures, measured=True)
    made.write(reported.root / "reports")
    page = assert_links_lead_somewhere(reported)
    assert "Your parts: bottle" in page.text
    assert "Made by hand in the notebook bring_your_own" in page.text
    assert not [link for link in page.links if "bring_your_own" in link and "executed" in link]
    assert "timings/own_model.csv" in page.links


def test_links_to_files_with_signs_of_addresses_in_their_names_lead_there(reported):
    name = "part #2? 50%25 größe a&b"
    folder = reported.root / "reports/scores/toy"
    (folder / "nut").rename(folder / name)
    index = ScoreIndex.read(folder)
    moved = [cell | {"category": name, "file": f"{name}/{cell['file'].partition('/')[2]}"} for cell in index.cells]
    cells = [new if old["category"] == "nut" else old for old, new in zip(index.cells, moved, strict=True)]
    replace(index, cells=tuple(cells)).write(folder)
    tables, pictures = {name: toy_report.table(name, BY_VARIANT)}, {name: Picture(drawing(), "Bars: what is shown")}
    Section(name, Heading("Own", "x"), 50, tables, pictures).write(reported.root / "reports")
    toy_report.write(reported.root / f"reports/executed/{name}.html", "<!doctype html><title>notebook</title>")
    links = assert_links_lead_somewhere(reported).links
    quoted = "part%20%232%3F%2050%2525%20gr%C3%B6%C3%9Fe%20a%26b"
    for link in (f"scores/toy/{quoted}/tenth", *(f"{kind}/{quoted}" for kind in ("executed", "tables", "figures"))):
        assert [found for found in links if found.startswith(link)]


def test_the_page_loads_nothing_from_outside_and_describes_its_pictures(reported):
    page = Page(build_report(Project(reported.params)))
    assert all(source.startswith("data:image/webp;base64,") for source in page.loaded if source)
    assert all(len(image["alt"]) > 20 for image in page.images)


def test_cells_are_text_not_markup(reported):
    html = build_report(Project(reported.params))
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


def test_synthetic_sections_are_announced_and_real_ones_are_not(reported):
    assert "SYNTHETIC" not in Page(build_report(Project(reported.params))).text
    rewrite(reported, "t1_image_auroc", synthetic=True)
    text = Page(build_report(Project(reported.params))).text
    assert "SYNTHETIC. Table 1: made from images that are drawn by this suite" in " ".join(text.split())


def test_where_most_is_synthetic_what_is_not_is_named(reported):
    for section in SECTIONS:
        if section.notebook != "f3_coreset_vs_random":
            rewrite(reported, next(iter(section.tables)), synthetic=True)
    text = " ".join(Page(build_report(Project(reported.params))).text.split())
    assert "SYNTHETIC. All sections except Figure 3: made from images that are drawn by this suite" in text


def test_the_stamp_names_hashes_versions_and_machine(reported):
    text = Page(build_report(Project(reported.params))).text
    index = json.loads((reported.root / "reports/scores/toy/index.json").read_text())
    assert index["cells"]
    for wanted in (
        "tf_efficientnet_lite0",
        "torch",
        "processor",
        "commit",
        "resize [64, 64], crop none",
        "patchcore 8",
    ):
        assert wanted in text


def test_a_report_without_its_tables_says_what_to_run(reported):
    (reported.root / "reports/tables/t1_image_auroc.csv").unlink()
    with pytest.raises(InputError, match="dvc repro t1_image_auroc"):
        build_report(Project(reported.params))


def test_a_report_without_its_figures_says_what_to_run(reported):
    (reported.root / "reports/figures/t1_image_auroc.png").unlink()
    with pytest.raises(InputError, match=r"t1_image_auroc\.png"):
        build_report(Project(reported.params))


def test_a_report_before_any_result_says_what_to_run(project):
    with pytest.raises(InputError, match=r"nothing to report yet.*\nRemedy: run `make repro`"):
        build_report(Project(project.params))


def test_a_report_to_which_no_notebook_handed_anything_says_so(reported):
    shutil.rmtree(reported.root / "reports/sections")
    with pytest.raises(InputError, match="no notebook has handed anything to the report"):
        build_report(Project(reported.params))


def test_files_that_are_not_what_a_notebook_wrote_are_all_named(reported):
    reports = reported.root / "reports"
    shutil.copyfile(reports / "figures/anomaly_maps_toy.png", reports / "figures/t1_image_auroc.png")
    with (reports / "tables/s1_image_auroc.csv").open("a") as file:
        file.write("x")
    with pytest.raises(InputError, match=r"files of t1_image_auroc .* are not those that it wrote") as caught:
        build_report(Project(reported.params))
    assert caught.value.offenders == ("figures/t1_image_auroc.png", "tables/s1_image_auroc.csv")
    assert caught.value.remedy == "run `dvc repro -f -s t1_image_auroc`"


def test_damaged_times_are_left_out_of_the_report(reported, capsys):
    (reported.root / "reports/timings/toy.json").write_bytes(b"{")
    assert build_report(Project(reported.params))
    assert "left out" in capsys.readouterr().err


def test_results_of_another_schema_are_refused_with_what_to_run(reported):
    path = reported.root / "reports/scores/toy/index.json"
    rewrite_json(path, schema=1)
    with pytest.raises(InputError, match="another version\nRemedy: run `dvc repro score@toy`"):
        build_report(Project(reported.params))


def test_results_made_with_other_versions_are_announced(reported, monkeypatch):
    assert "Other versions" not in Page(build_report(Project(reported.params))).text
    monkeypatch.setattr("patchcore_suite.report.links.versions", lambda: environment.versions() | {"torch": "99.0"})
    text = " ".join(Page(build_report(Project(reported.params))).text.split())
    assert f"Results of toy were computed with torch {environment.versions()['torch']}, here 99.0." in text


def test_what_is_not_available_is_said(reported):
    assert "not available" in Page(build_report(Project(reported.params))).classes["number"]


# Where numbers lead


def test_a_variant_leads_to_its_raw_results_and_a_number_to_its_files(reported):
    page = Page(build_report(Project(reported.params)))
    assert "#raw-toy-tenth" in page.links
    assert "raw-toy-tenth" in page.ids
    assert "scores/toy/nut/tenth" in page.links
    assert "#raw-toy-quoted" not in page.links  # a system that was not run here


def test_a_dataset_table_leads_to_the_results_of_its_own_dataset(reported):
    html = build_report(Project(reported.params))
    section = html[html.index('id="rows-results_toy"') :]
    assert 'href="#raw-toy-tenth"' in section[: section.index("</table>")]


def test_every_table_and_figure_can_be_had_for_a_paper(reported):
    links = set(Page(build_report(Project(reported.params))).links)
    for section in SECTIONS:
        tables, pictures = section.folder("tables"), section.folder("figures")
        assert {f"{tables}/{name}.{kind}" for name in section.tables for kind in ("csv", "tex")} <= links
        assert {f"{pictures}/{name}.png" for name in section.pictures} <= links
    assert {"figures/t1_image_auroc.svg", "timings/t5_inference_time.svg"} <= links
    assert "figures/anomaly_maps_toy.svg" not in links  # a sheet of images


def test_rows_of_several_datasets_lead_to_their_own(reported):
    frame = BY_VARIANT.assign(variant=["tenth", "all", "tenth", "all"])
    rewrite(reported, "t1_image_auroc", frame=frame, datasets=("toy", "toy", "toy", "toy"))
    html = build_report(Project(reported.params))
    table = html[html.index('id="rows-t1_image_auroc"') :]
    assert table[: table.index("</table>")].count('href="#raw-toy-') == 4


# What can be explored


def test_the_library_of_charts_is_there_once_and_only_with_charts(reported):
    html = build_report(Project(reported.params))
    assert html.count('id="plotly"') == 1
    assert html.count("data-chart") - html.count("[data-chart]") == len(CHARTS)
    for chart in CHARTS.values():
        rewrite(reported, chart.table, frame=pd.DataFrame({"variant": ["a"]}))
    html = build_report(Project(reported.params))
    assert 'id="plotly"' not in html
    assert len(html) < 1_000_000


def test_the_plots_of_dvc_are_the_points_of_the_charts(reported):
    write_plots(Project(reported.params))
    written = {path.stem: pd.read_csv(path) for path in (reported.root / "reports/plots").iterdir()}
    assert set(written) == set(CHARTS)
    first = written["t1_image_auroc"].iloc[0].to_dict()
    assert first == {"metric": "image AUROC", "series": "tenth", "x": "bolt", "value": 99.0, "spread": 0.5}


def test_times_are_shown_where_they_are_and_not_missed_where_they_are_not(reported):
    assert "The times were not measured here" not in Page(build_report(Project(reported.params))).text
    (reported.root / "reports/timings/toy.json").unlink()
    (reported.root / "reports/sections/t5_inference_time_measured.json").unlink()
    page = Page(build_report(Project(reported.params)))
    assert "What made this" in page.text
    assert "title of t5_inference_time" not in page.text
    assert "The times were not measured here" in page.text
    assert "timings/toy.json" not in page.links


# From the contents to everything


def test_every_table_and_figure_of_the_paper_is_one_link_away(reported):
    page = Page(build_report(Project(reported.params)))
    for section in SECTIONS:
        for name, table in section.tables.items():
            assert (f"#table-{name}" in page.links) == (table.paper is not None)


def test_the_contents_lead_to_every_section(reported):
    page = Page(build_report(Project(reported.params)))
    for section in SECTIONS:
        of_paper = any(table.paper for table in section.tables.values()) or section.measured
        # In the navigation; in the contents as well where these name no table of it.
        assert page.links.count(f"#{section.notebook}") == (1 if of_paper else 2)


def test_tables_that_stand_for_one_of_the_paper_share_a_line(reported):
    s1 = next(section.tables["s1_image_auroc"] for section in SECTIONS if "s1_image_auroc" in section.tables)
    rewrite(reported, "s1_image_auroc", paper=replace(s1.paper, name="Table 1"))
    page = Page(build_report(Project(reported.params)))
    assert "#table-t1_image_auroc" in page.links
    assert "#table-s1_image_auroc" not in page.links


# Verdicts


def said(*cells):
    """Verdicts or reasons of rows with one metric."""
    return [Said.of_one(*cell) for cell in cells]


def test_verdicts_are_counted_by_hand():
    one = pd.DataFrame(
        {
            "verdict": said(["reproduced"], ["near"], ["not reproduced"], [], ["no verdict"], ["no verdict"]),
            "reason": said(
                [], ["resize 64, not 256"], [], ["quoted"], [verdicts.NO_NUMBER], ["data synthetic", "resize 64"]
            ),
        }
    )
    counts, synthetic = count_verdicts([one, pd.DataFrame({"variant": ["a"]})])
    assert counts == {"reproduced": 1, "near": 1, "not reproduced": 1, "no verdict": 1}
    assert synthetic == 1


def test_each_metric_of_a_row_counts():
    images, regions = "image AUROC", "PRO"
    several = pd.DataFrame(
        {
            "verdict": [
                Said(((images, ("reproduced",)), (regions, ("near",)))),
                Said(((images, ("no verdict",)), (regions, ("no verdict",)))),
                Said(((images, ("near",)), (regions, ("no verdict",)))),
            ],
            "reason": [
                Said(((images, ()), (regions, ()))),
                Said(((images, ("data synthetic",)), (regions, ("data synthetic",)))),
                Said(((images, ("backbone x, not y",)), (regions, (verdicts.NO_NUMBER,)))),
            ],
        }
    )
    counts, synthetic = count_verdicts([several])
    assert counts == {"near": 2, "reproduced": 1, "no verdict": 2}
    assert synthetic == 2


def test_the_page_opens_with_the_verdicts(reported):
    frame = pd.DataFrame({"variant": ["a", "b"], "paper": [percent(99)] * 2})
    reasons = said([], ["data synthetic"])
    rewrite(reported, "t1_image_auroc", frame=frame.assign(verdict=said(["near"], ["no verdict"]), reason=reasons))
    page = Page(build_report(Project(reported.params)))
    text = " ".join(page.text.split())
    assert "0 reproduced 1 near 0 not reproduced 1 no verdict" in text
    assert "1 without a verdict: the images are synthetic" in text
    assert text.index("1 near") < text.index("title of")


def test_a_verdict_has_a_colour_and_a_name(reported):
    verdict = Said((("PRO", ("not reproduced",)), ("image AUROC", ("near",))))
    rewrite(reported, "s_profiles", frame=pd.DataFrame({"variant": ["a"], "verdict": [verdict]}))
    classes = Page(build_report(Project(reported.params))).classes
    assert "PRO: not reproduced" in classes["badge missed"]
    assert "image AUROC: near" in classes["badge near"]
