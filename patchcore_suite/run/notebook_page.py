"""An executed notebook as a page of its own, which needs no network: equations are MathML, and no script is fetched."""

import warnings
from functools import cache
from pathlib import Path

from jinja2 import pass_context
from jinja2.runtime import Context
from jupyter_core.paths import ENV_JUPYTER_PATH
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from nbformat.v4 import new_notebook
from traitlets import default

from patchcore_suite.run.equations import mathml

# nbconvert's page without the scripts that it would fetch: require.js, MathJax and mermaid.
TEMPLATE = """{% extends "lab/index.html.j2" %}
{% block html_head_js %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
"""


class OwnRenderer(IPythonRenderer):
    """Writes equations as what browsers show without a script."""

    def block_math(self, body: str) -> str:
        """An equation on a line of its own."""
        return mathml(body, block=True)

    def inline_math(self, body: str) -> str:
        """An equation in the text."""
        return mathml(body)

    def latex_environment(self, name: str, body: str) -> str:
        """Equations that LaTeX's environment NAME sets."""
        return mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", block=True)


class OwnHTMLExporter(HTMLExporter):
    """Takes the templates of this environment, not those that a person keeps under the same names."""

    def get_prefix_root_dirs(self) -> list[str]:
        """The folders in which `nbconvert/templates` is looked for."""
        own = [folder for folder in ENV_JUPYTER_PATH if Path(folder, "nbconvert/templates").is_dir()]
        return own or super().get_prefix_root_dirs()

    @default("template_data_paths")
    def _own_data_paths(self) -> list[str]:
        return [str(Path(folder, "nbconvert/templates")) for folder in self.get_prefix_root_dirs()]

    @pass_context
    def markdown2html(self, context: Context, source: str) -> str:
        """A cell's prose as HTML; pictures that it attaches are in it."""
        attachments = context.get("cell", {}).get("attachments", {})
        return MarkdownWithMath(OwnRenderer(escape=False, embed_images=True, attachments=attachments)).render(source)


@cache
def exporter() -> OwnHTMLExporter:
    """Makes pages; its first one, of nothing, has loaded all that the others need."""
    made = OwnHTMLExporter(raw_template=TEMPLATE, embed_images=True)
    made.from_notebook_node(new_notebook())
    return made


def to_html(notebook: NotebookNode, *, title: str) -> str:
    """The executed notebook as a page."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of alternative texts, which matplotlib's inline figures cannot carry
        page, _ = exporter().from_notebook_node(notebook, resources={"metadata": {"name": title}})
    return page
