import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from conftest import ToyProject
from html_page import Page
from sealed_files import rewrite

from patchcore_core.common.errors import InputError
from patchcore_suite.report.frontier_chart import HEIGHT, LEFT, WIDTH, frontier_chart
from patchcore_suite.report.leaderboard import build_leaderboard
from patchcore_suite.report.links import describe_dataset
from patchcore_suite.report.measured import Measured, read_values
from patchcore_suite.results.quantities import Interval
from patchcore_suite.results.standings import standings
from patchcore_suite.run.evaluate import write_metrics
from patchcore_suite.run.sealed import sealed, unsealed
from patchcore_suite.settings.project import Project

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def evaluated_once(scored_once, tmp_path_factory):
    project = ToyProject(shutil.copytree(scored_once.root, tmp_path_factory.mktemp("evaluated") / "project"))
    write_metrics(project.toy)
    return project


@pytest.fixture
def evaluated(evaluated_once, tmp_path):
    """A toy project with metrics, to be changed by the test."""
    return ToyProject(shutil.copytree(evaluated_once.root, tmp_path / "project"))


def page_of(project):
    return Page(build_leaderboard(Project(project.params)))


def standings_of(methods):
    """Of (seconds, value) by method."""
    rows = pd.DataFrame(
        [(name, "image_auroc", 0, value, "bolt", None) for name, (_, value) in methods.items()],
        columns=["variant", "metric", "seed", "value", "category", "shots"],
    )
    costs = pd.DataFrame({"seconds": {name: seconds for name, (seconds, _) in methods.items()}})
    ends = {name: Interval(value - 0.05, min(1, value + 0.02)) for name, (_, value) in methods.items()}
    return standings(rows, {"image_auroc": ends}, costs)


def test_methods_that_were_run_stand_with_ranks_and_costs(evaluated):
    page = page_of(evaluated)
    assert {"toy", "table-toy-ranked", "table-toy-intervals"} <= page.ids
    assert "toy: ranks and costs" in page.text
    assert "rank" in page.text
    assert "images that are drawn by this suite" not in page.text


def test_times_that_are_damaged_are_told_once_for_all_pages(evaluated, capsys):
    evaluated.toy.timings.write_text("{")
    page_of(evaluated)
    describe_dataset(evaluated.toy)
    assert capsys.readouterr().err.count("are damaged or of other results, and left out") == 1


def test_what_is_drawn_is_said_to_be(evaluated):
    rewrite(evaluated.root / "reports/scores/toy/index.json", synthetic=True)
    text = page_of(evaluated).text
    assert "it is no rank on the real dataset, and none beside a number of a paper" in text
    assert "SYNTHETIC images (toy)" in text


def test_what_was_measured_on_real_images_has_boards_of_its_own(evaluated):
    shutil.copytree(ROOT / "measured", evaluated.root / "measured")
    page = page_of(evaluated)
    assert {"measured-mvtec", "measured-hazelnut_reduced"} <= page.ids
    assert "MVTec AD (bottle), real images" in page.text
    assert "control-random" not in page.text


def test_what_measured_methods_cost_stands_beside_their_accuracy(evaluated):
    folder = Path(shutil.copytree(ROOT / "measured", evaluated.root / "measured"))
    one, values = Measured.read(folder / "hazelnut_reduced.json"), read_values(folder, "hazelnut_reduced")
    for costs, shown in (
        ({"patchcore-10": [0.125, 3.5], "spade": [0.25, None]}, ("seconds", "MB")),
        ({"patchcore-10": [0.125, None]}, ("seconds",)),
        ({}, ()),
    ):
        replace(one, costs=costs).write(folder, values)
        html = build_leaderboard(Project(evaluated.params))
        board = html.partition('<section id="measured-hazelnut_reduced"')[2].partition("</section>")[0]
        assert [name for name in ("seconds", "MB") if f"<span>{name}</span>" in board] == list(shown)
        assert ("0.125" in board) == bool(costs)
        assert ("No times are known." in board) != bool(costs)


def test_quoted_rows_and_rows_that_were_run_are_never_in_one_table(evaluated):
    shutil.copytree(ROOT / "measured", evaluated.root / "measured")
    html = build_leaderboard(Project(evaluated.params))
    run, _, printed = html.partition('<section id="quoted"')
    assert "Quoted from papers, never run here" in printed
    for method in ("PatchCore-25%", "AnomalyDINO-S", "SoftPatch"):
        assert method in printed
        assert method not in run
    assert "<span>rank</span>" in run
    assert "<span>rank</span>" not in printed
    assert ">patchcore-10<" in run
    assert ">patchcore-10<" not in printed


def test_nothing_is_quoted_where_no_dataset_of_a_paper_is(evaluated):
    assert "quoted" not in page_of(evaluated).ids


def test_without_times_there_are_no_costs_and_no_charts(evaluated):
    assert "<span>beaten</span>" in build_leaderboard(Project(evaluated.params))
    (evaluated.root / "reports/timings/toy.json").unlink()
    html = build_leaderboard(Project(evaluated.params))
    assert "No times are known." in html
    assert "<span>seconds</span>" not in html
    assert "<span>beaten</span>" not in html  # nothing is known of costs, and nothing said of what is beaten at them
    assert "<svg" not in html


def test_times_of_before_sizes_were_kept_still_serve(evaluated):
    path = evaluated.root / "reports/timings/toy.json"
    timings = {file: unsealed(one) for file, one in json.loads(path.read_text()).items()}
    for timing in timings.values():
        del timing["model_bytes"]
    path.write_text(json.dumps({file: sealed(timing) for file, timing in timings.items()}))
    board = build_leaderboard(Project(evaluated.params)).partition('<section id="toy"')[2]
    assert board.count("<svg") == 1
    assert "<span>MB</span>" not in board


def test_metrics_that_are_missing_are_told(evaluated):
    evaluated.toy.metrics.unlink()
    with pytest.raises(InputError, match="there are no metrics"):
        build_leaderboard(Project(evaluated.params))


def test_the_page_loads_nothing_and_its_links_lead_somewhere(evaluated):
    shutil.copytree(ROOT / "measured", evaluated.root / "measured")
    page = page_of(evaluated)
    assert not any(page.loaded)
    assert {link for link in page.links if not link.startswith("#")} == {"index.html"}
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids


# Charts


def test_points_lie_where_their_numbers_are():
    chart = frontier_chart(standings_of({"a": (0.1, 0.9), "b": (1, 0.8), "c": (10, 0.95)}), "seconds")
    places = {point.name: point for point in chart.points}
    assert places["a"].x < places["b"].x < places["c"].x
    assert places["b"].x - places["a"].x == pytest.approx(places["c"].x - places["b"].x, abs=0.2)  # logarithmic
    assert places["c"].y < places["a"].y < places["b"].y
    assert all(point.high < point.y < point.low for point in chart.points)
    assert [point.name for point in chart.points if point.unbeaten] == ["c", "a"]
    assert chart.line == f"{places['a'].x},{places['a'].y} {places['c'].x},{places['c'].y}"


def test_names_lie_within_the_drawing_and_apart():
    methods = {f"patchcore-{number}": (0.1 * 1.02**number, 0.9) for number in range(6)}
    chart = frontier_chart(standings_of(methods), "seconds")
    spans = []
    for point in chart.points:
        width = 6 * len(point.name)
        start = point.label.x - (width if point.label.anchor == "end" else 0)
        assert start >= LEFT
        assert start + width <= WIDTH
        assert 0 < point.label.y < HEIGHT
        spans.append((point.label.y, start, start + width))
    for number, (y, start, end) in enumerate(spans):
        for other, first, last in spans[number + 1 :]:
            assert abs(y - other) > 10 or end <= first or last <= start


@pytest.mark.parametrize(
    "methods",
    [{"a": (1, 0.9)}, {"a": (1, 0.9), "b": (float("nan"), 0.8)}, {"a": (1, 0.9), "b": (2, float("nan"))}],
    ids=["one method", "no cost", "no value"],
)
def test_fewer_than_two_points_are_no_chart(methods):
    assert frontier_chart(standings_of(methods), "seconds") is None


def test_equal_values_and_costs_are_drawn():
    chart = frontier_chart(standings_of({"a": (1, 1.0), "b": (1, 1.0)}), "seconds")
    assert [point.unbeaten for point in chart.points] == [True, True]
    assert len(chart.x_ticks) >= 2
