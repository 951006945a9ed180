import json
from dataclasses import fields, replace
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import nn

from patchcore_core import (
    InputError,
    PatchCore,
    PatchCoreConfig,
    Prediction,
    coreset,
    memory_bank,
    saved_model,
    searches,
)
from patchcore_core.backbones import WeightsMissing, load_backbone
from patchcore_core.common import free_memory
from patchcore_core.common.files import sha256_file, sha256_json
from patchcore_core.detector import generator
from patchcore_core.memory_bank import fill_memory_bank, select_coreset
from patchcore_core.unchanged import seal
from patchcore_suite.plugins.learned_banks import kmeans_centroids, learned_proxies

IMAGE_SIZE = (40, 56)


class Pyramid(nn.Module):
    """Two feature maps of strides 4 and 8: a few linear features of the image's cells."""

    def __init__(self):
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.fine = nn.Parameter(torch.randn(6, 3, 4, 4, generator=draw))
        self.coarse = nn.Parameter(torch.randn(9, 3, 8, 8, generator=draw))

    def forward(self, images):
        return [F.conv2d(images, self.fine, stride=4), F.conv2d(images, self.coarse, stride=8)]


class Pixels(nn.Module):
    """The images themselves as feature maps: what PatchCore does with them can be told by hand."""

    def forward(self, images):
        return [images]


def pictures(n, size=IMAGE_SIZE, seed=0):
    return torch.rand(n, 3, *size, generator=torch.Generator().manual_seed(seed))


def config(**changes):
    return PatchCoreConfig(**{"coreset_fraction": 0.2, "smoothing_sigma": 1.5} | changes)


def equal(first, second):
    return all(torch.equal(getattr(first, field.name), getattr(second, field.name)) for field in fields(Prediction))


def close(first, second):
    return all(
        torch.allclose(getattr(first, name), getattr(second, name), rtol=1e-5, atol=1e-5)
        for name in ("scores", "reweighted_scores", "maps", "distances")
    )


# By hand


def test_by_hand_on_grey_pixels():
    # p = 1, one pixel a patch: the bank holds the greys 0.2 and 0.6, so that 0.9 is 0.3 sqrt(3) away from it.
    model = PatchCore(
        config(neighbourhood_size=1, coreset_fraction=1, smoothing_sigma=0, reweight_neighbours=1), network=Pixels()
    )
    nominal = torch.tensor([0.2, 0.6]).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    test = torch.tensor([[0.2, 0.9, 0.5], [0.6, 0.2, 0.6]]).view(2, 1, 1, 3).expand(2, 3, 1, 3)
    prediction = model.fit(nominal).predict(test)
    assert prediction.scores.tolist() == pytest.approx([0.3 * 3**0.5, 0])
    assert prediction.distances.flatten().tolist() == pytest.approx([0, 0.3 * 3**0.5, 0.1 * 3**0.5, 0, 0, 0])
    assert prediction.indices.flatten().tolist() == [0, 1, 1, 1, 0, 1]
    assert torch.equal(prediction.maps, prediction.distances)
    assert torch.equal(prediction.reweighted_scores, prediction.scores)


def test_an_altered_spot_is_found_where_it_is():
    model = PatchCore(config(), network=Pyramid()).fit(pictures(6, (96, 160)) / 3)
    test = pictures(2, (96, 160), seed=1) / 3
    test[1, :, 64:80, 16:40] = 1
    prediction = model.predict(test)
    assert prediction.scores[1] > 2 * prediction.scores[0]
    assert prediction.maps.shape == (2, 96, 160)
    row, column = divmod(int(prediction.maps[1].argmax()), 160)
    assert 62 <= row < 82
    assert 14 <= column < 42


# What it is put together from


def test_shapes_of_a_prediction():
    model = PatchCore(config(), network=Pyramid()).fit(pictures(4))
    prediction = model.predict(pictures(3, seed=1))
    assert prediction.scores.shape == prediction.reweighted_scores.shape == (3,)
    assert prediction.maps.shape == (3, 40, 56)
    assert prediction.distances.shape == prediction.indices.shape == (3, 10, 14)
    assert model.memory_bank.shape == (int(0.2 * 4 * 10 * 14), 15)
    assert torch.equal(prediction.scores, prediction.distances.amax(dim=(1, 2)))
    assert (prediction.reweighted_scores < prediction.scores).all()


def test_the_bank_keeps_unprojected_rows_of_the_nominal_patches_in_order_of_selection():
    model = PatchCore(config(projection_dimension=2), network=Pyramid()).fit(pictures(4))
    nominal = model.describe_images(pictures(4))[0].flatten(0, 2)
    assert torch.equal(model.memory_bank, nominal[model.coreset_indices])
    assert torch.equal(model.coreset_indices, select_coreset(nominal, model.config, seed=0)[0])


def test_nominal_training_images_score_zero_when_the_bank_holds_every_patch():
    model = PatchCore(config(coreset_fraction=1), network=Pyramid()).fit(pictures(4))
    prediction = model.predict(pictures(4))
    assert torch.equal(prediction.scores, torch.zeros(4))
    assert torch.equal(prediction.reweighted_scores, torch.zeros(4))
    assert torch.equal(prediction.maps, torch.zeros(4, 40, 56))
    assert torch.equal(prediction.indices.flatten(), torch.arange(4 * 10 * 14))


def test_the_default_backbone_scores_its_training_images_zero_too():
    model = PatchCore(PatchCoreConfig(coreset_fraction=1)).fit(pictures(2, (64, 64)))
    assert torch.equal(model.predict(pictures(2, (64, 64))).scores, torch.zeros(2))
    assert (model.predict(pictures(2, (64, 64), seed=1)).scores > 0).all()


def test_non_square_images_through_the_default_backbone():
    model = PatchCore().fit(pictures(2, (96, 160)))
    prediction = model.predict(pictures(1, (96, 160), seed=1))
    assert prediction.distances.shape == (1, 12, 20)
    assert prediction.maps.shape == (1, 96, 160)


def test_the_default_is_the_default_config():
    assert PatchCore().config == PatchCoreConfig()


# How images are given


@pytest.mark.parametrize("sizes", [[1] * 7, [3, 3, 1], [7], [2, 5]])
def test_batches_and_their_size_do_not_matter(sizes):
    nominal, test = pictures(7), pictures(7, seed=1)
    whole = PatchCore(config(), network=Pyramid()).fit(nominal)
    in_parts = PatchCore(config(), network=Pyramid()).fit(list(nominal.split(sizes)))
    assert torch.equal(whole.coreset_indices, in_parts.coreset_indices)
    assert close(whole.predict(test), in_parts.predict(part for part in test.split(sizes)))


def test_images_together_are_scored_as_each_alone():
    model = PatchCore(config(), network=Pyramid()).fit(pictures(4))
    test = pictures(5, seed=1)
    together = model.predict(test).scores
    assert torch.allclose(together, torch.cat([model.predict(image[None]).scores for image in test]), rtol=1e-5)


def test_a_network_may_be_any_function():
    module = Pyramid()
    by_module = PatchCore(config(), network=module).fit(pictures(3))
    by_function = PatchCore(config(), network=lambda images: tuple(module(images))).fit(pictures(3))
    assert equal(by_module.predict(pictures(2, seed=1)), by_function.predict(pictures(2, seed=1)))


def test_a_network_is_run_in_evaluation_mode_and_without_gradients():
    class Noisy(Pyramid):
        def forward(self, images):
            assert not torch.is_grad_enabled()
            return [F.dropout(fmap, training=self.training) for fmap in super().forward(images)]

    model = PatchCore(config(coreset_fraction=1), network=Noisy().train()).fit(pictures(3))
    assert torch.equal(model.predict(pictures(3)).scores, torch.zeros(3))


def test_the_order_of_a_networks_maps_does_not_matter():
    class Reversed(Pyramid):
        def forward(self, images):
            return super().forward(images)[::-1]

    first, second = (PatchCore(config(), network=module).fit(pictures(3)) for module in (Pyramid(), Reversed()))
    assert equal(first.predict(pictures(2, seed=1)), second.predict(pictures(2, seed=1)))


@pytest.mark.parametrize(
    ("returned", "described"),
    [
        (lambda images: images, r"a tensor \(2, 3, 40, 56\)"),
        (lambda images: [], r"a list of \[\]"),
        (lambda images: [images.flatten(1)], r"a list of \[a tensor \(2, 6720\)\]"),
        (lambda images: [images[:1]], r"a list of \[a tensor \(1, 3, 40, 56\)\]"),
        (lambda images: {"layer": images}, "a dict"),
    ],
)
def test_a_network_that_returns_something_else_is_refused(returned, described):
    with pytest.raises(InputError, match=f"the network returned {described} for images"):
        PatchCore(config(), network=returned).fit(pictures(2))


# Seeds


def test_one_seed_gives_one_model_and_another_seed_another():
    first, again, other = (PatchCore(config(), network=Pyramid(), seed=seed).fit(pictures(4)) for seed in (3, 3, 4))
    assert torch.equal(first.memory_bank, again.memory_bank)
    assert not torch.equal(first.coreset_indices, other.coreset_indices)


def test_global_random_state_neither_matters_nor_changes():
    torch.manual_seed(0)
    first = PatchCore(config(), network=Pyramid()).fit(pictures(4))
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), drawn)
    assert torch.equal(PatchCore(config(), network=Pyramid()).fit(pictures(4)).memory_bank, first.memory_bank)


def test_the_seed_is_that_of_the_projection_as_well(monkeypatch):
    original, seeds = coreset.random_projection, []

    def random_projection(rows, dimension, *, generator):
        seeds.append(generator.initial_seed())
        return original(rows, dimension, generator=generator)

    monkeypatch.setattr(memory_bank, "random_projection", random_projection)
    for seed in (0, 0, 1):
        PatchCore(config(), network=Pyramid(), seed=seed).fit(pictures(2))
    assert seeds[0] == seeds[1] != seeds[2]


def test_each_purpose_has_random_numbers_of_its_own():
    draws = {torch.rand(1, generator=generator(*key)).item() for key in [(0, "a"), (0, "b"), (1, "a"), (1, "b")]}
    assert len(draws) == 4


def test_without_projection_the_first_pick_stays_the_same():
    nominal = pictures(4)
    with_it, without = (PatchCore(config(projection_dimension=d), network=Pyramid()).fit(nominal) for d in (4, None))
    assert with_it.coreset_indices[0] == without.coreset_indices[0]
    assert not torch.equal(with_it.coreset_indices, without.coreset_indices)


# Every field of the config


def fitted(**changes):
    return PatchCore(config(**changes), network=Pyramid()).fit(pictures(4))


def bank_of_the_default_backbone(**changes):
    return PatchCore(PatchCoreConfig(**changes)).fit(pictures(1, (64, 64))).memory_bank.shape[1]


def weights_asked_for(**changes):
    with pytest.raises(WeightsMissing) as caught:
        _ = PatchCore(PatchCoreConfig(**changes)).network
    return str(caught.value)


def searches_used(**changes):
    used = []
    with pytest.MonkeyPatch.context() as patch:
        for name, search in searches.BUILT_IN.items():
            counted = lambda *arguments, name=name, search=search: used.append(name) or search(*arguments)  # noqa: E731
            patch.setitem(searches.BUILT_IN, name, counted)
        PatchCore(config(reweight_neighbours=1, **changes), network=Pyramid()).fit(pictures(1)).predict(
            pictures(1, seed=1)
        )
    return used


EFFECTS = {  # a field: two values, and what differs between them
    "backbone": ("resnet18", "resnet34", weights_asked_for),
    "hierarchies": ((2,), (2, 3), bank_of_the_default_backbone),
    "neighbourhood_size": (3, 5, lambda **changes: fitted(**changes).memory_bank.sum().item()),
    "border": ("zeros", "cut", lambda **changes: fitted(**changes).predict(pictures(1, seed=1)).scores.item()),
    "stride": (1, 2, lambda **changes: len(fitted(**changes).memory_bank)),
    "dimension": (None, 7, lambda **changes: fitted(**changes).memory_bank.shape[1]),
    "storage": ("float32", "float16", lambda **changes: fitted(**changes).memory_bank.dtype),
    "sampler": ("greedy", "random", lambda **changes: fitted(**changes).coreset_indices.tolist()),
    "shards": (1, 3, lambda **changes: fitted(sampler="two_round", **changes).coreset_indices.tolist()),
    "first_pick": ("drawn", "anchors", lambda **changes: fitted(**changes).coreset_indices.tolist()),
    "coreset_fraction": (0.2, 0.3, lambda **changes: len(fitted(**changes).memory_bank)),
    "projection_dimension": (4, 5, lambda **changes: fitted(**changes).coreset_indices.tolist()),
    "search": ("torch", "faiss", searches_used),
    "score": ("max", "reweighted", lambda **changes: fitted(**changes).predict(pictures(1, seed=1)).scores.item()),
    "reweight_neighbours": (
        3,
        4,
        lambda **changes: fitted(**changes).predict(pictures(1, seed=1)).reweighted_scores.item(),
    ),
    "squared_distances": (
        False,
        True,
        lambda **changes: fitted(**changes).predict(pictures(1, seed=1)).distances.max().item(),
    ),
    "upsampling": (
        "bilinear",
        "nearest",
        lambda **changes: fitted(**changes).predict(pictures(1, seed=1)).maps.max().item(),
    ),
    "smoothing_sigma": (1.5, 2, lambda **changes: fitted(**changes).predict(pictures(1, seed=1)).maps.max().item()),
}


@pytest.mark.parametrize("field", [field.name for field in fields(PatchCoreConfig)])
def test_every_field_of_the_config_changes_something(field):
    one, other, observe = EFFECTS[field]
    assert observe(**{field: one}) != observe(**{field: other})
    assert observe(**{field: one}) == observe(**{field: one})


def test_the_score_of_a_variant_is_the_one_that_it_asks_for_and_both_are_given():
    test = pictures(3, seed=1)
    by_max, reweighted = (fitted(score=score).predict(test) for score in ("max", "reweighted"))
    assert torch.equal(by_max.scores, by_max.distances.amax(dim=(1, 2)))
    assert torch.equal(reweighted.scores, by_max.reweighted_scores)
    assert torch.equal(reweighted.reweighted_scores, by_max.reweighted_scores)
    assert not torch.equal(reweighted.scores, by_max.scores)
    assert torch.equal(reweighted.maps, by_max.maps)


def test_squared_distances_change_scores_and_maps_but_not_what_is_nearest():
    test = pictures(3, seed=1)
    plain, squared = (fitted(squared_distances=value, smoothing_sigma=0).predict(test) for value in (False, True))
    assert torch.equal(squared.distances, plain.distances.square())
    assert torch.equal(squared.scores, plain.scores.square())
    assert torch.equal(squared.indices, plain.indices)
    assert torch.equal(squared.reweighted_scores, plain.reweighted_scores)  # Eq. 7 takes plain ones
    assert torch.equal(squared.maps.amax(dim=(1, 2)) <= squared.scores * 1.0001, torch.ones(3, dtype=bool))


def test_nearest_upsampling_repeats_each_patch():
    prediction = fitted(upsampling="nearest", smoothing_sigma=0).predict(pictures(2, seed=1))
    assert torch.equal(prediction.maps, prediction.distances.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2))


@pytest.mark.parametrize(("sampler", "learn"), [("kmeans", kmeans_centroids), ("proxies", learned_proxies)])
def test_a_learned_bank_has_the_asked_size_and_keeps_no_rows(sampler, learn, tmp_path, monkeypatch):
    monkeypatch.setattr("patchcore_suite.plugins.learned_banks.PROXY_STEPS", 5)
    model = fitted(sampler=sampler, coreset_fraction=0.01)
    rows = model.describe_images(pictures(4))[0].flatten(0, 2)
    assert torch.equal(model.memory_bank, learn(rows, 5, generator=generator(0, sampler)))
    assert model.coreset_indices is None
    assert not (torch.cdist(model.memory_bank, rows).amin(dim=1) == 0).all()
    test = pictures(2, seed=1)
    model.save(tmp_path)
    loaded = PatchCore.load(tmp_path, network=Pyramid())
    assert loaded.coreset_indices is None
    assert equal(loaded.predict(test), model.predict(test))


@pytest.mark.parametrize("storage", ["float16", "bfloat16"])
def test_a_learned_bank_of_half_precision_is_made_in_single(storage):
    kind = getattr(torch, storage)
    rows = torch.randn(300, 6, generator=torch.Generator().manual_seed(0)).to(kind)
    model = PatchCore(config(sampler="kmeans", storage=storage, coreset_fraction=0.05)).fit_rows(rows)
    made = kmeans_centroids(rows.float(), 15, generator=generator(0, "kmeans"))
    assert torch.equal(model.memory_bank, made.to(kind))


@pytest.mark.parametrize("sampler", ["kmeans", "proxies", "random"])
def test_a_bank_of_everything_is_everything_whatever_the_sampler(sampler):
    model = fitted(sampler=sampler, coreset_fraction=1)
    assert torch.equal(model.memory_bank, fitted(coreset_fraction=1).memory_bank)
    assert torch.equal(model.coreset_indices, torch.arange(4 * 10 * 14))


@pytest.mark.parametrize("search", ["ivf", "ivfpq"])
def test_an_approximate_search_finds_much_of_what_the_exact_one_does(search):
    test = pictures(3, seed=1)
    exact, found = (fitted(search=kind, coreset_fraction=1).predict(test) for kind in ("torch", search))
    assert (found.distances >= exact.distances - 1e-5).all()
    assert (found.indices == exact.indices).float().mean() > (0.9 if search == "ivf" else 0.2)


def test_a_bank_too_small_for_an_approximate_search_is_refused():
    with pytest.raises(InputError, match="search='ivfpq' needs at least 256 rows"):
        fitted(search="ivfpq", coreset_fraction=0.1).predict(pictures(1, seed=1))


def test_fitting_again_searches_the_new_bank():
    model = PatchCore(config(), network=Pyramid())
    test = pictures(2, seed=1)
    model.fit(pictures(2)).predict(test)
    assert equal(model.fit(pictures(4)).predict(test), fitted().predict(test))


def test_both_searches_give_the_same_prediction():
    test = pictures(3, seed=1)
    by_torch, by_faiss = (fitted(search=search).predict(test) for search in ("torch", "faiss"))
    assert equal(by_torch, by_faiss)


# Wrong use


@pytest.mark.parametrize("act", ["predict", "save"])
def test_a_model_that_is_not_fitted_says_so(act, tmp_path):
    model = PatchCore(config(), network=Pyramid())
    with pytest.raises(InputError, match="no memory bank yet"):
        model.predict(pictures(1)) if act == "predict" else model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("act", ["fit", "predict"])
@pytest.mark.parametrize("images", [[], pictures(0)], ids=["no batches", "an empty tensor"])
def test_no_images_are_refused(act, images):
    model = PatchCore(config(), network=Pyramid()).fit(pictures(2))
    with pytest.raises(InputError, match="there are no images"):
        getattr(model, act)(images)


@pytest.mark.parametrize("act", ["fit", "predict"])
@pytest.mark.parametrize("other", [(56, 40), (48, 56), (43, 59)])
def test_images_of_different_sizes_are_refused(act, other):
    # (43, 59) gives the grid of (40, 56): a map could have either size.
    model = PatchCore(config(), network=Pyramid()).fit(pictures(2))
    with pytest.raises(InputError, match="images of different sizes"):
        getattr(model, act)([pictures(2), pictures(2, other)])


def test_patches_of_another_dimension_are_refused():
    model = PatchCore(config(), network=Pyramid()).fit(pictures(2))
    with pytest.raises(InputError, match="patch features have 3 dimensions, the memory bank has 15"):
        model.predict_described([torch.zeros(1, 2, 2, 3)], (8, 8))


@pytest.mark.parametrize("fraction", [0.2, 1])
def test_images_that_are_not_finite_are_refused(fraction):
    nominal = pictures(2)
    nominal[1, 0, 0, 0] = torch.nan
    with pytest.raises(InputError, match="NaN or infinite"):
        PatchCore(config(coreset_fraction=fraction), network=Pyramid()).fit(nominal)


# Saving and loading


@pytest.fixture
def saved(tmp_path):
    """A folder that holds a model, fitted with a network of the tests."""
    PatchCore(config(), network=Pyramid(), seed=5).fit(pictures(3)).save(tmp_path / "model")
    return tmp_path / "model"


def test_a_loaded_model_predicts_what_the_saved_one_did(saved):
    original = PatchCore(config(), network=Pyramid(), seed=5).fit(pictures(3))
    loaded = PatchCore.load(saved, network=Pyramid())
    assert (loaded.config, loaded.seed) == (original.config, 5)
    assert torch.equal(loaded.coreset_indices, original.coreset_indices)
    assert equal(loaded.predict(pictures(2, seed=1)), original.predict(pictures(2, seed=1)))


def test_a_model_of_a_named_backbone_is_loaded_without_naming_it(tmp_path):
    original = PatchCore(PatchCoreConfig(search="faiss")).fit(pictures(2, (64, 64)))
    original.save(tmp_path)
    loaded = PatchCore.load(tmp_path)
    assert loaded.config == original.config
    test = pictures(2, (64, 64), seed=1)
    assert equal(loaded.predict(test), original.predict(test))


def test_a_model_of_an_earlier_format_is_refused_with_the_reason_where_it_does_not_tell_enough(saved):
    edit(format=1)(saved)
    with pytest.raises(InputError, match=r"another format \(1, not 3\), whose configuration no hash covers"):
        PatchCore.load(saved, network=Pyramid())
    vouched(format=2, network_sha256="0" * 64)(saved)
    with pytest.raises(InputError, match=r"another format \(2, not 3\), which told networks by their code"):
        PatchCore.load(saved, network=Pyramid())


def test_a_model_of_a_named_backbone_of_the_format_before_is_loaded(tmp_path):
    model = PatchCore(PatchCoreConfig(backbone="pixels")).fit(pictures(2, (64, 64)))
    model.save(tmp_path)
    vouched(format=2, network_sha256=None)(tmp_path)
    test = pictures(1, (64, 64), seed=1)
    assert equal(PatchCore.load(tmp_path).predict(test), model.predict(test))


def test_saving_again_replaces_the_model_and_equal_models_have_equal_bytes(saved):
    first = {path.name: path.read_bytes() for path in saved.iterdir()}
    PatchCore(config(), network=Pyramid(), seed=5).fit(pictures(3)).save(saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == first
    PatchCore(config(), network=Pyramid(), seed=5).fit(pictures(4)).save(saved)
    assert len(PatchCore.load(saved, network=Pyramid()).memory_bank) == int(0.2 * 4 * 140)


@pytest.mark.parametrize("blocked", ["a file", "a file/deeper", "folder"])
def test_a_model_that_cannot_be_saved_says_where_and_why(saved, tmp_path, blocked):
    (tmp_path / "a file").write_text("mine")
    (tmp_path / "folder/model.json").mkdir(parents=True)
    with pytest.raises(InputError, match=rf"{blocked}/\S+ cannot be written: .*\nRemedy: "):
        PatchCore.load(saved, network=Pyramid()).save(tmp_path / blocked)
    assert (tmp_path / "a file").read_text() == "mine"


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", ["write_json", "replace"])
def test_a_save_that_is_killed_leaves_one_model_whole(saved, monkeypatch, moment):
    def kill(*arguments, **options):
        raise Killed

    new = PatchCore(config(), network=Pyramid(), seed=5).fit(pictures(4))
    wanted = PatchCore.load(saved, network=Pyramid()) if moment == "write_json" else new
    with monkeypatch.context() as patch:
        if moment == "write_json":
            patch.setattr(saved_model, moment, kill)
        else:
            patch.setattr(saved_model, "writing", kill)  # around the last step
        with pytest.raises(Killed):
            new.save(saved)
    assert torch.equal(PatchCore.load(saved, network=Pyramid()).memory_bank, wanted.memory_bank)
    new.save(saved)
    assert torch.equal(PatchCore.load(saved, network=Pyramid()).memory_bank, new.memory_bank)
    assert sorted(path.name for path in saved.iterdir()) == ["memory_bank.safetensors", "model.json"]


@pytest.mark.parametrize("path", [3, None, "", "a\0b", b"model", ["model"]])
def test_what_is_no_path_of_a_model_is_refused(saved, path):
    for act in (PatchCore.load, PatchCore.load(saved, network=Pyramid()).save):
        with pytest.raises(InputError, match=r"path=.* must be the path of a folder"):
            act(path)


def test_a_network_that_changes_its_images_leaves_those_of_the_caller():
    class Scaling(Pyramid):
        def forward(self, images):
            return super().forward(images.mul_(0.5))

    images = pictures(3)
    PatchCore(config(), network=Scaling()).fit(images).predict(images)
    assert torch.equal(images, pictures(3))


def test_a_network_that_changes_after_fitting_is_refused(saved):
    fitted = PatchCore(config(), network=nn.Sequential(nn.BatchNorm2d(3), Pyramid())).fit(pictures(3))
    fitted.predict(pictures(1))
    network = fitted.network[0]
    network.weight.data *= 2
    with pytest.raises(InputError, match="the network was changed since the model was fitted"):
        fitted.predict(pictures(1))
    network.weight.data /= 2
    fitted.predict(pictures(1))
    network.running_mean += 1
    with pytest.raises(InputError, match="was changed since"):
        fitted.predict(pictures(1))
    fitted.fit(pictures(3)).predict(pictures(1))


def test_a_full_disk_is_told_where_a_model_is_saved(saved, tmp_path, monkeypatch):
    def full(tensors, path):
        raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(InputError, match=r"memory_bank\.next\.safetensors cannot be written: I/O error: No space left"):
        PatchCore.load(saved, network=Pyramid()).save(tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []


def test_nothing_saved_is_a_pickle(saved):
    assert sorted(path.name for path in saved.iterdir()) == ["memory_bank.safetensors", "model.json"]
    json.loads((saved / "model.json").read_text())


def edit(**changes):
    def damage(folder):
        path = folder / "model.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


def edit_config(**changes):
    def damage(folder):
        config = json.loads((folder / "model.json").read_text())["config"]
        edit(config=config | changes)(folder)

    return damage


def vouched(**changes):
    """Other values with hashes that agree, as only a program can write them."""

    def damage(folder):
        path = folder / "model.json"
        description = json.loads(path.read_text()) | changes
        del description["sha256"]
        path.write_text(json.dumps(description | {"sha256": sha256_json(description)}))

    return damage


def vouched_without(key):
    def damage(folder):
        drop(key)(folder)
        vouched()(folder)

    return damage


def foreign_bank(folder):
    path = folder / "memory_bank.safetensors"
    path.write_bytes(b"text")
    vouched(tensors_sha256=sha256_file(path), tensors_bytes=4)(folder)


def other_bank(**changes):
    def damage(folder):
        path = folder / "memory_bank.safetensors"
        tensors = safetensors.torch.load_file(path) | changes
        safetensors.torch.save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path)
        vouched(tensors_sha256=sha256_file(path), tensors_bytes=path.stat().st_size)(folder)

    return damage


def cut_bank(folder):
    path = folder / "memory_bank.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


def turn_a_bit(folder):
    path = folder / "memory_bank.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def drop(key):
    def damage(folder):
        path = folder / "model.json"
        description = json.loads(path.read_text())
        del description[key]
        path.write_text(json.dumps(description))

    return damage


CHANGED = r"model\.json is damaged: it was changed after it was saved"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_bank, r"memory_bank\.safetensors is damaged: it has \d+ bytes of the \d+ that were saved"),
        (turn_a_bit, r"memory_bank\.safetensors is damaged: it holds other bytes than were saved"),
        (lambda folder: (folder / "memory_bank.safetensors").unlink(), "holds no PatchCore model"),
        (lambda folder: (folder / "model.json").unlink(), "holds no PatchCore model"),
        (lambda folder: (folder / "model.json").write_text("{"), "holds no PatchCore model"),
        (lambda folder: (folder / "model.json").write_text("[1]"), "holds no PatchCore model"),
        (lambda folder: (folder / "model.json").write_bytes(b"\xff{}"), "holds no PatchCore model"),
        (lambda folder: (folder / "model.json").write_text("[" * 100_000), "holds no PatchCore model"),
        (vouched_without("config"), "lacks config"),
        (vouched_without("seed"), "lacks seed"),
        (vouched_without("tensors_bytes"), "lacks tensors_bytes"),
        (foreign_bank, r"memory_bank\.safetensors is damaged: "),
        (edit(format=4), r"another format \(4, not 3\)"),
        (edit_config(neighbourhood_size=5), CHANGED),
        (edit_config(stride=2), CHANGED),
        (edit_config(smoothing_sigma=1.0), CHANGED),
        (edit(seed=6), CHANGED),
        (edit(network=None), CHANGED),
        (edit(weights_sha256="0" * 64), CHANGED),
        (drop("config"), CHANGED),
        (drop("sha256"), CHANGED),
        (drop("tensors_bytes"), CHANGED),
        (vouched(config={"coreset_fraction": 7}), r"coreset_fraction=7 must lie in"),
        (vouched(config={"coreset": 1}), "unknown keys"),
        (other_bank(memory_bank=torch.full((84, 15), torch.nan)), "a memory bank with NaN or infinite values"),
        (other_bank(memory_bank=torch.zeros(84, 15).long()), r"no memory bank \(l, d\) of float32"),
        (other_bank(memory_bank=torch.zeros(84)), r"no memory bank \(l, d\) of float32"),
        (other_bank(memory_bank=None), r"no memory bank \(l, d\) of float32"),
        (other_bank(coreset_indices=torch.arange(7)), "has 84 rows and names 7"),
    ],
)
def test_a_damaged_or_foreign_folder_is_refused(saved, damage, message):
    damage(saved)
    with pytest.raises(InputError, match=message):
        PatchCore.load(saved, network=Pyramid())


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no PatchCore model"):
        PatchCore.load(tmp_path / "nothing")


def test_a_model_of_an_own_network_needs_it_again(saved):
    with pytest.raises(InputError, match="network of its own: pass it as network="):
        PatchCore.load(saved)


def test_another_network_than_the_one_it_was_fitted_with_is_refused(saved):
    other = Pyramid()
    with torch.no_grad():
        other.fine[0, 0, 0, 0] += 1
    with pytest.raises(InputError, match="was fitted with another network than the one given"):
        PatchCore.load(saved, network=other)


def test_a_backbone_that_is_given_as_a_network_is_one_of_the_callers(tmp_path):
    def given(name):
        return load_backbone(name, (1, 2))

    model = PatchCore(config(), network=given("pixels")).fit(pictures(3))
    model.save(tmp_path)
    loaded = PatchCore.load(tmp_path, network=given("pixels"))
    assert equal(loaded.predict(pictures(2)), model.predict(pictures(2)))
    with pytest.raises(InputError, match="was fitted with another network than the one given"):
        PatchCore.load(tmp_path, network=given("untrained/resnet18"))


def test_a_network_is_known_by_what_it_gives_whatever_it_is_made_of(saved):
    model = PatchCore.load(saved, network=Pyramid().forward)
    assert equal(model.predict(pictures(2)), PatchCore.load(saved, network=Pyramid()).predict(pictures(2)))


OTHERS = {
    "scaled": lambda maps: [fmap * 1.001 for fmap in maps],
    "turned": lambda maps: [fmap.flip(3) for fmap in maps],
    "channels": lambda maps: [fmap.flip(1) for fmap in maps],
    "one scaled": lambda maps: [maps[0], maps[1] * 1.001],
    "one more": lambda maps: [*maps, maps[1]],
    "one less": lambda maps: maps[:1],
    "pooled": lambda maps: [F.avg_pool2d(fmap, 2) for fmap in maps],
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_network_that_gives_other_maps_is_another(saved, other):
    with pytest.raises(InputError, match="was fitted with another network than the one given"):
        PatchCore.load(saved, network=lambda images: OTHERS[other](Pyramid()(images)))


def test_a_network_that_rounds_otherwise_is_the_same(saved):
    PatchCore.load(saved, network=lambda images: [fmap * (1 + 1e-5) for fmap in Pyramid()(images)])


def test_a_model_whose_network_saw_no_image_is_not_saved(tmp_path):
    model = PatchCore(config(), network=Pyramid()).fit_rows(torch.rand(30, 15))
    with pytest.raises(InputError, match="the network saw no images: nothing would tell it from another"):
        model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_model_whose_network_was_changed_since_is_not_saved(saved, tmp_path):
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.BatchNorm2d(4))

    class Maps(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, images):
            return [self.network(images)]

    model = PatchCore(config(), network=Maps()).fit(pictures(3))
    model.save(tmp_path / "as fitted")
    with torch.no_grad():
        network[0].weight.mul_(3)
    with pytest.raises(InputError, match="the network was changed since the model was fitted"):
        model.save(tmp_path / "changed")
    assert not (tmp_path / "changed").exists()
    model.fit(pictures(3)).save(tmp_path / "fitted again")
    PatchCore.load(saved, network=Pyramid()).save(tmp_path / "loaded")


def test_a_file_of_somebodys_own_is_not_written_over(tmp_path):
    own = tmp_path / "model.json"
    own.write_text('{"layers": 3}')
    with pytest.raises(InputError, match="is no model's, but lies where one is saved"):
        PatchCore(config(), network=Pyramid()).fit(pictures(3)).save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.json"]
    assert own.read_text() == '{"layers": 3}'


@pytest.mark.parametrize("given", [{"network": "resnet18"}, {"network": 3}, {"config": {"coreset_fraction": 0.1}}])
def test_what_is_no_network_or_config_is_refused(given):
    with pytest.raises(InputError, match="must be a"):
        PatchCore(**given)


def test_a_bank_without_numbers_is_not_saved(tmp_path):
    model = PatchCore(config(), network=Pyramid()).fit(pictures(3))
    bank = model.memory_bank.clone()
    bank[3] = torch.nan
    model._bank, model._seal = bank, seal(bank)
    with pytest.raises(InputError, match="NaN or infinite values"):
        model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_model_of_a_named_backbone_takes_no_other_network(tmp_path):
    PatchCore().fit(pictures(1, (64, 64))).save(tmp_path)
    with pytest.raises(InputError, match="fitted with a named backbone"):
        PatchCore.load(tmp_path, network=Pyramid())


def test_other_weights_than_those_it_was_fitted_with_are_refused(tmp_path):
    PatchCore().fit(pictures(1, (64, 64))).save(tmp_path)
    vouched(weights_sha256="0" * 64)(tmp_path)
    with pytest.raises(InputError, match="was fitted with weights 0000"):
        PatchCore.load(tmp_path)


def test_a_save_that_fails_leaves_the_model_from_before(saved, monkeypatch):
    before = {path.name: path.read_bytes() for path in saved.iterdir()}

    def fail(tensors, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("safetensors.torch.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        PatchCore(config(), network=Pyramid()).fit(pictures(4)).save(saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_the_config_is_not_changed_by_use():
    original = config()
    PatchCore(original, network=Pyramid()).fit(pictures(2)).predict(pictures(1))
    assert original == replace(config())


# Half precision and lack of memory


@pytest.mark.parametrize("storage", ["float16", "bfloat16"])
def test_features_stored_in_half_precision_give_nearly_the_same_scores(storage, tmp_path):
    whole, half = fitted(coreset_fraction=0.5), fitted(coreset_fraction=0.5, storage=storage)
    images = pictures(3, seed=1)
    expected, found = whole.predict(images), half.predict(images)
    assert half.memory_bank.element_size() == 2
    assert found.distances.dtype == found.scores.dtype == torch.float32
    # Sampling differs where rounding decides; distances differ by less than the coarse grid of these features.
    assert torch.allclose(found.scores, expected.scores, rtol=0.1)
    half.save(tmp_path / "model")
    again = PatchCore.load(tmp_path / "model", network=Pyramid()).predict(images)
    assert torch.equal(again.scores, found.scores)


@pytest.mark.parametrize("sampler", ["greedy", "random"])
def test_patch_features_that_are_all_equal_are_refused(sampler):
    with pytest.raises(InputError, match="all 256 patch features are equal"):
        fill_memory_bank(torch.full((256, 8), 0.5), config(sampler=sampler), seed=0)


def test_features_that_do_not_fit_into_memory_are_refused_before_they_are_made(monkeypatch):
    monkeypatch.setattr(free_memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=2**10))
    with pytest.raises(InputError, match=r"descriptions of 4 images need .* GiB of memory, and 0.0 GiB are free"):
        fitted()


def test_a_selection_that_does_not_fit_into_memory_is_refused_with_the_remedy(monkeypatch):
    rows = torch.rand(1000, 16)
    monkeypatch.setattr(free_memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=2**10))
    with pytest.raises(InputError, match="smaller projection_dimension"):
        fill_memory_bank(rows, config(), seed=0)


def test_batches_of_unknown_number_give_what_a_tensor_gives():
    images = pictures(5)
    whole = PatchCore(config(), network=Pyramid()).fit(images)
    from_list = PatchCore(config(), network=Pyramid()).fit(list(images.split(2)))
    from_generator = PatchCore(config(), network=Pyramid()).fit(part for part in images.split(2))
    assert torch.equal(from_list.memory_bank, whole.memory_bank)
    assert torch.equal(from_generator.memory_bank, whole.memory_bank)
