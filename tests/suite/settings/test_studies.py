from dataclasses import fields

import pytest

from patchcore_core import InputError
from patchcore_suite.settings.problems import Problems
from patchcore_suite.settings.studies import Study, read_study
from patchcore_suite.settings.yaml_file import Document


def message(act, *arguments):
    with pytest.raises(InputError) as caught:
        act(*arguments)
    return str(caught.value)


def study(given):
    problems = Problems(Document("params.yaml", {}))
    read = read_study(given, ("datasets", "toy", "studies", "mine"), ["one", "two", "three"], problems)
    problems.raise_any()
    return read


def test_a_study_takes_all_categories_and_images_unless_it_says_otherwise():
    assert study({"variants": ["two", "one"], "seeds": [3]}) == Study(
        variants=("two", "one"), seeds=(3,), categories=None, shots=(None,), covering_radius=False
    )
    everything = {
        "variants": ["one"],
        "seeds": [0, 1],
        "categories": ["bolt"],
        "shots": [1, None],
        "covering_radius": True,
    }
    assert set(everything) == {field.name for field in fields(Study)}
    assert study(everything) == Study(
        variants=("one",), seeds=(0, 1), categories=("bolt",), shots=(1, None), covering_radius=True
    )
    assert study({"variants": ["one"], "seeds": [0], "categories": None}).categories is None


def test_a_study_runs_on_all_categories_on_those_it_names_or_on_the_first_ones():
    def chosen(categories):
        return study({"variants": ["one"], "seeds": [0], "categories": categories}).chosen(["bolt", "nut", "gear"])

    assert chosen(None) == ("bolt", "nut", "gear")
    assert chosen(2) == ("bolt", "nut")
    assert chosen(9) == ("bolt", "nut", "gear")
    assert chosen(["gear", "bolt"]) == ("gear", "bolt")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"variant": ["one"]}, ["datasets.toy.studies.mine.variant (did you mean variants?)"]),
        ({}, ["datasets.toy.studies.mine.variants", "datasets.toy.studies.mine.seeds"]),
        ({"variants": "one"}, ["datasets.toy.studies.mine.variants='one' must be a list"]),
        ({"variants": ["one", "one"]}, ["datasets.toy.studies.mine.variants=['one', 'one'] must be a list"]),
        (
            {"variants": ["four", "one", "five"]},
            ["mine.variants[0]='four' is no variant; known here: one, two, three", "mine.variants[2]='five'"],
        ),
        ({"variants": [["one"]]}, ["mine.variants[0]=['one'] must be the name of a variant"]),
        ({"seeds": []}, ["datasets.toy.studies.mine.seeds=[] must be a list"]),
        ({"seeds": [0, 0]}, ["datasets.toy.studies.mine.seeds=[0, 0] must be a list of one or more different"]),
        (
            {"seeds": [-1, 1.5, True, None, "0", 2]},
            [f"mine.seeds[{i}]={seed} must be" for i, seed in enumerate(["-1", "1.5", "true", "null", "'0'"])],
        ),
        ({"shots": None}, ["datasets.toy.studies.mine.shots=null must be a list"]),
        ({"shots": 5}, ["datasets.toy.studies.mine.shots=5 must be a list"]),
        (
            {"shots": [0, -2, 2.5, True, "5", 7]},
            [f"mine.shots[{i}]={count} must be" for i, count in enumerate(["0", "-2", "2.5", "true", "'5'"])],
        ),
        ({"categories": "bolt"}, ["mine.categories='bolt' must be null for all"]),
        ({"categories": 0}, ["mine.categories=0 must be"]),
        ({"categories": True}, ["mine.categories=true must be"]),
        ({"categories": []}, ["datasets.toy.studies.mine.categories=[] must be"]),
        ({"categories": [1, None]}, ["mine.categories=[1, None] must be"]),
        ({"covering_radius": 1}, ["mine.covering_radius=1 must be true or false"]),
        ({"covering_radius": None}, ["mine.covering_radius=null must be true or false"]),
    ],
)
def test_a_study_that_cannot_be_used_is_named_with_the_path_of_its_key(given, expected):
    whole = (
        {"variants": ["one"], "seeds": [0]} | given if isinstance(given, dict) and given.keys() - {"variant"} else given
    )
    text = message(study, whole)
    for part in expected:
        assert part in text


def test_all_values_of_a_study_that_cannot_be_used_are_listed_at_once():
    text = message(
        study,
        {"variants": ["one"], "seeds": [-1, 0], "shots": [0, 1], "categories": [7], "covering_radius": "yes"},
    )
    for part in ("mine.seeds[0]=-1", "mine.shots[0]=0", "mine.categories=[7]", "mine.covering_radius='yes'"):
        assert part in text
    assert text.count("  - ") == 4
