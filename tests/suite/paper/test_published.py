"""The paper's numbers against values copied by hand, and verdicts at the edges of their definition."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from patchcore_core.common.errors import InputError
from patchcore_suite.paper import published, verdicts
from patchcore_suite.paper.conditions import PAPER_WEIGHTS, SYNTHETIC, Conditions, differences
from patchcore_suite.paper.counterparts import Counterpart, like_for_like
from patchcore_suite.paper.published import Published, mean_over, published_numbers
from patchcore_suite.paper.rows import COLUMNS, Compared, quoted
from patchcore_suite.paper.verdicts import NEAR, NO_VERDICT, NOT_REPRODUCED, REPRODUCED, verdict
from patchcore_suite.results.quantities import Interval, Quantity

ROWS = pd.read_csv(published.FILE, dtype=str, keep_default_na=False)  # as they are printed


def numbers(table, **choices):
    setting = {name: choices.pop(name) for name in published.SETTINGS if name in choices}
    return published_numbers(table, **choices, setting=setting)


def one(table, **choices):
    (row,) = numbers(table, **choices)
    return row


def number(value, *, method="m", **more):
    return Published(
        table="T1", dataset="MVTec AD", category="mean", method=method, metric="image_auroc", value=value, **more
    )


OURS = Quantity(0.99, 0.0, "%")
PAPERS = Conditions(
    images="complete",
    categories=15,
    backbone="wide_resnet50_2",
    weights=PAPER_WEIGHTS,
    hierarchies=(2, 3),
    neighbourhood_size=3,
    stride=1,
    dimension=1024,
    coreset_fraction=0.1,
    resize=256,
    crop=224,
    metric="image_auroc",
)


# The numbers


@pytest.mark.parametrize(
    ("table", "choices", "value"),
    [
        ("T1", {"metric": "image_auroc", "method": "PatchCore-25%"}, 0.991),
        ("T1", {"metric": "image_auroc", "method": "SPADE"}, 0.855),
        ("T1", {"metric": "image_auroc_error", "method": "PaDiM*"}, 0.021),
        ("T1", {"metric": "misclassified", "method": "PatchCore-1%", "category": "all"}, 49),
        ("T2", {"metric": "pixel_auroc", "method": "PatchCore-10%"}, 0.981),
        ("T3", {"metric": "pro", "method": "PatchCore-10%"}, 0.935),
        ("T4", {"metric": "image_auroc", "method": "PatchCore-1% ensemble"}, 0.996),
        ("T4", {"metric": "pro", "method": "PatchCore-1%", "hierarchies": (1, 2, 3)}, 0.950),
        ("T4", {"metric": "image_auroc", "method": "PatchCore-1%", "hierarchies": (2, 3), "crop": 280}, 0.994),
        ("T5", {"metric": "seconds_per_image", "method": "PatchCore-10%"}, 0.22),
        ("T5", {"metric": "image_auroc", "method": "PatchCore-100% + IVFPQ"}, 0.980),
        ("T6", {"metric": "image_auroc", "method": "PatchCore-10%", "dataset": "MTD"}, 0.979),
        ("T6", {"metric": "pixel_auroc", "method": "PatchCore-10%"}, 0.918),
        ("S1", {"metric": "image_auroc", "method": "PatchCore-25%", "category": "capsule"}, 0.981),
        ("S5", {"metric": "image_auroc", "method": "PatchCore-25%", "shots": 16}, 0.955),
        ("S5", {"metric": "pro", "method": "PaDiM", "shots": 1}, 0.724),
        ("S6", {"metric": "pro", "backbone": "resnet101", "coreset_fraction": 0.1}, 0.925),
        ("Fig. 4", {"metric": "image_auroc", "hierarchies": (1,)}, 0.93),
        ("Fig. 4", {"metric": "image_auroc", "neighbourhood_size": 7}, 0.943),
        ("Fig. 5", {"metric": "image_auroc", "method": "PatchCore, random"}, 0.93),
        ("Sec. 4.4.2", {"metric": "image_auroc", "stride": 2}, 0.976),
        ("App. C.4", {"metric": "false_negatives", "category": "all"}, 23),
        ("official README", {"metric": "pro_per_image", "method": "WR50-baseline"}, 0.944),
        ("official", {"metric": "pro_per_image", "method": "IM224_WR50_L2-3_P01_D1024-1024_PS-3_AN-1"}, 0.94365),
    ],
)
def test_numbers_are_those_that_are_printed(table, choices, value):
    assert one(table, **choices).value == value


@pytest.mark.parametrize(("table", "metric"), [("S1", "image_auroc"), ("S2", "pixel_auroc"), ("S3", "pro")])
@pytest.mark.parametrize("share", [25, 10, 1])
def test_the_categories_mean_is_the_printed_one(table, metric, share):
    method = f"PatchCore-{share}%"
    categories = set(ROWS[(ROWS["table"] == table) & (ROWS["method"] == method)]["category"]) - {"mean"}
    assert len(categories) == 15
    values = [one(table, metric=metric, method=method, category=category).value for category in categories]
    printed = one(table, metric=metric, method=method).value
    # Each cell and the mean are rounded to 0.1 point.
    assert np.mean(values) == pytest.approx(printed, abs=0.001)
    main = {"S1": "T1", "S2": "T2", "S3": "T3"}[table]
    assert one(main, metric=metric, method=method).value == printed


def test_errors_are_what_is_missing_to_one():
    for table, metric in [("T1", "image_auroc"), ("T2", "pixel_auroc")]:
        scores = {row.method: row.value for row in published_numbers(table, metric=metric)}
        for row in published_numbers(table, metric=f"{metric}_error"):
            assert row.value == pytest.approx(1 - scores[row.method], abs=1e-9)


def test_table_4_keeps_the_error_that_cannot_be_right_and_says_so():
    row = one("T4", metric="pro_error", method="PatchCore-1% ensemble")
    assert row.value == 0.056
    assert "cannot be right" in row.note


def test_misclassified_images_are_false_positives_and_negatives():
    found = [one("App. C.4", metric=f"false_{kind}", category="all").value for kind in ("positives", "negatives")]
    assert sum(found) == one("T1", metric="misclassified", method="PatchCore-25%", category="all").value


def test_no_two_numbers_answer_to_one_description():
    assert not ROWS.drop(columns=["value", "std", "relation", "verified", "note"]).duplicated().any()


def test_what_is_read_off_a_plot_is_not_verified():
    plots = ROWS[ROWS["table"].str.startswith("Fig.")]
    read = plots[["table", "metric"]].drop_duplicates().itertuples(index=False)
    rows = [row for table, metric in read for row in published_numbers(table, metric=metric)]
    assert len(rows) == len(plots) > 0
    assert all(not row.verified and row.relation == "~" and "plot" in row.note for row in rows)


def test_the_official_pro_is_never_taken_for_the_papers():
    for table in ("official", "official README"):
        with pytest.raises(InputError, match="has no metric 'pro'"):
            published_numbers(table, metric="pro")


def test_spread_is_read_beside_the_value():
    row = one("S5", metric="image_auroc", method="PatchCore-25%", shots=1)
    assert (row.value, row.std) == (0.841, 0.007)
    assert one("T1", metric="image_auroc", method="PatchCore-25%").std is None


def test_a_combination_that_a_table_lacks_is_empty():
    assert numbers("S5", metric="image_auroc", method="PatchCore-10%", shots=50) == ()


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"table": "Fig. 3", "metric": "image_auroc"}, "no table 'Fig. 3' .did you mean Fig. "),
        ({"table": "T1", "metric": "image_auorc"}, "no metric 'image_auorc' .did you mean image_auroc"),
        ({"table": "T1", "metric": "image_auroc", "method": "patchcore-10"}, "did you mean PatchCore-10%"),
        ({"table": "S1", "metric": "image_auroc", "category": "bottel"}, "did you mean bottle"),
        ({"table": "T2", "metric": "pro"}, "known here: pixel_auroc"),
        ({"table": "T2", "metric": "pixel_auroc", "setting": {"shot": 1}}, "no setting 'shot' .did you mean shots"),
    ],
)
def test_an_unknown_name_is_an_error_that_names_the_nearest(choices, message):
    with pytest.raises(InputError, match=message):
        published_numbers(choices.pop("table"), **choices)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (number(0.991), "99.1"),
        (number(0.841, std=0.007), "84.1 ± 0.7"),
        (number(0.99, relation="~", verified=False), "~99.0 (unverified)"),
        (number(0.3, relation="<"), "< 30.0"),
        (number(0.22, unit="s"), "0.22 s"),
        (number(42.0, unit="images"), "42 images"),
    ],
)
def test_a_number_as_text(row, text):
    assert str(row.quantity) == text


# Conditions


def test_the_papers_conditions_are_those_it_states():
    assert one("T1", metric="image_auroc", method="PatchCore-10%").conditions == PAPERS
    category = one("S1", metric="image_auroc", method="PatchCore-10%", category="bottle").conditions
    assert category == replace(PAPERS, categories=1)
    mstc = one("T6", metric="pixel_auroc", method="PatchCore-10%").conditions
    assert (mstc.categories, mstc.hierarchies, mstc.resize, mstc.crop) == (12, (3, 4), (256, 256), None)


@pytest.mark.parametrize(
    ("ours", "reason"),
    [
        ({"images": "synthetic"}, "data synthetic"),
        ({"images": "reduced"}, "data reduced"),
        ({"categories": 1}, "categories differ: 1 of 15"),
        ({"backbone": "tf_efficientnet_lite0"}, "backbone differs: tf_efficientnet_lite0, not wide_resnet50_2"),
        ({"weights": "timm racm_in1k"}, "weights differ: timm racm_in1k, not torchvision ImageNet V1"),
        ({"hierarchies": (1, 2, 3)}, "hierarchies differ: 1 and 2 and 3, not 2 and 3"),
        ({"dimension": None}, "dimension differs: native, not 1024"),
        ({"coreset_fraction": 0.25}, "coreset fraction differs: 0.25, not 0.1"),
        ({"resize": (224, 224)}, "resize differs: 224 and 224, not 256"),
        ({"crop": None}, "crop differs: none, not 224"),
        ({"shots": 5}, "shots differ: 5, not all"),
        ({"metric": "pro_per_image"}, "metric differs: pro_per_image, not image_auroc"),
    ],
)
def test_each_difference_is_named(ours, reason):
    assert differences(replace(PAPERS, **ours), PAPERS) == (reason,)


def test_equal_conditions_have_no_differences():
    assert differences(PAPERS, PAPERS) == ()
    assert differences(replace(PAPERS, hierarchies=[2, 3]), PAPERS) == ()  # as YAML gives them


def test_another_backbone_has_other_weights_without_saying():
    ours = replace(PAPERS, backbone="resnet18", weights="a file")
    assert differences(ours, PAPERS) == ("backbone differs: resnet18, not wide_resnet50_2",)


def test_what_the_paper_does_not_say_is_not_compared():
    quoted = one("T1", metric="image_auroc", method="SPADE").conditions
    assert differences(PAPERS, quoted) == ()


def test_misspelt_images_are_refused():
    with pytest.raises(InputError, match="images='Synthetic' must be one of"):
        replace(PAPERS, images="Synthetic")


# Verdicts


@pytest.mark.parametrize(
    ("ours", "name"),
    [
        (0.990, REPRODUCED),
        (0.985, REPRODUCED),  # half a point, although 0.990 - 0.985 > 0.005 in floating point
        (0.995, REPRODUCED),
        (0.98499, NEAR),
        (0.975, NEAR),
        (0.97499, NOT_REPRODUCED),
        (1.0, NEAR),
        (0.5, NOT_REPRODUCED),
    ],
)
def test_a_verdict_without_noise(ours, name):
    found = verdict(ours, number(0.990))
    assert (found.name, found.reasons) == (name, ())
    assert found.difference == pytest.approx(ours - 0.990)


@pytest.mark.parametrize(
    ("ours", "spread", "name"),
    [
        (0.982, 0.004, REPRODUCED),  # 0.8 points, twice the spread
        (0.980, 0.005, REPRODUCED),  # 1 point: as far as noise can reach
        (0.979, 0.006, NEAR),  # beyond it, although within twice the spread
        (0.982, 0.003, NEAR),
        (0.960, 0.015, NEAR),  # 3 points: the same for near
        (0.959, 0.015, NOT_REPRODUCED),
        (0.959, 0.016, NO_VERDICT),  # draws differ by more than verdicts tell apart ...
        (0.990, 0.016, NO_VERDICT),
        (0.957, 0.016, NOT_REPRODUCED),  # ... and this is more
        (0.5, 0.1, NOT_REPRODUCED),
        (0.986, 0.0, REPRODUCED),
    ],
)
def test_the_spread_over_seeds_doubles_the_limits_or_rules_a_verdict_out(ours, spread, name):
    assert verdict(ours, number(0.990), spread=spread).name == name


def test_the_papers_spread_is_added_in_squares():
    # Twice the root of 0.3^2 + 0.4^2 is 1 point.
    assert verdict(0.98, number(0.990), spread=0.003).name == NEAR
    assert verdict(0.98, number(0.990, std=0.004), spread=0.003).name == REPRODUCED


@pytest.mark.parametrize(
    ("ours", "interval", "name"),
    [
        (0.981, (0.975, 0.990), REPRODUCED),
        (0.981, (0.975, 0.9899), NEAR),
        (0.979, (0.90, 1.0), NEAR),  # a wide interval reaches no farther than 1 point
        (0.959, (0.5, 1.0), NOT_REPRODUCED),  # nor than 3
        (0.981, (float("nan"), float("nan")), NEAR),
    ],
)
def test_an_interval_doubles_the_limits_and_no_more(ours, interval, name):
    assert verdict(ours, number(0.990), interval=interval).name == name


def test_a_single_draw_of_unknown_spread_is_not_judged():
    found = verdict(0.982, number(0.990), spread=float("nan"), reasons=["crop differs: none, not 224"])
    reasons = ("crop differs: none, not 224", "one seed: what another changes is not known")
    assert found == verdicts.Verdict(NO_VERDICT, -0.008, reasons)


def test_what_noise_decided_is_said():
    assert verdict(0.982, number(0.990), spread=0.004).reasons == ("difference within twice the spread",)
    found = verdict(0.982, number(0.990), interval=(0.97, 0.995), reasons=["crop differs: none, not 224"])
    assert found.reasons == ("crop differs: none, not 224", "published number within the interval")
    assert verdict(0.989, number(0.990), spread=0.004).reasons == ()  # close without its help


@pytest.mark.parametrize(
    ("ours", "reason"),
    [
        ({"images": "reduced", "categories": 1}, "data reduced"),
        ({"images": "own"}, "data own"),
        ({"categories": 2}, "categories differ: 2 of 15"),
    ],
)
def test_there_is_no_verdict_on_other_images_or_categories(ours, reason):
    reasons = differences(replace(PAPERS, crop=None, **ours), PAPERS)
    assert verdict(0.990, number(0.990), reasons=reasons) == verdicts.Verdict(NO_VERDICT, None, (reason,))


# Means over some categories


def test_a_mean_over_categories_by_hand():
    mean = one("T1", metric="image_auroc", method="PatchCore-1%")
    some = mean_over(mean, ["bottle", "screw"])
    assert (some.value, some.table, some.over, some.category) == (0.982, "S1", 2, "mean")
    assert some.conditions == replace(mean.conditions, categories=2)
    assert mean_over(one("T5", metric="pixel_auroc", method="PatchCore-1%"), ["bottle"]).table == "S2"


@pytest.mark.parametrize(
    ("table", "choices"),
    [
        ("T1", {"metric": "image_auroc", "method": "SPADE"}),
        ("T1", {"metric": "misclassified", "method": "PatchCore-1%", "category": "all"}),
        ("T4", {"metric": "image_auroc", "method": "PatchCore-1%", "hierarchies": (2, 3)}),  # another network
        ("Fig. 5", {"metric": "image_auroc", "method": "PatchCore, coreset", "coreset_fraction": 0.01}),
        ("S5", {"metric": "image_auroc", "method": "PatchCore-25%", "shots": 1}),
    ],
)
def test_what_no_table_prints_by_category_has_no_mean_over_some(table, choices):
    assert mean_over(one(table, **choices), ["bottle"]) is None


def test_a_category_that_the_paper_does_not_have_leaves_no_mean():
    assert mean_over(one("T1", metric="image_auroc", method="PatchCore-1%"), ["bottle", "bolt"]) is None


def test_nothing_is_compared_like_for_like_with_images_left_out():
    mean = one("T1", metric="image_auroc", method="PatchCore-1%")
    assert like_for_like(mean, images="reduced", categories=["bottle"]) == Counterpart(unlike="data reduced")
    assert like_for_like(mean, images="own", categories=["bottle"]) == Counterpart(unlike="data own")
    assert like_for_like(mean, images="synthetic", categories=["bottle"]) == Counterpart(mean)
    assert like_for_like(mean, images="complete", categories=[f"{n}" for n in range(15)]) == Counterpart(mean)
    assert like_for_like(None, images="complete", categories=["bottle"]) == Counterpart()


def test_there_is_no_verdict_on_synthetic_images():
    reasons = differences(replace(PAPERS, images="synthetic", categories=1), PAPERS)
    assert verdict(0.990, number(0.990), reasons=reasons) == verdicts.Verdict(NO_VERDICT, None, (SYNTHETIC,))


@pytest.mark.parametrize(
    ("ours", "theirs", "reason"),
    [
        (0.99, None, "no published number"),
        (float("nan"), number(0.99), "not available"),
        (0.2, number(0.2, unit="s"), "not a share but s"),
    ],
)
def test_where_there_is_nothing_to_compare_there_is_no_verdict(ours, theirs, reason):
    assert verdict(ours, theirs) == verdicts.Verdict(NO_VERDICT, None, (reason,))


def test_a_verdict_on_a_shaky_number_says_so():
    found = verdict(0.99, number(0.99, relation="~", verified=False))
    assert found == verdicts.Verdict(REPRODUCED, 0, ("published as approximate", "rests on an unverified number"))


def test_an_upper_bound_is_kept_from_below():
    bound = number(0.30, relation="<")
    assert verdict(0.10, bound).name == REPRODUCED
    assert verdict(0.10, bound).difference == -0.2
    assert verdict(0.32, bound).name == NOT_REPRODUCED


# Rows


def shown(one):
    """The cells of a row as they are read."""
    return {name: str(cell) for name, cell in one.row.items()}


def test_a_row_beside_the_papers():
    theirs, ours = number(0.990, crop=224), Quantity(0.973, 0.0042, "%")
    row = shown(Compared("b", ours, theirs, replace(PAPERS, crop=None), Interval(0.9612, 0.985)))
    assert tuple(row) == COLUMNS
    assert list(row.values()) == [
        "b",
        "97.3 ± 0.4",
        "99.0",
        "-1.7",
        "96.1 to 98.5",
        NOT_REPRODUCED,
        "crop differs: none, not 224",
    ]
    row = shown(Compared("a", Quantity(0.99, 0.0, "%"), theirs, PAPERS))
    assert list(row.values()) == ["a", "99.0 ± 0.0", "99.0", "0.0", "-", REPRODUCED, "-"]


def test_a_system_that_is_only_quoted_has_no_verdict():
    row = quoted("AE-SSIM", Counterpart(number(0.87, verified=False)))
    assert [str(row[name]) for name in COLUMNS] == ["AE-SSIM", "-", "87.0 (unverified)", "-", "-", "-", "quoted"]


def test_reasons_stand_in_the_row_and_remarks_after_them():
    theirs = one("T1", metric="image_auroc", method="PatchCore-10%")
    ours = replace(PAPERS, backbone="tf_efficientnet_lite0", crop=None)
    row = shown(Compared("a", OURS, theirs, ours, remarks=("quoted elsewhere",)))
    reason = "backbone differs: tf_efficientnet_lite0, not wide_resnet50_2; crop differs: none, not 224"
    assert (row["verdict"], row["reason"]) == (REPRODUCED, f"{reason}; quoted elsewhere")
    row = shown(Compared("b", OURS))
    assert (row["verdict"], row["reason"]) == (NO_VERDICT, "no published number")


def test_a_synthetic_number_has_no_verdict_and_no_difference():
    theirs = one("T1", metric="image_auroc", method="PatchCore-10%")
    row = shown(Compared("a", OURS, theirs, replace(PAPERS, images="synthetic"), remarks=("quoted elsewhere",)))
    assert (row["difference"], row["verdict"], row["reason"]) == ("-", NO_VERDICT, SYNTHETIC)


def test_a_metric_that_is_not_available_has_no_verdict():
    absent = Quantity(np.nan, unit="%")
    row = shown(Compared("a", absent, number(0.99), PAPERS, Interval(np.nan, np.nan)))
    assert (row["ours"], row["interval (95 %)"], row["verdict"]) == ("not available", "not available", NO_VERDICT)


def test_a_variant_is_not_compared_without_its_conditions():
    with pytest.raises(InputError, match="variant 'a' has no conditions"):
        _ = Compared("a", OURS, number(0.99)).row
