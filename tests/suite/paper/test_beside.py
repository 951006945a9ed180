from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from sealed_files import rewrite

from patchcore_core import InputError
from patchcore_suite.datasets.inspection import build_manifest
from patchcore_suite.datasets.paper_counts import MSTC_SCENES, PAPER_COUNTS
from patchcore_suite.datasets.spec import PAPER_NAMES, DatasetSpec
from patchcore_suite.paper import published, studies, tables, verdicts
from patchcore_suite.paper.beside import Printed, beside_paper, metrics_beside_paper, same_setting
from patchcore_suite.paper.conditions import PAPER_WEIGHTS, SYNTHETIC, Conditions, conditions_of, differences
from patchcore_suite.results import formats, study_metrics
from patchcore_suite.results.quantities import Interval
from patchcore_suite.results.sources import dataset_title, images_of, paper_name, scope
from patchcore_suite.results.study_metrics import read_intervals
from patchcore_suite.results.table import as_text
from patchcore_suite.run import controls
from patchcore_suite.run.evaluate import COLUMNS
from patchcore_suite.run.intervals import INTERVAL_COLUMNS
from patchcore_suite.run.raw_results import ScoreIndex

T1 = Printed("T1")
WIDE = {"backbone": "wide_resnet50_2", "dimension": 1024}


def metrics(values, metric="image_auroc", shots=None):
    """Metrics in long form from {variant: {(category, seed): value}}."""
    found = [
        ["toy", category, variant, shots, seed, metric, value]
        for variant, of_variant in values.items()
        for (category, seed), value in of_variant.items()
    ]
    return pd.DataFrame(found, columns=COLUMNS).astype({"shots": "Int64"})


def both(first, second):
    """Values of two categories under two seeds whose means over categories are given."""
    return {("bolt", 0): first + 0.01, ("nut", 0): first - 0.01, ("bolt", 1): second, ("nut", 1): second}


WHOLE = {"bolt": (3, 2, 2, 24), "nut": (3, 2, 2, 24)}  # training, nominal and anomalous test images, side


def small_paper(monkeypatch, counts):
    """Let MVTec AD be a dataset of a few images."""
    monkeypatch.setitem(PAPER_COUNTS, "mvtec-ad", counts)


@pytest.fixture
def compared(project, monkeypatch):
    """Real images, all of a small MVTec AD; metrics and an index as `evaluate` and `score` write them."""
    small_paper(monkeypatch, WHOLE)
    project.call("mvtec-ad")
    project.variants = {
        "patchcore-10": WIDE | {"coreset_fraction": 0.1},
        "patchcore-1": WIDE | {"coreset_fraction": 0.01},
        "spade": {"method": "spade"},
        "mine": {"stride": 2},
        "noise": {"method": "random_scores"},
        "wide": {"backbone": "wide_resnet101_2"},
    }
    project.dataset |= {
        "resize": 256,
        "crop": 224,
        "variants": ["patchcore-10", "spade", "mine", "noise", "patchcore-1"],
        "studies": {"other": {"variants": ["wide", "patchcore-10"], "seeds": [0], "categories": ["nut"]}},
    }
    values = {
        "patchcore-10": both(0.980, 0.990),
        "spade": both(0.7, 0.7),
        "mine": both(0.9, 0.9),
        "noise": both(0.5, 0.5),
    }
    few = metrics({"patchcore-10": both(0.1, 0.1)}, shots=2)
    folder = project.root / "reports/metrics"
    folder.mkdir(parents=True)
    pd.concat([metrics(values), few]).to_csv(folder / "toy.csv", index=False)
    intervals = [
        ["mean", "patchcore-10", 0.97, 0.995],
        ["nut", "patchcore-10", 0.96, 0.99],
        ["mean", "mine", None, None],
    ]
    pd.DataFrame([["toy", c, v, "image_auroc", *ends] for c, v, *ends in intervals], columns=INTERVAL_COLUMNS).to_csv(
        folder / "toy_intervals.csv", index=False
    )
    missing = tuple({"variant": name, "remedy": "copy a file"} for name in ("patchcore-1", "wide"))
    index = ScoreIndex(dataset="toy", synthetic=False, source="folder", cells=(), weights_missing=missing)
    index.write(project.root / "reports/scores/toy")
    return project


def call_synthetic(project):
    for path in ("data/toy/manifest.json", "reports/scores/toy/index.json"):
        rewrite(project.root / path, source="synthetic", synthetic=True)


def table(project, printed=T1, **options):
    """The table as it is read, by variant."""
    return as_text(beside_paper(printed, "image_auroc", project.toy, **options)).set_index("variant")


# Ours beside theirs


def test_our_mean_and_spread_stand_beside_the_papers_number(compared):
    row = table(compared).loc["patchcore-10"]
    assert row["ours"] == "98.5 ± 0.7"  # 98.0 and 99.0
    assert row["paper"] == "99.0"
    assert row["difference"] == "-0.5"
    assert row["interval (95 %)"] == "97.0 to 99.5"
    assert row["verdict"] == verdicts.REPRODUCED  # at most 0.5 points
    assert row["reason"] == formats.NOTHING


def test_a_number_far_from_the_papers_is_not_reproduced(compared):
    row = table(compared).loc["spade"]
    assert (row["ours"], row["paper"], row["difference"]) == ("70.0 ± 0.0", "85.5", "-15.5")
    assert row["verdict"] == verdicts.NOT_REPRODUCED


def test_a_variant_of_ones_own_and_a_control_have_no_verdict(compared):
    found = table(compared)
    for variant, ours in (("mine", "90.0 ± 0.0"), ("noise", "50.0 ± 0.0")):
        assert found.loc[variant, "ours"] == ours
        assert found.loc[variant, "paper"] == formats.NOTHING
        assert found.loc[variant, "verdict"] == verdicts.NO_VERDICT
        assert found.loc[variant, "reason"] == "no published number"


def test_numbers_of_generated_images_are_never_judged(compared):
    call_synthetic(compared)
    found = table(compared)
    ran = found.loc[["patchcore-10", "spade", "mine", "noise"]]
    assert set(ran["verdict"]) == {verdicts.NO_VERDICT}
    assert set(ran["difference"]) == {formats.NOTHING}
    assert found.loc["patchcore-10", "reason"] == SYNTHETIC
    assert found.loc["patchcore-10", "ours"] == "98.5 ± 0.7"


def test_a_variant_whose_weights_are_missing_has_a_row_that_says_so(compared):
    row = table(compared).loc["patchcore-1"]
    assert row["ours"] == formats.WEIGHTS_MISSING
    assert row["difference"] == row["interval (95 %)"] == formats.NOTHING


def test_systems_that_are_not_run_are_quoted_and_those_that_are_run_are_not(compared):
    found = table(compared)
    quoted = found[found["reason"] == "quoted"]
    assert "PatchCore-25%" in quoted.index
    assert quoted.loc["PatchCore-25%", "paper"] == "99.1"
    assert set(quoted["ours"]) == set(quoted["verdict"]) == {formats.NOTHING}
    assert not {"PatchCore-10%", "SPADE"} & set(found.index)


def test_variants_come_first_then_controls_then_quoted_systems(compared):
    found = as_text(beside_paper(T1, "image_auroc", compared.toy))
    assert list(found.columns) == ["variant", "ours", "paper", "difference", "interval (95 %)", "verdict", "reason"]
    names = list(found["variant"])
    assert set(names[:5]) == set(compared.dataset["variants"])
    assert list(found["reason"])[5:] == ["quoted"] * (len(names) - 5)
    assert names[:3] == ["patchcore-10", "spade", "mine"]


def test_results_of_few_shots_have_no_say(compared):
    before = table(compared)
    path = compared.root / "reports/metrics/toy.csv"
    rows = pd.read_csv(path)
    rows[rows["shots"].isna()].to_csv(path, index=False)
    pd.testing.assert_frame_equal(table(compared), before)


# Which numbers are compared


def test_a_study_has_its_own_variants_categories_and_no_intervals(compared):
    found = table(compared, study="other")
    assert found.loc["patchcore-10", "ours"] == "97.0"  # of the nut, under seed 0
    assert found.loc["patchcore-10", "interval (95 %)"] == formats.NOTHING
    assert found.loc["patchcore-10", "reason"] == "categories differ: 1 of 2"
    assert found.loc["wide", "ours"] == formats.WEIGHTS_MISSING
    assert found.loc["noise", "ours"] == "49.5 ± 0.7"  # a control is shown with every study, with its own seeds
    assert "spade" not in found.index


def test_the_papers_name_of_a_variant_may_be_given(compared):
    found = table(compared, Printed("T1", systems={"mine": "PatchCore-25%"}))
    assert found.loc["mine", "paper"] == "99.1"
    assert found.loc["patchcore-10", "paper"] == formats.NOTHING
    assert "PatchCore-10%" in found.index  # only quoted then


def test_a_choice_picks_one_of_several_numbers_of_a_system(compared):
    printed = published.published_numbers(
        "S5", metric="image_auroc", method="PatchCore-10%"
    ) or published.published_numbers("S5", metric="image_auroc")
    number = printed[-1]
    choices = {"mine": {"shots": number.shots}}
    found = table(compared, Printed("S5", systems={"mine": number.method}, choices=choices))
    assert found.loc["mine", "paper"] == str(number.quantity)


def test_a_table_or_metric_that_the_paper_lacks_is_refused(compared):
    with pytest.raises(InputError, match="T9"):
        beside_paper(Printed("T9"), "image_auroc", compared.toy)
    with pytest.raises(InputError, match="pro_per_image"):
        beside_paper(T1, "pro_per_image", compared.toy)


def test_a_metric_may_have_another_name_in_the_paper(compared):
    path = compared.root / "reports/metrics/toy.csv"
    text = path.read_text().replace(",image_auroc,", ",image_auroc_reweighted,")
    path.write_text(text)
    frame = beside_paper(Printed("T1", "image_auroc"), "image_auroc_reweighted", compared.toy)
    found = as_text(frame).set_index("variant")
    assert (found.loc["patchcore-10", "ours"], found.loc["patchcore-10", "paper"]) == ("98.5 ± 0.7", "99.0")
    assert found.loc["patchcore-10", "interval (95 %)"] == formats.NOTHING


# Like for like


@pytest.fixture
def two_of_three(compared, monkeypatch):
    """MVTec AD has a screw as well, which is not here; a table prints one method's categories, and none of SPADE."""
    small_paper(monkeypatch, WHOLE | {"screw": (3, 2, 2, 24)})
    (mean,) = published.published_numbers("S1", metric="image_auroc", method="PatchCore-10%")
    printed = {"bolt": 0.970, "nut": 0.984, "screw": 1.0}
    added = tuple(replace(mean, category=category, value=value) for category, value in printed.items())
    read = published._read
    monkeypatch.setattr(published, "_read", lambda: read() + added)
    return compared


def test_some_categories_stand_beside_the_papers_mean_over_them(two_of_three):
    row = table(two_of_three).loc["patchcore-10"]
    assert (row["ours"], row["paper"], row["difference"]) == ("98.5 ± 0.7", "97.7", "+0.8")
    assert row["verdict"] == verdicts.REPRODUCED  # within twice the spread
    assert row["reason"] == "difference within twice the spread; paper: mean of 2 categories of Table S1"


def test_a_number_over_all_categories_stands_beside_no_mean_over_some(two_of_three):
    found = table(two_of_three)
    row = found.loc["spade"]
    assert (row["ours"], row["paper"], row["difference"]) == ("70.0 ± 0.0", formats.NOTHING, formats.NOTHING)
    assert (row["verdict"], row["reason"]) == (verdicts.NO_VERDICT, "categories differ: 2 of 3")
    assert not [reason for reason in found["reason"] if "quoted" in reason]  # all are over all categories


def test_errors_and_misclassified_images_are_compared_like_for_like(two_of_three, monkeypatch):
    frame = as_text(tables.with_errors(beside_paper(T1, "image_auroc", two_of_three.toy), two_of_three.toy))
    row = frame.set_index("variant").loc["patchcore-10"]
    assert (row["error"], row["error: paper"]) == ("1.5 ± 0.7", "2.3")
    assert set(frame["misclassified: paper"]) == {formats.NOTHING}  # 47 of 1,725 images
    small_paper(monkeypatch, WHOLE)
    frame = as_text(tables.with_errors(beside_paper(T1, "image_auroc", two_of_three.toy), two_of_three.toy))
    row = frame.set_index("variant").loc["patchcore-10"]
    assert (row["error: paper"], row["misclassified: paper"]) == ("1.0", "47")


def test_categories_are_compared_one_by_one_where_they_are_complete(two_of_three, monkeypatch):
    def theirs():
        return list(as_text(tables.by_category(Printed("S1"), "image_auroc", two_of_three.toy))["patchcore-10: paper"])

    assert theirs() == ["97.0", "98.4", "97.7"]
    small_paper(monkeypatch, WHOLE | {"nut": (4, 2, 2, 24)})  # one of its training images is missing
    assert theirs() == ["97.0", formats.NOTHING, formats.NOTHING]


def test_a_category_stands_beside_the_papers_number_of_it(two_of_three):
    row = table(two_of_three, Printed("S1"), category="nut").loc["patchcore-10"]
    assert (row["ours"], row["paper"], row["difference"]) == ("98.0 ± 1.4", "98.4", "-0.4")


@pytest.mark.parametrize("left_out", range(3))
def test_without_some_of_the_papers_images_there_is_no_title_number_or_verdict(compared, monkeypatch, left_out):
    counts = [count + (kind == left_out) for kind, count in enumerate(WHOLE["nut"])]
    small_paper(monkeypatch, WHOLE | {"nut": tuple(counts)})
    assert dataset_title(compared.toy) == "toy"
    assert scope(compared.toy, study_metrics.read_metrics(compared.toy)).startswith("toy, ")
    found = table(compared)
    assert_alone(found)
    assert found.loc["patchcore-10", "reason"] == "data reduced"
    assert set(tables.with_errors(beside_paper(T1, "image_auroc", compared.toy), compared.toy)["error: paper"]) == {
        formats.NOTHING
    }
    (one,) = {name for name in table(compared, Printed("T1"), category="mean")["paper"]}
    assert one == formats.NOTHING


# Draws


def test_one_draw_is_not_judged(compared):
    compared.dataset["seeds"] = [0]
    path = compared.root / "reports/metrics/toy.csv"
    rows = pd.read_csv(path)
    rows[rows["seed"] == 0].to_csv(path, index=False)
    row = table(compared).loc["patchcore-10"]
    assert (row["ours"], row["paper"], row["difference"]) == ("98.0", "99.0", "-1.0")
    assert (row["verdict"], row["reason"]) == (verdicts.NO_VERDICT, verdicts.ONE_DRAW)
    assert table(compared).loc["spade", "verdict"] == verdicts.NOT_REPRODUCED  # draws nothing


def test_a_bank_of_everything_draws_nothing(compared):
    compared.dataset["seeds"] = [0]
    compared.variants["patchcore-10"] = WIDE | {"coreset_fraction": 1}
    row = table(compared).loc["patchcore-10"]
    assert row["verdict"] == verdicts.REPRODUCED
    assert "one seed" not in row["reason"]


def test_a_study_of_one_seed_has_the_spread_of_the_main_study(compared):
    compared.dataset["studies"] = {"other": {"variants": ["patchcore-10"], "seeds": [0]}}
    row = table(compared, study="other").loc["patchcore-10"]
    assert (row["ours"], row["difference"]) == ("98.0", "-1.0")
    assert (row["verdict"], row["reason"]) == (verdicts.REPRODUCED, "difference within twice the spread")


# Conditions


def test_conditions_say_what_numbers_are_obtained_under(compared):
    found = conditions_of(compared.toy, "patchcore-10", categories=["bolt", "nut"], metric="pro")
    assert found == Conditions(
        images="complete",
        categories=2,
        backbone="wide_resnet50_2",
        weights=PAPER_WEIGHTS,
        hierarchies=(2, 3),
        neighbourhood_size=3,
        stride=1,
        dimension=1024,
        coreset_fraction=0.1,
        resize=256,
        crop=224,
        metric="pro",
    )


def test_conditions_of_other_methods_leave_patchcores_fields_open(compared):
    found = conditions_of(compared.toy, "spade", categories=["bolt", "nut"], metric="pro")
    assert (found.hierarchies, found.stride, found.coreset_fraction) == ((1, 2, 3), None, None)
    assert found.weights is None


@pytest.mark.parametrize(
    ("backbone", "papers"),
    [
        ("wide_resnet50_2", True),
        ("densenet201", True),
        ("resnext101_32x8d", True),
        ("timm/wide_resnet50_2", False),
        ("wide_resnet50_2.racm_in1k", False),
        ("untrained/wide_resnet50_2", False),
        ("tf_efficientnet_lite0", False),
    ],
)
def test_the_papers_weights_are_torchvisions(compared, backbone, papers):
    compared.variants["mine"] = {"backbone": backbone}
    found = conditions_of(compared.toy, "mine", categories=["bolt", "nut"], metric="pro")
    assert found.weights == (PAPER_WEIGHTS if papers else None)


def test_an_ensembles_backbones_are_named_in_the_papers_order(compared):
    compared.variants |= {
        "first": {"backbone": "wide_resnet101_2"},
        "second": {"backbone": "densenet201"},
        "both": {"method": "ensemble", "models": ["first", "second"]},
    }
    found = conditions_of(compared.toy, "both", categories=["bolt", "nut"], metric="pro")
    assert found.backbone == "densenet201+wide_resnet101_2"
    assert found.weights == PAPER_WEIGHTS


def test_a_variant_that_prepares_images_differently_has_its_own_sizes(compared):
    compared.variants["mine"] = {"resize": 366, "crop": 320}
    found = conditions_of(compared.toy, "mine", categories=["bolt", "nut"], metric="pro")
    assert (found.resize, found.crop) == (366, 320)


# Images


def test_images_are_synthetic_own_reduced_or_complete(compared, monkeypatch):
    assert images_of(compared.toy) == "complete"
    small_paper(monkeypatch, WHOLE | {"screw": (3, 2, 2, 24)})
    assert images_of(compared.toy) == "reduced"
    assert images_of(compared.toy, ["bolt", "nut"]) == "complete"
    small_paper(monkeypatch, WHOLE | {"nut": (4, 2, 2, 24)})
    assert images_of(compared.toy, ["bolt"]) == "complete"
    assert images_of(compared.toy, ["bolt", "nut"]) == images_of(compared.toy, ["nut"]) == "reduced"
    compared.call(None)
    assert images_of(compared.toy) == "own"
    call_synthetic(compared)
    assert images_of(compared.toy) == "synthetic"


def test_the_counts_of_complete_datasets_are_the_papers():
    assert len(PAPER_COUNTS["mvtec-ad"]) == 15
    assert sum(sum(counts[:3]) for counts in PAPER_COUNTS["mvtec-ad"].values()) == 3629 + 1725
    assert sum(PAPER_COUNTS["mtd"]["mtd"][:3]) == 1344
    assert len(MSTC_SCENES) == 12
    assert {number.dataset for number in published._read()} == set(PAPER_NAMES.values())


# A dataset that is none of the paper's


@pytest.fixture
def own(compared):
    """Own parts in MVTec AD's layout."""
    return compared.call(None)


def assert_alone(cells):
    frame = as_text(cells)
    for column in frame:
        if column == "verdict":
            assert set(frame[column]) <= {verdicts.NO_VERDICT, formats.NOTHING}
        elif "paper" in column or "difference" in column:
            assert set(frame[column]) == {formats.NOTHING}, column
    assert "quoted" not in set(frame.get("reason", []))


def test_own_parts_are_called_by_their_own_name(own):
    assert paper_name(own.toy) is None
    assert dataset_title(own.toy) == "toy"
    rows = study_metrics.read_metrics(own.toy)
    assert scope(own.toy, rows) == "toy, categories: 2, mean ± standard deviation over 2 seeds"
    call_synthetic(own)
    assert scope(own.toy, rows).startswith("SYNTHETIC images (toy), categories: 2")


@pytest.mark.parametrize("study", ["main", "other"])
def test_own_parts_stand_beside_no_number_of_the_paper(own, study):
    found = table(own, study=study)
    assert_alone(found)
    assert set(found["reason"]) <= {"no published number", formats.NOTHING}
    assert "ours" in tables.readable(found.reset_index())


def test_no_table_of_own_parts_holds_a_number_of_the_paper(own):
    path = own.root / "reports/metrics/toy.csv"
    rows = pd.read_csv(path)
    rows = [rows, *(rows.assign(metric=metric) for metric in ("pixel_auroc", "pro", "misclassified"))]
    pd.concat(rows).to_csv(path, index=False)
    frame = beside_paper(T1, "image_auroc", own.toy)
    assert_alone(tables.with_errors(frame, own.toy))
    assert_alone(metrics_beside_paper(dict.fromkeys(("image_auroc", "pixel_auroc", "pro"), Printed("T4")), own.toy))
    by_category = tables.by_category(Printed("S1"), "image_auroc", own.toy)
    assert not [column for column in by_category if "paper" in column]
    both_datasets, _, _ = tables.other_datasets({"toy": "image_auroc"}, own.toy.project)
    assert set(both_datasets["dataset"]) == {"toy"}
    assert_alone(both_datasets)
    choices = same_setting(own.toy, study="main", fields=["backbone", "dimension"])
    assert_alone(metrics_beside_paper({"image_auroc": Printed("S6", choices=choices)}, own.toy))
    methods = {"patchcore-10": "PatchCore, coreset"}
    assert_alone(studies.settings_beside_paper("Fig. 5", own.toy, "main", methods=methods, fields=["coreset_fraction"]))


def test_few_nominal_images_of_own_parts_stand_beside_no_number_of_the_paper(own):
    own.dataset["studies"] = {"few": {"variants": ["patchcore-10"], "seeds": [0, 1], "shots": [2]}}
    for paper, quoted in ((None, False), ("mvtec-ad", True)):
        own.call(paper)
        frame = as_text(studies.low_shot_beside_paper(own.toy, "few", metric="image_auroc"))
        assert ("quoted" in set(frame["reason"])) == quoted
    own.call(None)
    assert_alone(studies.low_shot_beside_paper(own.toy, "few", metric="image_auroc"))


def test_conditions_of_own_parts_rule_a_verdict_out(own):
    (number,) = published.published_numbers("T1", metric="image_auroc", method="PatchCore-10%")
    ours = conditions_of(own.toy, "patchcore-10", categories=["bolt", "nut"], metric="image_auroc")
    found = verdicts.verdict(0.99, number, reasons=differences(ours, number.conditions))
    assert (found.name, found.difference, found.reasons) == (verdicts.NO_VERDICT, None, ("data own",))


def test_a_folder_with_all_images_of_the_papers_dataset_is_titled_compared_and_judged(own):
    spec = DatasetSpec(source="images", layout="mvtec", paper="mvtec-ad")
    with chdir(own.root):
        build_manifest("toy", Path("images"), spec).write("data/toy/manifest.json")
    assert scope(own.toy, study_metrics.read_metrics(own.toy)).startswith("MVTec AD, ")
    row = table(own).loc["patchcore-10"]
    assert (row["paper"], row["difference"], row["verdict"]) == ("99.0", "-0.5", verdicts.REPRODUCED)
    assert "data" not in row["reason"]
    by_category = as_text(tables.by_category(T1, "image_auroc", own.toy))
    assert list(by_category["patchcore-10: paper"]) == [formats.NOTHING, formats.NOTHING, "99.0"]  # which has no bolts


# Intervals and the ceiling


def test_intervals_are_read_by_metric_and_category(compared):
    assert read_intervals(compared.toy, metric="image_auroc", category="nut") == {"patchcore-10": Interval(0.96, 0.99)}
    assert read_intervals(compared.toy, metric="pro") == {}


def test_an_interval_that_is_not_available_leaves_the_others_numbers(compared):
    found = read_intervals(compared.toy, metric="image_auroc")
    assert found["patchcore-10"] == Interval(0.97, 0.995)
    assert all(isinstance(end, float) for ends in found.values() for end in (ends.low, ends.high))
    assert table(compared).loc["mine", "interval (95 %)"] == formats.NOT_AVAILABLE


def test_a_ceiling_has_a_row_of_its_own(compared):
    path = compared.root / "reports/metrics/toy.csv"
    rows = metrics({controls.CEILING: {("bolt", 0): 0.9, ("nut", 0): 0.8}}, "pixel_auroc")
    pd.concat([pd.read_csv(path), rows]).to_csv(path, index=False)
    row = tables.ceiling_row(compared.toy, "pixel_auroc", ["bolt", "nut"])
    assert [str(row[name]) for name in ("variant", "ours", "verdict")] == [controls.CEILING, "85.0", formats.NOTHING]
    assert set(row) == set(beside_paper(T1, "image_auroc", compared.toy).columns)
    assert str(tables.ceiling_row(compared.toy, "pro", ["bolt"])["ours"]) == formats.NOT_AVAILABLE


def test_the_scope_of_a_table_tells_generated_images_apart(compared):
    rows = study_metrics.read_metrics(compared.toy)
    expected = "MVTec AD, categories: 2, mean ± standard deviation over 2 seeds"
    assert scope(compared.toy, rows) == expected
    call_synthetic(compared)
    assert scope(compared.toy, rows) == f"SYNTHETIC stand-ins for {expected}"
