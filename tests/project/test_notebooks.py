import ast
import json
import shlex
import shutil
from contextlib import chdir
from itertools import pairwise

import pandas as pd
import pytest
import yaml
from sealed_files import rewrite
from whole_project import (
    EXPLORERS,
    NOTEBOOKS,
    ROOT,
    STAGED,
    call_synthetic,
    code_cells,
    notebook_cells,
    outputs,
    run_cells,
    stages,
)

from patchcore_core.common.progress import RUNNER_VARIABLE
from patchcore_suite.datasets.paper_counts import PAPER_COUNTS
from patchcore_suite.datasets.spec import PAPER_NAMES
from patchcore_suite.results.section import Section
from patchcore_suite.run.notebook import run_notebook
from patchcore_suite.settings.params import load_params

IN_A_KERNEL = ("score", "t1_image_auroc")  # a kernel takes seconds to start: the others run in this process
EXECUTION_METADATA = ("papermill", "execution", "collapsed", "scrolled", "jupyter")
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
STAGES = {name: stage for name, stage in stages().items() if ".ipynb" in stage["cmd"]}

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
each_staged_notebook = pytest.mark.parametrize("path", STAGED, ids=lambda path: path.stem)


def parameters_cell(path):
    (cell,) = [cell for cell in notebook_cells(path) if "parameters" in cell["metadata"].get("tags", [])]
    return cell


def literals(path):
    return {
        statement.targets[0].id: ast.literal_eval(statement.value)
        for statement in ast.parse(parameters_cell(path)["source"]).body
    }


def given_parameters(stage):
    """What the command of a stage passes: names and values from params.yaml, then those of --set."""
    words = shlex.split(stage["cmd"].replace("${DVC_STAGE#*@}", "mvtec"))  # a stage of each dataset is called so
    stem = next(word for word in words if word.endswith(".ipynb")).removeprefix("notebooks/").removesuffix(".ipynb")
    settings = [word for option, word in pairwise(words) if option == "--set"]
    return stem, PARAMS["tables"].get(stem, {}) | {
        name: yaml.safe_load(value) for name, value in (setting.split("=", 1) for setting in settings)
    }


# As they are committed


@each_notebook
def test_a_notebook_holds_nothing_that_execution_adds(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert list(notebook["metadata"]) == ["kernelspec"]
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert not set(cell["metadata"]) & set(EXECUTION_METADATA)
        assert "injected-parameters" not in cell["metadata"].get("tags", [])


@each_notebook
def test_a_notebook_names_the_kernel_that_every_environment_has(path):
    kernel = json.loads(path.read_text(encoding="utf-8"))["metadata"]["kernelspec"]
    assert (kernel["name"], kernel["language"]) == ("python3", "python")


@each_notebook
def test_a_notebook_is_stored_as_tools_store_it(path):
    # Otherwise opening and saving it in Jupyter changes lines that nobody touched.
    text = path.read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


# As they read


@each_notebook
def test_a_notebook_opens_with_its_question_and_the_time_it_takes(path):
    first = notebook_cells(path)[0]
    assert first["cell_type"] == "markdown"
    assert first["source"].startswith("# ")
    assert "**Question.**" in first["source"]
    assert "*Expected time:*" in first["source"]


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem[0] in "tf"], ids=lambda path: path.stem)
def test_a_notebook_of_a_table_or_figure_names_its_source(path):
    assert "*Source:*" in notebook_cells(path)[0]["source"]
    assert "Roth et al." in notebook_cells(path)[0]["source"]


@each_notebook
def test_a_notebook_says_what_differs_from_the_paper(path):
    text = "\n".join(cell["source"] for cell in notebook_cells(path) if cell["cell_type"] == "markdown")
    _, separator, section = text.partition("## What differs from the paper, and why\n")
    assert separator
    assert section.split("\n## ")[0].strip()


@each_notebook
def test_the_parameters_come_first_and_are_literals(path):
    cells = [cell for cell in notebook_cells(path) if cell["cell_type"] == "code"]
    assert "parameters" in cells[0]["metadata"].get("tags", [])
    for statement in ast.parse(parameters_cell(path)["source"]).body:
        assert isinstance(statement, ast.Assign)
        assert [type(target) for target in statement.targets] == [ast.Name]
        ast.literal_eval(statement.value)  # raises if it is anything else


@each_notebook
def test_a_notebook_defines_nothing_and_loops_over_nothing(path):
    banned = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.For, ast.AsyncFor, ast.While)
    nodes = [node for cell in code_cells(path) for node in ast.walk(ast.parse(cell))]
    assert [ast.unparse(node) for node in nodes if isinstance(node, banned)] == []


@each_notebook
def test_a_notebook_leaves_drawing_to_figures(path):
    nodes = [node for cell in code_cells(path) for node in ast.walk(ast.parse(cell))]
    names = {name.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for name in node.names}
    names |= {node.module.split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
    assert not names & {"matplotlib", "seaborn", "plotly", "pylab"}


@each_notebook
def test_code_comes_in_small_portions_between_prose(path):
    assert max(len(cell.strip().splitlines()) for cell in code_cells(path)) <= 20
    kinds = "".join(cell["cell_type"][0] for cell in notebook_cells(path))  # m, c or r
    assert "ccc" not in kinds


@each_notebook
def test_only_the_last_cell_writes(path):
    # So a run that fails leaves no results.
    writing = ("write", "write_text", "write_bytes", "write_json", "save", "savefig", "collect", "to_csv", "to_json")
    places = [
        number
        for number, cell in enumerate(notebook_cells(path))
        if cell["cell_type"] == "code"
        for node in ast.walk(ast.parse(cell["source"]))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in writing
    ]
    assert set(places) == (set() if path.stem in EXPLORERS else {len(notebook_cells(path)) - 1})


# Their parameters


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_gives_a_notebook_exactly_its_parameters(stage):
    stem, given = given_parameters(STAGES[stage])
    assert set(given) == set(literals(ROOT / f"notebooks/{stem}.ipynb"))


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_gives_values_of_the_types_that_a_notebook_has_as_defaults(stage):
    stem, given = given_parameters(STAGES[stage])
    defaults = literals(ROOT / f"notebooks/{stem}.ipynb")
    assert {name: type(value) for name, value in given.items()} == {name: type(defaults[name]) for name in given}


def test_every_notebook_but_explorers_is_run_by_a_stage_and_every_table_is_of_a_notebook():
    assert {given_parameters(stage)[0] for stage in STAGES.values()} == {path.stem for path in STAGED}
    assert set(PARAMS["tables"]) <= {path.stem for path in STAGED}


# As they run, on toy images


@pytest.fixture
def project(whole_project_once, tmp_path, monkeypatch):
    """A project whose metrics are there, and no table yet; what it holds is all that the paper's datasets have."""
    monkeypatch.setitem(PAPER_COUNTS, "mvtec-ad", {"screw": (6, 3, 3, 48), "tile": (6, 3, 3, 48)})
    monkeypatch.setitem(PAPER_COUNTS, "mtd", {"mtd": (8, 2, 3, 48)})
    return shutil.copytree(whole_project_once, tmp_path / "project")


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@each_staged_notebook
def test_a_notebook_runs_on_toy_images_and_leaves_what_its_stage_declares(path, project, monkeypatch):
    monkeypatch.setenv(RUNNER_VARIABLE, "")  # restored afterwards; the runner sets it
    name, stage = next((name, stage) for name, stage in STAGES.items() if path.name in stage["cmd"])
    declared = tuple(outputs(stage))
    for file in files(project):
        if file.startswith(declared):
            (project / file).unlink()
    before = files(project)
    _, parameters = given_parameters(stage)
    with chdir(project):
        parameters |= load_params().tables.get(path.stem, {})  # small numbers

    if path.stem in IN_A_KERNEL:
        output = project / f"reports/executed/{name}.ipynb"
        executed = run_notebook(path, parameters, output, failed=project / "failed.ipynb", cwd=project)
        assert [cell for cell in executed.cells if cell.cell_type == "code" and cell.execution_count is None] == []
    else:
        run_cells(project, path.stem, **parameters)

    assert [path for path in declared if not (project / path).exists()] == []
    others = {file for file in files(project) - before if not file.startswith(declared)}
    beside = (
        "reports/figures/",
        "reports/timings/",
        "reports/sections/",
        f"reports/executed/{name}.",
        "reports/scores/",
    )
    assert [file for file in sorted(others) if not file.startswith(beside)] == []
    if path.stem != "score":
        section = Section.read(project / f"reports/sections/{name}.json")
        assert section.notebook == name
        assert {f"reports/tables/{table}.csv" for table in section.tables} == {
            file for file in declared if file.endswith(".csv")
        }
        drawn = [file for file in others if file.startswith("reports/figures/") and file.endswith(".png")]
        assert {f"reports/figures/{picture}.png" for picture in section.pictures} == set(drawn)


@pytest.mark.slow
@pytest.mark.long
def test_times_that_are_measured_by_hand_are_shown_and_not_kept(project):
    (project / "reports/timings/t5_inference_time.csv").unlink(missing_ok=True)
    variables = run_cells(project, "t5_inference_time", keep_times=False)
    assert len(variables["beside"])
    assert not (project / "reports/timings/t5_inference_time.csv").exists()


@pytest.mark.slow
@pytest.mark.long
def test_the_method_is_shown_on_images_that_are_turned_as_the_variant_has_them(project):
    values = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    values["variants"][values["tables"]["00_method"]["variant"]]["rotations"] = [0, 90]
    (project / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    variables = run_cells(project, "00_method", nominal_images=2)
    assert [record.rotation for record in variables["nominal_records"]] == [0, 90, 0, 90]
    nominal = variables["nominal"]
    assert len(nominal) == 4
    assert nominal[1].rot90(-1, (1, 2)).numpy() == pytest.approx(nominal[0].numpy(), abs=0.01)  # counter-clockwise


def test_the_results_of_a_dataset_have_a_row_for_each_variant(project):
    run_cells(project, "dataset_results", dataset="mvtec")
    table = pd.read_csv(project / "reports/tables/results_mvtec.csv", dtype=str, keep_default_na=False)
    with chdir(project):
        assert list(table["variant"]) == list(load_params().dataset("mvtec").variants)
    assert (table != "").all(axis=None)


def test_a_dataset_without_masks_has_no_pixel_metrics_in_its_table(project):
    def without_masks(manifest):
        for record in manifest["categories"]["mtd"]["records"]:
            record["mask"] = record["mask_sha256"] = None

    rewrite(project / "data/mtd/manifest.json", without_masks)
    (project / "reports/metrics/mtd_evaluated.json").unlink()
    rows = pd.read_csv(project / "reports/metrics/mtd.csv")
    pixel = rows["metric"].isin(["pixel_auroc", "pro", "defects_cropped_away"])
    rows.assign(value=rows["value"].mask(pixel)).to_csv(project / "reports/metrics/mtd.csv", index=False)

    run_cells(project, "dataset_results", dataset="mtd")

    table = pd.read_csv(project / "reports/tables/results_mtd.csv", dtype=str, keep_default_na=False)
    assert set(table["PRO"]) == set(table["pixel AUROC"]) == {"not available"}
    assert "not available" not in set(table["image AUROC"])


def test_variants_without_weights_are_listed(project):
    index = project / "reports/scores/mvtec/index.json"
    rewrite(index, weights_missing=[{"variant": "patchcore-25", "remedy": "put the file there"}])
    (project / "reports/metrics/mvtec_evaluated.json").unlink()
    metrics = project / "reports/metrics/mvtec.csv"
    rows = pd.read_csv(metrics)
    rows[rows["variant"] != "patchcore-25"].to_csv(metrics, index=False)
    run_cells(project, "t1_image_auroc")
    run_cells(project, "dataset_results", dataset="mvtec", variant="patchcore-1")
    table = pd.read_csv(project / "reports/tables/t1_image_auroc.csv", dtype=str).set_index("variant")
    assert table.loc["patchcore-25", "ours"] == "weights missing"
    assert (table["ours"] == "weights missing").sum() == 1
    table = pd.read_csv(project / "reports/tables/results_mvtec.csv", dtype=str).set_index("variant")
    assert set(table.loc["patchcore-25"]) == {"weights missing"}


# What they say of synthetic images


@pytest.mark.parametrize(
    ("notebook", "given", "table"),
    [
        ("dataset_results", {"dataset": "mvtec"}, "results_mvtec"),
        ("t1_image_auroc", {}, "t1_image_auroc"),
        ("t1_image_auroc", {}, "s1_image_auroc"),
        ("t6_other_datasets", {}, "t6_other_datasets"),
    ],
)
def test_a_table_of_synthetic_images_says_so_in_its_caption_and_for_the_report(project, notebook, given, table):
    for dataset in PARAMS["datasets"]:
        call_synthetic(project, dataset)
    run_cells(project, notebook, **given)
    described = json.loads((project / f"reports/tables/{table}.json").read_text(encoding="utf-8"))
    assert described["synthetic"] is True
    assert "SYNTHETIC" in described["caption"]


@pytest.mark.parametrize("table", ["results_mvtec", "t1_image_auroc", "t6_other_datasets"])
def test_a_table_of_real_images_does_not_pass_for_synthetic(project, table):
    notebook = "dataset_results" if table == "results_mvtec" else table
    run_cells(project, notebook, **({"dataset": "mvtec"} if table == "results_mvtec" else {}))
    text = (project / f"reports/tables/{table}.json").read_text() + (
        project / f"reports/tables/{table}.csv"
    ).read_text()
    assert json.loads((project / f"reports/tables/{table}.json").read_text())["synthetic"] is False
    assert "SYNTHETIC" not in text


def test_table_6_does_not_mix_real_and_synthetic_numbers(project):
    call_synthetic(project, "mstc")
    run_cells(project, "t6_other_datasets")
    described = json.loads((project / "reports/tables/t6_other_datasets.json").read_text())
    table = pd.read_csv(project / "reports/tables/t6_other_datasets.csv", dtype=str)
    ours = table[table["variant"] == "patchcore-10"].set_index("dataset")["ours"]
    assert described["synthetic"] is False
    assert ours["mSTC"] == "synthetic: not shown"
    assert ours["MTD"][0].isdigit()


def test_table_6_gives_the_number_of_seeds_of_each_dataset(project):
    metrics = project / "reports/metrics/mstc.csv"
    rows = pd.read_csv(metrics)
    rows[rows["seed"] == 0].to_csv(metrics, index=False)
    (project / "reports/metrics/mstc_evaluated.json").unlink()
    run_cells(project, "t6_other_datasets")
    described = json.loads((project / "reports/tables/t6_other_datasets.json").read_text())
    assert "one seed" in described["caption"]
    assert "2 seeds" in described["caption"]


def test_table_6_quotes_systems_that_were_not_run(project):
    run_cells(project, "t6_other_datasets")
    table = pd.read_csv(project / "reports/tables/t6_other_datasets.csv", dtype=str).set_index("variant")
    assert table.loc["DifferNet", "ours"] == "-"
    assert table.loc["DifferNet", "reason"] == "quoted"
    assert table.loc["DifferNet", "paper"] == "97.7"


# What they say of a dataset that is none of the paper's

BESIDE = [path.stem for path in STAGED if path.stem[0] in "tfs" and path.stem not in ("score", "f3_coreset_vs_random")]
BESIDE.sort(key="t1_image_auroc".__ne__)


def call_nobodys(project):
    """Let no manifest name a dataset of the paper."""
    for path in project.glob("data/*/manifest.json"):
        rewrite(path, paper=None)


def leave_some_out(project, monkeypatch):
    """Let the paper's datasets have one image more than there is here, in each category."""
    for paper in ("mvtec-ad", "mtd"):
        more = {name: (train + 1, *others) for name, (train, *others) in PAPER_COUNTS[paper].items()}
        monkeypatch.setitem(PAPER_COUNTS, paper, more)
    rewrite(project / "data/mstc/manifest.json", division={"every": 25})


def texts_of(value):
    """What a cell of a notebook shows, as text: prose, or a table as CSV; figures have none."""
    if isinstance(value, pd.DataFrame):
        return value.map(str).to_csv(index=False)
    return getattr(value, "data", "") if type(value).__name__ == "Markdown" else ""


@pytest.mark.parametrize(
    ("notebook", "images"),
    [
        ("t1_image_auroc", "own"),
        ("t1_image_auroc", "some"),
        *(pytest.param(name, "own", marks=pytest.mark.slow) for name in BESIDE[1:]),
        *(pytest.param(name, "some", marks=pytest.mark.slow) for name in ("f5_subsampling", "t5_inference_time")),
    ],
)
def test_nothing_that_a_notebook_makes_of_other_images_bears_a_name_or_a_number_of_the_paper(
    project, notebook, images, monkeypatch
):
    call_nobodys(project) if images == "own" else leave_some_out(project, monkeypatch)
    for folder in ("tables", "sections", "timings"):
        shutil.rmtree(project / "reports" / folder, ignore_errors=True)
    shown = run_cells(project, notebook)["shown"]
    made = sorted(path for folder in ("tables", "timings") for path in (project / "reports" / folder).glob("*.csv"))
    described = sorted((project / "reports/sections").glob("*.json"))
    assert made
    assert described
    texts = [path.read_text(encoding="utf-8") for path in [*made, *described, *(p.with_suffix(".json") for p in made)]]
    for text in [*texts, *map(texts_of, shown)]:
        for name in (*PAPER_NAMES.values(), "quoted", "eside the paper", "paper's figure", "paper, on its GPU"):
            assert name not in text
    for path in described:
        assert {table["paper"] for table in json.loads(path.read_text(encoding="utf-8"))["tables"]} == {None}
    for path in made:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        for column in table:
            if column == "verdict":
                assert set(table[column]) <= {"no verdict", "-"}
            elif column == "paper" or "difference" in column or ": paper" in column:
                assert set(table[column]) == {"-"}


@pytest.mark.slow
def test_what_a_notebook_makes_of_the_papers_images_is_compared(project):
    run_cells(project, "t1_image_auroc")
    table = pd.read_csv(project / "reports/tables/t1_image_auroc.csv", dtype=str).set_index("variant")
    assert table.loc["patchcore-10", "paper"] == "99.0"
    assert table.loc["patchcore-10", "verdict"] in ("reproduced", "near", "not reproduced", "no verdict")
    assert table.loc["patchcore-10", "difference"] != "-"
    section = json.loads((project / "reports/sections/t1_image_auroc.json").read_text(encoding="utf-8"))
    assert section["heading"]["subject"] == "image AUROC on MVTec AD"
    assert section["tables"][0]["paper"]["name"] == "Table 1"
