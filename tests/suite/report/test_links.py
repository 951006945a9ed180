from dataclasses import replace

from patchcore_suite.report.links import Links, other_versions
from patchcore_suite.run import environment
from patchcore_suite.run.raw_results import ScoreIndex
from patchcore_suite.settings.project import Project


def test_raw_results_are_listed_by_variant(scored):
    links = Links(Project(scored.params))
    first = links.results["toy"][0]
    assert [row.variant for row in links.results["toy"]] == ["tenth", "all"]
    assert (first.anchor, first.seeds, first.shots) == ("raw-toy-tenth", "0, 1", "all")
    assert first.folders == {"bolt": "scores/toy/bolt/tenth", "nut": "scores/toy/nut/tenth"}
    for row in links.results["toy"]:
        for folder in row.folders.values():
            assert list((scored.root / "reports" / folder).glob("seed-*.safetensors"))


def test_numbers_of_shots_stand_before_all_images(project):
    project.dataset["studies"] = {"few": {"variants": ["tenth"], "seeds": [0], "shots": [1, 2]}}
    project.score()
    rows = {row.variant: row for row in Links(Project(project.params)).results["toy"]}
    assert (rows["tenth"].shots, rows["all"].shots) == ("1, 2, all", "all")
    assert rows["tenth"].folders["bolt"] == "scores/toy/bolt/tenth"


def test_what_has_no_results_leads_nowhere(scored):
    links = Links(Project(scored.params))
    assert links.variant("toy", "tenth") == "#raw-toy-tenth"
    assert links.variant("toy", "PatchSVDD") == links.variant(None, "tenth") == ""
    assert links.files("toy", "tenth", "nut") == "scores/toy/nut/tenth"
    assert links.files("toy", "tenth", "mean") == links.files("toy", "category", "nut") == ""


def test_a_variant_without_weights_leads_to_what_to_do_about_it(scored):
    folder = scored.root / "reports/scores/toy"
    missing = ({"variant": "wide", "remedy": "copy them"},)
    replace(ScoreIndex.read(folder), weights_missing=missing).write(folder)
    assert Links(Project(scored.params)).variant("toy", "wide") == "#missing-toy-wide"


def test_versions_that_differ_are_named_once():
    here = environment.versions()
    same, other = {"versions": here}, {"versions": here | {"torch": "0.1", "gone": "2.0"}}
    assert other_versions([same, same]) == []
    assert other_versions([same, other, other]) == ["gone 2.0, here not installed", f"torch 0.1, here {here['torch']}"]
