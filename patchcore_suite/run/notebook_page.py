"""An executed notebook as a page of its own."""

import warnings
from functools import cache
from pathlib import Path

from jupyter_core.paths import ENV_JUPYTER_PATH
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from nbformat.v4 import new_notebook
from traitlets import default


class OwnHTMLExporter(HTMLExporter):
    """Takes the templates of this environment, not those that a person keeps under the same names."""

    def get_prefix_root_dirs(self) -> list[str]:
        """The folders in which `nbconvert/templates` is looked for."""
        own = [folder for folder in ENV_JUPYTER_PATH if Path(folder, "nbconvert/templates").is_dir()]
        return own or super().get_prefix_root_dirs()

    @default("template_data_paths")
    def _own_data_paths(self) -> list[str]:
        return [str(Path(folder, "nbconvert/templates")) for folder in self.get_prefix_root_dirs()]


@cache
def exporter() -> OwnHTMLExporter:
    """Makes pages; its first one, of nothing, has loaded all that the others need."""
    made = OwnHTMLExporter(embed_images=True)
    made.from_notebook_node(new_notebook())
    return made


def to_html(notebook: NotebookNode, *, title: str) -> str:
    """The executed notebook as a page."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of alternative texts, which matplotlib's inline figures cannot carry
        page, _ = exporter().from_notebook_node(notebook, resources={"metadata": {"name": title}})
    return page
