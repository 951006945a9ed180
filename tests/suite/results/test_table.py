import json

import numpy as np
import pandas as pd
import pytest

from patchcore_core.common.errors import InputError
from patchcore_suite.results import study_metrics
from patchcore_suite.results.quantities import Quantity
from patchcore_suite.results.table import Table, as_text
from patchcore_suite.run import controls

COLUMNS = ["dataset", "category", "variant", "shots", "seed", "metric", "value"]


def rows(values, metric="image_auroc", shots=None):
    """Metrics in long form from {(category, variant, seed): value}."""
    found = [
        ["d", category, variant, shots, seed, metric, value] for (category, variant, seed), value in values.items()
    ]
    return pd.DataFrame(found, columns=COLUMNS).astype({"shots": "Int64"})


# Two categories, two seeds: means over categories are 0.8 and 0.9.
TWO_SEEDS = {("a", "v", 0): 0.7, ("b", "v", 0): 0.9, ("a", "v", 1): 0.8, ("b", "v", 1): 1.0}


def test_the_spread_is_that_of_the_means_over_categories():
    assert str(study_metrics.by_variant(rows(TWO_SEEDS), "image_auroc")["v"]) == "85.0 ± 7.1"  # 0.8 and 0.9


def test_variants_keep_the_order_in_which_they_were_run():
    frame = rows({("a", name, 0): 0.5 for name in ("z", "a", "m")})
    assert list(study_metrics.by_variant(frame, "image_auroc").index) == ["z", "a", "m"]
    assert list(study_metrics.by_category(frame, "image_auroc").columns) == ["category", "z", "a", "m"]


def test_a_category_without_the_metric_makes_the_mean_not_available():
    frame = rows(TWO_SEEDS | {("c", "v", 0): np.nan, ("c", "v", 1): np.nan}, "pro")
    assert str(study_metrics.by_variant(frame, "pro")["v"]) == "not available"
    by_category = as_text(study_metrics.by_category(frame, "pro")).set_index("category")["v"]
    assert by_category.to_dict() == {
        "a": "75.0 ± 7.1",
        "b": "95.0 ± 7.1",
        "c": "not available",
        "mean": "not available",
    }


def test_misclassified_images_are_summed_over_categories():
    counts = {("a", "v", 0): 1, ("b", "v", 0): 2, ("a", "v", 1): 3, ("b", "v", 1): 0}
    frame = pd.concat([rows(counts, "false_positives"), rows({key: 1 for key in counts}, "false_negatives")])
    assert str(study_metrics.misclassified(frame)["v"]) == "5 ± 0.0"  # 3 + 2 and 3 + 2


def test_the_number_of_seeds_is_said():
    assert study_metrics.describe_seeds(rows(TWO_SEEDS)) == "mean ± standard deviation over 2 seeds"
    assert study_metrics.describe_seeds(rows({("a", "v", 0): 1.0})) == "one seed"


def test_a_variant_without_weights_has_a_row_that_says_so():
    frame = study_metrics.with_missing_weights(pd.DataFrame({"variant": ["v"], "PRO": ["1.0"]}), "variant", ["paper"])
    assert frame.to_dict("list") == {"variant": ["v", "paper"], "PRO": ["1.0", "weights missing"]}


def test_what_is_missing_may_be_said_in_one_column():
    frame = pd.DataFrame({"variant": ["v"], "ours": ["1.0"], "paper": ["2.0"]})
    found = study_metrics.with_missing_weights(frame, "variant", ["wide", "resnet"], shown="ours")
    assert found.to_dict("list") == {
        "variant": ["v", "wide", "resnet"],
        "ours": ["1.0", "weights missing", "weights missing"],
        "paper": ["2.0", "-", "-"],
    }
    assert study_metrics.with_missing_weights(frame, "variant", []).to_dict("list") == frame.to_dict("list")


def test_a_table_becomes_text_where_it_is_written(tmp_path):
    frame = pd.DataFrame({"variant": ["v, <1>", "ä"], "AUROC": [Quantity(0.973, 0.004, "%"), "not available"]})
    Table("T", "C", False, frame).write(tmp_path, "t")
    assert (tmp_path / "t.csv").read_text() == 'variant,AUROC\n"v, <1>",97.3 ± 0.4\nä,not available\n'
    assert json.loads((tmp_path / "t.json").read_text()) == {"title": "T", "caption": "C", "synthetic": False}


def test_a_table_is_written_for_papers_too(tmp_path):
    frame = pd.DataFrame({"variant": ["a_b"], "image AUROC": [Quantity(0.973, 0.004, "%")]})
    Table("Table 1", "In %.", False, frame).write(tmp_path, "t1")
    text = (tmp_path / "t1.tex").read_text(encoding="utf-8")
    assert r"\caption{Table 1. In \%.}" in text
    assert r"\label{tab:t1}" in text
    assert r"a\_b & 97.3 $\pm$ 0.4 \\" in text


def test_a_synthetic_table_cannot_hide_it():
    frame = pd.DataFrame({"variant": ["v"]})
    assert Table("T", "C.", True, frame).caption == "SYNTHETIC images. C."
    assert Table("T", "SYNTHETIC tiles.", True, frame).caption == "SYNTHETIC tiles."


def test_missing_metrics_are_an_error_that_says_what_to_run(project):
    with pytest.raises(InputError, match="dvc repro evaluate@toy"):
        study_metrics.read_metrics(project.toy)


# Studies


@pytest.fixture
def studied(project):
    """A project with studies, and metrics as `evaluate` writes them."""
    project.variants |= {
        "other": {"stride": 2},
        "noise": {"method": "random_scores"},
        "raw": {"backbone": "untrained/tf_efficientnet_lite0"},
    }
    project.dataset |= {
        "variants": ["tenth", "all", "noise", "raw"],
        "studies": {
            "other": {"variants": ["other", "tenth"], "seeds": [0, 5], "categories": ["nut"]},
            "shots": {"variants": ["tenth"], "seeds": [0, 5], "shots": [1, 2]},
            "both": {"variants": ["tenth", "noise"], "seeds": [0], "shots": [2, None]},
        },
    }
    both, value = ("bolt", "nut"), 0.5
    main = {(c, v, s): value for v in ("tenth", "all", "noise", "raw") for c in both for s in (0, 1)}
    more = {("nut", v, s): value for v in ("other", "tenth") for s in (0, 5)} | {("nut", "tenth", 5): value}
    shots = {(c, "tenth", s): value for c in both for s in (0, 5)}
    ceiling = {(c, controls.CEILING, 0): v for c, v in (("bolt", 0.9), ("nut", 0.7))}
    parts = [rows(main | more), *(rows(shots, shots=count) for count in (1, 2)), rows(ceiling, "pixel_auroc")]
    absent = rows({("bolt", "tenth", 0): None}, "pro")
    path = project.root / "reports/metrics/toy.csv"
    path.parent.mkdir(parents=True)
    pd.concat([*parts, absent]).assign(dataset="toy").to_csv(path, index=False)
    return project


def read(project, **options):
    """Cells (category, variant, shots, seed) of the image AUROC that a study shows, in order."""
    found = study_metrics.read_metrics(project.toy, **options)
    found = found[found["metric"] == "image_auroc"]
    shots = [None if pd.isna(count) else int(count) for count in found["shots"]]
    return list(zip(found["category"], found["variant"], shots, found["seed"], strict=True))


def test_the_main_study_has_its_own_variants_seeds_and_all_images(studied):
    found = read(studied)
    assert sorted(found, key=str) == sorted(
        [(c, v, None, s) for v in ("tenth", "all", "noise", "raw") for c in ("bolt", "nut") for s in (0, 1)], key=str
    )
    assert list(dict.fromkeys(variant for _, variant, *_ in found)) == ["tenth", "all", "noise", "raw"]


def test_a_study_has_its_own_variants_first_and_then_the_controls_on_its_categories(studied):
    found = read(studied, study="other")
    assert list(dict.fromkeys(variant for _, variant, *_ in found)) == ["other", "tenth", "noise", "raw"]
    assert {category for category, *_ in found} == {"nut"}
    seeds = {variant: {seed for _, v, _, seed in found if v == variant} for _, variant, *_ in found}
    assert seeds == {"other": {0, 5}, "tenth": {0, 5}, "noise": {0, 1}, "raw": {0, 1}}


def test_a_study_of_shots_has_its_shots_and_the_controls_with_all_images(studied):
    found = read(studied, study="shots")
    assert {(variant, shots) for _, variant, shots, _ in found} == {
        ("tenth", 1),
        ("tenth", 2),
        ("noise", None),
        ("raw", None),
    }
    found = read(studied, study="both")
    assert {(v, shots, seed) for _, v, shots, seed in found if v in ("tenth", "noise")} == {
        ("tenth", 2, 0),
        ("tenth", None, 0),
        ("noise", None, 0),
    }
    assert [variant for _, variant, *_ in found].count("noise") == 2  # a control of the study is not shown twice


def test_the_ceiling_is_in_no_study(studied):
    for study in ("main", "other", "shots", "both"):
        assert controls.CEILING not in set(study_metrics.read_metrics(studied.toy, study=study)["variant"])


def test_values_and_types_survive_the_file(studied):
    found = study_metrics.read_metrics(studied.toy)
    assert list(found.columns) == COLUMNS
    assert found["shots"].dtype == "Int64"
    assert found["value"].dtype == float
    assert found.loc[found["metric"] == "pro", "value"].isna().all()


def test_names_that_look_like_nothing_stay_names(studied):
    studied.variants["NA"] = {"stride": 3}
    studied.dataset["variants"] = ["NA"]
    path = studied.root / "reports/metrics/toy.csv"
    path.write_text(path.read_text() + "toy,bolt,NA,,0,image_auroc,0.25\n")
    assert read(studied) == [("bolt", "NA", None, 0)]


def test_an_unknown_study_is_refused_with_the_known_ones(studied):
    with pytest.raises(InputError, match=r"no study 'othr'\nRemedy: .*there are main, both, other, shots"):
        study_metrics.read_metrics(studied.toy, study="othr")


def test_the_ceiling_of_categories_is_their_mean(studied):
    for categories, expected in ((["bolt"], 0.9), (["nut"], 0.7), (["bolt", "nut"], 0.8)):
        assert study_metrics.read_ceiling(studied.toy, "pixel_auroc", categories) == pytest.approx(expected)


def test_without_masks_there_is_no_ceiling(studied):
    assert study_metrics.read_ceiling(studied.toy, "pro", ["bolt"]) is None
    assert study_metrics.read_ceiling(studied.toy, "pixel_auroc", ["bolt", "pin"]) is None


def test_no_cell_of_a_csv_is_a_formula_to_a_spreadsheet(tmp_path):
    frame = pd.DataFrame({"category": ["=1+1", "@x"], "difference": ["-0.4", "-"]})
    Table("T", "C", False, frame).write(tmp_path, "t")
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == "category,difference\n'=1+1,-0.4\n'@x,-\n"
