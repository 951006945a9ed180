"""The tables of docs/one_model.md, by hand."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.one_model import Measured, claims, compared, page, shares
from patchcore_suite.run.resamples import CellName

STEPS = np.linspace(0, 0.1, 1000)  # of which 2.5 % lie below 0.0025, and 2.5 % above 0.0975


def found(of_all, of_one, *, ahead=0.0):
    """PRO of `nut` by seed, with all images and with one; on resampled images by so much higher."""
    values = {None: of_all, 1: of_one}
    cells = [(shots, seed, value) for shots, of in values.items() for seed, value in enumerate(of)]
    rows = [("nut", "bank", shots, seed, "pro", value) for shots, seed, value in cells]
    rows.append(("nut", "blurred ground truth", None, 0, "pro", 1.0))
    frame = pd.DataFrame(rows, columns=["category", "variant", "shots", "seed", "metric", "value"])
    replicates = {CellName("nut", "bank", shots, seed): {"pro": ahead + STEPS} for shots, seed, _ in cells}
    return Measured(
        frame.astype({"shots": "Int64"}), replicates, {("bank", None): (0.75, 0.5), ("bank", 1): (0.5, 0.4)}
    )


def test_what_one_model_costs_is_the_difference_seed_by_seed_with_both_intervals():
    own, together = found([0.9, 0.92], [0.8, 0.81], ahead=0.02), found([0.9, 0.91], [0.7, 0.71])
    few, every = compared(own, together)
    assert (few.images, every.images) == ("1", "all")
    assert few.lead.mean == pytest.approx(0.1)
    assert few.lead.decided
    assert (few.lead.images.low, few.lead.images.high) == pytest.approx((0.02, 0.02))  # on the same drawn images
    assert every.lead.mean == pytest.approx(0.005)
    assert not every.lead.decided
    assert claims([few, every]) == [
        "- `nut`, PRO: of all images +0.5 (-5.9 to +6.9; +2.0 to +2.0) with bank. "
        "Of few images decided are 1 of 1: +10.0 (+10.0 to +10.0; +2.0 to +2.0) with bank of 1 image."
    ]


def test_the_page_has_a_table_a_metric_and_the_rows_of_the_bank():
    own, together = found([0.9, 0.92], [0.8, 0.81]), found([0.9, 0.91], [0.7, 0.71])
    text = page(list(compared(own, together)), together)
    assert "| bank | all | 91.0 ± 1.4 | 90.5 ± 0.7 | +0.5 | -5.9 to +6.9 | +0.0 to +0.0 |" in text
    assert "How greedy selection shares out one bank; what is of `nut`, in %:" in text
    assert "| bank | all | 75.0 | 50.0 |" in text
    assert "blurred" not in text


def test_shares_of_the_first_category_are_counted_in_the_bank(project):
    project.variants = {"whole": {"backbone": "pixels", "hierarchies": [1, 2], "coreset_fraction": 1}}
    few = {"variants": ["whole"], "seeds": [0], "shots": [1]}
    project.dataset |= {"together": True, "seeds": [0], "studies": {"few": few}}
    project.execution["engine"] = "local"
    project.score()
    bolts, nuts = (len(project.toy.manifest().records(name, "train")) for name in ("bolt", "nut"))
    expected = bolts / (bolts + nuts)
    assert shares(project.toy) == {
        ("whole", None): pytest.approx((expected, expected)),  # a bank of all patches
        ("whole", 1): pytest.approx((0.5, 0.5)),
    }
