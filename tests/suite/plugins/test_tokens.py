import copy
from dataclasses import replace

import pytest
import timm
import torch
from safetensors.torch import save_file

from patchcore_core import InputError, PatchCore, PatchCoreConfig
from patchcore_core.backbones import (
    WeightsMissing,
    architectures,
    check_hierarchies,
    feature_maps,
    load_backbone,
    map_shapes,
)
from patchcore_core.common import plugins
from patchcore_suite.plugins.tokens import Blocks, intermediates
from patchcore_suite.preflight.operations import backbone_work

VIT = "test_vit"  # 6 blocks of 64 channels, patches of 16 pixels, one class token, images of 160 x 160
MAMBA = "test_mambaout"  # stages of strides 4 to 32, channels last


def images(n=1, size=(160, 160), seed=0):
    return torch.rand(n, 3, *size, generator=torch.Generator().manual_seed(seed))


def shapes(maps):
    return [tuple(fmap.shape[1:]) for fmap in maps]


def random_network(name, **settings):
    torch.manual_seed(1)
    network = timm.create_model(name, **settings).eval()
    with torch.no_grad():  # else all blocks begin near the identity, and positions near zero
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return network


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Weights of the networks of these tests; they are random."""
    path = tmp_path_factory.mktemp("weights")
    for name in (VIT, MAMBA, "test_vit4"):
        save_file(random_network(name).state_dict(), path / f"{name}.safetensors")
    return path


def normalised(network, batch):
    mean, std = (torch.tensor(network.pretrained_cfg[of]).view(1, 3, 1, 1) for of in ("mean", "std"))
    return (batch - mean) / std


def close(ours, theirs):
    return all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours, theirs, strict=True))


# Blocks on one grid


@torch.inference_mode()
@pytest.mark.parametrize("name", [VIT, "test_vit4"])  # with a class token, and with a register
def test_maps_are_the_tokens_of_the_blocks_without_those_of_no_position(name, folder):
    network, tokens = random_network(name), {}
    for j, block in enumerate(network.blocks):
        block.register_forward_hook(lambda _block, _inputs, output, j=j: tokens.update({j: output}))
    network.forward_features(normalised(network, images(2)))
    grid = {j: out[:, 1:].unflatten(1, (10, 10)).permute(0, 3, 1, 2) for j, out in tokens.items()}
    maps = feature_maps(load_backbone(name, (1, 4), weights=str(folder)), images(2))
    assert close(maps, [grid[1], grid[4]])
    assert not close(maps, [grid[2], grid[4]])


@torch.inference_mode()
def test_from_hundred_on_the_last_norm_is_applied(folder):
    network = random_network(VIT)
    batch = normalised(network, images())
    plain = network.forward_intermediates(batch, indices=[1, 5], intermediates_only=True)
    normed = network.forward_intermediates(batch, indices=[1, 5], norm=True, intermediates_only=True)
    assert not close(plain, normed)
    backbone = load_backbone(VIT, (1, 5, 101, 105), weights=str(folder))
    assert close(feature_maps(backbone, images()), [*plain, *normed])


@torch.inference_mode()
def test_positions_are_resampled_as_timm_does(folder):
    size = (96, 208)
    network = random_network(VIT)
    network.set_input_size(img_size=size)
    batch = normalised(network, images(1, size))
    maps = feature_maps(load_backbone(VIT, (0, 3), weights=str(folder)), images(1, size))
    assert shapes(maps) == [(64, 6, 13)] * 2 == map_shapes(VIT, (0, 3), size)
    assert close(maps, network.forward_intermediates(batch, indices=[0, 3], intermediates_only=True))


@torch.inference_mode()
def test_a_network_that_knows_one_size_is_set_to_others_and_keeps_its_own():
    def run(blocks, size):
        return feature_maps(blocks, images(1, size))

    found = intermediates("test_vit_relpos")
    blocks = found.build((2,)).extractor
    own = run(blocks, (160, 160))
    strict = Blocks(copy.deepcopy(blocks.network), blocks.layers, replace(found.sizes, flexible=False))
    for size in ((96, 208), (160, 160), (112, 112)):
        assert shapes(run(strict, size)) == [(96, size[0] // 16, size[1] // 16)]
    assert close(run(strict, (160, 160)), own)
    network = copy.deepcopy(blocks.network)
    network.set_input_size(img_size=(112, 112))
    theirs = network.forward_intermediates(images(1, (112, 112)), indices=[2], intermediates_only=True)
    assert close(run(strict, (112, 112)), theirs)


@pytest.mark.long
def test_training_statistics_are_the_networks_own():
    backbone = load_backbone("untrained/vit_base_patch32_clip_224.openai", (0,))
    assert backbone.mean.flatten().tolist() == pytest.approx([0.48145466, 0.4578275, 0.40821073])
    assert backbone.std.flatten().tolist() == pytest.approx([0.26862954, 0.26130258, 0.27577711])


# Stages


@torch.inference_mode()
def test_stages_whose_channels_come_last_are_read_by_stride(folder):
    network = random_network(MAMBA, features_only=True, out_indices=(1, 3))
    told = network.feature_info.channels()
    whole = random_network(MAMBA)
    theirs = whole.forward_intermediates(normalised(whole, images()), indices=[1, 3], intermediates_only=True)
    maps = feature_maps(load_backbone(MAMBA, (2, 4), weights=str(folder)), images())
    assert shapes(maps) == [(told[0], 20, 20), (told[1], 5, 5)] == map_shapes(MAMBA, (2, 4), (160, 160))
    assert close(maps, theirs)
    with pytest.raises(InputError, match="has 1, 2, 3, 4\n"):
        check_hierarchies(MAMBA, (0, 5))


# What is refused


@pytest.mark.parametrize("act", [check_hierarchies, load_backbone, lambda name, j: map_shapes(name, j, (160, 160))])
def test_blocks_that_do_not_exist_are_refused_with_those_that_do(act):
    offered = "has 0, 1, 2, 3, 4, 5, 100, 101, 102, 103, 104, 105"
    with pytest.raises(InputError) as caught:
        act(f"untrained/{VIT}", (5, 6))
    assert f"hierarchies=[5, 6]: backbone 'untrained/{VIT}' {offered}\n" in str(caught.value)


@pytest.mark.parametrize(
    ("size", "near"),
    [((150, 100), "144 x 96 or 160 x 112"), ((160, 170), "160 x 160 or 160 x 176"), ((9, 32), "16 x 32")],
)
def test_a_size_that_the_patches_do_not_divide_is_refused_with_the_nearest_that_fit(size, near):
    network = load_backbone(f"untrained/{VIT}", (3,))
    for act in (lambda: map_shapes(VIT, (3,), size), lambda: feature_maps(network, images(1, size))):
        with pytest.raises(InputError) as caught:
            act()
        problem = f"takes no images of {size[0]} x {size[1]} pixels: its patches of 16 x 16 do not divide them"
        assert problem in str(caught.value)
        assert f"Remedy: choose {near}, the nearest sizes that fit" in str(caught.value)


@pytest.mark.long
def test_a_network_of_one_size_takes_no_other():
    with pytest.raises(InputError, match="takes no images of 240 x 240 pixels, only of 224 x 224"):
        map_shapes("cait_xxs24_224", (3,), (240, 240))


def test_maps_that_are_not_what_timm_says_are_not_read(monkeypatch):
    build = timm.create_model

    def other(name, **settings):
        network = build(name, **settings)
        network.feature_info = [{**fact, "num_chs": 63} for fact in network.feature_info]
        return network

    monkeypatch.setattr(timm, "create_model", other)
    assert intermediates(VIT) is None


def test_without_the_plugin_a_transformer_is_refused(monkeypatch):
    monkeypatch.setattr(plugins, "added", lambda kind: ())
    architectures._layers.cache_clear()
    with pytest.raises(InputError, match="has none: it is not convolutional"):
        check_hierarchies(VIT, (3,))
    architectures._layers.cache_clear()


@pytest.mark.long
def test_weights_are_never_random_and_never_of_another_network(folder):
    with pytest.raises(WeightsMissing, match="random weights are never used"):
        load_backbone("vit_tiny_patch16_224", (3,), weights=str(folder))
    with pytest.raises(InputError, match="do not fit backbone 'test_vit2'"):
        load_backbone("test_vit2", (3,), weights=str(folder / f"{VIT}.safetensors"))


# All that asks for networks


def test_what_reads_a_backbone_is_known_by_name():
    assert [architectures.added_by(name) for name in (VIT, f"untrained/timm/{MAMBA}")] == ["intermediates"] * 2
    assert architectures.added_by("tf_efficientnet_lite0") is None


def test_products_of_attention_are_counted():
    # Of each block and token: 4 + 2 * mlp products of 64 x 64, and 2 of 64 with each of the 101 tokens.
    network = timm.create_model(VIT)
    d, tokens, hidden = 64, 101, network.blocks[0].mlp.fc1.out_features
    block = 2 * tokens * (4 * d * d + 2 * d * hidden + 2 * tokens * d)
    one, two = (backbone_work(VIT, (j,), (160, 160)).convolutions for j in (0, 1))
    assert two - one == block


def test_patchcore_takes_blocks_side_by_side(folder):
    config = PatchCoreConfig(backbone=VIT, hierarchies=(2, 105), coreset_fraction=0.1, neighbourhood_size=1)
    model = PatchCore(config, weights=str(folder)).fit(images(3))
    assert model.memory_bank.shape == (30, 128)
    prediction = model.predict(images(2))
    assert prediction.maps.shape == (2, 160, 160)
    assert prediction.distances.shape == (2, 10, 10)
