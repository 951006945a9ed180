"""Runs a notebook with papermill, strictly.

Papermill itself only warns of a misspelt parameter, writes its output before anything has succeeded, and puts times
and random ids into it. Here every parameter must be known and given, the output appears only when all cells have run,
and two runs that compute the same give the same file.
"""

import argparse
import ast
import glob
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread
from types import ModuleType

import nbformat
import papermill
import yaml
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode

from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.common.files import atomic_path, write_text
from patchcore_core.common.progress import RUNNER_VARIABLE
from patchcore_suite.run.kernel import OwnKernelManager
from patchcore_suite.run.leftovers import clear_reports, remove_leftovers
from patchcore_suite.settings.project import load_project

KERNEL = "python3"
# The kernel's own log says nothing about the notebook; progress bars belong in the terminal, not in the notebook.
KERNEL_ARGUMENTS = ["--log-level=CRITICAL", "--IPKernelApp.capture_fd_output=False"]
STARTS = 3  # of a kernel, at most
NOT_STARTED = "Kernel died before replying to kernel_info"  # jupyter_client's words
USER_ERRORS = ("InputError", "WeightsMissing")  # their messages need no traceback


def run_notebook(
    notebook: Path, parameters: Mapping[str, object], output: Path, *, failed: Path, cwd: Path
) -> NotebookNode:
    """Execute a notebook and write it to `output` (.ipynb) and beside that as a page (.html).

    Args:
        notebook: the notebook; not changed.
        parameters: a value for each name in its parameters cell.
        output: where the executed notebook goes.
        failed: where it goes instead if a cell fails, for a look at what happened.
        cwd: the working directory of its cells.

    Raises:
        InputError: the parameters do not match, or a cell failed; the message holds that cell's error.
    """
    source = read_notebook(notebook)
    check_parameters(notebook, literal_parameters(notebook, source), parameters)
    os.environ[RUNNER_VARIABLE] = "1"  # inherited by the kernel
    with suppress(OSError):  # a cache that can only be read
        failed.unlink(missing_ok=True)
    remove_leftovers(output.parent, f".{glob.escape(output.stem)}.*")
    pages = Thread(target=_load_pages)
    pages.start()
    with atomic_path(output) as temporary:
        try:
            executed = _execute(notebook, temporary, parameters, cwd)
        except papermill.PapermillExecutionError as error:
            raise InputError(_describe(notebook, error, _kept(temporary, failed))) from None
        except DeadKernelError:
            raise InputError(
                f"the kernel that ran {notebook} died, most often for want of memory",
                remedy="use smaller images or a machine with more memory; what was finished is kept",
            ) from None
        print(take_messages(executed), end="", file=sys.stderr)
        normalise(executed)
        nbformat.write(executed, temporary)
    pages.join()
    write_text(output.with_suffix(".html"), _load_pages().to_html(executed, title=output.stem))
    return executed


def _execute(
    notebook: Path, output: Path, parameters: Mapping[str, object], cwd: Path, starts: int = STARTS
) -> NotebookNode:
    """Run it with papermill, in a kernel of its own.

    A kernel listens on ports that were free a moment before; where another process was quicker, it ends before any
    cell has run, and is started again.
    """
    try:
        return papermill.execute_notebook(
            _no_format(notebook),
            _no_format(output),
            parameters=dict(parameters),
            kernel_name=KERNEL,
            kernel_manager_class=OwnKernelManager,
            cwd=str(cwd),
            extra_arguments=KERNEL_ARGUMENTS,
        )
    except RuntimeError as error:
        if str(error) != NOT_STARTED:
            raise
    if starts > 1:
        return _execute(notebook, output, parameters, cwd, starts - 1)
    raise InputError(
        f"the kernel that was to run {notebook} ended {STARTS} times before it could run anything",
        remedy="what it said stands above",
    )


def read_notebook(path: Path) -> NotebookNode:
    """Read a notebook; InputError if there is none."""
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError, nbformat.reader.NotJSONError) as error:
        raise InputError(f"the notebook {path} cannot be read: {error}") from None


def literal_parameters(path: Path, notebook: NotebookNode) -> dict[str, object]:
    """Names and defaults in the notebook's parameters cell.

    Raises:
        InputError: there is not one such cell, or it holds anything but `name = literal`.
    """
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise InputError(f"{path} has {len(cells)} cells tagged 'parameters'", remedy="tag exactly one")
    try:
        statements = ast.parse(cells[0].source).body
    except SyntaxError as error:
        raise InputError(
            f"{path}: the parameters cell is not Python: {error}", remedy="write `name = literal` there"
        ) from None
    found = {}
    for statement in statements:
        try:
            (target,) = statement.targets
            found[target.id] = ast.literal_eval(statement.value)
        except (AttributeError, ValueError):
            raise InputError(
                f"{path}: the parameters cell holds `{ast.unparse(statement)}`",
                remedy="write `name = literal` there, and derive values in the next cell",
            ) from None
    return found


def check_parameters(path: Path, known: Mapping[str, object], given: Mapping[str, object]) -> None:
    """Refuse parameters that the notebook does not have, and demand those that it has."""
    problems = [f"unknown: {name}={value!r}" for name, value in given.items() if name not in known]
    problems += [f"not given: {name}" for name in known if name not in given]
    if problems:
        raise InputError(
            f"parameters of {path} do not match",
            offenders=problems,
            remedy=f"its parameters are {', '.join(known) or 'none'}; set them under tables.{path.stem} in params.yaml",
        )


def take_messages(notebook: NotebookNode) -> str:
    """Remove what cells wrote to standard error, and give it: warnings hold paths of this machine."""
    messages = []
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        messages += [output.text for output in outputs if output.get("name") == "stderr"]
        if outputs:
            cell.outputs = [output for output in outputs if output.get("name") != "stderr"]
    return "".join(messages)


def normalise(notebook: NotebookNode) -> None:
    """Remove what differs between two runs that compute the same: times, ids, paths, the kernel's patch version."""
    notebook.metadata.pop("papermill", None)
    notebook.metadata.pop("language_info", None)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)


def _load_pages() -> ModuleType:
    """What makes pages. To load it takes half a second, in which the kernel works."""
    from patchcore_suite.run import notebook_page

    notebook_page.exporter()
    return notebook_page


def _kept(executed: Path, failed: Path) -> str:
    """Keep a run that failed for a look at it; what to say of that."""
    try:
        failed.parent.mkdir(parents=True, exist_ok=True)
        failed.write_bytes(executed.read_bytes())
    except OSError as error:
        return f"the run is not kept: {error}"
    return f"the run is kept in {failed}"


def _no_format(path: Path) -> str:
    """A path for papermill, which takes braces in paths for places to fill in."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _describe(notebook: Path, error: papermill.PapermillExecutionError, kept: str) -> str:
    if error.ename in USER_ERRORS:
        return f"{error.evalue}\n(in cell {error.cell_index} of {notebook}; {kept})"
    trace = "\n".join(error.traceback)
    return f"cell {error.cell_index} of {notebook} failed\n{trace}\n{kept[0].upper()}{kept[1:]}"


def main() -> None:
    """Command line: run one notebook with its parameters from params.yaml."""
    parser = argparse.ArgumentParser(prog="python -m patchcore_suite.run.notebook", description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="one parameter, as YAML")
    parser.add_argument("--as", dest="name", help="name of the output in reports/executed (the notebook's own)")
    arguments = parser.parse_args()
    logging.getLogger("papermill").setLevel(logging.ERROR)
    project = load_project()
    clear_reports(project)
    given = dict(project.params.tables.get(arguments.notebook.stem, {}))
    for setting in arguments.set:
        name, separator, value = setting.partition("=")
        if not separator:
            raise InputError(f"--set {setting!r} must be NAME=VALUE")
        try:
            given[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"--set {setting!r} is not YAML: {error}") from None
    name = arguments.name or arguments.notebook.stem
    run_notebook(
        arguments.notebook,
        given,
        project.path(f"reports/executed/{name}.ipynb"),
        failed=project.cache / "failed" / f"{name}.ipynb",
        cwd=project.root,
    )


if __name__ == "__main__":
    with exit_on_input_error():
        main()
