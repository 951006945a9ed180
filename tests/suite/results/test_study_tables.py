"""Studies as frames, tables and comparisons, from metrics whose means are done by hand."""

import json

import numpy as np
import pandas as pd
import pytest

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.paper_counts import PAPER_COUNTS
from patchcore_suite.paper import studies
from patchcore_suite.results import profile_steps, study_tables
from patchcore_suite.results.table import as_text
from patchcore_suite.run.raw_results import ScoreIndex
from patchcore_suite.run.sealed import sealed
from patchcore_suite.settings import profiles
from patchcore_suite.settings.project import Project

VARIANTS = {
    "base": {},
    "same": {"neighbourhood_size": 3},
    "p-1": {"neighbourhood_size": 1},
    "level-2": {"hierarchies": [2]},
    "d-64": {"dimension": 64},
    "few": {"method": "spade", "backbone": "tf_efficientnet_lite0"},
    "chance": {"method": "random_scores"},
    "patchcore-10": {"coreset_fraction": 0.1},
}
FIELDS = ["neighbourhood_size", "hierarchies", "dimension"]


@pytest.fixture
def toy(project, monkeypatch):
    """A project with studies, and `measure`, which writes metrics {(category, variant, shots, seed): value}."""
    monkeypatch.setitem(PAPER_COUNTS, "mvtec-ad", {"bolt": (3, 2, 2, 24), "nut": (3, 2, 2, 24)})  # all is there
    project.call("mvtec-ad").variants |= VARIANTS
    project.dataset |= {
        "variants": ["base", "patchcore-10", "chance"],
        "studies": {
            "sizes": {"variants": ["base", "same", "p-1", "level-2", "d-64"], "seeds": [0]},
            "shots": {"variants": ["patchcore-10", "few"], "seeds": [0, 1], "shots": [1, 5], "categories": ["nut"]},
        },
    }
    ScoreIndex("toy", False, "folder", (), ()).write(_made(project.root / "reports/scores/toy"))

    def measure(values, metric="image_auroc"):
        rows = [["toy", *key, metric, value] for key, value in values.items()]
        columns = ["dataset", "category", "variant", "shots", "seed", "metric", "value"]
        frame = pd.DataFrame(rows, columns=columns).astype({"shots": "Int64"})
        frame.to_csv(_made(project.root / "reports/metrics") / "toy.csv", index=False)
        return project.params

    project.measure = measure
    return project


def _made(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def everywhere(**by_variant):
    """The same value for both categories, with all images and seed 0."""
    names = {name.replace("_", "-"): value for name, value in by_variant.items()}
    return {(category, name, None, 0): value for category in ("bolt", "nut") for name, value in names.items()}


def values_of(params, study="sizes", **more):
    return study_tables.study_values(Project(params).dataset("toy"), study, metrics=["image_auroc"], **more)


# Frames


def test_a_value_is_the_mean_over_the_categories_of_the_study(toy):
    params = toy.measure({("bolt", "base", None, 0): 0.8, ("nut", "base", None, 0): 1.0})
    (row,) = values_of(params, fields=["hierarchies", "coreset_fraction", "side", "resize"]).itertuples()
    assert row.image_auroc == pytest.approx(0.9)
    assert (row.hierarchies, row.coreset_fraction, row.side, row.resize) == ("2+3", 0.01, 64, "64 x 64")


@pytest.mark.parametrize("second", [{}, {("nut", "base", None, 0): np.nan}], ids=["no row", "no value"])
def test_a_category_without_the_metric_leaves_no_mean(toy, second):
    other = {("nut", "p-1", None, 0): 0.5, ("bolt", "p-1", None, 0): 0.5}
    values = values_of(toy.measure({("bolt", "base", None, 0): 0.8} | second | other)).set_index("variant")
    assert np.isnan(values.loc["base", "image_auroc"])
    assert values.loc["p-1", "image_auroc"] == 0.5


def test_a_metric_that_nobody_measured_is_a_column_without_values(toy):
    params = toy.measure(everywhere(base=0.9))
    assert study_tables.study_values(Project(params).dataset("toy"), "sizes", metrics=["pro"])["pro"].isna().all()


def test_controls_come_last_and_are_marked(toy):
    values = values_of(toy.measure(everywhere(chance=0.5, p_1=0.7, base=0.9)))
    assert list(values["variant"]) == ["base", "p-1", "chance"]
    assert list(values["control"]) == [False, False, True]


def test_a_study_of_shots_ends_with_what_all_images_give(toy):
    cells = {("nut", "patchcore-10", shots, seed): 0.6 for shots in (1, 5) for seed in (0, 1)}
    alone = {("nut", "patchcore-10", None, 0): 0.9, ("bolt", "patchcore-10", None, 0): 0.1}
    values = values_of(toy.measure(cells | alone), "shots")
    assert values["shots"].tolist()[:4] == [1, 1, 5, 5]
    assert values.loc[values["shots"].isna(), "image_auroc"].tolist() == [0.9]  # of the study's category alone


def test_one_at_a_time_keeps_what_differs_in_that_field_only(toy):
    values = values_of(toy.measure(everywhere(base=1, same=1, p_1=1, level_2=1, d_64=1, chance=1)), fields=FIELDS)

    def kept(*names):
        return list(study_tables.one_at_a_time(values, *names, fields=FIELDS)["variant"])

    assert kept("neighbourhood_size") == ["base", "p-1"]  # and not "same", which is the base again
    assert kept("hierarchies") == ["base", "level-2"]
    assert kept("dimension") == ["base", "d-64"]
    assert kept("hierarchies", "dimension") == ["base", "level-2", "d-64"]


def test_bars_have_a_row_for_each_metric(toy):
    values = values_of(toy.measure(everywhere(base=0.9, d_64=0.8)), fields=FIELDS)
    bars = study_tables.as_bars(values, "dimension", ["image_auroc"], prefix="d: ")
    assert bars.to_dict("records") == [
        {"setting": "d: native", "metric": "image AUROC", "auroc_or_pro": 0.9},
        {"setting": "d: 64", "metric": "image AUROC", "auroc_or_pro": 0.8},
    ]


# Text


def test_a_table_shows_settings_spread_controls_and_missing_weights(toy):
    folder = toy.root / "reports/scores/toy"
    missing = ({"variant": "level-2", "remedy": "put the file there"},)
    ScoreIndex("toy", False, "folder", (), missing).write(folder)
    spread = {
        (category, "chance", None, seed): value for category in ("bolt", "nut") for seed, value in ((0, 0.4), (1, 0.6))
    }
    params = toy.measure(everywhere(base=0.9, d_64=np.nan) | spread)
    table = study_tables.study_table(
        Project(params).dataset("toy"), "sizes", metrics=["image_auroc"], fields=["dimension"]
    )
    assert as_text(table).to_numpy().tolist() == [
        ["base", "native", "90.0"],
        ["d-64", "64", "not available"],
        ["chance", "-", "50.0 ± 14.1"],
        ["level-2", "weights missing", "weights missing"],
    ]


def test_a_table_names_shots_only_where_there_are_any(toy):
    params = toy.measure({("nut", "patchcore-10", 5, 0): 0.6, ("nut", "chance", None, 0): 0.5} | everywhere(base=0.9))
    table = study_tables.study_table(Project(params).dataset("toy"), "shots", metrics=["image_auroc"])
    assert as_text(table)["nominal images"].tolist() == ["5", "all"]
    assert "nominal images" not in study_tables.study_table(
        Project(params).dataset("toy"), "sizes", metrics=["image_auroc"]
    )


def test_what_is_no_share_is_shown_as_it_is(toy):
    params = toy.measure(everywhere(base=31360, p_1=313, d_64=2.3456), metric="memory_bank")
    table = study_tables.study_table(Project(params).dataset("toy"), "sizes", metrics=["memory_bank"])
    assert as_text(table)["memory bank"].tolist() == ["31360", "313", "2.35"]


def test_the_note_on_seeds_gives_the_spread_of_the_main_study_without_controls(toy):
    by_seed = {"base": (0.8, 0.9), "chance": (0.1, 0.9)}
    cells = {("nut", name, None, seed): pair[seed] for name, pair in by_seed.items() for seed in (0, 1)}
    cells |= {("bolt", "base", None, seed): 0.5 for seed in (0, 1)}  # the study of shots has no bolts
    shots = {("nut", "few", 1, 0): 0.5}
    assert "by 7.1 points" in study_tables.seed_note(Project(toy.measure(cells | shots)).dataset("toy"), "shots")
    assert "not known" in study_tables.seed_note(Project(toy.measure(everywhere(base=0.9))).dataset("toy"), "sizes")


def test_a_description_names_few_categories(toy):
    params = toy.measure(everywhere(base=0.9) | {("bolt", "chance", None, 1): 0.5})
    assert (
        study_tables.describe(Project(params).dataset("toy"), "sizes")
        == "MVTec AD, categories: 2 (bolt, nut), one seed"
    )


# Times


def test_seconds_are_means_over_categories_and_absent_without_the_file(toy):
    params = toy.measure(everywhere(base=0.9))
    cells = [
        {"category": category, "variant": "base", "shots": None, "seed": 0, "file": category, "key": category}
        for category in ("bolt", "nut")
    ]
    ScoreIndex("toy", False, "folder", tuple(cells), ()).write(toy.root / "reports/scores/toy")
    assert study_tables.selection_seconds(Project(params).dataset("toy"), "sizes").empty
    machine = {"gpu": None, "processor": "abacus", "cores": 2}
    times = {
        name: sealed({"coreset_s": seconds, "machine": machine, "key": name})
        for name, seconds in (("bolt", 1.0), ("nut", 3.0))
    }
    (_made(toy.root / "reports/timings") / "toy.json").write_text(json.dumps(times))
    (row,) = study_tables.selection_seconds(Project(params).dataset("toy"), "sizes").to_dict("records")
    assert row == {"variant": "base", "seed": 0, "seconds": 2.0, "machine": "abacus, 2 cores"}


# Beside the paper


def test_settings_stand_beside_the_number_of_the_same_setting(toy, intervals):
    params = toy.measure(everywhere(base=0.9, p_1=0.8, d_64=0.7, chance=0.5))
    frame = studies.settings_beside_paper(
        "Fig. 4",
        Project(params).dataset("toy"),
        "sizes",
        methods={"base": "PatchCore", "p-1": "PatchCore"},
        fields=["neighbourhood_size", "hierarchies"],
    )
    assert frame["variant"].tolist() == ["base", "p-1", "chance"]
    assert as_text(frame)["paper"].tolist() == ["~99.1 (unverified)", "~95.4 (unverified)", "-"]
    assert "rests on an unverified number" in str(frame["reason"][0])


@pytest.fixture
def intervals(toy):
    """The file of intervals that an evaluation leaves, without any."""
    path = _made(toy.root / "reports/metrics") / "toy_intervals.csv"
    path.write_text("dataset,category,variant,metric,low,high\n")


def test_few_shots_stand_beside_the_number_of_as_many(toy, monkeypatch):
    monkeypatch.setitem(PAPER_COUNTS, "mvtec-ad", {"nut": (3, 2, 2, 24)})  # the study's category is all of them
    cells = {("nut", "patchcore-10", shots, seed): 0.834 for shots in (1, 5) for seed in (0, 1)}
    cells |= {("nut", "chance", None, 0): 0.5}
    data = Project(toy.measure(cells)).dataset("toy")
    frame = as_text(studies.low_shot_beside_paper(data, "shots", metric="image_auroc"))
    ours = frame[frame["variant"] == "patchcore-10"]
    assert ours[["nominal images", "ours", "paper"]].to_numpy().tolist() == [
        ["1", "83.4 ± 0.0", "83.4"],
        ["5", "83.4 ± 0.0", "90.8"],
    ]
    assert ours["verdict"].tolist() == ["reproduced", "not reproduced"]
    assert not ours["reason"].str.contains("shots").any()
    assert frame.loc[frame["variant"] == "chance", ["nominal images", "ours"]].to_numpy().tolist() == [["all", "50.0"]]
    quoted = frame[frame["variant"] == "PatchCore-10%"]["nominal images"].tolist()
    assert quoted == ["10", "16", "20"]


# From profile to profile


@pytest.fixture
def stops(toy):
    """A study with all stops from the paper to the authors' code, of which the n-th reaches 0.9 + n / 100."""
    count = len(profiles.steps("paper", "official", backbone="tf_efficientnet_lite0"))
    middle = {f"to-{n}": {"profile": "paper", "towards": "official", "switches": n} for n in range(1, count)}
    toy.variants |= {"start": {"profile": "paper"}, **middle, "end": {"profile": "official"}}
    names = ["start", *middle, "end"]
    toy.dataset["studies"]["way"] = {"variants": names, "seeds": [0]}
    toy.reached = {name: 0.9 + n / 100 for n, name in enumerate(names)}
    return toy


def way(params):
    return profile_steps.profile_steps(
        Project(params).dataset("toy"), "way", "paper", "official", metrics=["image_auroc"]
    )


def test_steps_find_the_variants_that_stand_on_the_way(stops):
    steps = way(stops.measure(everywhere(**stops.reached)))
    wanted = [switch.name for switch in profiles.steps("paper", "official", backbone="tf_efficientnet_lite0")]
    assert steps["step"].tolist() == ["paper", *wanted]
    assert steps["variant"].tolist() == list(stops.reached)
    assert steps["image_auroc"].tolist() == pytest.approx(list(stops.reached.values()))


def test_costs_are_differences_of_neighbours_in_points(stops):
    costs = profile_steps.costs(way(stops.measure(everywhere(**stops.reached))), ["image_auroc"])
    assert set(as_text(costs)["image AUROC, points"]) == {"+1.0"}
    assert (costs["changes"] != "").all()


def test_a_waterfall_ends_with_the_profile_or_with_the_last_stop_that_is_known(stops):
    params = stops.measure(everywhere(**stops.reached))
    rows = profile_steps.to_waterfall(way(params), "image_auroc", "official")
    assert rows["step"].iloc[-1] == "official"
    assert rows["image_auroc"].iloc[-1] == rows["image_auroc"].iloc[-2]
    known = {name: value for name, value in stops.reached.items() if name != "to-3"}
    rows = profile_steps.to_waterfall(way(stops.measure(everywhere(**known))), "image_auroc", "official")
    assert len(rows) == 4  # start, two switches, and the last bar
    assert "not available" in rows["step"].iloc[-1]


def test_nothing_measured_makes_no_waterfall(stops):
    steps = way(stops.measure(everywhere(base=0.9)))
    assert profile_steps.to_waterfall(steps, "image_auroc", "official").empty


def test_a_stop_that_the_study_lacks_is_an_error(stops):
    stops.dataset["studies"]["way"]["variants"].remove("to-2")
    with pytest.raises(InputError, match="2 switches from paper to official"):
        way(stops.measure(everywhere(**stops.reached)))
