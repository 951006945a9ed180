"""What `dvc plots show` and `dvc metrics show` have to show, from dvc.yaml as it is."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from whole_project import ROOT, outputs, stages

from patchcore_suite.report.charts import POINT_COLUMNS

PLOTS = [
    next(iter(entry.items())) if isinstance(entry, dict) else (entry, {})
    for entry in yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["plots"]
]
TEMPLATES = ROOT / ".dvc/plots"


def test_what_is_plotted_is_what_stages_make():
    made = {path for stage in stages().values() for path in outputs(stage)}
    for name, options in PLOTS:
        if options:
            assert set(options["y"]) <= made
        else:
            assert name.startswith("reports/figures/")  # which lie beside what stages make


def test_every_chart_of_the_report_is_plotted():
    plotted = {path for _, options in PLOTS for path in options.get("y", {})}
    assert plotted == {path for path in outputs(stages()["report"]) if path.startswith("reports/plots/")}


def test_plots_name_templates_and_columns_that_exist():
    for _, options in PLOTS:
        if options:
            template = json.loads((TEMPLATES / f"{options['template']}.json").read_text(encoding="utf-8"))
            assert "<DVC_METRIC_DATA>" in json.dumps(template)
            assert {options["x"], *options["y"].values()} <= set(POINT_COLUMNS)


@pytest.mark.slow
def test_dvc_draws_every_plot_and_shows_the_metrics(tmp_path):
    for name in ("dvc.yaml", "params.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path)
    for path in {path for name, options in PLOTS for path in (options["y"] if options else [name])}:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"a picture, as far as DVC looks")
    points = pd.DataFrame([["PRO", "greedy", 0.1, 90.5, 0.5]], columns=POINT_COLUMNS)
    for path in {path for _, options in PLOTS for path in options.get("y", {})}:
        points.to_csv(tmp_path / path, index=False)
    metrics = tmp_path / "reports/metrics/mvtec.json"
    metrics.parent.mkdir()
    metrics.write_text('{"patchcore-10": {"image_auroc": 0.97}}')

    call(tmp_path, "git", "init", "--quiet")
    call(tmp_path, "dvc", "init", "--quiet")
    shutil.copytree(TEMPLATES, tmp_path / ".dvc/plots", dirs_exist_ok=True)
    shown = json.loads(call(tmp_path, "dvc", "plots", "show", "--json"))

    assert "errors" not in shown
    assert set(shown["data"]) == {name for name, _ in PLOTS}
    for name, options in PLOTS:
        (view,) = shown["data"][name]
        assert view["type"] == ("vega" if options else "image")
        if options:
            values = view["content"]["data"]["values"]
            assert values
            assert set(POINT_COLUMNS) <= set(values[0])
            assert "<DVC" not in json.dumps(view["content"])  # every place is filled
    found = call(tmp_path, "dvc", "metrics", "show", "reports/metrics/mvtec.json")
    assert "patchcore-10.image_auroc" in found
    assert "0.97" in found


def call(folder, *command):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = {"PATH": path, "DVC_SITE_CACHE_DIR": str(folder / "site"), "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, cwd=folder, env=os.environ | settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
