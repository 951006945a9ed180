"""Notebooks are saved as they are committed, so that looking into one leaves the pipeline fresh."""

from collections.abc import Mapping

import nbformat
from nbstripout import strip_output

# What the command `nbstripout --extra-keys metadata.language_info` removes besides outputs and execution counts.
EXTRA_KEYS = (
    "metadata.signature",
    "metadata.widgets",
    "metadata.language_info",
    "cell.metadata.collapsed",
    "cell.metadata.ExecuteTime",
    "cell.metadata.execution",
    "cell.metadata.heading_collapsed",
    "cell.metadata.hidden",
    "cell.metadata.scrolled",
)
# JupyterLab writes the name that the kernel has on this machine; the committed notebooks have the general one.
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def strip_on_save(model: dict[str, object], **_: object) -> None:
    """Remove from a notebook what execution added, before Jupyter writes it: a `pre_save_hook`.

    Args:
        model: what Jupyter is about to save; of a notebook, `content` is replaced. Other files are left alone.
    """
    content = model.get("content")
    if model.get("type") != "notebook" or not isinstance(content, Mapping) or content.get("nbformat") != 4:
        return
    notebook = strip_output(
        nbformat.from_dict(content), keep_output=False, keep_count=False, keep_id=False, extra_keys=list(EXTRA_KEYS)
    )
    if notebook.metadata.get("kernelspec", {}).get("name") == KERNEL["name"]:
        notebook.metadata["kernelspec"] = dict(KERNEL)
    model["content"] = notebook
