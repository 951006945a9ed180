"""What becomes of documents, notebooks, command line and settings before MkDocs makes pages of them."""

import base64
import json

import click
import nbformat
import pytest
import yaml
from clone import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from patchcore_suite.parts.command import main
from website.command_page import command_page
from website.links import problems, relinked
from website.notebook_pages import as_markdown, executed_or_not
from website.python_pages import SUITE, core_page
from website.settings_page import settings_page

PAGES = {"README.md": "index.md", "docs/design.md": "design.md", "notebooks/t1.ipynb": "notebooks/t1.md"}


@pytest.mark.parametrize(
    ("source", "link", "there"),
    [
        ("README.md", "[d](docs/design.md#speed)", "[d](design.md#speed)"),
        ("docs/design.md", "[r](../README.md)", "[r](index.md)"),
        ("docs/design.md", "[n](../notebooks/t1.ipynb)", "[n](notebooks/t1.md)"),
        ("README.md", "[licence](LICENSE)", "licence"),
        ("notebooks/t1.ipynb", "![](t1-3-0.png)", "![](t1-3-0.png)"),
        ("README.md", "[x](https://x.org/a.md), [y](#place)", "[x](https://x.org/a.md), [y](#place)"),
        ("README.md", "`[d](docs/design.md)`", "`[d](docs/design.md)`"),
        ("README.md", "```\n[d](docs/design.md)\n```", "```\n[d](docs/design.md)\n```"),
    ],
)
def test_links_between_files_become_links_between_pages(source, link, there):
    assert relinked(link, source=source, page=PAGES[source], pages=PAGES) == there


def test_a_link_of_a_page_in_a_folder_goes_up():
    linked = relinked("[d](../docs/design.md)", source="notebooks/t1.ipynb", page="notebooks/t1.md", pages=PAGES)
    assert linked == "[d](../design.md)"


def test_what_leads_nowhere_and_what_is_fetched_is_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">1</a><a href="b.html#gone">2</a><a href="c.html">3</a><a href="https://x.org">4</a>'
        '<script src="https://x.org/x.js"></script><img src="data:image/png;base64,AA=="><a href="/b.html">5</a>'
    )
    (tmp_path / "b.html").write_text('<p id="there"></p><img src="//x.org/1.png"><a href="">6</a>')
    (tmp_path / "s.css").write_text(
        '@import "https://x.org/y.css"; p { background: url(https://x.org/z.png), url(a.png) }'
    )
    assert problems(tmp_path) == [
        "a.html: no such place: b.html#gone",
        "a.html: nothing at c.html",
        "a.html fetches https://x.org/x.js",
        "b.html fetches //x.org/1.png",
        "s.css fetches https://x.org/y.css",
        "s.css fetches https://x.org/z.png",
    ]


@pytest.fixture
def notebook(tmp_path):
    picture = new_output("display_data", {"image/png": base64.b64encode(b"picture").decode(), "text/plain": "Figure"})
    table = new_output("execute_result", {"text/html": "<style>p {}</style><table></table>", "text/plain": "t"})
    cells = [
        new_markdown_cell("# One\n\nwhere $s^*$, not `$s^*$`, is\n\n$$s$$"),
        new_code_cell("print(1)", outputs=[new_output("stream", text="1\n"), picture, table]),
        new_code_cell(""),
    ]
    (tmp_path / "notebooks").mkdir()
    nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks/one.ipynb")
    return tmp_path / "notebooks/one.ipynb"


def test_a_notebook_becomes_prose_code_and_what_it_showed(notebook):
    text, pictures = as_markdown(notebook)
    assert pictures == {"one-1-1.png": b"picture"}
    assert text == (
        "# One\n\nwhere <math><msup><mi>s</mi><mo>∗</mo></msup></math>, not `$s^*$`, is\n\n"
        '\n\n<math display="block"><mi>s</mi></math>\n\n\n\n'
        "````python\nprint(1)\n````\n\n````text\n1\n````\n\n![](one-1-1.png)\n\n"
        '<div class="output"><table></table></div>'
    )


def test_a_notebook_is_shown_as_it_was_run_and_says_where_it_was_not(notebook):
    assert executed_or_not(notebook) == notebook
    run = notebook.parents[1] / "reports/executed"
    run.mkdir(parents=True)
    (run / "one@mtd.ipynb").touch()
    assert executed_or_not(notebook) == run / "one@mtd.ipynb"
    (run / "one.ipynb").touch()
    assert executed_or_not(notebook) == run / "one.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Two"), new_code_cell("1")]), notebook)
    assert "Not run here" in as_markdown(notebook)[0]


def commands(group, path="patchcore"):
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def test_every_command_stands_in_the_manual_with_all_that_it_takes():
    page = command_page()
    for name, command in commands(main):
        assert f"## {name}\n" in page
        for parameter in command.params:
            assert all(f"`{option}" in page or f", {option}" in page for option in parameter.opts if option[0] == "-")


def test_every_key_of_params_yaml_stands_on_its_page():
    page = settings_page()
    schema = json.loads((ROOT / "params.schema.json").read_text())
    dataset = schema["properties"]["datasets"]["additionalProperties"]
    for key in (*schema["properties"], *dataset["properties"], *schema["properties"]["execution"]["properties"]):
        assert f"| `{key}` |" in page


def test_the_reference_describes_modules_that_exist():
    page = core_page()
    assert page.index("::: patchcore_core.patchcore\n") < page.index("::: patchcore_core.coreset\n")
    for name in SUITE:
        assert (ROOT / f"{name.replace('.', '/')}.py").is_file()


def test_every_document_has_its_place_in_the_site():
    listed = [page for part in yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"] for page in pages_of(part)]
    assert {path.name for path in (ROOT / "docs").glob("*.md")} <= set(listed)
    assert len(listed) == len(set(listed))


def pages_of(part):
    """The pages of one entry of the site's contents."""
    if isinstance(part, str):
        return [part]
    return [page for inner in (part.values() if isinstance(part, dict) else part) for page in pages_of(inner)]
