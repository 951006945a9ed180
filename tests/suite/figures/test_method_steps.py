import numpy as np
import pytest

from patchcore_suite.figures import method_steps

IMAGE = np.full((32, 32, 3), 0.5)
MASK = np.zeros((32, 32), dtype=bool)
MASK[8:16, 8:16] = True
GRID = np.arange(16, dtype=float).reshape(4, 4)


def titles(figure):
    return [axis.get_title() for axis in figure.axes if axis.get_title()]


def frames(axis):
    """Corner, width and height of each distinct frame."""
    return {(*patch.get_xy(), patch.get_width(), patch.get_height()) for patch in axis.patches}


def test_the_channels_shown_are_those_that_vary_most():
    fmap = np.stack([scale * GRID for scale in (1, 3, 0, 2)])
    figure = method_steps.feature_channels(IMAGE, [("hierarchy 2", fmap)], count=2)
    assert titles(figure) == ["image", "hierarchy 2, channel 1", "hierarchy 2, channel 3"]


def test_a_map_with_few_channels_leaves_panels_empty():
    figure = method_steps.feature_channels(IMAGE, [("hierarchy 2", GRID[None])], count=4)
    assert titles(figure) == ["image", "hierarchy 2, channel 0"]


def test_panels_share_one_scale():
    figure = method_steps.heat_panels([("a", GRID), ("b", 10 * GRID)])
    assert [axis.images[0].get_clim() for axis in figure.axes[:2]] == [(0, 150)] * 2


def test_a_kept_patch_is_marked_in_its_middle():
    figure = method_steps.kept_patches([IMAGE], [np.array([[0, 3]])], (4, 4))
    (axis,) = figure.axes
    assert axis.collections[0].get_offsets().tolist() == [[27.5, 3.5]]  # x, y of an 8-pixel patch
    assert axis.get_title() == "1 of 16 patches kept"


def test_an_image_of_which_nothing_is_kept_is_shown():
    figure = method_steps.kept_patches([IMAGE], [np.empty((0, 2), dtype=int)], (4, 4))
    assert titles(figure) == ["0 of 16 patches kept"]


def test_both_patches_are_framed_where_they_lie():
    figure = method_steps.patch_distances(IMAGE, MASK, GRID, (3, 3), IMAGE, (0, 1))
    assert [frames(axis) for axis in figure.axes[:3]] == [
        {(23.5, 23.5, 8, 8)},
        {(2.5, 2.5, 1, 1)},
        {(7.5, -0.5, 8, 8)},
    ]
    assert "15.00" in titles(figure)[1]


@pytest.mark.parametrize("mask", [None, np.zeros((32, 32), dtype=bool)])
def test_without_a_defect_there_is_no_outline(mask):
    figure = method_steps.from_grid_to_map(IMAGE, mask, [("distances", GRID)])
    assert [len(axis.collections) for axis in figure.axes] == [0, 0]


def test_the_ground_truth_is_outlined_on_pictures_of_its_size_alone():
    figure = method_steps.from_grid_to_map(IMAGE, MASK, [("distances", GRID), ("map", np.kron(GRID, np.ones((8, 8))))])
    assert [len(axis.collections) for axis in figure.axes] == [1, 0, 1]


def test_the_shares_of_neighbours_by_hand():
    figure = method_steps.neighbour_shares(np.log([1.0, 1.0, 2.0]))
    (axis,) = figure.axes
    assert [bar.get_width() for bar in axis.patches] == pytest.approx([0.25, 0.25, 0.5])
    assert [label.get_text() for label in axis.get_yticklabels()] == ["m*", "neighbour 1 of m*", "neighbour 2 of m*"]


def test_large_distances_do_not_overflow():
    figure = method_steps.neighbour_shares(np.array([1000.0, 1001.0]))
    assert all(np.isfinite(bar.get_width()) for bar in figure.axes[0].patches)
