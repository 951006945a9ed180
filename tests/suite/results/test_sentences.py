import numpy as np
import pandas as pd
import pytest

from patchcore_suite.results import sentences

METRICS = ["image_auroc", "pro"]


def study(**columns):
    return pd.DataFrame(columns)


@pytest.fixture
def sizes():
    """p = 3 is the best for images, p = 5 for regions; two seeds of p = 3."""
    return study(p=[1, 3, 3, 5], image_auroc=[0.80, 0.92, 0.94, 0.90], pro=[0.5, 0.6, 0.6, 0.7])


def test_the_best_setting_is_named_for_each_metric_with_what_it_is_worth(sizes):
    text = sentences.best(sizes, "p", METRICS, form="p = {:g}")
    assert "p = 3 for image AUROC, p = 5 for PRO" in text
    assert "+13.0 points of image AUROC" in text  # 0.80 to the mean of 0.92 and 0.94


def test_a_metric_that_one_setting_lacks_is_not_ranked(sizes):
    sizes.loc[3, "pro"] = np.nan
    assert "PRO" not in sentences.best(sizes, "p", METRICS)


def test_the_papers_choice_has_a_place_in_each_metric(sizes):
    assert "place 1 in image AUROC, 2 in PRO of 3" in sentences.place(sizes, "p", 3, METRICS)
    assert sentences.place(sizes, "p", 9, METRICS) == ""


def test_ranges_are_between_worst_and_best(sizes):
    assert "+14.0 points for p" in sentences.ranges({"p": sizes}, "image_auroc")
    assert "not available points for none" in sentences.ranges({"none": sizes[:0]}, "image_auroc")


def test_leaders_are_by_means_over_draws():
    rows = study(
        method=["patchcore-10", "patchcore-10", "spade", "patchcore-10", "spade"],
        shots=[1.0, 1.0, 1.0, 5.0, 5.0],
        image_auroc=[0.6, 0.8, 0.75, 0.9, 0.8],
        pro=[np.nan] * 5,
    )
    text = sentences.leaders(rows, METRICS)
    assert "**spade** with 1 nominal image(s), **patchcore-10** with 5, PatchCore at 1 of 2" in text
    assert "PRO" not in text


def test_the_largest_step_may_be_a_loss():
    steps = study(step=["paper", "crop", "masks"], image_auroc=[0.90, 0.80, 0.85])
    text = sentences.largest_step(steps, "image_auroc", "official")
    assert "**crop** (-10.0 points)" in text
    assert "all together change it by -5.0 points" in text


def test_where_nothing_was_measured_the_text_says_so(sizes):
    unknown = sizes.assign(image_auroc=np.nan, pro=np.nan)
    for rows in (unknown, sizes[:0]):
        assert sentences.best(rows, "p", METRICS) == sentences.NOTHING_MEASURED
        assert sentences.place(rows, "p", 3, METRICS) == ""
        assert sentences.leaders(rows.assign(method="spade", shots=1.0), METRICS) == sentences.NOTHING_MEASURED
        assert "was not measured" in sentences.largest_step(rows.assign(step=rows["p"]), "image_auroc", "anomalib")
