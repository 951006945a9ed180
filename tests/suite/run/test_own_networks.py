"""Networks of the user's own: the way of README.md, built in a toy project as it says, and what can be wrong there."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from click.testing import CliRunner

from patchcore_core import InputError
from patchcore_core.backbones import feature_maps
from patchcore_suite.explore.categories import Category
from patchcore_suite.parts.command import main
from patchcore_suite.preflight.requirements import check
from patchcore_suite.run.cells import plan
from patchcore_suite.run.evaluate import evaluate_dataset
from patchcore_suite.run.groups import groups
from patchcore_suite.run.inference_times import fit_systems
from patchcore_suite.run.own_networks import read_networks
from patchcore_suite.run.ray_worker import RayWorker
from patchcore_suite.run.sources import check_sources
from patchcore_suite.settings.project import Project

README = Path(__file__).parents[3] / "README.md"
SECTION = README.read_text(encoding="utf-8").partition("## A network of your own\n")[2].partition("\n## ")[0]
CODE, SETTINGS = (re.search(rf"```{kind}\n(.*?)```", SECTION, re.DOTALL)[1] for kind in ("python", "yaml"))


def message(act, *given, **named):
    with pytest.raises(InputError) as raised:
        act(*given, **named)
    return str(raised.value)


@pytest.fixture
def mine(project):
    """The toy project with what README.md says, in `networks.py` and params.yaml."""
    said = yaml.safe_load(SETTINGS)
    (project.root / "networks.py").write_text(CODE, encoding="utf-8")
    project.variants, project.dataset["seeds"] = said["variants"], [0]
    project.execution |= {**said["execution"], "engine": "local"}
    return project


def change(project, old="stride=8", new="stride=4"):
    file = project.root / "networks.py"
    file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


# The way of README.md


def test_the_way_of_the_readme_reaches_every_stage(mine):
    checked = check(mine.toy)
    assert checked.problems == []
    assert checked.needs[0].patches >= {8 * 8}  # 64 pixels at stride 8
    index = mine.score()
    assert {cell["variant"] for cell in index.cells} == {"mine"}
    stamps = [result.stamp for _, result in index.results(mine.toy.scores)]
    assert {stamp["networks_sha256"] for stamp in stamps} == {read_networks(mine.root / "networks.py").sha256}
    assert "mine" in set(evaluate_dataset(mine.toy).metrics["variant"])
    systems, skipped = fit_systems(mine.toy, study="main")
    assert list(systems) == ["mine"]
    assert skipped == {}

    category = Category.read(mine.toy, "nut", "mine")
    opened = category.model().predict_described([category.test_features(0)[None]], (64, 64))
    assert float(opened.scores[0]) == pytest.approx(category.subject(0).score, rel=1e-5)
    change(mine)
    assert "networks.py has changed" in message(Category.read, mine.toy, "nut", "mine")
    mine.execution["networks"] = "installed"
    assert "execution.networks in params.yaml names none" in message(Category.read, mine.toy, "nut", "mine")


def test_a_worker_reads_the_same_file_and_gives_what_one_process_gives(mine):
    mine.score()
    work = plan(mine.toy)
    mine.execution["cache_dir"] = "other"
    again = plan(mine.toy)
    worker = RayWorker(again, 1, None)
    worker.begin()
    for group in groups(again.cells, again):
        worker.compute(group)
    for one, other in zip(work.cells, again.cells, strict=True):
        assert work.path(one).read_bytes() == again.path(other).read_bytes()


@pytest.mark.long
def test_processes_give_the_bytes_of_one(mine):
    index = mine.score()
    alone = [(mine.toy.scores / cell["file"]).read_bytes() for cell in index.cells]
    mine.execution |= {"engine": "processes", "processes": 2, "cache_dir": "other"}
    index = mine.score()
    assert [(mine.toy.scores / cell["file"]).read_bytes() for cell in index.cells] == alone


def test_a_worker_refuses_another_file_than_the_one_that_was_planned_with(mine):
    work = plan(mine.toy)
    change(mine)
    worker = RayWorker(work, 1, None)
    worker.begin()
    with pytest.raises(InputError, match=r"networks\.py has changed"):
        worker.compute(groups(work.cells, work)[0])


def test_another_file_is_in_the_keys_of_its_own_cells_and_of_no_others(mine):
    mine.variants["named"] = {"backbone": "pixels", "hierarchies": [2, 3]}

    def keys():
        return {(cell.variant, cell.category): cell.key for cell in plan(mine.toy).cells}

    before = keys()
    for remark in ("", "# a remark\n"):
        change(mine, "networks =", f"{remark}networks =")
        same = {cell for cell, key in keys().items() if key == before[cell]}
        assert {variant for variant, _ in same} == ({"named"} if remark else {"mine", "named"})


def test_what_a_file_draws_is_the_same_every_time_and_leaves_the_callers_draws_alone(mine):
    images = torch.rand(1, 3, 32, 32)
    maps = []
    for end in ("", "# another content\n"):
        change(mine, "networks =", f"{end}networks =")
        torch.manual_seed(5)
        maps.append(feature_maps(read_networks(mine.root / "networks.py").modules["mine"], images)[0])
        drawn = torch.rand(1)
        torch.manual_seed(5)
        assert torch.equal(drawn, torch.rand(1))
    assert torch.equal(*maps)


def test_the_command_fits_tests_and_judges_with_it(mine, tmp_path):
    def run(*arguments, code=0):
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == code, result.output
        return result

    given = ["--networks", mine.root / "networks.py"]
    folder, model = mine.root / "images/bolt", tmp_path / "model"
    chosen = ["--to", model, "--size", 64, 64, "--backbone", "mine", *given]
    assert "a model holds no code" in run("fit", folder, *chosen, "--with-weights", code=1).stderr
    assert not model.exists()
    assert "image AUROC" in run("fit", folder, *chosen).stdout
    assert "--networks" in (model / "README.md").read_text(encoding="utf-8")
    assert run("predict", model, folder / "test", *given).stdout
    assert "image AUROC" in run("evaluate", model, folder, *given).stdout
    assert "name the file that gives it" in run("predict", model, folder / "test", code=1).stderr
    other = ["fit", folder, "--to", tmp_path / "other", "--size", 64, 64]
    assert "networks.py gives: mine" in run(*other, *given, code=1).stderr
    run(*other)
    assert "needs no file of networks" in run("predict", tmp_path / "other", folder / "test", *given, code=1).stderr
    change(mine, "0.45", "0.5")
    assert "another network" in run("predict", model, folder / "test", *given, code=1).stderr


# What can be wrong


def test_a_backbone_that_nobody_gives_is_told_with_what_there_is(mine):
    mine.variants["other"] = {"backbone": "mime"}
    said = message(plan, mine.toy)
    assert "variants.other" in said
    assert "networks.py gives mine" in said
    mine.execution["networks"] = "installed"
    said = message(plan, mine.toy)
    assert "no file of own networks is named" in said
    assert said.count("Remedy:") == 1
    assert "execution.networks" in "".join(check(mine.toy).problems)


def test_a_file_that_is_not_there_is_told_before_anything_runs(mine):
    (mine.root / "networks.py").unlink()
    assert "execution.networks: no such file" in message(check_sources, Project(mine.params))
    assert "cannot be read" in message(plan, mine.toy)
    assert "cannot be read" in "".join(check(mine.toy).problems)


@pytest.mark.parametrize("name", ["networks", "networks.txt", ""])
def test_only_a_python_file_is_taken_for_one(mine, name):
    mine.execution["networks"] = name
    assert "must be a Python file, or installed" in message(lambda: mine.params)


@pytest.mark.parametrize("name", ["reports/networks.py", "~/networks.py", "https://a/networks.py"])
def test_a_file_that_dvc_would_not_watch_is_refused(mine, name):
    mine.execution["networks"] = name
    assert "execution.networks" in message(lambda: mine.params)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import torch\n\nnetworks = {'a': nothing}\n", r"fails in line 3: NameError: name 'nothing'"),
        ("def f():\n    raise ValueError('deep')\n\n\nf()\n", r"fails in line 2: ValueError: deep"),
        ("x = (\n", r"fails in line 1: SyntaxError"),
        ("import not_installed_here\n", r"fails in line 1: ModuleNotFoundError"),
        ("raise SystemExit(3)\n", r"fails in line 1: SystemExit"),
        ("x = 1\n", "must be a mapping of names to modules, and is nothing"),
        ("networks = {}\n", "and is an empty mapping"),
        ("networks = [1]\n", "and is a list"),
    ],
)
def test_a_file_that_fails_or_gives_nothing_is_told_with_its_line(tmp_path, code, said):
    (tmp_path / "networks.py").write_text(code, encoding="utf-8")
    with pytest.raises(InputError, match=said) as raised:
        read_networks(tmp_path / "networks.py")
    assert str(tmp_path / "networks.py") in str(raised.value)


def test_all_networks_that_cannot_be_used_are_told_at_once(tmp_path):
    (tmp_path / "networks.py").write_text(
        "from torch import nn\n"
        "networks = {'resnet18': nn.Identity(), 'kind': nn.Identity, 'call': abs, 'a b': nn.Identity(), 3: 4,\n"
        "            'pixels': nn.Identity(), 'fine': nn.Identity()}\n",
        encoding="utf-8",
    )
    said = message(read_networks, tmp_path / "networks.py")
    assert "'resnet18' is the name of a torchvision network" in said
    assert "'pixels' is the name of" in said
    assert "'kind' is no torch.nn.Module but a type, a class: write it with ()" in said
    assert "'call' is no torch.nn.Module but a builtin_function_or_method" in said
    assert "'a b' is no name" in said
    assert "3 is no name" in said
    assert "'fine'" not in said
    assert said.count("Remedy:") == 1


def test_another_number_of_maps_than_hierarchies_is_foretold(mine):
    mine.variants["mine"]["hierarchies"] = [2]
    assert "returns 2 feature maps for hierarchies=[2]" in "".join(check(mine.toy).problems)
