"""The whole site, built as `make docs` does, and opened in a browser that has no network."""

import pytest

pytest.importorskip("mkdocs", reason="MkDocs is not installed: `make docs` installs it")
pytest.importorskip("material", reason="the site's theme is not installed: `make docs` installs it")
pytest.importorskip("mkdocstrings_handlers.python", reason="mkdocstrings is not installed: `make docs` installs it")

from website.__main__ import main
from website.hooks import CHART, as_stack

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.xdist_group("site")]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Built strictly: a warning, a link to nowhere and what would be fetched are errors."""
    folder = tmp_path_factory.mktemp("site")
    main(["--to", str(folder)])
    return folder


@pytest.fixture
def page(browser):
    """A page that notes what it asks for beyond files, and what goes wrong on it."""
    context = browser.new_context(offline=True)
    opened = context.new_page()
    opened.complaints = []
    opened.on("request", lambda request: opened.complaints.append(request.url) if "file:" not in request.url else None)
    opened.on("console", lambda message: opened.complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    yield opened
    context.close()


def test_every_page_shows_itself_without_a_network(site, page):
    pages = sorted(path for path in site.rglob("*.html") if path.stem != "404")  # which servers show, in any folder
    assert len(pages) > 30
    for path in pages:
        page.goto(path.as_uri())
        assert page.complaints == [], path
        assert page.locator("h1").first.inner_text().strip()


def test_equations_are_set_and_the_command_and_python_are_described(site, page):
    page.goto((site / "notebooks/00_method.html").as_uri())
    heights = page.eval_on_selector_all("mfrac", "all => all.map((one) => one.getBoundingClientRect().height)")
    assert min(heights) > 30
    page.goto((site / "command.html").as_uri())
    assert "patchcore fit" in page.locator("h2").all_inner_texts()[0]
    page.goto((site / "core.html").as_uri())
    assert page.locator('[id="patchcore_core.coreset.greedy_coreset"]').count() == 1


def test_the_search_finds_a_word_where_pages_are_files(site, page):
    page.goto((site / "index.html").as_uri())
    page.locator("input.md-search__input").click()
    page.keyboard.type("coreset")
    page.locator(".md-search-result__item").first.wait_for()
    assert page.locator(".md-search-result__item").count() > 3
    assert page.complaints == []


def test_a_chart_is_a_stack_of_boxes_with_the_last_one_on_top(caplog):
    chart = '```mermaid\nflowchart BT\n    a["one"] --> b["two"]\n```'
    assert CHART.sub(as_stack, chart) == '<ol class="stack"><li>two</li><li>one</li></ol>'
    other = chart.replace("-->", "---")
    assert CHART.sub(as_stack, other) == other
    assert "no chain" in caplog.text
