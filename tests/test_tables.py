import numpy as np
import pandas as pd
import pytest

from patchcore_core import tables
from patchcore_core.errors import InputError

COLUMNS = ["dataset", "category", "variant", "seed", "metric", "value"]


def rows(values, metric="image_auroc"):
    """Metrics in long form from {(category, variant, seed): value}."""
    return pd.DataFrame([["d", *key, metric, value] for key, value in values.items()], columns=COLUMNS)


# Two categories, two seeds: means over categories are 0.8 and 0.9.
TWO_SEEDS = {("a", "v", 0): 0.7, ("b", "v", 0): 0.9, ("a", "v", 1): 0.8, ("b", "v", 1): 1.0}


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.970, 0.976], "97.3 ± 0.4"),  # standard deviation 0.00424
        ([0.973], "97.3"),
        ([0.0], "0.0"),
        ([np.nan], "not available"),
        ([0.9, np.nan], "not available"),
        ([], "not available"),
    ],
)
def test_percent_gives_mean_and_deviation(values, text):
    assert tables.percent(pd.Series(values, dtype=float)) == text


def test_the_spread_is_that_of_the_means_over_categories():
    assert tables.by_variant(rows(TWO_SEEDS), "image_auroc")["v"] == "85.0 ± 7.1"  # 0.8 and 0.9


def test_variants_keep_the_order_in_which_they_were_run():
    frame = rows({("a", name, 0): 0.5 for name in ("z", "a", "m")})
    assert list(tables.by_variant(frame, "image_auroc").index) == ["z", "a", "m"]
    assert list(tables.by_category(frame, "image_auroc").columns) == ["category", "z", "a", "m"]


def test_a_category_without_the_metric_makes_the_mean_not_available():
    frame = rows(TWO_SEEDS | {("c", "v", 0): np.nan, ("c", "v", 1): np.nan}, "pro")
    assert tables.by_variant(frame, "pro")["v"] == "not available"
    by_category = tables.by_category(frame, "pro").set_index("category")["v"]
    assert by_category.to_dict() == {
        "a": "75.0 ± 7.1",
        "b": "95.0 ± 7.1",
        "c": "not available",
        "mean": "not available",
    }


def test_misclassified_images_are_summed_over_categories():
    counts = {("a", "v", 0): 1, ("b", "v", 0): 2, ("a", "v", 1): 3, ("b", "v", 1): 0}
    frame = pd.concat([rows(counts, "false_positives"), rows({key: 1 for key in counts}, "false_negatives")])
    assert tables.misclassified(frame)["v"] == "5 ± 0.0"  # 3 + 2 and 3 + 2


def test_the_number_of_seeds_is_said():
    assert tables.describe_seeds(rows(TWO_SEEDS)) == "mean ± standard deviation over 2 seeds"
    assert tables.describe_seeds(rows({("a", "v", 0): 1.0})) == "one seed"


def test_a_variant_without_weights_has_a_row_that_says_so():
    frame = tables.with_missing_weights(pd.DataFrame({"variant": ["v"], "PRO": ["1.0"]}), "variant", ["paper"])
    assert frame.to_dict("list") == {"variant": ["v", "paper"], "PRO": ["1.0", "weights missing"]}


def test_a_table_is_read_as_it_was_written(tmp_path):
    frame = pd.DataFrame({"variant": ["v, <1>", "ä"], "AUROC": ["97.3 ± 0.4", "not available"]})
    tables.Table("T", "C", False, frame).write(tmp_path, "t")
    table = tables.Table.read(tmp_path, "t")
    assert (table.title, table.caption, table.synthetic) == ("T", "C", False)
    assert table.frame.equals(frame)


def test_a_synthetic_table_cannot_hide_it():
    frame = pd.DataFrame({"variant": ["v"]})
    assert tables.Table("T", "C.", True, frame).caption == "SYNTHETIC images. C."
    assert tables.Table("T", "SYNTHETIC tiles.", True, frame).caption == "SYNTHETIC tiles."


def test_a_missing_table_is_an_error_that_names_it(tmp_path):
    with pytest.raises(InputError, match="no table t1"):
        tables.Table.read(tmp_path, "t1")


def test_missing_metrics_are_an_error_that_says_what_to_run(project):
    with pytest.raises(InputError, match="dvc repro evaluate@toy"):
        tables.read_metrics("toy", project.params)
