import pytest
import torch
import torch.nn.functional as F

from patchcore_core import patches
from patchcore_core.patches import neighbourhood_filter, neighbourhood_mean, patch_features, rescale


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def mean_by_loops(fmap, p, border):
    """Eq. 1-2 window by window."""
    n, c, h, w = fmap.shape
    half = p // 2
    means = torch.zeros(n, c, h, w)
    for row in range(h):
        for column in range(w):
            window = [
                fmap[:, :, a, b]
                for a in range(row - half, row + half + 1)
                for b in range(column - half, column + half + 1)
                if 0 <= a < h and 0 <= b < w
            ]
            means[:, :, row, column] = sum(window) / (p * p if border == "zeros" else len(window))
    return means


def authors_descriptor(maps, p, dimension):
    """The order of the authors' code: patches of each hierarchy, rescaled to the finest grid, pooled, pooled again."""
    height, width = maps[0].shape[-2:]
    pooled = []
    for fmap in maps:
        n, c, h, w = fmap.shape
        windows = F.unfold(fmap, p, padding=p // 2).view(n, c * p * p, h, w)
        windows = F.interpolate(windows, size=(height, width), mode="bilinear", align_corners=False)
        rows = windows.permute(0, 2, 3, 1).reshape(-1, 1, c * p * p)
        pooled.append(F.adaptive_avg_pool1d(rows, dimension))
    stacked = torch.cat(pooled, dim=2)
    return F.adaptive_avg_pool1d(stacked, dimension).view(n, height, width, dimension)


# By hand


def test_a_3_by_3_mean_by_hand():
    fmap = torch.arange(9.0).view(1, 1, 3, 3)  # 0 1 2 / 3 4 5 / 6 7 8
    assert patch_features([fmap])[0, 1, 1].tolist() == [4]  # all nine
    assert patch_features([fmap])[0, 0, 0].tolist() == pytest.approx([8 / 9])  # 0 + 1 + 3 + 4, and five zeros
    assert patch_features([fmap], border="cut")[0, 0, 0].tolist() == [2]  # 0 + 1 + 3 + 4, of four
    assert patch_features([fmap], border="cut")[0, 0, 1].tolist() == [2.5]  # 0 + 1 + 2 + 3 + 4 + 5, of six


def test_a_dimension_pools_channels_and_window_together_by_hand():
    # p = 1, four channels to two values: the means of channels 0, 1 and of 2, 3; the second pooling changes nothing.
    fmap = torch.tensor([1.0, 3.0, 10.0, 20.0]).view(1, 4, 1, 1)
    assert patch_features([fmap], 1, dimension=2).flatten().tolist() == [2, 15]
    # One channel, p = 3, three values: the three rows of each window.
    fmap = torch.arange(9.0).view(1, 1, 3, 3)
    assert patch_features([fmap], 3, dimension=3)[0, 1, 1].tolist() == [1, 4, 7]


def test_two_hierarchies_are_joined_on_the_finer_grid_by_hand():
    fine, coarse = torch.zeros(1, 2, 1, 4), torch.tensor([0.0, 4.0]).view(1, 1, 1, 2)
    features = patch_features([fine, coarse], 1)
    assert features.shape == (1, 1, 4, 3)
    assert features[0, 0, :, 2].tolist() == [0, 1, 3, 4]


# The plain reading: one mean a channel


@pytest.mark.parametrize("border", ["zeros", "cut"])
@pytest.mark.parametrize("p", [1, 3, 5, 7])
def test_means_equal_a_plain_loop(p, border):
    fmap = noise(2, 3, 5, 8)
    expected = mean_by_loops(fmap, p, border)
    assert torch.allclose(neighbourhood_mean(fmap, p, border=border), expected, atol=1e-6)
    assert torch.allclose(patch_features([fmap], p, border=border), expected.permute(0, 2, 3, 1), atol=1e-6)


@pytest.mark.parametrize("border", ["zeros", "cut"])
def test_a_window_larger_than_the_map(border):
    fmap = noise(1, 2, 2, 3)
    expected = mean_by_loops(fmap, 9, border)
    assert torch.allclose(neighbourhood_mean(fmap, 9, border=border), expected, atol=1e-6)


def test_zero_borders_are_the_default():
    assert torch.equal(patch_features([noise(1, 2, 4, 4)]), patch_features([noise(1, 2, 4, 4)], border="zeros"))


def test_three_hierarchies_of_a_wide_image():
    maps = [noise(2, 3, 12, 20), noise(2, 4, 6, 10, seed=1), noise(2, 5, 3, 5, seed=2)]
    features = patch_features(maps, 3)
    assert features.shape == (2, 12, 20, 12)
    assert features.is_contiguous()
    begin = 0
    for fmap in maps:
        upsampled = F.interpolate(mean_by_loops(fmap, 3, "zeros"), (12, 20), mode="bilinear", align_corners=False)
        part = features[..., begin : begin + fmap.shape[1]]
        assert torch.allclose(part, upsampled.permute(0, 2, 3, 1), atol=1e-6)
        begin += fmap.shape[1]


# The authors' reading: pooling to a dimension


@pytest.mark.parametrize(
    ("shapes", "p", "dimension"),
    [
        ([(16, 8, 8), (32, 4, 4)], 3, 16),
        ([(5, 7, 9), (11, 4, 5)], 3, 8),  # nothing divides anything
        ([(6, 12, 20), (10, 6, 10), (14, 3, 5)], 3, 20),
        ([(4, 6, 6), (9, 3, 3)], 5, 30),
        ([(3, 5, 5), (4, 3, 3)], 1, 2),
        ([(2, 6, 6)], 3, 40),  # more values than there are
        ([(8, 4, 4), (8, 4, 4)], 3, 8),  # one grid
    ],
)
def test_pooling_equals_the_order_of_the_authors_code(shapes, p, dimension):
    maps = [noise(2, *shape, seed=seed) for seed, shape in enumerate(shapes)]
    expected = authors_descriptor(maps, p, dimension)
    assert torch.allclose(patch_features(maps, p, dimension=dimension), expected, atol=1e-5)


@pytest.mark.parametrize("p", [1, 3, 5, 7])
@pytest.mark.parametrize(
    ("shapes", "dimension"),
    [
        ([(4, 9, 7), (8, 5, 3)], 8),  # as WideResNet50 has it: half the dimension, then all of it
        ([(8, 6, 11), (8, 3, 5)], 8),
        ([(12, 5, 5), (4, 3, 3)], 8),  # three channels a value
        ([(2, 7, 5), (6, 4, 3), (4, 2, 2)], 6),  # three hierarchies
        ([(10, 5, 9)], 5),
        ([(3, 1, 1), (3, 1, 1)], 6),  # maps smaller than the window
    ],
)
def test_filters_equal_the_authors_two_poolings_where_values_come_from_whole_channels(
    shapes, dimension, p, monkeypatch
):
    maps = [noise(2, *shape, seed=seed) for seed, shape in enumerate(shapes)]
    monkeypatch.delattr(patches, "neighbourhood_pool")  # the windows are not needed
    features = patch_features(maps, p, dimension=dimension)
    assert features.is_contiguous()
    assert torch.allclose(features, authors_descriptor(maps, p, dimension), atol=1e-5)


@pytest.mark.parametrize(
    ("channels", "dimension"),
    [((4, 8), 9), ((4, 7), 8), ((2, 8), 8), ((3, 3), 5)],  # odd; no multiple of d / 2; fewer; a value from both
)
def test_windows_are_pooled_where_values_come_from_parts_of_channels(channels, dimension, monkeypatch):
    maps = [noise(1, c, 6, 5, seed=c) for c in channels]
    pooled = []
    pool = patches.neighbourhood_pool
    monkeypatch.setattr(patches, "neighbourhood_pool", lambda *given: pooled.append(1) or pool(*given))
    features = patch_features(maps, 3, dimension=dimension)
    assert len(pooled) == 2
    assert torch.allclose(features, authors_descriptor(maps, 3, dimension), atol=1e-5)


def test_the_centre_counts_twice_where_a_channel_becomes_one_of_two_hierarchies_values_by_hand():
    fmap = torch.arange(9.0).view(1, 1, 3, 3)
    fmap[0, 0, 1, 1] = 14  # (0 + 1 + 2 + 3 + 2 * 14 + 5 + 6 + 7 + 8) / 10
    assert neighbourhood_filter(fmap, 3, 2, 2)[0, 0, 1, 1].tolist() == pytest.approx(6)


def test_the_papers_descriptor_has_its_closed_form():
    """WideResNet50 at 224 px, p = 3, d = 1024.

    The first 512 values are the channels of hierarchy 2, averaged with the centre counted twice; the others are
    means of hierarchy 3, averaged over pairs of channels.
    """
    fine, coarse = noise(1, 512, 28, 28), noise(1, 1024, 14, 14, seed=1)
    features = patch_features([fine, coarse], 3, dimension=1024)
    assert features.shape == (1, 28, 28, 1024)

    expected_fine = 0.9 * mean_by_loops(fine, 3, "zeros") + 0.1 * fine
    assert torch.allclose(features[..., :512], expected_fine.permute(0, 2, 3, 1), atol=1e-5)
    pairs = mean_by_loops(coarse, 3, "zeros").unflatten(1, (512, 2)).mean(dim=2)
    expected_coarse = F.interpolate(pairs, (28, 28), mode="bilinear", align_corners=False)
    assert torch.allclose(features[..., 512:], expected_coarse.permute(0, 2, 3, 1), atol=1e-5)


# Stride, batches, errors


@pytest.mark.parametrize("dimension", [None, 6])
@pytest.mark.parametrize("stride", [2, 3, 50])
def test_a_stride_keeps_the_positions_that_it_divides(stride, dimension):
    maps = [noise(2, 3, 7, 10), noise(2, 5, 4, 5, seed=1)]
    everywhere = patch_features(maps, 3, dimension=dimension)
    kept = patch_features(maps, 3, stride, dimension)
    assert torch.equal(kept, everywhere[:, ::stride, ::stride])
    assert kept.is_contiguous()


@pytest.mark.parametrize("dimension", [None, 6])
def test_images_together_are_described_as_each_alone(dimension):
    maps = [noise(3, 3, 7, 10), noise(3, 5, 4, 5, seed=1)]
    together = patch_features(maps, 3, dimension=dimension)
    for i in range(3):
        alone = patch_features([fmap[i : i + 1] for fmap in maps], 3, dimension=dimension)
        assert torch.allclose(together[i : i + 1], alone, atol=1e-6)


def test_a_map_that_has_the_size_is_not_copied():
    fmap = noise(1, 2, 4, 5)
    assert rescale(fmap, (4, 5)) is fmap


def test_no_maps_are_refused():
    with pytest.raises(ValueError, match="at least one feature map"):
        patch_features([])


def test_cut_borders_with_a_dimension_are_refused():
    with pytest.raises(ValueError, match="border='cut'"):
        patch_features([noise(1, 2, 4, 4)], dimension=2, border="cut")
