import pytest
from sealed_files import rewrite

from patchcore_core import InputError
from patchcore_suite.settings.project import Project, load_project


def test_every_path_lies_below_the_folder_of_params(project, monkeypatch, tmp_path):
    toy = project.toy
    monkeypatch.chdir(tmp_path)
    root = project.root
    assert toy.project.root == root
    assert (toy.scores, toy.metrics) == (root / "reports/scores/toy", root / "reports/metrics/toy.csv")
    assert (toy.intervals, toy.summary) == (
        root / "reports/metrics/toy_intervals.csv",
        root / "reports/metrics/toy.json",
    )
    assert (toy.timings, toy.manifest_file) == (root / "reports/timings/toy.json", root / "data/toy/manifest.json")
    assert toy.project.cache == root / ".cache"
    assert toy.project.path("reports") == toy.project.reports == toy.project.page.parent


def test_a_dataset_has_what_params_say_of_it(project):
    project.variants["spade"] = {"method": "spade", "resize": 32}
    project.dataset |= {"studies": {"few": {"variants": ["all"], "seeds": [0]}}, "overrides": {"hierarchies": [3]}}
    toy = project.toy
    assert (toy.variants, toy.seeds) == (("tenth", "all", "spade"), (0, 1))
    assert list(toy.studies) == ["main", "few"]
    assert toy.config("tenth").hierarchies == (3,)
    assert toy.config("spade").hierarchies != (3,)
    assert (toy.preprocessing().resize, toy.preprocessing("spade").resize) == ((64, 64), 32)
    assert toy.manifest().categories == ["bolt", "nut"]


def test_the_manifest_of_another_dataset_is_none(project):
    rewrite(project.toy.manifest_file, name="other")
    with pytest.raises(InputError, match=r"toy/manifest\.json is that of other\nRemedy: run `dvc repro data@toy`"):
        project.toy.manifest()


def test_datasets_come_by_name_and_an_unknown_one_is_an_error_that_lists_them(project):
    found = load_project(project.root / "params.yaml") if project.params else None
    assert list(found.datasets) == ["toy"]
    assert found.datasets["toy"] == found.dataset("toy")
    with pytest.raises(InputError, match="known: toy"):
        Project(project.params).dataset("tyo")
