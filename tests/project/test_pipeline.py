import os
import re
import shutil
import subprocess
import sys
import tomllib
from contextlib import chdir
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
import yaml
from toy_report import drawing
from whole_project import ROOT, STAGED, code_cells, make_project, outputs, run_cells, run_main, stages

from patchcore_suite.baselines.config import METHODS, EnsembleConfig
from patchcore_suite.report import page as report
from patchcore_suite.results.quantities import Quantity
from patchcore_suite.results.section import Chart, Heading, Picture, Section, Table
from patchcore_suite.run import fingerprints
from patchcore_suite.run.cells import SCORING
from patchcore_suite.run.imports import ANYTHING, RUN, Code, data_files, module_file, reached
from patchcore_suite.run.metric_registry import METRICS
from patchcore_suite.run.raw_results import ScoreIndex
from patchcore_suite.settings.params import load_params

PACKAGES = ("patchcore_core", "patchcore_suite")
STAGES = stages()
DECLARED = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]

each_stage = pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)


# What the stages depend on


# Beside the costs, it imports files of methods of one's own; a stage lists the folder in which they would lie.
CONFIGURATIONS = "patchcore_suite.baselines.config"
BASELINES = {f"patchcore_suite.baselines.{file.stem}" for file in ROOT.glob("patchcore_suite/baselines/*.py")}
IGNORED = [(CONFIGURATIONS, module) for module in BASELINES - {"patchcore_suite.baselines.costs"}]


def imported_by_name(module):
    """Modules that an import statement of a module names, as against those that a text in it may name."""
    code = module_file(module, ROOT).read_text(encoding="utf-8")
    return {name for name, wanted in Code(code, module.rpartition(".")[0], ROOT).imports() if wanted != ANYTHING}


# They import the functions of metrics and what they name, not what else lies beside them.
METRICS_OF_RESULTS, INTERVALS = "patchcore_suite.run.result_metrics", "patchcore_suite.run.intervals"
METRIC_MODULES = {metric.function.partition(":")[0] for metric in METRICS.values()}
IGNORED += [
    (importer, module)
    for importer in (METRICS_OF_RESULTS, INTERVALS)
    for module in {f"patchcore_suite.run.{file.stem}" for file in ROOT.glob("patchcore_suite/run/*.py")}
    - imported_by_name(importer)
]
REGISTRY = "patchcore_suite.baselines.registry"  # which imports the method that a configuration asks for: any
METHOD_MODULES = [kind.implementation.partition(":")[0] for kind in (*METHODS.values(), EnsembleConfig)]
OWN_NETWORKS = "patchcore_suite/run/own_networks.py"


def closure(references):
    """Files of the package that run when modules are imported, and what they import, and so on."""
    references = list(references)
    found = reached(references, ROOT, ignored=IGNORED)
    for importer, modules in ((REGISTRY, METHOD_MODULES), (METRICS_OF_RESULTS, METRIC_MODULES)):
        if importer in found:
            references += [(name, RUN) for name in modules]
            found = reached(references, ROOT, ignored=IGNORED)
    return {file.relative_to(ROOT).as_posix() for file in found.values()}


def notebook_of(stage):
    return next((ROOT / word for word in stage["cmd"].split() if word.endswith(".ipynb")), None)


def modules_run(stage):
    """Every file of the package that a stage runs, templates and the paper's numbers included."""
    return run_by(stage["cmd"])


def added_modules():
    """What is added to the core by name, and found by it in the installed distribution."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    return {value.partition(":")[0] for group in groups.values() for value in group.values()}


@cache
def run_by(command):
    words = command.split()
    assert words[:2] == ["python", "-m"]
    references = [(words[2], RUN)]
    if notebook := notebook_of({"cmd": command}):
        for cell in code_cells(notebook):
            references += Code(cell, "", ROOT).imports()
    files = closure(references)
    if {"patchcore_core/memory_bank.py", "patchcore_core/searches.py"} & files:
        files |= closure([(module, RUN) for module in added_modules()])
    read = {path.relative_to(ROOT).as_posix() for file in files for path in data_files(ROOT / file)}
    return (files | read) - {"patchcore_suite/__init__.py"}  # which holds nothing


def covers(entry, file):
    return file == entry or file.startswith(f"{entry}/")


def test_the_walk_over_imports_finds_what_python_loads():
    # The other tests of this part rest on it, and so do fingerprints.
    names = ", ".join([SCORING, *METHOD_MODULES])
    code = f"import sys, {names}\nprint(*(name for name in sys.modules if name.startswith('patchcore_')))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert {SCORING, "patchcore_core.coreset", "patchcore_suite.settings.params"} <= loaded
    found = closure([(SCORING, RUN)])
    assert {module_file(name, ROOT).relative_to(ROOT).as_posix() for name in loaded} <= found
    assert "patchcore_suite/report/page.py" not in found
    described = fingerprints.reached(SCORING, *METHOD_MODULES)
    listing = ("layout", "layouts", "listing", "spec", "by_folder", "held_out", "listed", "noise")
    lists_images = {f"patchcore_suite.datasets.{name}" for name in listing}
    # What they list is in the digest of the manifest.
    # Of what is added by name, a configuration says what it uses: see `cells`.
    added = "patchcore_suite.plugins"
    ignored = tuple(f"{name}." for name in (REGISTRY, added, *lists_images, *fingerprints.WITHOUT_INFLUENCE))
    assert [name for name in loaded - described.keys() if not f"{name}.".startswith(ignored)] == []


@pytest.mark.parametrize(
    "modules",
    [["run.notebook"], ["run.prepare"], ["paper.tables", "results.study_tables", "results.sentences", "figures"]],
)
def test_what_runs_no_network_starts_without_torch(modules):
    imports = "".join(f"import patchcore_suite.{module}; " for module in modules)
    code = f"{imports} import sys; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


def test_drawing_loads_nothing_for_densities():
    # That is most of what some notebooks would do.
    code = "from patchcore_suite import figures; import sys; print({'scipy.stats', 'scipy.cluster'} & set(sys.modules))"
    code += "; import scipy.stats, scipy.cluster; print(scipy.stats.norm.cdf(0))"  # who needs them has them
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n0.5\n"


@each_stage
def test_a_stage_depends_on_every_module_that_it_runs(stage):
    missing = [file for file in modules_run(stage) if not any(covers(entry, file) for entry in stage["deps"])]
    assert sorted(missing) == []


@each_stage
def test_a_stage_depends_on_no_module_that_it_does_not_run(stage):
    run = modules_run(stage)
    entries = [entry for entry in stage["deps"] if any(covers(package, entry) for package in PACKAGES)]
    assert [entry for entry in entries if not any(covers(entry, file) for file in run)] == []
    assert "patchcore_suite" not in entries or stage["cmd"].endswith(
        "report.page"
    )  # each room of it; the report shows all


@each_stage
def test_a_stage_that_runs_a_notebook_depends_on_it(stage):
    notebook = notebook_of(stage)
    listed = {entry for entry in stage["deps"] if entry.endswith(".ipynb")}
    assert listed == ({notebook.relative_to(ROOT).as_posix()} if notebook else set())


def test_what_a_stage_depends_on_is_a_file_or_made_by_another_stage():
    made = {path for stage in STAGES.values() for path in outputs(stage)}
    folders = {str(Path(path).parent) for path in made}
    for stage in STAGES.values():
        for entry in stage["deps"]:
            assert (ROOT / entry).exists() or entry in made | folders, entry


def test_what_params_yaml_names_outside_the_project_is_depended_on():
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert {"${item.source}", "lists"} <= {*pipeline["data"]["do"]["deps"]}
    assert "${execution.weights}" in pipeline["score"]["do"]["deps"]


def test_what_runs_own_networks_depends_on_their_file():
    stages = {name: stage.get("do", stage) for name, stage in DECLARED.items()}
    listed = {name for name, stage in stages.items() if "${execution.networks}" in stage["deps"]}
    assert listed == {name for name, stage in stages.items() if "execution.networks" in stage.get("params", [])}
    assert listed == {name for name, stage in stages.items() if OWN_NETWORKS in stage["deps"]}
    assert {"score", "t5_inference_time"} <= listed


def test_nothing_depends_on_an_executed_notebook():
    entries = [entry for stage in STAGES.values() for entry in stage["deps"]]
    assert [entry for entry in entries if covers("reports/executed", entry) or covers(entry, "reports/executed")] == []
    assert [entry for entry in entries if covers("reports/timings", entry)] == []


def test_the_cell_store_is_no_output():
    # DVC deletes outputs before it runs a stage, and finished cells must survive.
    cache = load_params(ROOT / "params.yaml").execution.cache_dir
    assert [path for stage in STAGES.values() for path in outputs(stage) if covers(cache, path)] == []


@each_stage
def test_outputs_stay_in_the_working_tree_alone(stage):
    assert {path: options.get("cache") for path, options in outputs(stage).items()} == dict.fromkeys(
        outputs(stage), False
    )


def test_no_two_stages_make_the_same_file():
    made = [path for stage in STAGES.values() for path in outputs(stage)]
    assert len(made) == len(set(made))
    assert [(a, b) for a in made for b in made if a != b and covers(a, b)] == []


@each_stage
def test_the_params_of_a_stage_exist(stage):
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for key in stage.get("params", []):
        value = values
        for part in key.split("."):
            assert part in value, key
            value = value[part]


def test_a_notebook_with_parameters_in_params_yaml_depends_on_them():
    tables = load_params(ROOT / "params.yaml").tables
    for stage in STAGES.values():
        notebook = notebook_of(stage)
        if notebook and notebook.stem in tables:
            assert f"tables.{notebook.stem}" in stage["params"]


@pytest.mark.parametrize("stage", [name for name, stage in STAGES.items() if notebook_of(stage)])
def test_the_page_of_an_executed_notebook_has_the_name_of_its_stage(stage):
    words = STAGES[stage]["cmd"].replace('"$DVC_STAGE"', stage).split()  # DVC sets it
    name = words[words.index("--as") + 1] if "--as" in words else notebook_of(STAGES[stage]).stem
    assert name == stage


def test_every_notebook_but_explorers_belongs_to_a_stage():
    assert {notebook_of(stage) for stage in STAGES.values()} - {None} == set(STAGED)


@pytest.mark.skipif(not (ROOT / "dvc.lock").is_file(), reason="there is no dvc.lock")
def test_the_lock_file_knows_the_stages():
    locked = yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    assert {name: entry["cmd"] for name, entry in locked.items()} == {
        name: stage["cmd"] for name, stage in STAGES.items()
    }
    for name, entry in locked.items():
        assert {item["path"] for item in entry["deps"]} == set(STAGES[name]["deps"])
        assert {item["path"] for item in entry["outs"]} == set(outputs(STAGES[name]))


# How DVC runs them, on toy images


class Pipeline:
    """A copy of the project on disk, with toy images, under Git and DVC."""

    def __init__(self, root):
        self.root = root

    def call(self, *command):
        """Run a command in the project, which uses the project's own copy of the package."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        settings = {"PATH": path, "PYTHONPATH": str(self.root), "GIT_CONFIG_GLOBAL": os.devnull}
        settings |= {"DVC_SITE_CACHE_DIR": str(self.root / ".cache/dvc"), "DVC_NO_ANALYTICS": "1"}
        settings |= {f"GIT_{who}_{what}": "toy" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        done = subprocess.run(
            command,
            cwd=self.root,
            env=os.environ | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.returncode, done.stdout

    def succeed(self, *command):
        code, text = self.call(*command)
        assert code == 0, text
        return text

    def repro(self, *arguments):
        """Names of the stages that `dvc repro` runs."""
        return re.findall(r"^Running stage '(.+)'", self.succeed("dvc", "repro", *arguments), flags=re.MULTILINE)

    def edit(self, path, old, new):
        text = (self.root / path).read_text(encoding="utf-8")
        assert text.count(old) == 1
        (self.root / path).write_text(text.replace(old, new), encoding="utf-8")

    def contents(self, folder):
        return {path: path.read_bytes() for path in sorted((self.root / folder).rglob("*")) if path.is_file()}

    def cells(self):
        return {path.stem for path in (self.root / ".cache/cells").glob("*.safetensors")}


def under_version_control(folder):
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore", ".gitignore", "installed"):
        shutil.copy(ROOT / name, folder)
    for name in ("lists", "measured"):
        shutil.copytree(ROOT / name, folder / name)
    pipeline = Pipeline(folder)
    pipeline.succeed("git", "init", "--quiet")
    pipeline.succeed("dvc", "init", "--quiet")
    return pipeline


def placeholder_section(stage):
    """What a stage hands to the report: its tables, and a chart of one point if the report is to write its points."""
    names = [Path(path).stem for path in outputs(STAGES[stage]) if path.endswith(".csv")]
    frame = pd.DataFrame({"category": ["bolt"], "ours": [Quantity(0.9, unit="%")]})
    tables = {name: Table(name, "", False, frame) for name in names}
    chart = Chart(names[0], "category", metrics=("PRO",))
    charted = f"reports/plots/{stage}.csv" in outputs(STAGES["report"])
    pictures = {stage: Picture(drawing(), "a placeholder", chart)} if charted else {}
    return Section(stage, Heading(stage, ""), 0, tables, pictures)


@pytest.fixture(scope="module")
def finished(whole_project_once, tmp_path_factory):
    """A project all of whose stages have run: scores and metrics are real, the rest are placeholders."""
    root = shutil.copytree(whole_project_once, tmp_path_factory.mktemp("finished") / "project")
    for name, stage in stages(root).items():
        for path in map(root.joinpath, outputs(stage)):
            path.parent.mkdir(parents=True, exist_ok=True)
            if name != "report" and not path.exists():
                path.write_bytes(b"placeholder")
        if any(path.startswith("reports/tables/") for path in outputs(stage)):
            placeholder_section(name).write(root / "reports")
    with chdir(root):
        run_main(report)
    pipeline = under_version_control(root)
    pipeline.succeed("dvc", "commit", "--force", "--quiet")
    shutil.rmtree(root / ".dvc/cache")  # `commit` fills it although the outputs say `cache: false`
    pipeline.succeed("git", "add", ".")
    pipeline.succeed("git", "commit", "--quiet", "--message", "Toy project")
    return root


finished_once = pytest.mark.xdist_group("finished")  # in one process, which makes it


@pytest.fixture
def pipeline(finished, tmp_path):
    return Pipeline(shutil.copytree(finished, tmp_path / "project"))


@pytest.mark.slow
@pytest.mark.long
@finished_once
def test_a_deleted_report_is_all_that_is_made_again(pipeline):
    assert "Data and pipelines are up to date." in pipeline.succeed("dvc", "repro")
    page = pipeline.root / "reports/index.html"
    page.unlink()
    (pipeline.root / "reports/contents.json").unlink()
    assert pipeline.repro() == ["report"]
    assert page.is_file()


@pytest.mark.slow
@finished_once
@pytest.mark.long
def test_an_edited_variant_recomputes_its_own_cells(pipeline):
    before = pipeline.cells()
    path = pipeline.root / "params.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    values["variants"]["patchcore-1"]["coreset_fraction"] = 0.03
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    assert pipeline.repro("score@mtd") == ["score@mtd"]
    index = ScoreIndex.read(pipeline.root / "reports/scores/mtd")
    assert len(pipeline.cells() - before) == sum(cell["variant"] == "patchcore-1" for cell in index.cells) > 0
    assert before <= pipeline.cells()


@pytest.mark.slow
@pytest.mark.long
@finished_once
def test_an_edited_metric_costs_no_inference(pipeline):
    scores, metrics = pipeline.contents("reports/scores"), pipeline.contents("reports/metrics")
    with (pipeline.root / "patchcore_core/metrics/pixels.py").open("a", encoding="utf-8") as file:
        file.write("\nHARMLESS = 1\n")
    assert pipeline.repro("--dry") == ["evaluate@mvtec", "evaluate@mtd", "evaluate@mstc", "report"]
    # Evaluated again, it says the same, and so nothing comes after but the report, which depends on all code.
    assert pipeline.repro("evaluate@mtd", "--downstream") == ["evaluate@mtd", "report"]
    assert pipeline.contents("reports/metrics") == metrics
    assert pipeline.contents("reports/scores") == scores


@pytest.mark.slow
@finished_once
@pytest.mark.long
def test_an_experiment_takes_another_folder_of_images(pipeline):
    other = shutil.copytree(pipeline.root / "folders/mtd", pipeline.root / "folders/other")
    for name in ("0.jpg", "0.png"):
        (other / "MT_Free/Imgs" / name).unlink()
    text = pipeline.succeed("dvc", "exp", "run", "-S", "datasets.mtd.source=folders/other", "data@mtd")
    assert "Running stage 'data@mtd'" in text
    assert load_params(pipeline.root / "params.yaml").dataset("mtd").spec.source == "folders/other"
    assert '"root": "folders/other"' in (pipeline.root / "data/mtd/manifest.json").read_text(encoding="utf-8")


@pytest.mark.slow
@finished_once
def test_broken_images_stop_the_run_with_their_names_and_leave_what_is_finished(pipeline):
    broken = shutil.copytree(pipeline.root / "folders/mtd", pipeline.root / "folders/broken")
    image = broken / "MT_Blowhole/Imgs/1.jpg"
    image.write_bytes(image.read_bytes()[:200])
    pipeline.edit("params.yaml", "source: folders/mtd\n", "source: folders/broken\n")
    finished = pipeline.contents("reports")

    code, text = pipeline.call("dvc", "repro")

    assert code != 0
    assert "ERROR: the dataset mtd in folders/broken cannot be used as it is" in text
    assert "folders/broken/MT_Blowhole/Imgs/1.jpg" in text
    assert "Traceback" not in text
    assert pipeline.contents("reports") == finished


@pytest.mark.slow
@finished_once
@pytest.mark.long
def test_the_pipeline_runs_and_runs_nothing_a_second_time_and_says_the_same_from_scratch(finished, tmp_path):
    pipeline = under_version_control(make_project(tmp_path / "project"))
    wanted = ["data@mtd", "score@mtd", "evaluate@mtd", "dataset_results@mtd"]

    assert pipeline.repro("dataset_results@mtd") == wanted

    assert "Data and pipelines are up to date." in pipeline.succeed("dvc", "repro", "dataset_results@mtd")
    other = shutil.copytree(finished, tmp_path / "other")  # computed from scratch as well, in another process
    run_cells(other, "dataset_results", dataset="mtd")
    for name in ("results_mtd.csv", "results_mtd.json"):
        table = f"reports/tables/{name}"
        assert (pipeline.root / table).read_bytes() == (other / table).read_bytes()
    metrics = "reports/metrics/mtd.json"
    assert (pipeline.root / metrics).read_bytes() == (other / metrics).read_bytes()
