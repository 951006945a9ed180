"""With every network's weights missing, tables say so, figures say so, and no stage fails for want of numbers."""

import pandas as pd
import pytest
import yaml
from whole_project import NOTEBOOKS, STAGED, make_project, outputs, run_cells, score_project, stages

NEEDS_A_NETWORK = ("score", "00_method")  # the one runs in the fixture, the other looks into a network


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = make_project(tmp_path_factory.mktemp("project"))
    values = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    for config in (*values["defaults"].values(), *filter(None, values["variants"].values())):
        config |= {"backbone": "resnet50"} if _has_weights(config.get("backbone")) else {}
        config |= {"backbones": ["resnet50", "resnet101"]} if "backbones" in config else {}
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    score_project(folder)
    return folder


def _has_weights(backbone):
    return backbone is not None and not backbone.startswith("untrained/")


@pytest.mark.slow
@pytest.mark.parametrize("notebook", [path.stem for path in STAGED if path.stem not in NEEDS_A_NETWORK])
def test_a_notebook_runs_and_leaves_what_its_stage_declares(notebook, project):
    stage = next(stage for stage in stages().values() if f"{notebook}.ipynb" in stage["cmd"])
    run_cells(project, notebook, **({"dataset": "mvtec"} if notebook == "dataset_results" else {}))
    declared = [path for path in outputs(stage) if not path.startswith("reports/executed")]  # the runner's
    assert [path for path in declared if not (project / path).exists()] == []


@pytest.mark.slow
def test_a_table_says_that_weights_are_missing_and_keeps_the_controls(project):
    run_cells(project, "t1_image_auroc")
    table = pd.read_csv(project / "reports/tables/t1_image_auroc.csv", dtype=str).set_index("variant")
    controls = [name for name in table.index if name.startswith("control-")]
    assert set(table.loc[["patchcore-25", "spade", "padim"], "ours"]) == {"weights missing"}
    assert all(table.loc[name, "ours"][0].isdigit() for name in controls)


def test_the_papers_grid_explains_the_method_with_a_network_whose_weights_a_package_has():
    grid = yaml.safe_load((NOTEBOOKS[0].parents[1] / "grids/paper.yaml").read_text(encoding="utf-8"))
    variant = grid["tables"]["00_method"]["variant"]
    base = yaml.safe_load((NOTEBOOKS[0].parents[1] / "params.yaml").read_text(encoding="utf-8"))
    assert base["variants"][variant]["backbone"].startswith("tf_efficientnet_lite")
