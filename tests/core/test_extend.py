"""New nominal images in a fitted model."""

import json
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from patchcore_core import PatchCore, PatchCoreConfig
from patchcore_core.common.errors import InputError
from patchcore_core.common.files import sha256_json
from patchcore_core.config import CHOICES
from patchcore_core.coreset import covering_radius, greedy_coreset, random_projection
from patchcore_core.detector import generator
from patchcore_core.memory_bank import APART_AT_ONCE, extend_memory_bank


class Pyramid(nn.Module):
    def forward(self, images):
        return [F.avg_pool2d(images, 4), F.avg_pool2d(images.square(), 8)]


def config(**changes):
    values = {"coreset_fraction": 0.1, "neighbourhood_size": 1, "projection_dimension": 4} | changes
    return PatchCoreConfig(**values)


def pictures(n, size=(32, 40), seed=0):
    return torch.rand(n, 3, *size, generator=torch.Generator().manual_seed(seed))


def model(**changes):
    return PatchCore(config(**changes), network=Pyramid())


def rows_of(fitted, images):
    return fitted.describe_images(images)[0].flatten(0, 2)


def projected(fitted, rows):
    d = fitted.config.projection_dimension or rows.shape[1]
    return random_projection(rows, d, generator=generator(fitted.seed, "projection"))


def noise(n, d=6, *, seed=0, scale=1.0):
    return scale * torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def loop_extend(bank, rows, radius, most):
    """One pick at a time, over lists of rows."""
    gaps = [min(math.dist(row, other) for other in bank) for row in rows]
    picks = []
    while len(picks) < most and max(gaps) > radius:
        picks.append(max(range(len(rows)), key=lambda number: gaps[number]))
        gaps = [min(gap, math.dist(row, rows[picks[-1]])) for gap, row in zip(gaps, rows, strict=True)]
    return picks, max(radius, max(gaps))


# What is picked


def test_by_hand_picks_go_on_until_none_is_farther_than_the_radius():
    bank, rows = torch.tensor([[0.0], [10.0]]), torch.tensor([[2.0], [30.0], [26.0], [17.0], [3.0]])
    plain = PatchCoreConfig(projection_dimension=None)
    # From the bank 30 is at 20; then 17 at 7; 26 is at 4 and 3 at 3 from what is kept: within 4.5.
    picks, radius = extend_memory_bank(bank, rows, plain, radius=4.5, most=5, seed=0)
    assert (picks.tolist(), radius) == ([1, 3], 4.5)
    # Bounded to one pick, 17 stays at 7.
    picks, radius = extend_memory_bank(bank, rows, plain, radius=4.5, most=1, seed=0)
    assert (picks.tolist(), radius) == ([1], 7)
    # Nothing is farther than 20.
    picks, radius = extend_memory_bank(bank, rows, plain, radius=20, most=5, seed=0)
    assert (picks.tolist(), radius) == ([], 20)


@pytest.mark.parametrize(("most", "share"), [(1, 0.5), (9, 0.9), (60, 0.5), (150, 0.0)])
def test_picks_are_those_of_a_plain_loop(most, share, monkeypatch):
    monkeypatch.setattr("patchcore_core.memory_bank.APART_AT_ONCE", 7)
    bank, rows = noise(30), noise(150, seed=1, scale=1.5)
    radius = share * 4.0
    plain = PatchCoreConfig(projection_dimension=None)
    picks, found = extend_memory_bank(bank, rows, plain, radius=radius, most=most, seed=0)
    expected, expected_radius = loop_extend(bank.double().tolist(), rows.double().tolist(), radius, most)
    assert picks.tolist() == expected
    assert found == pytest.approx(expected_radius, rel=1e-5)
    assert APART_AT_ONCE > 7


def test_of_rows_equally_far_the_first_is_picked():
    bank, rows = torch.zeros(1, 2), torch.tensor([[1.0, 0], [0, 3.0], [3.0, 0], [0, 3.0]])
    picks, _ = extend_memory_bank(bank, rows, PatchCoreConfig(projection_dimension=None), radius=0.5, most=4, seed=0)
    assert picks.tolist() == [1, 2, 0]  # the second row of (0, 3) repeats one that is kept


# The model


@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.9, 1])
def test_the_covering_radius_of_a_fit_is_that_of_its_bank(fraction):
    fitted = model(coreset_fraction=fraction).fit(pictures(3))
    rows = projected(fitted, rows_of(fitted, pictures(3)))
    assert fitted.covering_radius == pytest.approx(covering_radius(rows, fitted.coreset_indices), abs=1e-6)
    assert fitted.rows_seen == len(rows)


def test_the_picks_of_a_fit_are_those_of_the_greedy_coreset():
    fitted = model().fit(pictures(3))
    rows = projected(fitted, rows_of(fitted, pictures(3)))
    expected = greedy_coreset(rows, len(rows) // 10, generator=generator(0, "first pick"))
    assert torch.equal(fitted.coreset_indices, expected)


@pytest.mark.parametrize("most", [None, 1, 10_000])
def test_every_row_seen_lies_within_the_covering_radius(most):
    images = [pictures(3, seed=seed) for seed in range(3)]
    fitted = model().fit(images[0])
    for more in images[1:]:
        fitted.extend(more, most=most)
    rows = rows_of(fitted, torch.cat(images))
    assert fitted.rows_seen == len(rows)
    assert torch.equal(fitted.memory_bank, rows[fitted.coreset_indices])  # numbered over all images seen
    assert len(fitted.coreset_indices.unique()) == len(fitted.coreset_indices)
    found = covering_radius(projected(fitted, rows), fitted.coreset_indices)
    assert found <= fitted.covering_radius * (1 + 1e-6)
    bound = {None: 3 * 24, 1: 24 + 2}.get(most, len(rows))
    assert len(fitted.memory_bank) <= bound
    prediction = fitted.predict(images[2])
    assert prediction.indices.max() < len(fitted.memory_bank)


def test_with_room_the_radius_of_the_fit_is_kept():
    fitted = model().fit(pictures(3))
    before = fitted.covering_radius
    fitted.extend(pictures(3, seed=1), most=10_000)
    assert fitted.covering_radius == before


def test_images_that_were_seen_add_nothing():
    fitted = model().fit(pictures(3))
    bank = fitted.memory_bank
    fitted.extend(pictures(3))
    assert torch.equal(fitted.memory_bank, bank)
    assert fitted.rows_seen == 2 * 3 * 80


def test_a_bank_of_everything_goes_on_holding_everything():
    fitted = model(coreset_fraction=1, projection_dimension=None).fit(pictures(2))
    fitted.extend(pictures(2, seed=1))
    assert sorted(fitted.coreset_indices.tolist()) == list(range(4 * 80))
    assert fitted.covering_radius == 0


def test_batches_and_threads_have_no_say():
    images, threads = pictures(5, seed=1), torch.get_num_threads()
    found = []
    try:
        for count, given in ((1, images), (2, list(images.split(2))), (1, (part for part in images.split(1)))):
            torch.set_num_threads(count)
            found.append(model().fit(pictures(3)).extend(given))
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert torch.equal(other.memory_bank, found[0].memory_bank)
        assert torch.equal(other.coreset_indices, found[0].coreset_indices)
        assert other.covering_radius == found[0].covering_radius


@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_a_loaded_model_grows_as_the_one_that_was_saved(storage, tmp_path):
    fitted = model(storage=storage).fit(pictures(3)).extend(pictures(1, seed=1), most=2)
    fitted.save(tmp_path / "model")
    loaded = PatchCore.load(tmp_path / "model", network=Pyramid())
    for one in (fitted, loaded):
        one.extend(pictures(2, seed=2))
    assert torch.equal(loaded.memory_bank, fitted.memory_bank)
    assert loaded.memory_bank.dtype == getattr(torch, storage)
    assert torch.equal(loaded.coreset_indices, fitted.coreset_indices)
    assert (loaded.covering_radius, loaded.rows_seen) == (fitted.covering_radius, fitted.rows_seen)
    loaded.save(tmp_path / "again")


def test_rows_extend_what_rows_filled():
    fitted = PatchCore(config(), network=Pyramid()).fit_rows(noise(200))
    fitted.extend_rows(noise(100, seed=1))
    both = torch.cat([noise(200), noise(100, seed=1)])
    assert torch.equal(fitted.memory_bank, both[fitted.coreset_indices])
    assert 20 < len(fitted.memory_bank) <= 30


# Bad input


def state(fitted):
    return fitted.memory_bank, fitted.coreset_indices, fitted.covering_radius, fitted.rows_seen


def with_nan(images):
    images = images.clone()
    images[0, 0, 0, 0] = torch.nan
    return images


@pytest.mark.parametrize(
    ("images", "most", "message"),
    [
        (pictures(2, (64, 40)), None, "new images have 16 x 10 patches each, those of the fit have 8 x 10"),
        (with_nan(pictures(2)), None, "NaN"),
        (pictures(0), None, "there are no images"),
        (pictures(2) * 255, None, "0, 1"),
        (pictures(2), 0, "most=0"),
        (pictures(2), -3, "most=-3"),
        (pictures(2), 1.5, "most=1.5"),
        (pictures(2), True, "most=True"),
    ],
)
def test_what_cannot_be_let_in_is_refused_and_the_model_stays(images, most, message):
    fitted = model().fit(pictures(3))
    before = state(fitted)
    with pytest.raises(InputError, match=message):
        fitted.extend(images, most=most)
    assert all(one is other for one, other in zip(state(fitted), before, strict=True))
    assert fitted.predict(pictures(1)).scores.shape == (1,)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (noise(10, 5), "have 5 dimensions, the memory bank has 6"),
        (torch.full((10, 6), torch.inf), "10 of 10 patch features hold NaN or infinite values"),
        (noise(0), "0 patch features"),
    ],
)
def test_rows_that_cannot_be_let_in_are_refused_and_the_model_stays(rows, message):
    fitted = model().fit_rows(noise(200))
    before = state(fitted)
    with pytest.raises(InputError, match=message):
        fitted.extend_rows(rows)
    assert all(one is other for one, other in zip(state(fitted), before, strict=True))


def test_a_model_that_is_not_fitted_is_not_extended():
    with pytest.raises(InputError, match="no memory bank yet"):
        model().extend(pictures(1))


@pytest.mark.parametrize("sampler", [sampler for sampler in CHOICES["sampler"] if sampler != "greedy"])
def test_banks_without_a_covering_radius_are_not_extended(sampler, monkeypatch):
    monkeypatch.setattr("patchcore_suite.plugins.learned_banks.PROXY_STEPS", 2)
    fitted = model(sampler=sampler).fit(pictures(3))
    assert fitted.covering_radius is None
    with pytest.raises(InputError, match=f"sampler='{sampler}'.*cannot be extended"):
        fitted.extend(pictures(1))


def test_a_bank_that_began_at_anchors_is_not_extended():
    with pytest.raises(InputError, match="first_pick='anchors' cannot be extended"):
        model(first_pick="anchors").fit(pictures(3)).extend(pictures(1))


def test_a_network_that_was_changed_extends_nothing():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AvgPool2d(4))
    fitted = PatchCore(config(hierarchies=(2,)), network=lambda images: [network(images)])
    own = PatchCore(config(hierarchies=(2,)), network=Listed(network)).fit(pictures(3))
    with torch.no_grad():
        network[0].weight += 1
    with pytest.raises(InputError, match="the network was changed since the model was fitted"):
        own.extend(pictures(1))
    assert fitted.covering_radius is None


class Listed(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return [self.network(images)]


def test_a_model_of_an_earlier_version_predicts_and_says_that_it_cannot_be_extended(tmp_path):
    model().fit(pictures(3)).save(tmp_path)
    file = tmp_path / "model.json"
    description = json.loads(file.read_text())
    for name in ("sha256", "covering_radius", "rows_seen", "grid"):
        del description[name]
    del description["config"]["shards"]
    file.write_text(json.dumps({**description, "sha256": sha256_json(description)}))
    loaded = PatchCore.load(tmp_path, network=Pyramid())
    assert loaded.predict(pictures(1)).scores.shape == (1,)
    with pytest.raises(InputError, match="saved by a version whose models cannot be extended"):
        loaded.extend(pictures(1))
