import numpy as np
import pytest

from patchcore_core.common.errors import InputError
from patchcore_suite.results.examples import DatasetResults


def test_results_are_those_of_the_first_seed(scored):
    results = DatasetResults.read(scored.toy, "all")
    assert list(results.by_category) == ["bolt", "nut"]
    assert {result.stamp["seed"] for result in results.by_category.values()} == {0}
    assert {result.stamp["variant"] for result in results.by_category.values()} == {"all"}


def test_results_of_few_shots_are_passed_over(scored):
    shots = {"variants": ["all", "tenth"], "seeds": [0], "shots": [1]}
    scored.dataset["studies"] = {"shots": shots, "other": shots | {"shots": [2]}}
    scored.score()
    before = DatasetResults.read(scored.toy, "all")
    assert {result.stamp["shots"] for result in before.by_category.values()} == {None}


def test_a_variant_is_shown_as_it_has_images_prepared(scored):
    scored.variants["cropped"] = {"coreset_fraction": 0.1, "resize": [48, 64], "crop": 40}
    scored.score()
    for examples in DatasetResults.read(scored.toy, "cropped").examples(4).values():
        for _, image, mask, anomaly_map in examples:
            assert image.shape == (40, 40, 3)
            assert mask.shape == anomaly_map.shape == (40, 40)


def test_scores_come_with_the_labels_of_their_images(scored):
    results = DatasetResults.read(scored.toy, "all")
    for category, (labels, scores) in results.scores().items():
        records = results.manifest.records(category, "test")
        assert labels.tolist() == [record.label for record in records]
        assert np.array_equal(scores, results.by_category[category].scores)


def test_examples_are_the_median_and_the_worst_nominal_image_and_anomalous_ones_by_score(scored):
    results = DatasetResults.read(scored.toy, "all")
    for category, examples in results.examples(4).items():
        labels, scores = results.scores()[category]
        nominal, anomalous = np.sort(scores[labels == 0]), np.sort(scores[labels == 1])
        expected = [nominal[len(nominal) // 2], nominal[-1], anomalous[0], anomalous[-1]]
        shown = [float(caption.split()[-1]) for caption, *_ in examples]
        assert shown == [round(float(value), 1) for value in expected]


def test_examples_hold_image_mask_and_map_of_one_size(scored):
    for examples in DatasetResults.read(scored.toy, "all").examples(4).values():
        for caption, image, mask, anomaly_map in examples:
            assert image.shape == (64, 64, 3)
            assert mask.shape == anomaly_map.shape == (64, 64)
            assert mask.any() == caption.startswith("scratch")


def test_fewer_anomalous_images_than_asked_for_are_all_shown(scored):
    examples = DatasetResults.read(scored.toy, "all").examples(50)["bolt"]
    assert len(examples) == 2 + 2  # two nominal, and both anomalous ones


def test_a_variant_that_was_not_run_is_an_error_that_names_those_that_were(scored):
    with pytest.raises(InputError, match="choose from all, tenth"):
        DatasetResults.read(scored.toy, "tent")
