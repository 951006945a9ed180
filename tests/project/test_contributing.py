"""The examples of CONTRIBUTING.md: written into a copy of the project as they stand there, and run."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from safetensors.torch import save_file
from torchvision.models import resnet18
from toy_folders import mvtec_folder
from whole_project import ROOT

MOST_LINES = 50  # of an example, its settings and its test among them
BLOCK = re.compile(r"^```\w+\n(# (\S+\.\w+)\n.*?)^```$", flags=re.MULTILINE | re.DOTALL)

# Each example, and the files that it takes.
TAKES = {
    "A baseline": [
        "params.yaml",
        "patchcore_suite/baselines/brightness.py",
        "tests/suite/baselines/test_brightness.py",
    ],
    "A dataset layout": [
        "params.yaml",
        "patchcore_suite/datasets/layouts/boxes.py",
        "patchcore_suite/datasets/synthetic/boxes.py",
        "tests/suite/datasets/test_boxes.py",
    ],
    "A metric": [
        "patchcore_core/metrics/caution.py",
        "patchcore_suite/run/metric_registry.py",
        "tests/core/metrics/test_caution.py",
    ],
    "A backbone": ["edges/params.yaml", "edges/run.py", "edges/test_edges.py", "params.yaml"],
}

PARAMS = {
    "datasets": {
        "toy": {
            "layout": "mvtec",
            "paper": None,
            "source": "images",
            "resize": [64, 64],
            "variants": ["patchcore-10"],
            "seeds": [0],
        }
    },
    "variants": {"patchcore-10": {"backbone": "pixels", "hierarchies": [1, 2], "coreset_fraction": 0.1}},
}

RUN = """
import sys
from pathlib import Path
from patchcore_suite.preflight import messages
from patchcore_suite.run import evaluate, prepare, score
from patchcore_suite.settings import schema
from patchcore_suite.settings.project import load_project

messages.main()
for name, dataset in load_project().datasets.items():
    prepare.prepare(name, dataset.spec, "data")
    score.collect(score.score_dataset(dataset, show_progress=False))
    evaluate.write_metrics(dataset)
schema.main()
"""


def examples():
    """The code blocks of each section of the page that has some: path and text."""
    sections = re.split(r"^## ", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    found = {section.partition("\n")[0]: BLOCK.findall(section) for section in sections}
    return {title: [(path, text) for text, path in blocks] for title, blocks in found.items() if blocks}


def merged(values, more):
    """Settings with more of them, block by block."""
    both = {
        key: merged(values[key], value) if isinstance(values.get(key), dict) else value for key, value in more.items()
    }
    return values | both


def python(root, *arguments, cwd="."):
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=root / cwd,
        env={"PATH": "", "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


pytestmark = pytest.mark.xdist_group("newcomer")  # in one process, which makes what all of these need


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory):
    """A copy of both packages with all examples, beside toy images and the settings that the page shows."""
    root = tmp_path_factory.mktemp("newcomer")
    for package in ("patchcore_core", "patchcore_suite"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    mvtec_folder(root / "images", "nut")
    (root / "weights").mkdir()
    save_file(resnet18().state_dict(), root / "weights/resnet18.safetensors")
    params = PARAMS
    for path, text in (block for blocks in examples().values() for block in blocks):
        if path == "params.yaml":
            params = merged(params, yaml.safe_load(text))
        elif (root / path).is_file():  # a line more in a registry, at its end
            lines, end, rest = (root / path).read_text(encoding="utf-8").partition("\n)\nMETRICS")
            (root / path).write_text(f"{lines}\n{text.partition(chr(10))[2].rstrip()}{end}{rest}", encoding="utf-8")
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
    params["datasets"]["toy"]["variants"] = list(params["variants"])
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def said(newcomer):
    """What its run printed."""
    return python(newcomer, "-c", RUN)


def measured(file: Path, metric: str = "image_auroc"):
    rows = pd.read_csv(file)
    return rows[rows["metric"] == metric].set_index("variant")["value"].to_dict()


def test_each_example_takes_the_files_that_the_page_says_and_fewer_lines_than_a_page():
    found = examples()
    assert {title: sorted(path for path, _ in blocks) for title, blocks in found.items()} == TAKES
    for title, blocks in found.items():
        assert sum(len(text.splitlines()) for _, text in blocks) < MOST_LINES, title


def test_every_block_of_code_of_the_page_is_run():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^```(?:python|yaml)$", page, flags=re.MULTILINE)) == sum(map(len, examples().values()))


@pytest.mark.slow
def test_a_baseline_a_layout_and_a_backbone_are_scored_and_evaluated(newcomer, said):
    found = measured(newcomer / "reports/metrics/toy.csv")
    assert set(found) == {"patchcore-10", "brightness-2", "resnet18-10"}
    assert measured(newcomer / "reports/metrics/boxes.csv") == {"patchcore-10": 1}
    index = json.loads((newcomer / "reports/scores/toy/index.json").read_text(encoding="utf-8"))
    assert index["weights_missing"] == []


@pytest.mark.slow
def test_a_metric_is_measured_of_every_variant(newcomer, said):
    found = measured(newcomer / "reports/metrics/toy.csv", "false_alarms")
    assert set(found) == {"patchcore-10", "brightness-2", "resnet18-10"}
    assert all(0 <= value <= 1 for value in found.values())


@pytest.mark.slow
def test_what_a_run_of_them_takes_is_told_before_it_is_begun(said):
    assert "boxes: SYNTHETIC images, to be drawn" in said
    assert "Would fail" not in said


@pytest.mark.slow
def test_editors_know_the_new_method_and_layout(newcomer, said):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema comes with nbformat")
    schema = json.loads((newcomer / "params.schema.json").read_text(encoding="utf-8"))
    params = yaml.safe_load((newcomer / "params.yaml").read_text(encoding="utf-8"))
    assert [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(params)] == []


@pytest.mark.slow
@pytest.mark.long
def test_a_network_of_ones_own_runs_beside_the_pipeline(newcomer):
    python(newcomer, "run.py", cwd="edges")
    assert set(measured(newcomer / "edges/reports/metrics/parts.csv")) == {"edges-10"}


@pytest.mark.slow
@pytest.mark.long
def test_the_tests_of_the_examples_pass(newcomer):
    assert "4 passed" in python(newcomer, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", "edges")


@pytest.mark.slow
def test_the_examples_are_written_as_the_project_is(newcomer):
    paths = [path for blocks in examples().values() for path, _ in blocks if path.endswith(".py")]
    for command in (["check"], ["format", "--check"]):
        python(newcomer, "-m", "ruff", *command, "--no-cache", "--config", str(ROOT / "pyproject.toml"), *paths)
