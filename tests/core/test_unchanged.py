"""What was changed since a model was fitted, and would give a number all the same, is told."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from small_networks import SmallPyramid, pictures
from torch import nn

from patchcore_core import InputError, PatchCore, PatchCoreConfig
from patchcore_core.unchanged import seal

CHANGED = "the network was changed since the model was fitted"
EDITED = "the memory bank was edited since the model was fitted"
AGAIN = "the network gives other feature maps when an image comes again, or comes alone"


class Scaled(nn.Module):
    """Pixels, times what stands in a plain attribute, a list and a dictionary."""

    def __init__(self):
        super().__init__()
        self.scale, self.scales, self.named = 1.0, [1.0], {"one": torch.ones(3, 1, 1)}

    def forward(self, images):
        return [images * self.scale * self.scales[0] * self.named["one"]]


class Noting(Scaled):
    """It writes down what changes no map."""

    def __init__(self):
        super().__init__()
        self.calls, self.kept = 0, None

    def forward(self, images):
        self.calls, self.kept = self.calls + 1, super().forward(images)
        return self.kept


def fitted(network=None, **changes):
    config = PatchCoreConfig(**{"coreset_fraction": 0.1, "neighbourhood_size": 1} | changes)
    bright_and_dark = pictures(2, (16, 16)) * torch.tensor([1, 0.2]).view(2, 1, 1, 1)
    return PatchCore(config, network=network or Scaled()).fit(bright_and_dark)


def scale(network):
    network.scale = 2


def scale_in_list(network):
    network.scales[0] = 2


def scale_in_place(network):
    network.named["one"].mul_(2)


def hook(network):
    network.register_forward_hook(lambda network, images, maps: [maps[0] * 2])


def another_forward(network):
    network.forward = lambda images: [images * 2]


@pytest.mark.parametrize("change", [scale, scale_in_list, scale_in_place, hook, another_forward])
@pytest.mark.parametrize("moment", ["fitted", "used", "loaded"])
def test_a_network_that_was_changed_scores_nothing(change, moment, tmp_path):
    network = Scaled() if moment == "loaded" else Noting()
    model = fitted(network)
    if moment == "loaded":
        model.save(tmp_path)
        model = PatchCore.load(tmp_path, network=network)
    elif moment == "used":
        model.predict(pictures(1, (16, 16)))
    change(network)
    for act in (model.predict, model.extend):
        with pytest.raises(InputError, match=CHANGED):
            act(pictures(1, (16, 16)))


def test_what_a_network_writes_down_does_not_stop_it():
    model = fitted(Noting())
    first, again = (model.predict(pictures(2, (16, 16), seed=1)).scores for _ in range(2))
    assert torch.equal(first, again)
    assert model.network.calls > 4


def test_a_network_that_was_put_in_place_of_the_fitted_one_scores_nothing():
    for network in (SmallPyramid((1,)), None):  # of the caller's, and a named backbone
        model = PatchCore(PatchCoreConfig(backbone="pixels", hierarchies=(1,)), network=network)
        model.fit(pictures(1, (32, 32)))
        model.network = SmallPyramid((1,), seed=9)
        with pytest.raises(InputError, match=CHANGED):
            model.predict(pictures(1, (32, 32)))


def scaled(backbone):
    with torch.no_grad():
        next(backbone.parameters()).mul_(1.01)


def loaded_anew(backbone):
    backbone.load_state_dict({name: 0 * tensor for name, tensor in backbone.state_dict().items()})


@pytest.mark.parametrize("edit", [scaled, loaded_anew])
def test_a_named_backbone_whose_weights_were_edited_scores_nothing(edit, tmp_path):
    model = PatchCore(PatchCoreConfig(coreset_fraction=0.1)).fit(pictures(1, (32, 32)))
    model.save(tmp_path)
    for one in (model, PatchCore.load(tmp_path)):
        one.predict(pictures(1, (32, 32)))
        edit(one.network)
        with pytest.raises(InputError, match=CHANGED):
            one.predict(pictures(1, (32, 32)))


def test_a_configuration_that_describes_images_otherwise_scores_nothing(tmp_path):
    model, test = fitted(), pictures(1, (16, 16), seed=1)
    scores = model.predict(test).reweighted_scores
    model.config = replace(model.config, score="reweighted")
    assert torch.equal(model.predict(test).scores, scores)
    model.save(tmp_path)
    for one in (model, PatchCore.load(tmp_path, network=Scaled())):
        one.config = replace(one.config, neighbourhood_size=3)
        with pytest.raises(InputError, match="the configuration was changed since the model was fitted"):
            one.predict(test)


def test_a_function_whose_surroundings_changed_scores_nothing():
    factor = [1.0]
    model = fitted(lambda images: [images * factor[0]])
    model.predict(pictures(1, (16, 16)))
    factor[0] = 2.0
    with pytest.raises(InputError, match=CHANGED):
        model.predict(pictures(1, (16, 16)))


class Noisy(nn.Module):
    def forward(self, images):
        return [images + 0.01 * torch.randn_like(images)]


class Dropping(nn.Module):
    def forward(self, images):
        return [F.dropout(images, 0.1, training=True)]


class Centred(nn.Module):
    """As a normalisation by the batch does."""

    def forward(self, images):
        return [images - images.mean(dim=(0, 2, 3), keepdim=True)]


@pytest.mark.parametrize("network", [Noisy(), Dropping(), Centred()])
def test_a_network_whose_maps_follow_chance_or_other_images_is_not_fitted(network):
    with pytest.raises(InputError, match=AGAIN):
        fitted(network)


def test_a_network_that_rounds_in_another_way_among_others_is_fitted():
    class Half(nn.Module):
        def forward(self, images):
            return [(images * (1 + 1e-3 * len(images))).bfloat16()]

    assert fitted(Half()).predict(pictures(1, (16, 16))).scores.isfinite().all()


def through_numpy(bank):
    bank.numpy()[3] += 1


def through_data(bank):
    bank.data[0, 0] += 1e-3


def swapped(bank):
    bank[[0, 1]] = bank[[1, 0]]


@pytest.mark.parametrize("edit", [lambda bank: bank.mul_(2), through_numpy, through_data, swapped])
@pytest.mark.parametrize("used", [False, True])
def test_a_memory_bank_that_was_edited_scores_nothing(edit, used, tmp_path):
    model = fitted()
    if used:
        model.predict(pictures(1, (16, 16)))
    edit(model.memory_bank)
    for act in (lambda: model.predict(pictures(1, (16, 16))), lambda: model.extend(pictures(1, (16, 16)))):
        with pytest.raises(InputError, match=EDITED):
            act()
    with pytest.raises(InputError, match=EDITED):
        model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()
    model.fit(pictures(2, (16, 16))).predict(pictures(1, (16, 16)))


def test_a_bank_times_a_number_in_place_is_no_new_one():
    model = fitted()
    with pytest.raises(InputError, match=EDITED):
        model.memory_bank *= 2


def test_a_new_bank_is_searched_and_covers_nobody_knows_what():
    model, test = fitted(), pictures(1, (16, 16), seed=1)
    model.predict(test)
    model.memory_bank = torch.zeros(4, 3)
    wanted = test.square().sum(dim=1).sqrt().amax(dim=(1, 2))
    torch.testing.assert_close(model.predict(test).scores, wanted)
    assert model.covering_radius is None


NO_BANKS = [None, [[1.0, 2.0, 3.0]], torch.ones(3), torch.ones(4, 3).int(), torch.full((4, 3), torch.nan)]


@pytest.mark.parametrize("bank", NO_BANKS)
def test_what_is_no_memory_bank_is_not_set(bank):
    model = fitted()
    with pytest.raises(InputError, match="a memory bank must be a tensor"):
        model.memory_bank = bank
    model.predict(pictures(1, (16, 16)))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (5, 3), (4, 4)])
@pytest.mark.parametrize("first", [0, 1])
def test_the_seal_holds_every_value(kind, shape, first):
    rows, columns = shape
    bank = torch.arange(1.0, 1 + (rows + first) * columns).view(-1, columns).to(kind)[first:]
    with torch.inference_mode():
        inferred = bank.clone()
    for tensor in (bank, inferred):
        before = seal(tensor)
        assert seal(tensor) == before
        for place in range(tensor.numel()):
            with torch.inference_mode():
                changed = tensor.clone()
                changed.view(-1)[place] += 1
            assert seal(changed)[1:] != before[1:]
