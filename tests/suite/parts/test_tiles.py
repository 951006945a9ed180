import pytest
import torch
from small_networks import SmallPyramid, pictures

from patchcore_core import InputError
from patchcore_core.backbones import feature_maps
from patchcore_suite.parts.describing import FitOptions, describe
from patchcore_suite.parts.photographs import look_at
from patchcore_suite.parts.tiles import Tiles, ramp, tiled_maps


class Flat(torch.nn.Module):
    """A network that says of each 8 x 8 cell which tile it was asked about: 1 of the first, 2 of the second, ..."""

    def __init__(self):
        super().__init__()
        self.asked = 0

    def forward(self, images):
        self.asked += 1
        return [torch.full((len(images), 1, images.shape[2] // 8, images.shape[3] // 8), float(self.asked))]


def test_tiles_begin_step_by_step_and_the_last_one_ends_with_the_image():
    assert Tiles(64, 16).places(64) == [0]
    assert Tiles(64, 16).places(160) == [0, 48, 96]
    assert Tiles(64, 16).places(144) == [0, 48, 80]
    assert Tiles(64, 0).places(128) == [0, 64]


def test_a_tile_weighs_less_towards_its_edges_where_it_overlaps():
    assert ramp(6, 2).tolist() == pytest.approx([1 / 3, 2 / 3, 1, 1, 2 / 3, 1 / 3])
    assert ramp(3, 0).tolist() == [1, 1, 1]


def test_what_two_tiles_say_is_blended_by_their_weights():
    # Two tiles of 8 cells, overlapping by 2: there the first one weighs 2/3 and 1/3, the second one the rest.
    (blended,) = tiled_maps(Flat(), torch.zeros(1, 3, 64, 112), Tiles(64, 16))
    row = [1.0] * 6 + [2 / 3 * 1 + 1 / 3 * 2, 1 / 3 * 1 + 2 / 3 * 2] + [2.0] * 6
    assert blended.shape == (1, 1, 8, 14)
    for found in blended[0, 0]:
        assert found.tolist() == pytest.approx(row)


def test_four_tiles_are_blended_along_both_axes():
    # In the corner of all four, where row and column weigh 2/3 of the first and 1/3 of the second tile.
    (blended,) = tiled_maps(Flat(), torch.zeros(1, 3, 112, 112), Tiles(64, 16))
    expected = sum(number * w for number, w in enumerate((4 / 9, 2 / 9, 2 / 9, 1 / 9), start=1))
    assert float(blended[0, 0, 6, 6]) == pytest.approx(expected)


def test_no_step_is_larger_where_tiles_change_than_their_weights_make_it():
    # Of 8 cells of a tile, 4 overlap the tile before and 4 the one behind: weights fall by a fifth from cell to cell.
    (blended,) = tiled_maps(Flat(), torch.zeros(1, 3, 64, 64 + 32 * 3), Tiles(64, 32))
    row = [1.0] * 4 + [1.2, 1.4, 1.6, 1.8] + [2.2, 2.4, 2.6, 2.8] + [3.2, 3.4, 3.6, 3.8] + [4.0] * 4
    assert blended[0, 0, 3].tolist() == pytest.approx(row)


def test_a_network_that_sees_cells_alone_says_the_same_of_tiles_as_of_the_whole_image():
    network, images = SmallPyramid(), pictures(2, size=(96, 128))
    for tiles in (Tiles(64, 32), Tiles(64, 16), Tiles(32, 0), Tiles(96, 48)):
        for tiled, whole in zip(tiled_maps(network, images, tiles), feature_maps(network, images), strict=True):
            torch.testing.assert_close(tiled, whole)


@pytest.mark.parametrize(("size", "overlap"), [(64, 64), (64, 80), (64, -8), (16, 0), (64.0, 8), (True, 0), ("64", 0)])
def test_tiles_that_cannot_be_laid_are_refused(size, overlap):
    with pytest.raises(InputError, match=r"cannot be laid\nRemedy: give a size of 32 or more"):
        Tiles(size, overlap)


def test_tiles_that_do_not_suit_images_are_refused_with_what_would():
    network = SmallPyramid()
    with pytest.raises(InputError, match="tiles of 128 pixels are larger than images of 96 x 256"):
        tiled_maps(network, pictures(1, size=(96, 256)), Tiles(128, 32))
    with pytest.raises(InputError, match=r"do not meet on images of 96 x 120(.|\n)*images of 96 x 128"):
        tiled_maps(network, pictures(1, size=(96, 120)), Tiles(64, 16))
    with pytest.raises(InputError, match=r"overlap by 20 do not meet"):
        tiled_maps(network, pictures(1, size=(96, 128)), Tiles(64, 20))
    with pytest.raises(InputError, match="tiles of 72 pixels end between the places"):
        tiled_maps(network, pictures(1, size=(96, 128)), Tiles(72, 8))


NOISY = """
import torch

class Noisy(torch.nn.Module):
    def forward(self, images):
        maps = torch.nn.functional.avg_pool2d(images, 8)
        return [maps + 0.01 * torch.rand_like(maps)]

networks = {"noisy": Noisy()}
"""


@pytest.mark.parametrize("tiles", [None, Tiles(32, 0)])
def test_a_network_that_follows_chance_is_not_described_by(folder, tmp_path, tiles):
    (tmp_path / "networks.py").write_text(NOISY, encoding="utf-8")
    good = look_at(folder, layout="mvtec").good
    options = FitOptions(resize=(64, 64), tiles=tiles, backbone="noisy", networks=tmp_path / "networks.py")
    with pytest.raises(InputError, match="other feature maps when an image comes again"):
        describe(good, options)
