import math

import numpy as np
import pandas as pd
import pytest

from patchcore_suite.results import selection, study_resamples
from patchcore_suite.results.quantities import Interval
from patchcore_suite.run.resamples import CellName

NETWORK = "tf_efficientnet_lite0"
T_OF_TWO = 4.302653  # 97.5 % of Student's t with two degrees of freedom, from a table


def values_of(*given, fraction=0.01, metric="aupimo"):
    """Selections with a value and a radius for each seed: (sampler, values, radius)."""
    rows = [
        (f"{sampler}-1", NETWORK, fraction, sampler, seed, radius, value)
        for sampler, values, radius in given
        for seed, value in enumerate(values)
    ]
    names = ["variant", "backbone", "coreset_fraction", "sampler", "seed", "covering_radius", metric]
    return pd.DataFrame(rows, columns=names)


def lead_of(values, other="random", **more):
    return selection.lead(values, "aupimo", backbone=NETWORK, fraction=0.01, other=other, **more)


def test_the_interval_is_that_of_the_differences_seed_by_seed():
    values = values_of(("greedy", [0.9, 0.8, 0.7], 20), ("random", [0.8, 0.6, 0.4], 30))
    found = lead_of(values)
    half = T_OF_TWO * 0.1 / math.sqrt(3)  # differences 0.1, 0.2, 0.3
    assert found.mean == pytest.approx(0.2)
    assert (found.interval.low, found.interval.high) == pytest.approx((0.2 - half, 0.2 + half), abs=1e-6)
    assert found.seeds == 3
    assert not found.decided  # 0.2 ± 0.248


def test_only_seeds_that_both_have_are_compared():
    found = lead_of(values_of(("greedy", [0.9, 0.8], 20), ("random", [0.8], 30)))
    assert (found.mean, found.seeds) == (pytest.approx(0.1), 1)
    assert math.isnan(found.interval.low)
    assert not found.decided
    assert lead_of(values_of(("greedy", [0.9], 20)), other="absent") is None


def test_claims_by_hand():
    values = values_of(
        ("greedy", [0.9, 0.91, 0.92], 20), ("random", [0.8, 0.81, 0.82], 30), ("two_round", [0.89, 0.92, 0.92], 22)
    )
    (claim,) = selection.claims(values)
    assert claim == (
        f"At 1 % with {NETWORK}, *greedy* is worth +10.0 points of AUPIMO beside *random* (+10.0 to +10.0), "
        "0.0 beside *two_round* (-2.5 to +2.5). "
        "By these intervals better than 1 and worse than 0 of 2 other selections."
    )


def test_decided_is_what_both_intervals_say_of_the_same_drawn_images():
    values = values_of(("greedy", [0.9, 0.91, 0.92], 20), ("random", [0.8, 0.81, 0.82], 30))
    drawn = np.random.default_rng(0).normal(size=1000) / 10
    ahead = np.linspace(0, 0.2, 1000)  # of which 2.5 % lie below 0.005, and 2.5 % above 0.195
    random = {seed: drawn for seed in range(3)}
    for shift, decided in ((0.0, True), (0.01, False), (-0.3, True)):
        greedy = {seed: drawn + ahead - shift + (seed - 1) / 100 for seed in range(3)}
        resamples = {"greedy-1": {"aupimo": greedy}, "random-1": {"aupimo": random}}
        found = lead_of(values, resamples=resamples)
        assert (found.images.low, found.images.high) == pytest.approx((0.005 - shift, 0.195 - shift))
        assert found.decided == decided
    found = lead_of(values_of(("greedy", [0.9, 0.8, 0.7], 20), ("random", [0.8, 0.6, 0.4], 30)), resamples=resamples)
    assert not found.decided  # not over seeds


def test_both_intervals_stand_in_the_table_and_in_the_sentences():
    values = values_of(("greedy", [0.9, 0.91, 0.92], 20), ("random", [0.8, 0.81, 0.82], 30))
    steps = {seed: np.linspace(0, 0.2, 1000) for seed in range(3)}
    resamples = {"greedy-1": {"aupimo": steps}, "random-1": {"aupimo": dict.fromkeys(range(3), np.zeros(1000))}}
    (row,) = selection.lead_table(values, resamples).to_dict("records")
    assert str(row["AUPIMO: interval"]) == "+10.0 to +10.0"
    assert str(row["AUPIMO: over images"]) == "+0.5 to +19.5"
    (claim,) = selection.claims(values, resamples)
    assert claim == (
        f"At 1 % with {NETWORK}, *greedy* is worth +10.0 points of AUPIMO beside *random* "
        "(+10.0 to +10.0; +0.5 to +19.5). By both intervals better than 1 and worse than 0 of 1 other selection."
    )
    (claim,) = selection.claims(values[values["seed"] == 0], resamples)
    assert "beside *random* (+0.5 to +19.5 over test images). One seed: nothing is known of others." in claim
    del steps[1]
    (row,) = selection.lead_table(values, resamples).to_dict("records")
    assert row["AUPIMO: over images"] == "-"


def test_replicates_of_a_study_are_means_over_its_categories(project, monkeypatch):
    few = {"variants": ["tenth", "all"], "seeds": [1], "categories": None}
    project.dataset |= {"seeds": [0], "studies": {"selection": few}}
    given = {
        CellName("bolt", "tenth", None, 1): {"pro": np.array([0.1, 0.2]), "image_auroc": np.array([1.0, 1.0])},
        CellName("nut", "tenth", None, 1): {"pro": np.array([0.3, 0.6])},
        CellName("bolt", "all", None, 1): {"pro": np.array([0.5, 0.5])},
        CellName("bolt", "tenth", None, 0): {"pro": np.array([9.0, 9.0])},  # another seed
        CellName("bolt", "tenth", 4, 1): {"pro": np.array([9.0, 9.0])},  # of few images
    }

    def measured(dataset, metrics, *, wanted):
        assert metrics == ["image_auroc", "pro"]  # AUPIMO was not asked for
        return {cell: of for cell, of in given.items() if wanted(cell)}

    monkeypatch.setattr(study_resamples, "cell_replicates", measured)
    found = study_resamples.study_resamples(project.toy, "selection", selection.METRICS)
    assert {variant: list(of) for variant, of in found.items()} == {"tenth": ["pro"]}
    assert found["tenth"]["pro"][1] == pytest.approx([0.2, 0.4])


def test_of_one_seed_nothing_is_known_of_others():
    values = values_of(("greedy", [0.9], 20), ("random", [0.95], 30), metric="image_auroc")
    assert selection.claims(values) == [
        f"At 1 % with {NETWORK}, *greedy* is worth -5.0 points of image AUROC beside *random*. "
        "One seed: nothing is known of others."
    ]
    assert not [name for name in selection.lead_table(values) if "interval" in name]


def test_tables_have_a_row_a_selection_and_one_for_each_that_greedy_is_compared_with():
    values = values_of(("greedy", [0.9, 0.8], 20.0), ("random", [0.8, 0.7], 30.0))
    table = selection.bank_table(values).map(str)
    assert table[["sampler", "patches kept in %", "covering radius", "AUPIMO"]].to_numpy().tolist() == [
        ["greedy", "1", "20.00 ± 0.00", "85.0 ± 7.1"],
        ["random", "1", "30.00 ± 0.00", "75.0 ± 7.1"],
    ]
    (row,) = selection.lead_table(values).to_dict("records")
    assert str(row["its radius, times greedy's"]) == "1.50"
    assert str(row["AUPIMO: greedy is ahead by"]) == "+10.0"
    assert isinstance(row["AUPIMO: interval"], Interval)


def test_a_network_without_greedy_is_compared_with_nothing_and_larger_banks_come_first():
    small = values_of(("greedy", [0.9], 20), ("random", [0.8], 30), fraction=0.001)
    large = values_of(("greedy", [0.9], 20), ("random", [0.8], 30))
    other = large[large["sampler"] == "random"].assign(backbone="another")
    found = selection.compared(pd.concat([small, large, other]))
    assert found == [(NETWORK, 0.01, ["random"]), (NETWORK, 0.001, ["random"])]


def test_curves_are_of_the_network_with_most_selections():
    both = pd.concat([values_of(("greedy", [0.9], 20), fraction=share) for share in (0.001, 0.01)])
    figure = selection.curves(pd.concat([both.assign(backbone="larger").iloc[:1], both]), title="drawn")
    assert [axis.get_title() for axis in figure.axes] == ["covering radius", "AUPIMO"]
    assert list(figure.axes[1].get_xticks()) == [0.1, 1.0]
