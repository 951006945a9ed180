import json
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from patchcore_core import benchmark, figures
from patchcore_core.errors import InputError
from patchcore_core.report import PAPER_SECTIONS, build_report
from patchcore_core.tables import Table


class Page(HTMLParser):
    """The links, pictures, ids and outside resources of a page."""

    def __init__(self, html):
        super().__init__()
        self.links, self.images, self.ids, self.loaded, self.text = [], [], set(), [], ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids.add(values.get("id"))
        if tag == "a":
            self.links.append(values["href"])
        if tag == "img":
            self.images.append(values)
        if tag in ("img", "script", "link", "iframe"):
            self.loaded.append(values.get("src") or values.get("href") or "")

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def reported(project):
    """A toy project in which everything that the report shows has been made."""
    benchmark.collect(benchmark.score_dataset("toy", project.params, show_progress=False), project.params)
    reports = project.root / "reports"
    frame = pd.DataFrame({"variant": ["<script>alert(1)</script>"], "image AUROC": ["97.3 ± 0.4"]})
    sections = [*PAPER_SECTIONS, ("dataset_results@toy", "", ("results_toy",), TOY_FIGURES)]
    for notebook, _, tables, pictures in sections:
        (reports / "executed").mkdir(exist_ok=True)
        (reports / f"executed/{notebook}.html").write_text("page")
        for name in tables:
            Table(f"title of {name}", "caption.", False, frame).write(reports / "tables", name)
        for name in pictures:
            figure = plt.figure(figsize=(1, 1))
            figures.save(figure, reports / f"figures/{name}.png")
            plt.close(figure)
    for path in ("executed/score@toy.html", "metrics/toy.csv"):
        (reports / path).parent.mkdir(exist_ok=True)
        (reports / path).write_text("")
    return project


TOY_FIGURES = ("score_histograms_toy", "anomaly_maps_toy")


def test_every_table_and_figure_is_shown(reported):
    page = Page(build_report(reported.params))
    for _, heading, tables, _ in PAPER_SECTIONS:
        assert heading in page.text
        assert all(f"title of {name}" in page.text for name in tables)
    assert "Dataset toy" in page.text
    assert len(page.images) == sum(len(pictures) for *_, pictures in PAPER_SECTIONS) + len(TOY_FIGURES)


def test_every_link_leads_somewhere(reported):
    page = Page(build_report(reported.params))
    inside = [link for link in page.links if "://" not in link]
    assert inside
    for link in inside:
        target, _, fragment = link.partition("#")
        assert fragment in page.ids if not target else (reported.root / "reports" / target).is_file(), link


def test_the_page_loads_nothing_from_outside_and_describes_its_pictures(reported):
    page = Page(build_report(reported.params))
    assert all(source.startswith("data:image/png;base64,") for source in page.loaded)
    assert all(len(image["alt"]) > 20 for image in page.images)


def test_cells_are_text_not_markup(reported):
    html = build_report(reported.params)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_synthetic_sections_are_announced_and_real_ones_are_not(reported):
    assert "SYNTHETIC" not in Page(build_report(reported.params)).text
    path = reported.root / "reports/tables/t1_image_auroc.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"synthetic": True}))
    text = Page(build_report(reported.params)).text
    assert "SYNTHETIC. Table 1: made from images that are drawn by this suite" in " ".join(text.split())


def test_the_stamp_names_hashes_versions_and_machine(reported):
    text = Page(build_report(reported.params)).text
    index = json.loads((reported.root / "reports/scores/toy/index.json").read_text())
    assert index["cells"]
    for wanted in ("tf_efficientnet_lite0", "torch", "processor", "commit", "resize [64, 64]"):
        assert wanted in text


def test_a_report_without_its_tables_says_what_to_run(reported):
    (reported.root / "reports/tables/t1_image_auroc.csv").unlink()
    with pytest.raises(InputError, match="dvc repro t1_image_auroc"):
        build_report(reported.params)


def test_a_report_without_its_figures_says_what_to_run(reported):
    (reported.root / "reports/figures/t1_image_auroc.png").unlink()
    with pytest.raises(InputError, match=r"t1_image_auroc\.png"):
        build_report(reported.params)


def test_a_report_before_any_result_says_what_to_run(project):
    with pytest.raises(InputError, match="dvc repro"):
        build_report(project.params)


def test_times_are_shown_where_they_are_and_not_missed_where_they_are_not(reported):
    (reported.root / "reports/timings/toy.json").unlink()
    assert "What made this" in Page(build_report(reported.params)).text
