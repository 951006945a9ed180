"""The toy project is small, and has something of everything that the project has."""

from contextlib import chdir

import pytest
import yaml
from whole_project import CATEGORIES, ROOT, make_project, prepare_project, some_of_each_kind

from patchcore_suite.baselines.config import METHODS
from patchcore_suite.run.cells import plan
from patchcore_suite.settings.params import load_params
from patchcore_suite.settings.project import Project


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = make_project(tmp_path_factory.mktemp("project"))
    prepare_project(folder)
    return folder


def test_every_study_of_the_project_is_there_under_its_name(toy):
    whole, small = load_params(ROOT / "params.yaml"), load_params(toy / "params.yaml")
    assert list(small.datasets) == list(whole.datasets)
    for name, dataset in whole.datasets.items():
        assert list(small.datasets[name].studies) == list(dataset.studies)
        for study, read in dataset.studies.items():
            assert set(small.datasets[name].studies[study].variants) <= set(read.variants)


def test_every_method_sampler_and_search_of_a_study_is_there(toy):
    whole, small = load_params(ROOT / "params.yaml"), load_params(toy / "params.yaml")

    def kinds(params, name, variants):
        configs = [params.config(name, variant) for variant in variants]
        return {(c.method, getattr(c, "sampler", None), getattr(c, "search", None)) for c in configs}

    for name, dataset in whole.datasets.items():
        for study, read in dataset.studies.items():
            assert kinds(small, name, small.datasets[name].studies[study].variants) == kinds(whole, name, read.variants)


def test_every_study_can_run_on_the_toy_images_but_for_weights(toy):
    with chdir(toy):
        params = load_params()
        for name in params.datasets:
            work = plan(Project(params).dataset(name))
            assert 5 < len(work.cells) < 150
            for variants in (study.variants for study in params.dataset(name).studies.values()):
                assert set(variants) <= {cell.variant for cell in work.cells} | set(work.weights_missing)
        assert plan(Project(params).dataset("mvtec")).weights_missing  # so that tables with such rows are tested


def test_the_categories_are_those_of_the_images(toy):
    with chdir(toy):
        params = load_params()
        assert plan(Project(params).dataset("mvtec")).manifest.categories == CATEGORIES


def test_the_toy_project_has_the_projects_variants_and_tables(toy):
    whole, small = (yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8")) for root in (ROOT, toy))
    assert list(small["variants"]) == list(whole["variants"])
    assert list(small["tables"]) == list(whole["tables"])
    assert {method for method in METHODS if method in small.get("defaults", {})} == set(whole.get("defaults", {}))


def test_variants_that_differ_in_values_alone_are_of_a_kind():
    variants = {
        "a": {"stride": 1},
        "b": {"stride": 2},
        "c": {"stride": 3},
        "d": None,
        "e": {"sampler": "random"},
        "f": {"sampler": "greedy"},
        "g": {"method": "spade", "stride": 1},
        **{f"p{number}": {"profile": "paper", "towards": "official", "switches": number} for number in range(4)},
    }
    assert some_of_each_kind(list(variants), variants) == [name for name in variants if name != "c"]
