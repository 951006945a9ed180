import re
from contextlib import chdir
from pathlib import Path

import pytest
import yaml
from toy_folders import mtd_folder, mvtec_folder
from whole_project import ROOT, run_main

from patchcore_core.common.errors import InputError
from patchcore_suite.preflight import grid, machine_speed
from patchcore_suite.preflight.grid import HEADER, ORIGINAL, merge, read_grid, with_settings
from patchcore_suite.preflight.operations import Work
from patchcore_suite.settings.params import load_params, read_params
from patchcore_suite.settings.yaml_file import Document, read_yaml

BASE = {
    "datasets": {
        "mtd": {
            "layout": "mtd",
            "paper": "mtd",
            "source": "synthetic",
            "resize": [32, 32],
            "seeds": [0],
            "variants": ["small"],
        },
        "mvtec": {
            "layout": "mvtec",
            "paper": "mvtec-ad",
            "source": "synthetic",
            "resize": 24,
            "crop": 24,
            "seeds": [0],
            "variants": ["small"],
        },
    },
    "defaults": {"patchcore": {"backbone": "pixels", "hierarchies": [1, 2]}},
    "variants": {"small": {"coreset_fraction": 0.5}},
    "execution": {"cache_dir": ".cache"},
}
SMALL = {
    "without_source": "drop",
    "datasets": {"mtd": {"source": None, "seeds": [0, 1]}, "mvtec": {"source": None}},
}


@pytest.fixture(autouse=True)
def no_measurement(monkeypatch):
    """A machine that does one operation of each kind a nanosecond."""
    rates = Work(*[1e9] * 7)
    monkeypatch.setattr(machine_speed, "calibrate", lambda *_, **__: rates)


@pytest.fixture
def project(tmp_path):
    """A small params.yaml and a grid in a folder, with toy images beside it."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "params.yaml").write_text("# a comment\n" + yaml.safe_dump(BASE), encoding="utf-8")
    (root / "grid.yaml").write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    mvtec_folder(tmp_path / "mvtec", "bottle")
    mtd_folder(tmp_path / "mtd")
    return root


def run_grid(project, *arguments):
    with chdir(project):
        run_main(grid, *arguments)


def test_a_path_is_taken_as_it_was_typed():
    for path in ("/data/it's mine", "/data/my parts #1", "C:/x"):
        assert with_settings(BASE, [f"datasets.mtd.source={path}"])["datasets"]["mtd"]["source"] == path
    assert with_settings(BASE, ["datasets.mtd.source='quoted'"])["datasets"]["mtd"]["source"] == "quoted"


def test_mappings_are_merged_and_lists_replaced():
    merged = merge({"a": {"x": 1, "y": [1, 2]}, "b": 1}, {"a": {"y": [3]}, "b": {"c": None}})
    assert merged == {"a": {"x": 1, "y": [3]}, "b": {"c": None}}


def test_a_merge_leaves_both_sides_as_they_were():
    base, overlay = {"a": {"x": [1]}}, {"a": {"z": [2]}}
    merged = merge(base, overlay)
    merged["a"]["x"].append(9)
    merged["a"]["z"].append(9)
    assert (base, overlay) == ({"a": {"x": [1]}}, {"a": {"z": [2]}})


def test_settings_are_read_as_yaml():
    changed = with_settings(BASE, ["datasets.mtd.seeds=[0, 1]", "datasets.mtd.source=a folder"])
    assert changed["datasets"]["mtd"]["seeds"] == [0, 1]
    assert changed["datasets"]["mtd"]["source"] == "a folder"
    assert BASE["datasets"]["mtd"]["source"] == "synthetic"


@pytest.mark.parametrize(
    "setting",
    ["datasets.mtd.source", "datasets.nothing.source=a", "datasets.mtd.source.x=a", "datasets.mtd.seeds=[1e-3]"],
)
def test_a_setting_that_does_not_fit_is_refused(setting):
    with pytest.raises(InputError, match="cannot be used"):
        with_settings(BASE, [setting])


@pytest.mark.parametrize(("rule", "written"), [("demonstration", ["mtd"]), ("drop", [])])
def test_a_dataset_without_a_source_stays_the_demonstration_or_is_dropped(tmp_path, rule, written):
    overlay = {"without_source": rule, "datasets": {"mtd": {"source": None, "seeds": [5]}}}
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(overlay))
    base = Document("params.yaml", BASE | {"datasets": {"mtd": BASE["datasets"]["mtd"]}})
    merged = read_grid(tmp_path / "grid.yaml", base)
    assert merged.without == ("mtd",)
    assert merged.datasets["mtd"]["seeds"] == [5]  # what it would be, for estimates
    assert list(merged.to_write()["datasets"]) == written
    assert all(merged.to_write()["datasets"][name] == BASE["datasets"][name] for name in written)


def test_an_unknown_rule_is_refused(tmp_path):
    (tmp_path / "grid.yaml").write_text("without_source: guess\ndatasets: {}\n")
    with pytest.raises(InputError, match="without_source='guess'"):
        read_grid(tmp_path / "grid.yaml", Document("params.yaml", BASE))


@pytest.mark.parametrize("name", ["paper", "results"])
def test_the_grids_of_the_project_are_valid(tmp_path, name):
    base = read_yaml(ROOT / "params.yaml", remedy="")
    merged = read_grid(ROOT / f"grids/{name}.yaml", base)
    params = read_params(merged.document, tmp_path)
    assert set(merged.without) == set(merged.datasets) >= set(base.values["datasets"])
    assert params.root == tmp_path


def test_the_paper_grid_has_the_settings_of_the_paper(tmp_path):
    base = read_yaml(ROOT / "params.yaml", remedy="")
    params = read_params(read_grid(ROOT / "grids/paper.yaml", base).document, tmp_path)
    ours, spade, padim = (params.config("mvtec", name) for name in ("patchcore-1", "spade", "padim"))
    assert (ours.backbone, ours.hierarchies, ours.dimension) == ("wide_resnet50_2", (2, 3), 1024)
    assert (spade.backbone, spade.hierarchies, spade.neighbour_images) == ("wide_resnet50_2", (1, 2, 3), 50)
    assert (padim.backbone, padim.dimensions) == ("wide_resnet50_2", 550)
    assert params.config("mvtec", "padim-r18").backbone == "resnet18"
    assert params.config("mvtec", "lite0-10").dimension is None
    assert params.config("mstc", "patchcore-10").hierarchies == (3, 4)
    studies = params.dataset("mvtec").studies
    assert studies["low_shot"].shots == (1, 2, 5, 10, 16, 20, 50)
    assert len(studies["low_shot"].seeds) == 5
    assert all(study.categories is None and len(study.seeds) >= 3 for study in studies.values())


def test_every_study_of_params_is_measured_with_networks_that_are_packaged(tmp_path):
    base = read_yaml(ROOT / "params.yaml", remedy="")
    studies = read_params(base, ROOT).dataset("mvtec").studies
    params = read_params(read_grid(ROOT / "grids/results.yaml", base).document, tmp_path)
    packaged = {f"tf_efficientnet_lite{size}" for size in range(3)}
    for dataset in ("mvtec", "mtd"):
        found = params.dataset(dataset).studies
        assert found.keys() >= studies.keys(), dataset
        configs = [params.config(dataset, variant) for study in found.values() for variant in study.variants]
        used = {member.backbone for config in configs for member in config.members}
        assert {name for name in used if not name.startswith(("untrained/", "pixels"))} == packaged, dataset


def test_what_is_wrong_with_a_grid_is_said_at_once_with_the_file_and_line_of_each(project):
    (project / "grid.yaml").write_text(
        "datasets:\n  mtd:\n    seeds: [0, 010]\n    crop: x\nvariants: {small: {strid: 1}}\n"
    )
    with pytest.raises(InputError) as caught:
        run_grid(project, "grid.yaml", "--set", "execution.workers=0")
    assert caught.value.problem == "params.yaml with grid.yaml laid over it cannot be used"
    workers, seeds, crop, variant = sorted(caught.value.offenders)
    assert workers.startswith("--set: execution.workers=0 must be")
    assert seeds.startswith("grid.yaml line 3: 010 is read differently")
    assert crop.startswith("grid.yaml line 4: datasets.mtd.crop='x' is not a size")
    assert variant.startswith("grid.yaml line 5: unknown key variants.small.strid (did you mean stride?)")


@pytest.mark.parametrize("text", ["datasets: 3", "datasets: [mtd]", "datasets: {mtd: 3}", "datasets: {mtd: null}"])
def test_a_grid_of_another_shape_is_refused(project, text):
    (project / "grid.yaml").write_text(text)
    with pytest.raises(InputError, match="laid over it cannot be used"):
        run_grid(project, "grid.yaml")


def test_a_grid_is_laid_over_what_is_valid_only(project):
    (project / "params.yaml").write_text("datasets: 3\n")
    with pytest.raises(InputError, match=r"^params.yaml cannot be used:\n  - line 1: datasets=3 must be a mapping"):
        run_grid(project, "grid.yaml")


def test_a_dry_run_needs_no_images_and_writes_nothing(project, capsys):
    before = (project / "params.yaml").read_bytes()
    run_grid(project, "grid.yaml")
    text = capsys.readouterr().out
    assert re.search(r"all +3,629 +1,725 +15 ", text)
    assert re.search(r"mtd +762 +582 +2 ", text)
    assert "MVTEC=folder" in text
    assert (project / "params.yaml").read_bytes() == before
    assert not (project / "data").exists()


def test_a_written_grid_replaces_params_and_keeps_what_was_there(project):
    before = (project / "params.yaml").read_text(encoding="utf-8")
    run_grid(project, "grid.yaml", "--set", "datasets.mtd.source=../mtd", "--write")
    written = (project / "params.yaml").read_text(encoding="utf-8")
    assert written.startswith(HEADER)
    assert (project / ORIGINAL).read_text(encoding="utf-8") == before
    assert list(load_params(project / "params.yaml").datasets) == ["mtd"]


def test_a_second_grid_is_laid_over_the_demonstration_again(project):
    before = (project / "params.yaml").read_text(encoding="utf-8")
    run_grid(project, "grid.yaml", "--set", "datasets.mtd.source=../mtd", "--write")
    run_grid(project, "grid.yaml", "--set", "datasets.mvtec.source=../mvtec", "--write")
    assert list(load_params(project / "params.yaml").datasets) == ["mvtec"]
    assert (project / ORIGINAL).read_text(encoding="utf-8") == before


def test_without_the_original_a_second_grid_is_refused(project):
    run_grid(project, "grid.yaml", "--set", "datasets.mtd.source=../mtd", "--write")
    (project / ORIGINAL).unlink()
    with pytest.raises(InputError, match="git checkout"):
        run_grid(project, "grid.yaml")


def test_a_grid_written_elsewhere_finds_images_and_cache_of_the_project(project):
    before = (project / "params.yaml").read_bytes()
    run_grid(project, "grid.yaml", "--set", "datasets.mtd.source=../mtd", "--write", ".cache/r/params.yaml")
    params = load_params(project / ".cache/r/params.yaml")
    assert Path(params.dataset("mtd").spec.source) == (project.parent / "mtd").resolve()
    assert params.path(params.execution.cache_dir) == (project / ".cache").resolve()
    assert (project / "params.yaml").read_bytes() == before


@pytest.mark.parametrize("named", ["lists/list.txt", "../mtd/list.txt"])
def test_a_grid_written_elsewhere_finds_the_list_of_training_images(project, named):
    file = project / named
    file.parent.mkdir(exist_ok=True)
    nominal = sorted(path.name for path in (project.parent / "mtd/MT_Free/Imgs").glob("*.jpg"))
    file.write_bytes(b"".join(name.encode() + b"\r\n" for name in nominal[:-1]))
    settings = ("--set", "datasets.mtd.source=../mtd", "--set", f"datasets.mtd.train_list={named}")
    run_grid(project, "grid.yaml", *settings, "--write", ".cache/r/params.yaml")
    params = load_params(project / ".cache/r/params.yaml")
    found = params.path(params.dataset("mtd").spec.train_list)
    assert found.read_bytes() == file.read_bytes()
    assert found.resolve().parent in ((project / ".cache/r/lists").resolve(), (project.parent / "mtd").resolve())


def test_nothing_is_written_where_something_would_fail(project, capsys):
    before = (project / "params.yaml").read_bytes()
    with pytest.raises(SystemExit):
        run_grid(project, "grid.yaml", "--set", "datasets.mtd.source=../nothing", "--write")
    assert "does not exist" in capsys.readouterr().out
    assert (project / "params.yaml").read_bytes() == before


def test_a_grid_without_any_images_is_not_written(project):
    with pytest.raises(InputError, match="nothing to run"):
        run_grid(project, "grid.yaml", "--write")
