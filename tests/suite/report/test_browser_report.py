"""The report in a real browser: what a reader can do with it, on a screen, on a phone, in the dark and on paper."""

import os
import shutil
from pathlib import Path

import pytest
from conftest import ToyProject
from toy_report import make_everything

from patchcore_suite.report.leaderboard import build_leaderboard
from patchcore_suite.report.page import build_report
from patchcore_suite.run.evaluate import write_metrics
from patchcore_suite.settings.project import Project

ROOT = Path(__file__).parents[3]
REAL = ROOT / "reports/index.html"
MADE_BY = [*(ROOT / "patchcore_suite/report").glob("*.py"), *(ROOT / "patchcore_suite/report/templates").iterdir()]
SCREENSHOTS = Path(os.environ.get("PATCHCORE_SCREENSHOTS", ROOT / "reports/screenshots"))

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("report in a browser")]

PHONE, SCREEN = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
BROKEN = """() => [...document.querySelectorAll("a[href^='#']")].map((link) => link.getAttribute("href"))
    .filter((href) => !document.getElementById(decodeURIComponent(href.slice(1))))"""
# Texts whose colour is too close to what lies behind them: WCAG's formula, 4.5 to 1, or 3 to 1 where letters are large.
FAINT = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = parse(getComputedStyle(element).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *:not(script):not(style):not(option)")) {
    const text = [...element.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join("");
    if (!text || !element.getClientRects().length || element.closest("svg")) continue;
    const style = getComputedStyle(element);
    const [one, two] = [light(parse(style.color)), light(behind(element))].sort((a, b) => b - a);
    const [ratio, limit] = [(one + 0.05) / (two + 0.05), parseFloat(style.fontSize) >= 24 ? 3 : 4.5];
    if (ratio < limit) found.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return found;
}"""

# Counts what the page's script does: elements made, rows of tables moved, libraries unpacked.
COUNTING = """
window.done = { made: 0, moved: 0, unpacked: 0 };
const make = document.createElement.bind(document);
document.createElement = (...given) => { done.made += 1; return make(...given); };
const append = Element.prototype.append;
Element.prototype.append = function (...given) {
  done.moved += given.filter((one) => one instanceof HTMLTableRowElement).length;
  return append.apply(this, given);
};
const Unpacking = window.DecompressionStream;
window.DecompressionStream = function (...given) { done.unpacked += 1; return new Unpacking(...given); };
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """The report of a toy project, beside everything that it links to."""
    root = tmp_path_factory.mktemp("reported")
    project = make_everything(ToyProject(root).draw())
    page = root / "reports/index.html"
    page.write_text(build_report(Project(project.params)), encoding="utf-8")
    return page


@pytest.fixture(params=["toy", pytest.param("real", marks=pytest.mark.long)])
def report(request):
    """A report to open: the toy project's, and that of the run in this clone."""
    if request.param == "toy":
        return request.getfixturevalue("toy")
    if not REAL.is_file():
        pytest.skip("no report has been made here: run `make repro`")
    if REAL.stat().st_mtime < max(path.stat().st_mtime for path in MADE_BY):
        pytest.skip("the report is older than the code that makes it: run `make repro`")
    return REAL


@pytest.fixture
def open_page(browser):
    """Open a page; at the end nothing may have failed in it, and nothing may have been asked of the network."""
    contexts, complaints = [], []

    def opened(path, *, viewport=SCREEN, script="", **options):
        context = browser.new_context(viewport=viewport, **options)
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(script)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url[:100]}"))
        page.on("request", lambda r: complaints.append(r.url) if r.url.startswith(("http", "//")) else None)
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def column(page, table, number):
    """The texts of a column, of the rows that are shown."""
    return page.locator(f"#{table} tbody tr:visible > :nth-child({number})").all_text_contents()


def picture(page, report, name):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    kind = "real" if report == REAL else "toy"
    page.screenshot(path=SCREENSHOTS / f"{kind}_{name}.png")


# Reading


def test_opening_the_page_makes_controls_and_unpacks_nothing(open_page, report):
    page = open_page(report, script=COUNTING)
    tables, headings, figures, metrics = (
        page.evaluate(f"document.querySelectorAll(`{selector}`).length")
        for selector in ("table[id]", "table[id] thead th", "figure[data-chart]", "figure[data-chart] option")
    )
    assert tables
    assert figures
    done = page.evaluate("done")
    # A theme's button; status, filter and label of a table; a button a heading; tools, buttons and place of a chart.
    assert done["made"] <= 1 + 3 * tables + headings + 4 * figures + metrics
    assert done["moved"] == done["unpacked"] == 0
    assert page.evaluate("typeof Plotly") == "undefined"
    assert report.stat().st_size < 15e6


def test_sorting_moves_the_rows_of_one_table_once_and_makes_nothing(open_page, report):
    page = open_page(report, script=COUNTING)
    rows = page.evaluate("document.querySelector('#rows-t1_image_auroc tbody').rows.length")
    before = page.evaluate("done")
    page.locator("#rows-t1_image_auroc .sort").first.click()
    assert page.evaluate("done") == before | {"moved": rows}


def test_the_charts_library_is_unpacked_once_for_all_charts(open_page, toy):
    page = open_page(toy, script=COUNTING)
    for name in ("t1_image_auroc", "s5_low_shot", "f5_subsampling"):
        figure = page.locator(f"#figure-figures-{name}")
        figure.get_by_role("button").first.click()
        figure.locator(".main-svg").first.wait_for(timeout=30_000)  # only so that a page that hangs fails
    assert page.evaluate("done.unpacked") == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, SCREEN], ids=["phone", "screen"])
def test_the_page_fits_and_can_be_read(open_page, report, viewport, scheme):
    page = open_page(report, viewport=viewport, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert page.evaluate(BROKEN) == []
    assert page.evaluate(FAINT) == []
    for anchor in ("overview", "table-t1_image_auroc", "table-s1_image_auroc", "f5_subsampling", "stamp"):
        page.evaluate(f"document.getElementById('{anchor}').scrollIntoView()")
        page.wait_for_timeout(150)
        picture(page, report, f"{viewport['width']}_{scheme}_{anchor}")


@pytest.mark.long
@pytest.mark.parametrize(("viewport", "scheme"), [(PHONE, "dark"), (SCREEN, "light")], ids=["phone", "screen"])
def test_the_leaderboard_fits_and_can_be_read(open_page, tmp_path, viewport, scheme):
    project = ToyProject(tmp_path).draw()
    project.score()
    write_metrics(project.toy)
    shutil.copytree(ROOT / "measured", tmp_path / "measured")
    board = tmp_path / "reports/leaderboard.html"
    board.write_text(build_leaderboard(Project(project.params)), encoding="utf-8")
    page = open_page(board, viewport=viewport, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert page.evaluate(BROKEN) == []
    assert page.evaluate(FAINT) == []
    page.locator("#rows-measured-mvtec-ranked thead th").nth(1).get_by_role("button").click()
    values = [float(text.split()[0]) for text in column(page, "rows-measured-mvtec-ranked", 2)]
    assert len(values) > 4
    assert values == sorted(values)
    assert values[0] < values[-1]
    page.locator("#measured-mvtec").scroll_into_view_if_needed()
    picture(page, board, f"leaderboard_{viewport['width']}_{scheme}")


def test_landmarks_names_and_descriptions_are_there(open_page, report):
    page = open_page(report)
    assert page.get_by_role("main").count() == 1
    assert page.get_by_role("navigation", name="Sections").count() == 1
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the overview"
    unnamed = "[...document.querySelectorAll('table')].filter((table) => !table.caption).length"
    assert page.evaluate(unnamed) == 0
    assert page.evaluate("[...document.images].filter((image) => image.alt.length < 20).length") == 0
    unlabelled = "[...document.querySelectorAll('input')].filter((input) => !input.labels.length).length"
    assert page.evaluate(unlabelled) == 0
    repeated = "(() => { const ids = [...document.querySelectorAll('[id]')].map((e) => e.id); "
    repeated += "return ids.filter((id, place) => ids.indexOf(id) !== place); })()"
    assert page.evaluate(repeated) == []


def test_every_link_leads_to_a_file_that_is_there(open_page, report):
    page = open_page(report)
    links = page.evaluate("[...document.links].map((link) => link.getAttribute('href'))")
    targets = {link.partition("#")[0] for link in links if "://" not in link} - {""}
    assert targets
    assert [target for target in sorted(targets) if not (report.parent / target).exists()] == []


def test_a_table_of_the_paper_is_two_clicks_away(open_page, report):
    page = open_page(report, viewport=PHONE)
    page.locator("#contents").get_by_role("link", name="Table S1", exact=True).click()
    assert page.locator("#table-s1_image_auroc").is_visible()
    assert (
        page.evaluate("document.getElementById('table-s1_image_auroc').getBoundingClientRect().top") < PHONE["height"]
    )


def test_a_notebook_opens(open_page, toy):
    page = open_page(toy)
    page.locator("#t1_image_auroc").get_by_role("link", name="notebook").first.click()
    page.wait_for_url("**/executed/t1_image_auroc.html")


def test_a_variant_leads_to_its_raw_results(open_page, report):
    page = open_page(report)
    link = page.locator("#rows-t1_image_auroc tbody th a").first
    link.click()
    row = page.locator("tr:target")
    assert row.locator("th").text_content() == link.text_content()
    assert row.is_visible()  # it was folded
    folder = report.parent / row.locator("a").first.get_attribute("href")
    assert list(folder.rglob("*.safetensors"))


# Sorting and filtering


def test_a_column_is_sorted_by_number_both_ways_and_back(open_page, toy):
    page = open_page(toy)
    before = column(page, "rows-t1_image_auroc", 2)
    heading = page.locator("#rows-t1_image_auroc thead th").nth(1)
    for order, expected in (
        ("ascending", ["9.5", "97.3 ± 0.4", "100.0 ± 0.0", "not available"]),
        ("descending", ["100.0 ± 0.0", "97.3 ± 0.4", "9.5", "not available"]),
        (None, before),
    ):
        heading.get_by_role("button").click()
        assert heading.get_attribute("aria-sort") == order
        assert column(page, "rows-t1_image_auroc", 2) == expected


def test_names_are_sorted_as_readers_expect(open_page, toy):
    page = open_page(toy)
    page.locator("#contents thead th").nth(0).get_by_role("button").click()
    names = [name for name in column(page, "contents", 1) if name.startswith(("Figure", "Table"))]
    assert names[:4] == ["Figure 3", "Figure 4", "Figure 5", "Table 1"]


def test_the_mean_stays_below_its_categories(open_page, toy):
    page = open_page(toy)
    button = page.locator("#rows-s1_image_auroc thead th").nth(1).get_by_role("button")
    for expected in (["nut", "bolt", "mean"], ["bolt", "nut", "mean"]):
        button.click()
        assert column(page, "rows-s1_image_auroc", 1) == expected


def test_sorting_and_filtering_work_from_the_keyboard(open_page, toy):
    page = open_page(toy)
    page.locator("#filter-rows-t1_image_auroc").focus()
    page.keyboard.type("TENTH")
    assert column(page, "rows-t1_image_auroc", 1) == ["tenth"]
    status = page.locator("[data-tools='rows-t1_image_auroc'] output")
    assert status.text_content() == "1 of 4 rows"
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    assert status.text_content() == "4 rows"
    page.locator("#rows-t1_image_auroc .sort").nth(1).focus()
    page.keyboard.press("Enter")
    assert column(page, "rows-t1_image_auroc", 1)[0] == "tenth"
    assert status.text_content() == "4 rows, ascending by image AUROC"


def test_every_table_of_the_run_can_be_sorted_by_every_column(open_page, report):
    page = open_page(report)
    counts = page.evaluate(
        """() => [...document.querySelectorAll("table")].map((table) => {
            const before = table.tBodies[0].rows.length;
            table.querySelectorAll(".sort").forEach((button) => { button.click(); button.click(); });
            return [table.querySelectorAll("th .sort").length === table.tHead.rows[0].cells.length,
                    table.tBodies[0].rows.length === before];
        })"""
    )
    assert counts
    assert all(map(all, counts))


# Themes, charts, paper


def test_the_theme_is_that_of_the_system_until_it_is_chosen_and_then_remembered(open_page, toy):
    page = open_page(toy, color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    for _ in range(10):  # a busy browser may lose what a page stores before its storage has started
        page.get_by_role("button", name="Light theme").click()
        assert page.evaluate(background) == "rgb(255, 255, 255)" != dark
        page.reload()
        if page.evaluate(background) == "rgb(255, 255, 255)":
            break
        page.wait_for_timeout(500)
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    page.get_by_role("button", name="Dark theme").click()
    assert page.evaluate(background) == dark


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.long)])
@pytest.mark.parametrize("viewport", [pytest.param(PHONE, marks=pytest.mark.long), SCREEN], ids=["phone", "screen"])
def test_a_chart_opens_and_closes(open_page, report, viewport, scheme):
    page = open_page(report, viewport=viewport, color_scheme=scheme)
    for name in ("t1_image_auroc", "s5_low_shot", "f5_subsampling"):
        figure = page.locator(f"#figure-figures-{name}")
        figure.get_by_role("button", name="Explore the numbers").click()
        figure.locator(".main-svg").first.wait_for(timeout=30_000)
        assert figure.locator(".points path").count() > 0
        assert not figure.locator("img").is_visible()
        figure.scroll_into_view_if_needed()
        page.wait_for_timeout(300)
        picture(page, report, f"{viewport['width']}_{scheme}_chart_{name}")
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    axis = figure.locator(".ytitle")
    assert axis.text_content() == "image AUROC, %"
    figure.get_by_role("combobox", name="Metric").select_option(label="PRO")
    assert axis.text_content() == "PRO, %"
    figure.get_by_role("button", name="Show the picture").click()
    assert figure.locator("img").is_visible()
    assert not figure.locator(".main-svg").first.is_visible()


def test_paper_shows_everything_and_no_controls(open_page, toy, tmp_path):
    page = open_page(toy)
    page.locator("#filter-rows-t1_image_auroc").fill("tenth")
    figure = page.locator("#figure-figures-t1_image_auroc")
    figure.get_by_role("button").first.click()
    figure.locator(".main-svg").first.wait_for(timeout=30_000)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert len(column(page, "rows-t1_image_auroc", 1)) == 4
    assert figure.locator("img").is_visible()
    assert page.locator("#raw-toy").is_visible()
    for control in (".tools", ".rail", ".theme", ".chart"):
        assert not any(found.is_visible() for found in page.locator(control).all())
    assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth)")
    page.pdf(path=tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").stat().st_size > 10_000


def test_without_its_script_the_page_still_shows_everything(open_page, toy):
    page = open_page(toy, java_script_enabled=False)
    assert len(column(page, "rows-t1_image_auroc", 1)) == 4
    assert page.locator("#figure-figures-t1_image_auroc img").is_visible()
    assert page.get_by_role("button").count() == 0
