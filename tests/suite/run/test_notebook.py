import ast
import json
import math
import re
import runpy
import socket
import sys
import warnings
from pathlib import Path

import nbformat
import pytest
from jupyter_client.provisioning.local_provisioner import LocalPortCache
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from patchcore_core import InputError
from patchcore_core.common.progress import RUNNER_VARIABLE
from patchcore_suite.run import notebook as runner
from patchcore_suite.run.kernel import impersonal
from patchcore_suite.run.notebook import check_parameters, literal_parameters, main, read_notebook, run_notebook

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
PICTURE = """
import matplotlib.pyplot as plt
import pandas as pd
figure, axis = plt.subplots(figsize=(1, 1))
axis.plot([1, number])
plt.close(figure)
figure
"""
TABLE = "pd.DataFrame({'a': [1.5, number]})"


def notebook(*cells, parameters="number = 1", tags=("parameters",)):
    """A notebook with prose, a parameters cell and more code cells."""
    first = new_code_cell(parameters, metadata={"tags": list(tags)})
    return new_notebook(
        cells=[new_markdown_cell("# Title"), first, *map(new_code_cell, cells)], metadata={"kernelspec": KERNEL}
    )


def written(notebook, folder, name="page"):
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv(RUNNER_VARIABLE, "")  # restored afterwards; the runner sets it


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a params.yaml that knows no dataset."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "params.yaml").write_text("datasets: {}\nvariants: {}\ntables: {}\nexecution: {}\n")
    monkeypatch.chdir(root)
    return root


def run(path, project, *, name="page", **parameters):
    output = project / f"executed/{name}.ipynb"
    return run_notebook(path, parameters, output, failed=project / f"failed/{name}.ipynb", cwd=project)


def command(monkeypatch, *arguments):
    """What `python -m patchcore_suite.run.notebook` does with these arguments; its exit code."""
    monkeypatch.setattr("sys.argv", ["runner", *map(str, arguments)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that the module is imported already
        try:
            runpy.run_module("patchcore_suite.run.notebook", run_name="__main__")
        except SystemExit as ended:
            return ended.code
    return 0


def plain(text):
    """Text as a terminal shows it, without the codes that colour it."""
    return re.sub(r"\x1b\[[\d;]*m", "", str(text))


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# Parameters


def test_parameters_are_the_literals_of_the_tagged_cell():
    cell = 'name = "part"\nsizes = [1, 2.5, None]\nlimits = {"low": -1, "high": (1, 2)}\nverbose = False'
    assert literal_parameters("page.ipynb", notebook("other = 1", parameters=cell)) == {
        "name": "part",
        "sizes": [1, 2.5, None],
        "limits": {"low": -1, "high": (1, 2)},
        "verbose": False,
    }


@pytest.mark.parametrize(
    "statement",
    [
        "size = 2 * 16",
        "size = other",
        "size = max(1, 2)",
        "size = f'{1}'",
        "import math",
        "size: int = 1",
        "a = b = 1",
        "a, b = 1, 2",
        "size += 1",
        "print(1)",
        "size = (1",
    ],
)
def test_a_parameter_that_is_no_literal_is_refused(statement):
    with pytest.raises(InputError) as caught:
        literal_parameters("page.ipynb", notebook(parameters=f"first = 1\n{statement}"))
    assert "page.ipynb" in str(caught.value)
    assert "name = literal" in str(caught.value)


@pytest.mark.parametrize("count", [0, 2])
def test_a_notebook_needs_exactly_one_parameters_cell(count):
    page = notebook(tags=())
    page.cells += [new_code_cell("a = 1", metadata={"tags": ["parameters"]}) for _ in range(count)]
    with pytest.raises(InputError, match=f"page.ipynb has {count} cells tagged 'parameters'"):
        literal_parameters("page.ipynb", page)


def complaint(parameters, given):
    """What is wrong with what a notebook is given for its parameters; nothing where they match."""
    try:
        check_parameters(Path("notebooks/page.ipynb"), parameters, given)
    except InputError as error:
        return str(error)
    return ""


def test_every_unknown_and_every_missing_parameter_is_named():
    text = complaint({"size": 1, "seed": 0}, {"szie": 3, "seed": 0, "depth": "x"})
    assert "unknown: szie=3" in text
    assert "unknown: depth='x'" in text
    assert "not given: size" in text
    assert "its parameters are size, seed" in text
    assert "tables.page" in text
    assert "not given: seed" not in text


def test_matching_parameters_are_accepted_in_any_order():
    assert complaint({"size": 1, "seed": 0}, {"seed": 5, "size": None}) == ""


@pytest.mark.parametrize("content", [None, "no notebook", "{}"])
def test_what_is_no_notebook_is_refused(tmp_path, content):
    path = tmp_path / "page.ipynb"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"page\.ipynb cannot be read"):
        read_notebook(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["page.ipynb"], "not given: number"),
        (["page.ipynb", "--set", "number=1", "--set", "nubmer=2"], "unknown: nubmer=2"),
        (["page.ipynb", "--set", "number"], "--set 'number' must be NAME=VALUE"),
        (["page.ipynb", "--set", "number=[1"], "number"),
        (["derived.ipynb", "--set", "number=1"], "name = literal"),
        (["untagged.ipynb", "--set", "number=1"], "0 cells tagged 'parameters'"),
        (["absent.ipynb", "--set", "number=1"], "absent.ipynb cannot be read"),
    ],
)
def test_a_wrong_call_ends_with_1_before_anything_is_written(project, monkeypatch, capfd, arguments, message):
    written(notebook(), project)
    written(notebook(parameters="number = 2 * 3"), project, "derived")
    written(notebook(tags=()), project, "untagged")
    before = files(project)

    assert command(monkeypatch, *arguments) == 1

    error = plain(capfd.readouterr().err)
    assert "ERROR: " in error
    assert message in error
    assert "Traceback" not in error
    assert files(project) == before


def test_parameters_come_from_params_yaml_and_then_from_the_command_line(project, monkeypatch):
    (project / "params.yaml").write_text(
        "datasets: {}\nvariants: {}\nexecution: {}\ntables: {page: {number: 1, name: from the file}}\n"
    )
    given = {}
    monkeypatch.setattr(runner, "run_notebook", lambda path, parameters, *_, **__: given.update(parameters))
    monkeypatch.setattr("sys.argv", ["runner", "notebooks/page.ipynb", "--set", "number=[2, null, 'a=b']"])
    main()
    assert given == {"number": [2, None, "a=b"], "name": "from the file"}


# A run


VALUES = {
    "quotes": 'it\'s "quoted" and """thrice""" \\n \\',
    "lines": "first\nsecond\ttab",
    "letters": "größer – 漢字 🙂",
    "braces": "{size} {{}} %s $x",
    "like_a_number": "010",
    "items": [1, 2.5, None, True, "x", [], {"a": None}],
    "nothing": None,
    "yes": True,
    "small": 1e-300,
    "third": 1 / 3,
    "negative": -0.0,
    "large": 2**70,
    "infinite": math.inf,
    "mapping": {"a": {"b": [1]}},
}


@pytest.mark.slow
def test_values_arrive_in_the_notebook_as_they_were_given(project):
    names = "\n".join(f"{name} = 0" for name in VALUES)
    show = "import json\njson.dumps({" + ", ".join(f"'{name}': {name}" for name in VALUES) + "})"
    page = written(notebook(show, parameters=names), project)
    executed = run(page, project, **VALUES)
    text = executed.cells[-1].outputs[0].data["text/plain"]
    assert json.loads(ast.literal_eval(text)) == VALUES


@pytest.mark.slow
@pytest.mark.long
def test_two_runs_that_compute_the_same_give_the_same_bytes(project):
    page = written(notebook(PICTURE, TABLE, "print(number)"), project)
    made = []
    for _ in range(2):
        run(page, project, number=3)
        made.append([(project / f"executed/page{suffix}").read_bytes() for suffix in (".ipynb", ".html")])
    assert made[0] == made[1]
    assert b"image/png" in made[0][0]
    run(page, project, number=4)
    assert (project / "executed/page.ipynb").read_bytes() != made[0][0]


@pytest.mark.slow
def test_progress_and_warnings_go_to_the_terminal_and_not_into_the_page(project, capfd):
    page = notebook(
        "import warnings; warnings.warn('mind the step')",
        "from patchcore_core.common.progress import progress_bar\nwith progress_bar(3, 'walk') as bar: bar.update(3)",
        "print('arrived')",
    )
    executed = run(written(page, project), project, number=1)
    texts = [output.get("text", "") for cell in executed.cells for output in cell.get("outputs", [])]
    assert texts == ["arrived\n"]
    shown = capfd.readouterr().err
    assert "mind the step" in shown
    assert "walk: 100%" in shown


def test_an_executed_notebook_shows_its_results_and_keeps_its_prose(project):
    page = written(notebook(TABLE.replace("pd", "__import__('pandas')")), project)
    before = page.read_bytes()
    run(page, project, number=7.25)
    assert page.read_bytes() == before
    assert files(project / "executed") == {"page.ipynb", "page.html"}
    html = (project / "executed/page.html").read_text(encoding="utf-8")
    assert "<title>page</title>" in html
    assert "7.25" in html
    assert "Title" in html
    executed = json.loads((project / "executed/page.ipynb").read_text(encoding="utf-8"))
    assert "papermill" not in json.dumps(executed["metadata"])


@pytest.mark.slow
def test_a_failing_cell_leaves_no_output_and_shows_its_error(project, monkeypatch, capfd):
    page = written(notebook("print('so far')", "{}['missing key']", "open('later', 'w')"), project)

    assert command(monkeypatch, page, "--set", "number=1", "--as", "page@part") == 1

    error = plain(capfd.readouterr().err)
    assert "ERROR: " in error
    assert "KeyError" in error
    assert "missing key" in error
    assert ".cache/failed/page@part.ipynb" in error
    assert "papermill/execute.py" not in error  # the frames of the machinery help nobody
    assert files(project) == {"params.yaml", "page.ipynb", ".cache/failed/page@part.ipynb"}
    kept = (project / ".cache/failed/page@part.ipynb").read_text(encoding="utf-8")
    assert "so far" in kept
    assert "missing key" in kept


@pytest.mark.slow
def test_an_input_error_in_a_cell_shows_its_message_alone(project, monkeypatch, capfd):
    raising = (
        "from patchcore_core.common.errors import InputError\nraise InputError('no such part', remedy='name another')"
    )
    page = written(notebook(raising), project)

    assert command(monkeypatch, page, "--set", "number=1") == 1

    error = plain(capfd.readouterr().err)
    assert "ERROR: no such part\nRemedy: name another" in error
    assert "Traceback" not in error
    assert "raise InputError" not in error


@pytest.mark.slow
def test_a_kind_of_input_error_in_a_cell_shows_its_message_alone(project):
    raising = (
        "from patchcore_core.backbones import WeightsMissing\nraise WeightsMissing('no weights', remedy='put them')"
    )
    with pytest.raises(InputError) as caught:
        run(written(notebook(raising), project), project, number=1)
    assert "no weights\nRemedy: put them" in plain(caught.value)
    assert "raise WeightsMissing" not in plain(caught.value)


@pytest.mark.slow
def test_what_a_killed_run_left_goes_and_what_is_of_others_stays(project):
    path, folder = written(notebook(), project), project / "executed"
    folder.mkdir()
    for name in (".page.ab12cd.ipynb", ".page.ab12cd.html", ".pages.ab12cd.ipynb", ".other"):
        (folder / name).write_text("half")
    run(path, project, number=1)
    assert files(folder) == {"page.ipynb", "page.html", ".pages.ab12cd.ipynb", ".other"}


def test_a_failed_run_that_cannot_be_kept_still_tells_its_error(project):
    path = written(notebook("raise ValueError('the error itself')"), project)
    (project / "failed").write_text("in the way")
    with pytest.raises(InputError, match=r"the error itself[\s\S]*The run is not kept: .*File exists"):
        run(path, project, number=1)


def test_reports_that_cannot_be_written_are_named(project):
    path = written(notebook(), project)
    (project / "executed").write_text("in the way")
    with pytest.raises(InputError, match=r"executed/page\.ipynb cannot be written: File exists"):
        run(path, project, number=1)


@pytest.mark.slow
@pytest.mark.long
def test_an_earlier_output_survives_a_failed_run(project):
    page = written(notebook("1 / number"), project)
    run(page, project, number=1)
    before = {name: (project / "executed" / name).read_bytes() for name in ("page.ipynb", "page.html")}

    with pytest.raises(InputError, match="ZeroDivisionError"):
        run(page, project, number=0)
    assert {name: (project / "executed" / name).read_bytes() for name in files(project / "executed")} == before
    assert files(project / "failed") == {"page.ipynb"}

    run(page, project, number=1)
    assert files(project / "failed") == set()  # it tells of the last run


@pytest.mark.slow
def test_a_kernel_that_dies_is_an_error_that_says_so(project):
    # As it does when memory runs out.
    page = written(notebook("import os\nos._exit(9)"), project)
    with pytest.raises(InputError) as caught:
        run(page, project, number=1)
    assert "page.ipynb" in str(caught.value)
    assert re.search("died|killed|memory", str(caught.value))
    assert files(project / "executed") == set()


@pytest.mark.slow
def test_cells_run_in_the_folder_that_they_are_given(project, tmp_path):
    page = written(notebook("from pathlib import Path\nPath('here').touch()"), tmp_path)
    run(page, project, number=1)
    assert (project / "here").is_file()


@pytest.mark.slow
def test_braces_in_a_folder_name_are_no_format(tmp_path):
    # Papermill takes the paths that it is given for format strings.
    folder = tmp_path / "{parts}"
    folder.mkdir()
    run(written(notebook(), folder), folder, number=1)
    assert (folder / "executed/page.html").is_file()


# A person's surroundings


SEEN = """
import os, sys, matplotlib
import patchcore_suite.figures
from IPython import get_ipython
settings = [matplotlib.get_backend(), matplotlib.rcParams["font.weight"], get_ipython().ast_node_interactivity]
print(sys.prefix, "started" in globals(), settings, os.environ.get("PYTHONSTARTUP"), os.environ.get("JUPYTER_PATH"))
"""


@pytest.fixture
def personal(tmp_path, monkeypatch):
    """Another kernel `python3`, a profile and startup files, a template of pages, and settings of matplotlib."""
    settings = "c.InteractiveShell.ast_node_interactivity = 'all'\nc.InteractiveShellApp.exec_lines = ['started = 1']\n"
    texts = {
        "jupyter/kernels/python3/kernel.json": json.dumps(KERNEL | {"argv": ["/bin/false"]}),
        "jupyter/nbconvert/templates/lab/index.html.j2": "mine",
        "ipython/profile_default/ipython_kernel_config.py": settings,
        "ipython/profile_default/ipython_config.py": settings,
        "ipython/profile_default/startup/00.py": "started = 1",
        "start.py": "started = 1",
        "matplotlib/matplotlibrc": "text.usetex: True\nfont.weight: bold\nbackend: pdf\n",
    }
    for name, text in texts.items():
        path = tmp_path / "personal" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for variable, name in {
        "JUPYTER_PATH": "jupyter",
        "JUPYTER_DATA_DIR": "jupyter",
        "JUPYTER_CONFIG_DIR": "ipython",
        "JUPYTER_RUNTIME_DIR": "start.py",  # no folder
        "IPYTHONDIR": "ipython",
        "PYTHONSTARTUP": "start.py",
        "MPLCONFIGDIR": "matplotlib",
    }.items():
        monkeypatch.setenv(variable, str(tmp_path / "personal" / name))
    monkeypatch.setenv("MPLBACKEND", "nonsense")
    monkeypatch.setenv("PYTHONWARNINGS", "error")


@pytest.mark.slow
@pytest.mark.long
def test_a_notebook_runs_in_this_environment_whatever_surrounds_it(project, request):
    page = written(notebook(SEEN, PICTURE, "1\n2", "import warnings; warnings.warn('no error')"), project)
    pages = [project / f"executed/page{suffix}" for suffix in (".ipynb", ".html")]
    executed = run(page, project, number=1)
    inline = "module://matplotlib_inline.backend_inline"
    seen = f"{sys.prefix} False {[inline, 'normal', 'last_expr']} None None\n"
    assert executed.cells[3].outputs[0].text == seen
    before = [path.read_bytes() for path in pages]
    request.getfixturevalue("personal")
    run(page, project, number=1)
    assert [path.read_bytes() for path in pages] == before


@pytest.fixture
def taken_port(monkeypatch):
    """Has kernels try a port first on which somebody listens already, as many times as the test says."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port, free = listening.getsockname()[1], LocalPortCache.find_available_port

        def times(count):
            left = [port] * count
            monkeypatch.setattr(
                LocalPortCache, "find_available_port", lambda self, ip: left.pop() if left else free(self, ip)
            )

        yield times


@pytest.mark.slow
def test_a_kernel_whose_port_another_process_took_is_started_again(project, taken_port):
    taken_port(1)
    executed = run(written(notebook("print(number)"), project), project, number=7)
    assert executed.cells[-1].outputs[0].text == "7\n"


def test_a_kernel_that_never_starts_is_told(project, monkeypatch):
    def dead(*paths, **options):
        raise RuntimeError(runner.NOT_STARTED)

    monkeypatch.setattr("papermill.execute_notebook", dead)
    with pytest.raises(InputError, match="ended 3 times before it could run anything"):
        run(written(notebook(), project), project, number=1)
    assert not (project / "executed/page.ipynb").exists()


@pytest.mark.slow
def test_the_files_of_a_kernel_are_removed_with_it(project, monkeypatch, tmp_path):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    run(written(notebook("__import__('os').environ['IPYTHONDIR']"), project), project, number=1)
    assert not list((tmp_path / "temporary").glob(".patchcore-kernel-*"))


def test_what_is_personal_in_an_environment_is_left_out_and_nothing_else():
    personal = ("IPYTHONDIR", "JUPYTER_PATH", "JUPYTER_CONFIG_DIR", "MPLBACKEND", "MATPLOTLIBRC", "PYTHONSTARTUP")
    kept = {"PATH": "/bin", "PYTHONPATH": "here", "HOME": "/nowhere", "MPLCONFIGDIR": "/fonts", RUNNER_VARIABLE: "1"}
    assert impersonal(kept | dict.fromkeys(personal, "mine")) == kept
