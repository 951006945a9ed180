import subprocess
import sys
from pkgutil import resolve_name

import numpy as np
import pandas as pd
import pytest

from patchcore_suite.results import formats, sentences, study_metrics, study_tables
from patchcore_suite.run import evaluate, intervals
from patchcore_suite.run.asked_intervals import ASKED_PIXEL_METRICS
from patchcore_suite.run.image_intervals import bootstrap_mean_auroc
from patchcore_suite.run.metric_registry import IMAGES, METRICS, Metric, wanted
from patchcore_suite.run.pixel_intervals import PIXEL_METRICS
from patchcore_suite.run.result_metrics import Judged


def test_every_function_is_there_and_every_need_is_known():
    for metric in METRICS.values():
        assert callable(resolve_name(metric.function)) if metric.function else len(metric.needs) == 1
        for need in metric.needs:
            assert {need.partition(".")[0]} <= {*vars(Judged), *Judged.__annotations__}
    assert len({metric.heading for metric in METRICS.values()}) == len(METRICS)


def test_a_metric_with_an_interval_can_be_resampled():
    for metric in METRICS.values():
        assert not metric.interval or metric.needs == IMAGES or metric.name in (*PIXEL_METRICS, *ASKED_PIXEL_METRICS)


def test_headings_are_read_without_numerical_libraries():
    code = "import sys, patchcore_suite.results.formats; print({'torch', 'scipy', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_a_line_more_is_a_metric_more_in_files_tables_summaries_and_intervals(scored, monkeypatch):
    # The sum of the scores of anomalous images, which nothing else knows of.
    shown = {"share": False, "table": True, "summary": True, "interval": True}
    monkeypatch.setitem(METRICS, "sum", Metric("sum", "numpy:vdot", IMAGES, "sum of scores", **shown))
    scored.dataset["studies"] = {"all": {"variants": list(scored.variants), "seeds": [0, 1]}}

    evaluate.write_metrics(scored.toy)

    rows = study_metrics.read_metrics(scored.toy)
    assert list(rows[rows["variant"] == "tenth"]["metric"].unique()) == [metric.name for metric in wanted(())]
    means = study_metrics.mean_over_categories(rows, "sum").groupby("variant", sort=False)["value"].mean()
    assert (means > 0).all()
    overview = study_metrics.overview(rows)
    assert list(overview.columns)[-2:] == ["sum of scores", "misclassified"]
    assert list(map(str, overview["sum of scores"])) == [f"{mean:.3g}" for mean in means]
    table = study_tables.study_table(scored.toy, "all", metrics=["pro", "sum"])
    assert list(table.columns) == ["variant", "PRO", "sum of scores"]
    assert set(evaluate.summarise(rows)["tenth"]) == {"image_auroc", "pixel_auroc", "pro", "sum"}
    found = study_metrics.read_intervals(scored.toy, metric="sum")
    assert found.keys() == set(scored.variants)
    assert all(interval.low <= means[variant] <= interval.high for variant, interval in found.items())


def test_of_a_metric_of_which_less_is_better_the_smallest_value_is_the_best(monkeypatch):
    monkeypatch.setitem(METRICS, "loss", Metric("loss", "", (), "loss", higher_is_better=False))
    monkeypatch.setitem(formats.HEADINGS, "loss", "loss")
    values = pd.DataFrame({"p": [1, 3, 5], "pro": [0.1, 0.2, 0.3], "loss": [0.5, 0.1, 0.3]})
    assert sentences.best(values, "p", ["pro", "loss"]).startswith("The best are 5 for PRO, 3 for loss.")
    assert "in place 2 in PRO, 1 in loss of 3" in sentences.place(values, "p", 3, ["pro", "loss"])
    led = pd.DataFrame({"method": ["patchcore", "spade"], "shots": [1, 1], "loss": [0.5, 0.1]})
    assert "loss: **spade** with 1 nominal image(s)" in sentences.leaders(led, ["loss"])


def test_the_interval_of_any_image_metric_is_that_of_the_image_auroc_if_it_is_that(monkeypatch):
    draw = np.random.default_rng(0)
    categories = [(np.repeat([0, 1], [5, 4]), draw.random((2, 9))), (np.repeat([0, 1], 3), draw.random((2, 6)))]
    monkeypatch.setattr(intervals, "image_auroc", None)  # so that it goes the way of all others
    found = intervals._interval(METRICS["image_auroc"], categories)
    assert found == pytest.approx(bootstrap_mean_auroc(categories), abs=1e-12)
    one_nominal = [(np.array([0, 1, 1]), draw.random((1, 3)))]
    assert np.isnan(intervals._interval(METRICS["image_auroc"], one_nominal)).all()
