from contextlib import chdir
from copy import deepcopy

import pytest
from whole_project import ROOT, run_main

from patchcore_core import InputError
from patchcore_suite.preflight.grid import read_grid
from patchcore_suite.settings import schema
from patchcore_suite.settings.params import read_params
from patchcore_suite.settings.yaml_file import Document, read_yaml

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema comes with nbformat")
CHECK = jsonschema.Draft7Validator(schema.schema())
BASE = read_yaml(ROOT / "params.yaml", remedy="")


def test_the_committed_schema_is_that_of_the_code():
    assert (ROOT / "params.schema.json").read_text(encoding="utf-8") == schema.text(), "renew it: make schema"


def test_editors_are_told_of_the_schema():
    first = (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=params.schema.json"


def test_the_schema_is_written_beside_params(tmp_path):
    (tmp_path / "params.yaml").write_text("")
    with chdir(tmp_path):
        run_main(schema)
    assert (tmp_path / "params.schema.json").read_text(encoding="utf-8") == schema.text()


def test_the_schema_is_one():
    jsonschema.Draft7Validator.check_schema(schema.schema())


def test_params_and_grids_of_the_project_follow_the_schema():
    merged = [read_grid(ROOT / f"grids/{name}.yaml", BASE).document for name in ("paper", "results")]
    for document in (BASE, *merged):
        assert [error.message for error in CHECK.iter_errors(document.values)] == []


def test_what_a_reader_sees_of_a_key_is_what_its_source_says():
    variant = schema.schema()["definitions"]["variant"]["allOf"][0]["then"]["properties"]
    assert variant["coreset_fraction"] == {"type": "number", "default": 0.01, "description": "|M_C| / |M|"}
    assert variant["sampler"]["enum"] == [
        *("greedy", "random"),
        *("distance_sampling", "kmeans", "merge_reduce", "proxies", "two_round"),
    ]
    dataset = schema.schema()["properties"]["datasets"]["additionalProperties"]["properties"]
    assert dataset["layout"]["enum"] == [
        *("btad", "csv", "folders", "kolektorsdd", "kolektorsdd2", "mpdd", "mstc", "mtd", "mvtec", "mvtec_ad_2"),
        *("mvtec_loco", "ped2", "real_iad", "visa"),
    ]
    assert dataset["seeds"]["description"] == "of everything that is drawn; a list of one or more different values"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("datset", {}),
        ("datasets", []),
        ("datasets.mvtec", None),
        ("datasets.mvtec.layout", "mvtek"),
        ("datasets.mvtec.colour", 1),
        ("datasets.mvtec.resize", "256"),
        ("datasets.mvtec.resize", [1, 2, 3]),
        ("datasets.mvtec.seeds", [0, 0]),
        ("datasets.mvtec.seeds", []),
        ("datasets.mvtec.seeds", [-1]),
        ("datasets.mvtec.studies.low_shot.shots", [0]),
        ("datasets.mvtec.studies.low_shot.colour", 1),
        ("datasets.mvtec.studies.low_shot", {}),
        ("datasets.mstc.overrides.hierarchie", [3]),
        ("datasets.a b", BASE.values["datasets"]["mtd"]),
        ("datasets.mtd", {"layout": "mtd"}),
        ("defaults.patchcor", {}),
        ("defaults.padim.stride", 2),
        ("variants.spade.stride", 2),
        ("variants.spade.profile", "paper"),
        ("variants.patchcore-1.sampler", "gredy"),
        ("variants.patchcore-1.stride", "two"),
        ("variants.patchcore-1.method", "patchcor"),
        ("variants.paper.profile", "papre"),
        ("variants.ensemble-320.models", []),
        ("variants.ensemble-320.stride", 2),
        ("variants.a/b", {}),
        ("tables.t2_pixel_auroc", 3),
        ("execution.device", "gpu"),
        ("execution.workers", 0),
        ("execution.compile", 1),
        ("execution.colour", 1),
    ],
)
def test_what_the_schema_refuses_is_refused_on_loading_too(tmp_path, path, value):
    values = deepcopy(dict(BASE.values))
    *parents, key = path.split(".")
    place = values
    for parent in parents:
        place = place[parent]
    place[key] = value
    assert not CHECK.is_valid(values)
    with pytest.raises(InputError):
        read_params(Document("params.yaml", values), tmp_path)
