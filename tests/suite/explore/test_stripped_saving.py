"""Running a notebook in JupyterLab and saving it leaves the file as it was committed."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_server.services.contents.filemanager import FileContentsManager
from traitlets.config.loader import PyFileConfigLoader
from whole_project import NOTEBOOKS, ROOT

from patchcore_suite.explore.stripped_saving import strip_on_save

HOOK = "patchcore_suite.explore.stripped_saving.strip_on_save"


def executed(path):
    """A notebook as JupyterLab holds it once its cells have run, widgets and all."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["kernelspec"]["display_name"] = "PatchCore Bench"
    notebook.metadata["language_info"] = {"name": "python", "version": "3.12.1"}
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    for number, cell in enumerate(notebook.cells):
        cell.id = f"fresh-{number}"
        cell.metadata["scrolled"] = True
        if cell.cell_type == "code":
            cell.execution_count = number
            cell.metadata["execution"] = {"iopub.status.busy": "2026-01-01"}
            cell.outputs = [nbformat.v4.new_output("stream", text="an output\n")]
    return notebook


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_that_was_run_is_saved_with_the_bytes_that_it_had(path, tmp_path):
    manager = FileContentsManager(root_dir=str(tmp_path), pre_save_hook=HOOK)
    manager.save({"type": "notebook", "format": "json", "content": executed(path)}, path.name)
    assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_what_the_hook_leaves_is_what_nbstripout_leaves(tmp_path):
    notebook = executed(ROOT / "notebooks" / "f3_coreset_vs_random.ipynb")
    notebook.metadata["kernelspec"]["display_name"] = "Python 3"
    notebook.cells[1].metadata |= {"collapsed": True, "ExecuteTime": {}, "hidden": True, "tags": ["parameters"]}
    model = {"type": "notebook", "content": copy.deepcopy(notebook)}
    strip_on_save(model)

    nbformat.write(notebook, tmp_path / "by_command.ipynb")
    command = [str(Path(sys.executable).with_name("nbstripout")), "--extra-keys", "metadata.language_info"]
    subprocess.run([*command, str(tmp_path / "by_command.ipynb")], check=True)
    assert model["content"] == nbformat.read(tmp_path / "by_command.ipynb", as_version=4)


def test_a_kernel_of_another_language_keeps_its_name():
    content = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}})
    model = {"type": "notebook", "content": content}
    strip_on_save(model)
    assert model["content"]["metadata"]["kernelspec"]["display_name"] == "R"


@pytest.mark.parametrize(
    "model",
    [
        {"type": "file", "format": "text", "content": json.dumps({"nbformat": 4})},
        {"type": "notebook", "content": {"nbformat": 3, "worksheets": []}},
        {"type": "directory", "content": None},
    ],
)
def test_anything_but_a_notebook_of_today_is_saved_as_it_is(model):
    before = copy.deepcopy(model)
    strip_on_save(model, path="x", contents_manager=None)
    assert model == before


def test_the_lab_is_started_with_a_configuration_that_names_the_hook():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "jupyter lab --config=lab/jupyter_server_config.py" in makefile
    assert '--sys-prefix --name python3 --display-name "PatchCore Bench"' in makefile  # nothing in the user's home
    config = PyFileConfigLoader("jupyter_server_config.py", path=str(ROOT / "lab")).load_config()
    assert config.ContentsManager.pre_save_hook == HOOK
    assert (ROOT / config.LabApp.default_url.removeprefix("/lab/tree/")).is_file()
