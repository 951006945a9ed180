"""The door of every method: each image that does not belong is refused with what is wrong, the rest is taken."""

import re

import numpy as np
import pytest
import torch
from small_networks import SmallPyramid, pictures
from torch.utils.data import DataLoader, TensorDataset

from patchcore_core import InputError, PatchCore, PatchCoreConfig
from patchcore_suite.baselines.config import EnsembleConfig, PadimConfig
from patchcore_suite.baselines.ensemble import Ensemble
from patchcore_suite.baselines.padim import Padim

IMAGES = pictures(3)


def with_value(value, image=1):
    images = IMAGES.clone()
    images[image, 2, 5, 7] = value
    return images


def patchcore():
    return PatchCore(PatchCoreConfig(coreset_fraction=0.5), network=SmallPyramid((1, 2)))


def padim():
    return Padim(PadimConfig(hierarchies=(1, 2)), network=SmallPyramid((1, 2)))


def ensemble():
    member = PatchCoreConfig(coreset_fraction=0.5)
    return Ensemble(EnsembleConfig(models=(member, member)), networks=[SmallPyramid((1, 2))] * 2)


@pytest.fixture(scope="module")
def fitted():
    return patchcore().fit(IMAGES)


REFUSED = {
    "whole numbers": ((IMAGES * 255).to(torch.uint8), [r"values are torch\.uint8; .* images\.float\(\) / 255"]),
    "longs": (IMAGES.long(), [r"values are torch\.int64"]),
    "truths": (IMAGES > 0.5, [r"values are torch\.bool"]),
    "complex numbers": (IMAGES + 0j, [r"values are torch\.complex64"]),
    "0..255": (IMAGES * 255, [r"values of .* to 25\d in images 0, 1, 2; .* images / 255"]),
    "normalised": ((IMAGES - 0.45) / 0.225, [r"values of -2 to 2\.44. in images 0, 1, 2; they were normalised"]),
    "one pixel too bright": (with_value(1.01), [r"values of .* to 1\.01 in image 1;"]),
    "NaN": (with_value(float("nan")), ["NaN or infinite values in image 1$"]),
    "infinity": (with_value(float("-inf"), 2), ["NaN or infinite values in image 2$"]),
    "too large for single precision": (with_value(1.0).double() * 1e300, ["NaN or infinite values in images 0, 1, 2$"]),
    "one channel": (IMAGES[:, :1], [r"shape \(3, 1, 32, 48\), one channel: images\.expand"]),
    "RGBA": (IMAGES[:, [0, 1, 2, 0]], [r"shape \(3, 4, 32, 48\), RGBA: images\[:, :3\]"]),
    "channels last": (
        IMAGES.permute(0, 2, 3, 1),
        [r"shape \(3, 32, 48, 3\), channels last: images\.permute\(0, 3, 1, 2\)"],
    ),
    "an image": (IMAGES[0], [r"shape \(3, 32, 48\), an image alone: images\[None\]"]),
    "no pixels": (IMAGES[..., :0], [r"shape \(3, 3, 32, 0\)"]),
    "whole numbers, channels last": (
        np.zeros((2, 8, 8, 3), np.uint8),
        ["values are uint8", r"shape \(2, 8, 8, 3\), channels last"],
    ),
    "objects": (np.array([None, 1]), ["values are object", r"shape \(2,\)"]),
    "no values": (IMAGES.to("meta"), ["on meta, which holds no array"]),
    "sparse": (IMAGES.to_sparse(), [r"torch\.sparse_coo"]),
    "nested": (torch.nested.nested_tensor([*IMAGES], layout=torch.jagged), ["holds no array of values"]),
    "nothing": (None, ["NoneType in place of a tensor or array"]),
    "a number": (np.float32(1), ["float32 in place of a tensor or array"]),
    "a masked array": (np.ma.masked_array(np.zeros((1, 3, 2, 2))), ["a masked array, whose mask would be passed over"]),
    "a path": ("images/good", ["str in place of a tensor or array"]),
    "a dictionary": ([{"image": IMAGES}], ["dict in place of a tensor or array"]),
    "a list of images": (list(IMAGES), [r"shape \(3, 32, 48\), an image alone"]),
    "a dataset without batches": (TensorDataset(IMAGES, torch.zeros(3)), [r"shape \(3, 32, 48\), an image alone"]),
    "two views": ([(IMAGES, IMAGES)], [r"a batch of 2 tensors \(3, 3, 32, 48\)"]),
    "images and labels at once": ((IMAGES, torch.zeros(3)), [r"shape \(3,\)"]),
}


@pytest.mark.parametrize("images", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("act", ["fit", "predict"])
def test_images_that_do_not_belong_are_refused_with_all_that_is_wrong(act, images, fitted):
    given, problems = images
    model = fitted if act == "predict" else patchcore()
    with pytest.raises(InputError, match="these images cannot be used") as caught:
        getattr(model, act)(given)
    assert len(caught.value.offenders) == len(problems)
    for offender, problem in zip(caught.value.offenders, problems, strict=True):
        assert re.search(problem, offender)
    assert str(caught.value).count("Remedy:") == 1


TAKEN = {
    "an array": IMAGES.numpy(),
    "doubles": IMAGES.double(),
    "an array of doubles": IMAGES.numpy().astype(np.float64),
    "an array of another byte order": IMAGES.numpy().astype(">f4"),
    "a view from behind": IMAGES.flip(0).numpy()[::-1],
    "batches of arrays": [IMAGES[:1].numpy(), IMAGES[1:].numpy()],
    "images and labels": [(IMAGES[:2], torch.zeros(2)), [IMAGES[2:], ["good"]]],
    "a data loader with labels": DataLoader(TensorDataset(IMAGES, torch.zeros(3)), batch_size=2),
    "a data loader without labels": DataLoader(TensorDataset(IMAGES), batch_size=2),
    "images with gradients": IMAGES.clone().requires_grad_(),
}


@pytest.mark.parametrize("images", TAKEN.values(), ids=TAKEN)
def test_what_can_be_taken_safely_gives_the_same_model_and_scores(images, fitted):
    assert torch.equal(fitted.predict(images).scores, fitted.predict(IMAGES).scores)
    assert torch.equal(patchcore().fit(images).memory_bank, fitted.memory_bank)


def test_rounding_of_a_resize_is_taken(fitted):
    assert fitted.predict(with_value(1.0005)).scores.isfinite().all()
    assert fitted.predict(with_value(-0.0005)).scores.isfinite().all()


@pytest.mark.parametrize("method", [padim, ensemble])
@pytest.mark.parametrize("act", ["fit", "predict"])
def test_every_method_has_the_same_door(method, act):
    model = method() if act == "fit" else method().fit(IMAGES)
    for images, _ in (REFUSED["NaN"], REFUSED["whole numbers"], REFUSED["channels last"]):
        with pytest.raises(InputError, match="these images cannot be used"):
            getattr(model, act)(images)


def test_images_are_numbered_through_all_batches_and_five_of_them_named(fitted):
    bad = torch.full((4, 3, 32, 48), torch.nan)
    with pytest.raises(InputError, match="infinite values in images 3, 4, 5, 6, 7 and 3 more\n"):
        fitted.predict(iter([IMAGES, torch.cat([bad, bad])]))


def test_batches_that_are_there_already_are_looked_at_before_anything_is_described(monkeypatch):
    model = patchcore()
    monkeypatch.setattr(model, "describe_images", lambda batch: pytest.fail("described"))
    with pytest.raises(InputError, match="one channel"):
        model.fit([IMAGES, IMAGES[:, :1]])


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta", None])
def test_a_device_that_cannot_compute_is_refused(device):
    with pytest.raises(InputError, match=f"device={device!r} is none that can compute here"):
        PatchCore(device=device)
