"""Pages of executed notebooks: all is in them, and a browser without a network shows it."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from patchcore_suite.run.equations import mathml
from patchcore_suite.run.notebook_page import to_html

ROOT = Path(__file__).parents[3]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FETCHED = re.compile(r"""<(?:script|img|iframe|source)[^>]*\ssrc=["'](?!data:)|<link[^>]*\shref=|\bimport\(|@import""")


def page_of(*cells):
    return to_html(new_notebook(cells=list(cells)), title="page")


@pytest.fixture(scope="module")
def prose():
    """The prose of all notebooks, and how many equations are in it."""
    cells = [cell for path in NOTEBOOKS for cell in nbformat.read(path, as_version=4).cells]
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    blocks = sum(len(re.findall(r"\$\$.+?\$\$", text, re.DOTALL)) for text in texts)
    assert blocks > 10
    return page_of(*[new_markdown_cell(text) for text in texts]), blocks


def test_an_equation_by_hand():
    assert mathml("s^*") == "<math><msup><mi>s</mi><mo>∗</mo></msup></math>"
    assert mathml("s^*", block=True).startswith('<math display="block">')


def test_a_backslash_at_the_end_of_a_line_is_a_space():
    assert mathml("a,\\\nb") == mathml("a,\\ b") != mathml("a,b")


def test_what_cannot_be_converted_is_shown_as_it_is_written():
    assert mathml(r"\unheard{x} < 1") == r"<code>\unheard{x} &lt; 1</code>"


def test_a_page_holds_its_equations_wherever_they_stand():
    page = page_of(new_markdown_cell("# Norm\n\nof $x_1$:\n\n$$\\lVert x \\rVert$$\n\n\\begin{align}a&=b\\end{align}"))
    assert page.count("<math") == 3
    assert page.count('display="block"') == 2
    assert "<code>" not in page
    assert "$" not in re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL)


def test_attached_pictures_are_in_the_page():
    cell = new_markdown_cell("![dot](attachment:dot.png)", attachments={"dot.png": {"image/png": "iVBORw0KGgo="}})
    assert 'src="data:image/png;base64,iVBORw0KGgo="' in page_of(cell)


def test_a_page_fetches_nothing():
    shown = new_output("display_data", {"image/png": "iVBORw0KGgo=", "text/plain": "figure"})
    page = page_of(new_markdown_cell("$x$"), new_code_cell("draw()", outputs=[shown]))
    assert FETCHED.findall(page) == []
    assert FETCHED.search('<script src="https://cdnjs.cloudflare.com/ajax/libs/require.js/2.1.10/require.min.js">')


def test_every_equation_of_the_notebooks_is_converted(prose):
    page, blocks = prose
    assert page.count('<math display="block"') == blocks
    assert not re.search(r"<code>[^<]*\\\w+\{", page)
    assert "$$" not in page


@pytest.mark.long
def test_a_browser_shows_all_equations_without_a_network(prose, browser, tmp_path):
    (tmp_path / "page.html").write_text(prose[0], encoding="utf-8")
    asked = []
    page = browser.new_page(offline=True)
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "page.html").as_uri())
    heights = page.eval_on_selector_all("math", "all => all.map((one) => one.getBoundingClientRect().height)")
    # A fraction over a sum is taller than three lines of text only if it is set as one.
    tallest = page.eval_on_selector_all("mfrac", "all => all.map((one) => one.getBoundingClientRect().height)")
    page.close()
    assert asked == [(tmp_path / "page.html").as_uri()]
    assert len(heights) == prose[0].count("<math")
    assert min(heights) > 5
    assert min(tallest) > 30


@pytest.mark.long
def test_pages_of_the_run_in_this_clone_ask_for_nothing(browser):
    made_by = (ROOT / "patchcore_suite/run/notebook_page.py").stat().st_mtime
    pages = [path for path in (ROOT / "reports/executed").glob("*.html") if path.stat().st_mtime > made_by]
    if not pages:
        pytest.skip("no notebook has been run here with the code as it is: run `make repro`")
    asked = []
    page = browser.new_page(offline=True)
    page.on("request", lambda request: asked.append(request.url))
    for path in pages:
        page.goto(path.as_uri())
    page.close()
    assert [address for address in asked if not address.startswith(("file:", "data:"))] == []
