import json
import shutil
from html.parser import HTMLParser

import pandas as pd
import pytest
from conftest import ToyProject
from toy_report import TOY_FIGURES, make_everything

from patchcore_core.common.errors import InputError
from patchcore_suite.paper import verdicts
from patchcore_suite.report.page import build_report, write_plots
from patchcore_suite.report.sections import ALTERNATIVE_TEXTS, CHARTS, CONTENTS, PAPER_SECTIONS, TIMED
from patchcore_suite.report.shown_tables import NO_NUMBER, count_verdicts
from patchcore_suite.results.table import Table
from patchcore_suite.run import environment
from patchcore_suite.settings.project import Project


class Page(HTMLParser):
    """The links, pictures, ids and outside resources of a page."""

    def __init__(self, html):
        super().__init__()
        self.links, self.images, self.ids, self.loaded, self.text = [], [], set(), [], ""
        self.classes, self.open = {}, []  # text by class
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids.add(values.get("id"))
        self.open.append(values.get("class"))
        if tag == "a":
            self.links.append(values["href"])
        if tag == "img":
            self.images.append(values)
        if tag in ("img", "script", "link", "iframe"):
            self.loaded.append(values.get("src") or values.get("href") or "")

    def handle_data(self, data):
        self.text += data
        if self.open and data.strip():
            self.classes.setdefault(self.open[-1], []).append(data.strip())


@pytest.fixture(scope="module")
def reported_once(tmp_path_factory):
    return make_everything(ToyProject(tmp_path_factory.mktemp("reported")).draw())


@pytest.fixture
def reported(reported_once, tmp_path):
    """A toy project in which everything that the report shows has been made, to be changed by the test."""
    project = ToyProject(shutil.copytree(reported_once.root, tmp_path / "project"))
    project.tables = dict(reported_once.tables)
    return project


def rewrite(reported, name, frame=None, folder="tables", **described):
    """Change a table that is there."""
    table = Table.read(reported.root / "reports" / folder, name)
    values = {"title": table.title, "caption": table.caption, "synthetic": table.synthetic} | described
    Table(**values, frame=table.frame if frame is None else frame).write(reported.root / "reports" / folder, name)


def test_every_table_and_figure_is_shown(reported):
    page = Page(build_report(Project(reported.params)))
    for _, heading, tables, _ in PAPER_SECTIONS:
        assert heading in page.text
        assert all(f"title of {name}" in page.text for name in tables)
    assert "Dataset toy" in page.text
    drawn = sum(len(pictures) for *_, pictures in PAPER_SECTIONS) + len(TIMED) + len(TOY_FIGURES)
    assert len(page.images) == drawn


def test_every_link_leads_somewhere(reported):
    page = Page(build_report(Project(reported.params)))
    inside = [link for link in page.links if "://" not in link]
    assert inside
    for link in inside:
        target, _, fragment = link.partition("#")
        assert fragment in page.ids if not target else (reported.root / "reports" / target).exists(), link


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
    path = reported.root / "reports/tables/t1_image_auroc.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"synthetic": True}))
    text = Page(build_report(Project(reported.params))).text
    assert "SYNTHETIC. Table 1: made from images that are drawn by this suite" in " ".join(text.split())


def test_where_most_is_synthetic_what_is_not_is_named(reported):
    for key, _, names, _ in PAPER_SECTIONS:
        if key != "f3_coreset_vs_random":
            rewrite(reported, names[0], synthetic=True)
    rewrite(reported, "results_toy", synthetic=True)
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


def test_a_broken_figure_is_named(reported):
    (reported.root / "reports/figures/t1_image_auroc.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"t1_image_auroc\.png cannot be read"):
        build_report(Project(reported.params))


def test_results_of_another_schema_are_refused_with_what_to_run(reported):
    path = reported.root / "reports/scores/toy/index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 1}))
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
    links = Page(build_report(Project(reported.params))).links
    for _, _, tables, pictures in PAPER_SECTIONS:
        assert {f"tables/{name}.{kind}" for name in tables for kind in ("csv", "tex")} <= set(links)
        assert {f"figures/{name}.{kind}" for name in pictures for kind in ("png", "svg")} <= set(links)
    assert "figures/anomaly_maps_toy.png" in links
    assert "figures/anomaly_maps_toy.svg" not in links  # a sheet of images


# What can be explored


def test_the_library_of_charts_is_there_once_and_only_with_charts(reported):
    html = build_report(Project(reported.params))
    assert html.count('id="plotly"') == 1
    assert html.count("data-chart") - html.count("[data-chart]") == len(CHARTS)
    for table, *_ in CHARTS.values():
        rewrite(reported, table, pd.DataFrame({"variant": ["a"]}))
    html = build_report(Project(reported.params))
    assert 'id="plotly"' not in html
    assert len(html) < 1_000_000


def test_the_plots_of_dvc_are_the_points_of_the_charts(reported):
    write_plots(Project(reported.params))
    written = {path.stem: pd.read_csv(path) for path in (reported.root / "reports/plots").iterdir()}
    assert set(written) == set(CHARTS)
    first = written["t1_image_auroc"].iloc[0].to_dict()
    assert first == {"metric": "title of s1_image_auroc", "series": "tenth", "x": "bolt", "value": 99.0, "spread": 0.5}


def test_times_are_shown_where_they_are_and_not_missed_where_they_are_not(reported):
    (reported.root / "reports/timings/toy.json").unlink()
    for name in TIMED.values():
        (reported.root / f"reports/timings/{name}.csv").unlink()
    page = Page(build_report(Project(reported.params)))
    assert "What made this" in page.text
    assert "title of t5_inference_time" not in page.text
    assert "The times were not measured here: run notebooks/t5_inference_time.ipynb" in page.text
    assert "timings/toy.json" not in page.links


# From the contents to everything


def test_every_table_and_figure_of_the_paper_is_one_link_away(reported):
    page = Page(build_report(Project(reported.params)))
    for number, _, names in CONTENTS:
        assert number in page.text
        assert f"#table-{names[0]}" in page.links
    assert [number for number, *_ in CONTENTS] == [
        *(f"Table {number}" for number in (1, 2, 3, 4, 5, 6, "S1", "S2", "S3", "S5", "S6")),
        *(f"Figure {number}" for number in (3, 4, 5)),
    ]


def test_the_contents_lead_to_every_section(reported):
    page = Page(build_report(Project(reported.params)))
    listed = {key for key, _, tables, _ in PAPER_SECTIONS for _, _, names in CONTENTS if names[0] in tables}
    for key in {"results_toy", *(key for key, *_ in PAPER_SECTIONS)} - listed:
        assert page.links.count(f"#{key}") == 2  # in the navigation and in the contents
    assert all(page.links.count(f"#{key}") == 1 for key in listed)  # in the navigation; the contents name its tables


def test_every_figure_is_described_and_no_description_is_left_over():
    names = [name for *_, pictures in PAPER_SECTIONS for name in pictures] + [*TIMED.values(), *TOY_FIGURES]
    described = {max((p for p in ALTERNATIVE_TEXTS if name.startswith(p)), key=len) for name in names}
    assert described == set(ALTERNATIVE_TEXTS)


# Verdicts


def test_verdicts_are_counted_by_hand():
    one = pd.DataFrame(
        {
            "paper": ["99.0", "98.0", "97.0", "-", "96.0", "95.0"],
            "verdict": ["reproduced", "near", "not reproduced", "-", "no verdict", "no verdict"],
            "reason": ["-", "resize 64, not 256", "-", "quoted", NO_NUMBER, "data synthetic; resize 64, not 256"],
        }
    )
    counts, synthetic = count_verdicts([one, pd.DataFrame({"variant": ["a"]})])
    assert counts == {"reproduced": 1, "near": 1, "not reproduced": 1, "no verdict": 1}
    assert synthetic == 1


def test_each_metric_of_a_row_counts():
    several = pd.DataFrame(
        {
            "image AUROC: paper": ["99.0"] * 3,
            "PRO: paper": ["93.0", "93.0", "-"],
            "verdict": ["PRO: near; image AUROC: reproduced", "no verdict", "PRO: no verdict; image AUROC: near"],
            "reason": ["-", "data synthetic", f"PRO: {NO_NUMBER}; image AUROC: backbone x, not y"],
        }
    )
    counts, synthetic = count_verdicts([several])
    assert counts == {"near": 2, "reproduced": 1, "no verdict": 2}
    assert synthetic == 2


def test_the_reason_of_a_missing_number_is_the_one_that_verdicts_give():
    assert verdicts.verdict(0.9, None).reasons == (NO_NUMBER,)


def test_the_page_opens_with_the_verdicts(reported):
    frame = pd.DataFrame({"variant": ["a", "b"], "paper": ["99.0"] * 2, "verdict": ["near", "no verdict"]})
    rewrite(reported, "t1_image_auroc", frame.assign(reason=["-", "data synthetic"]))
    page = Page(build_report(Project(reported.params)))
    text = " ".join(page.text.split())
    assert "0 reproduced 1 near 0 not reproduced 1 no verdict" in text
    assert "1 without a verdict: the images are synthetic" in text
    assert text.index("1 near") < text.index("title of")


def test_a_verdict_has_a_colour_and_a_name(reported):
    frame = pd.DataFrame({"variant": ["a"], "verdict": ["PRO: not reproduced; image AUROC: near"]})
    rewrite(reported, "t4_larger_setups", frame)
    classes = Page(build_report(Project(reported.params))).classes
    assert "PRO: not reproduced" in classes["badge missed"]
    assert "image AUROC: near" in classes["badge near"]
