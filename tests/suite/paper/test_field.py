"""Numbers of methods that followed the paper, against values copied by hand, and a verdict on one."""

import csv

import pytest

from patchcore_suite.baselines.config import methods
from patchcore_suite.paper import published
from patchcore_suite.paper.conditions import PAPER_WEIGHTS, Conditions, differences
from patchcore_suite.paper.published import published_numbers
from patchcore_suite.paper.rows import Compared
from patchcore_suite.results.quantities import Quantity
from patchcore_suite.run.metric_registry import METRICS

COMPLETE = {"images": "complete", "categories": 15, "crop": 224, "metric": "image_auroc"}


@pytest.mark.parametrize(
    ("table", "choices", "value"),
    [
        ("SoftPatch", {"metric": "image_auroc"}, 0.9865),
        ("MH-PatchCore", {"metric": "pixel_auroc"}, 0.978),
        ("anomalib README", {"metric": "pixel_f1"}, 0.611),
        ("RAD", {"metric": "pixel_auroc", "setting": {"shots": 1}}, 0.967),
        ("SubspaceAD", {"metric": "image_auroc", "setting": {"shots": 1}}, 0.971),
        ("AnomalyDINO", {"metric": "pro", "setting": {"shots": 4}}, 0.934),
        ("AUPIMO", {"metric": "aupimo", "category": "pill"}, 0.2762),
        ("AUPIMO", {"metric": "aupimo"}, 0.6721),
    ],
)
def test_numbers_are_those_that_are_printed(table, choices, value):
    (found,) = published_numbers(table, **choices)
    assert found.value == value


def test_every_row_has_a_metric_that_is_computed_and_a_source():
    with published.FIELD.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["metric"] for row in rows} <= set(METRICS)
    assert all(row["note"] for row in rows)
    tables = {row["table"].lower().replace("-", "_") for row in rows} - {"aupimo", "anomalib readme"}
    assert {"softpatch", "mh_patchcore", "rad"} <= tables
    assert {"softpatch", "mh_patchcore", "rad", "anomaly_dino", "subspace_ad"} <= set(methods())


def test_of_transformers_and_unnamed_backbones_the_weights_are_not_said():
    def weights(table, metric="image_auroc"):
        return {number.conditions.weights for number in published_numbers(table, metric=metric)}

    assert weights("SoftPatch") == {PAPER_WEIGHTS}
    assert weights("AnomalyDINO") == weights("MH-PatchCore") == {None}


def test_a_number_of_noisy_training_images_stands_beside_none_without_noise():
    (theirs,) = published_numbers("SoftPatch", metric="image_auroc")
    ours = Conditions(**COMPLETE, backbone="wide_resnet50_2", weights=PAPER_WEIGHTS)
    assert differences(ours, theirs.conditions) == ("noise differs: none, not 0.1",)
    (clean,) = published_numbers("MH-PatchCore", metric="image_auroc")
    noisy = Conditions(**COMPLETE, backbone=None, weights=None, resize=256, noise=0.1)
    assert differences(noisy, clean.conditions) == ("noise differs: 0.1, not none",)


def test_a_verdict_is_given_where_conditions_agree():
    (theirs,) = published_numbers("MH-PatchCore", metric="image_auroc")
    ours = Conditions(**COMPLETE, backbone="wide_resnet50_2", weights="torchvision ImageNet V2", resize=256)
    row = Compared("mh_patchcore", Quantity(0.989, 0.001, "%"), theirs, ours).row
    assert str(row["verdict"]) == "reproduced"
    assert str(row["paper"]) == "98.9"
