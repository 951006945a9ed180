from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch
from small_networks import SmallPyramid, pictures
from torch import nn

from patchcore_core import InputError
from patchcore_core.backbones import WeightsMissing
from patchcore_core.common import free_memory
from patchcore_core.config import PatchCoreConfig
from patchcore_core.detector import Detector, Prediction, generator, put_together


class Brightness(Detector):
    """The mean of each image's first map, compared with that of the nominal images: told by hand."""

    fitted = None

    def describe(self, maps):
        return [maps[0].mean(dim=(1, 2, 3)), maps[-1]]

    def fit_described(self, nominal):
        self.fitted = [part.clone() for part in nominal]
        return self

    def predict_described(self, test, size):
        if self.fitted is None:
            raise InputError("the model is not fitted yet")
        scores = (test[0] - self.fitted[0].mean()).abs()
        return Prediction(scores=scores, maps=scores[:, None, None].expand(-1, *size))


class Pixels(nn.Module):
    def forward(self, images):
        return [images]


def brightness(network=None, **options):
    return Brightness(PatchCoreConfig(), network=network or Pixels(), **options)


def test_fit_and_predict_by_hand():
    nominal = torch.tensor([0.2, 0.4]).view(2, 1, 1, 1).expand(2, 3, 4, 6)
    test = torch.tensor([0.3, 0.9]).view(2, 1, 1, 1).expand(2, 3, 4, 6)
    prediction = brightness().fit(nominal).predict(test)
    assert prediction.scores.tolist() == pytest.approx([0, 0.6], abs=1e-6)
    assert prediction.maps.shape == (2, 4, 6)


def test_a_prediction_holds_what_every_method_gives_and_nothing_else():
    prediction = Prediction(scores=torch.zeros(2))
    assert (prediction.maps, prediction.distances, prediction.reweighted_scores, prediction.indices) == (None,) * 4


@pytest.mark.parametrize("sizes", [[2, 1, 2], [1, 2, 2], [1, 1, 1, 2], [5]])
@pytest.mark.parametrize("kind", [list, iter, lambda batches: (batch for batch in batches)])
def test_what_is_kept_of_batches_is_put_together_in_order(sizes, kind):
    images = pictures(5)
    whole = brightness(SmallPyramid()).fit(images).fitted
    in_parts = brightness(SmallPyramid()).fit(kind(images.split(sizes))).fitted
    assert [part.shape for part in whole] == [(5,), (5, 5, 2, 3)]
    for part, same in zip(whole, in_parts, strict=True):
        assert torch.allclose(part, same, rtol=1e-5)


def test_room_is_made_once_where_the_number_of_batches_is_known(monkeypatch):
    monkeypatch.setattr(torch, "cat", lambda *_: pytest.fail("a second copy was made"))
    kept = brightness().fit(iter(pictures(7).split(3))).fitted
    assert [len(part) for part in kept] == [7, 7]


def test_there_is_room_for_as_many_batches_of_the_size_of_the_first():
    images = pictures(7)
    (whole,) = put_together(([part] for part in images.split(3)), count=None, batches=3, device=images.device)
    assert torch.equal(whole, images)
    assert whole.untyped_storage().nbytes() == 9 * images[0].nbytes


def test_descriptions_that_do_not_fit_into_memory_are_refused_with_where_they_are(monkeypatch):
    monkeypatch.setattr(free_memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=2**10))
    parts = [torch.zeros(2, 8), torch.zeros(2)]
    whole = put_together([parts], count=28, device=torch.device("cpu"))
    assert [part.shape for part in whole] == [(2, 8), (2,)]
    with pytest.raises(InputError, match="the descriptions of 29 images of a dataset need"):  # 36 bytes each
        put_together([parts], count=29, device=torch.device("cpu"), where=" of a dataset")


def test_images_of_unknown_number_are_refused_before_all_are_described(monkeypatch):
    described = []

    def descriptions():
        for number in range(100):
            described.append(number)
            yield [torch.zeros(2, 32)]  # 256 bytes; what was kept is copied once in the end

    monkeypatch.setattr(free_memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=2**10))
    with pytest.raises(InputError, match="the descriptions of 10 images or more need"):
        put_together(descriptions(), count=None, device=torch.device("cpu"))
    assert len(described) == 5


class Varying(nn.Module):
    """Maps that are smaller, of fewer channels or fewer in a batch of several images."""

    def __init__(self, several):
        super().__init__()
        self.several = several

    def forward(self, images):
        return [images] if len(images) == 1 else self.several(images)


@pytest.mark.parametrize(
    "several",
    [lambda x: [x[..., ::2, ::2]], lambda x: [x[:, :2]], lambda x: [x, x]],
    ids=["size", "channels", "number"],
)
def test_a_later_batch_that_is_described_otherwise_is_refused(several):
    class Whole(Brightness):
        def describe(self, maps):
            return list(maps)

    batches = [torch.zeros(n, 3, 8, 8) for n in (1, 2)]
    with pytest.raises(InputError, match=r"a batch of images is described by .*, the first one by \[\(3, 8, 8\)\]"):
        Whole(PatchCoreConfig(), network=Varying(several)).fit(batches)


def test_empty_batches_are_passed_over():
    images = pictures(3)
    with_empty = brightness().fit([images[:0], images[:2], images[:0], images[2:]])
    assert torch.equal(with_empty.fitted[0], brightness().fit(images).fitted[0])


@pytest.mark.parametrize("images", [[], [torch.zeros(0, 3, 8, 8)], torch.zeros(0, 3, 8, 8), iter(())])
@pytest.mark.parametrize("act", ["fit", "predict"])
def test_no_images_are_refused(images, act):
    model = brightness().fit(pictures(1))
    with pytest.raises(InputError, match="there are no images"):
        getattr(model, act)(images if not hasattr(images, "__next__") else iter(()))


@pytest.mark.parametrize("act", ["fit", "predict"])
def test_images_of_different_sizes_are_refused_and_both_sizes_named(act):
    model = brightness().fit(pictures(1))
    with pytest.raises(InputError, match=r"images of different sizes: \[\(32, 40\), \(32, 48\)\]"):
        getattr(model, act)([pictures(2), pictures(1, (32, 40))])


def test_the_size_of_the_images_reaches_the_prediction():
    assert brightness().fit(pictures(2)).predict(pictures(1, (16, 24))).maps.shape == (1, 16, 24)


def test_a_model_that_is_not_fitted_says_so():
    with pytest.raises(InputError, match="not fitted"):
        brightness().predict(pictures(1))


def test_a_detector_lacks_nothing_that_it_must_define():
    with pytest.raises(TypeError, match="abstract"):
        Detector(PatchCoreConfig())


def test_a_network_of_the_callers_is_moved_and_evaluated_and_others_are_called_as_they_are():
    module = SmallPyramid().train()
    assert brightness(module).network is module
    assert not module.training

    def function(images: torch.Tensor) -> Sequence[torch.Tensor]:
        return [images]

    assert brightness(function).network is function


def test_a_named_backbone_is_built_on_first_use_only():
    model = Brightness(PatchCoreConfig(backbone="resnet18"))  # whose weights are not here
    model.fit_described([torch.zeros(2), torch.zeros(2)])
    with pytest.raises(WeightsMissing, match="resnet18"):
        model.fit(pictures(1))


def test_a_control_backbone_needs_no_weights():
    model = Brightness(PatchCoreConfig(backbone="pixels", hierarchies=(1,))).fit(pictures(2))
    assert model.network is model.network
    assert model.fitted[1].shape == (2, 3, 8, 12)


def test_everything_is_kept_as_given():
    model = brightness(seed=7, device="cpu", progress=True)
    assert (model.seed, model.device, model.progress) == (7, torch.device("cpu"), True)
    assert model.config == PatchCoreConfig()


def test_a_generator_is_the_same_for_a_seed_and_purpose_and_another_for_any_other():
    first = torch.rand(5, generator=generator(3, "shots"))
    assert torch.equal(torch.rand(5, generator=generator(3, "shots")), first)
    for seed, purpose in [(4, "shots"), (3, "shot"), (3, ""), (33, "shots")]:
        assert not torch.equal(torch.rand(5, generator=generator(seed, purpose)), first)


def test_a_generator_leaves_the_global_one_alone():
    state = torch.random.get_rng_state()
    generator(3, "shots")
    assert torch.equal(torch.random.get_rng_state(), state)
