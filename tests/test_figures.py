import numpy as np
import pandas as pd
import pytest

from patchcore_core import figures


def random_state():
    return np.random.default_rng(0)


def histograms():
    draw = random_state()
    labels = np.array([0] * 6 + [1] * 4)
    return figures.score_histograms({name: (labels, draw.random(10)) for name in ("a", "b", "c", "d")}, title="T")


def sheet(*, masked=True):
    draw = random_state()
    mask = np.zeros((8, 12), dtype=bool)
    mask[2:4, 3:6] = True
    shown = [
        ("good 1.0", draw.random((8, 12, 3)), np.zeros((8, 12), dtype=bool), draw.random((8, 12))),
        ("cut 2.0", draw.random((8, 12, 3)), mask if masked else None, 3 * draw.random((8, 12))),
    ]
    return figures.anomaly_sheet({"part": shown, "other": shown[:1]}, title="T")


def coreset():
    points = random_state().random((30, 2))
    return figures.coreset_against_random([("greedy", points, np.array([0, 5]), 0.5), ("random", points, [1, 2, 3], 1)])


def curves():
    rows = [
        ["plane", sampler, size, seed, 1 / size]
        for sampler in ("greedy", "random")
        for size in (2, 4)
        for seed in (0, 1)
    ]
    return figures.radius_curves(
        pd.DataFrame(rows, columns=["distribution", "sampler", "size", "seed", "covering_radius"]), title="T"
    )


def bars():
    rows = [[category, "v", value] for category in ("a", "b") for value in (0.8, 0.9)]
    return figures.category_bars(pd.DataFrame(rows, columns=["category", "variant", "pro"]), value="pro", title="T")


@pytest.mark.parametrize("draw", [histograms, sheet, coreset, curves, bars])
def test_one_drawing_is_one_file(tmp_path, draw):
    for name in ("first", "second"):
        figures.save(draw(), tmp_path / f"{name}.png")
    first = (tmp_path / "first.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert first == (tmp_path / "second.png").read_bytes()
    assert b"matplotlib" not in first.lower()  # a version in the file would change it with each release


def test_no_figure_stays_open():
    for draw in (histograms, sheet, coreset, curves, bars):
        draw()
    assert figures.plt.get_fignums() == []


def test_each_category_has_its_histogram_of_all_scores():
    figure = histograms()
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "c", "d"]
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["nominal", "anomalous"]


def test_all_maps_of_a_category_share_one_colour_scale():
    figure = sheet()
    maps = [axis.images[0] for axis in figure.axes if axis.images and axis.images[0].get_array().ndim == 2]
    scales = [image.get_clim() for image in maps]
    assert len(maps) == 3
    assert scales[0] == scales[1]
    assert scales[1][1] == maps[1].get_array().max()


def test_only_a_defect_is_outlined():
    outlined = [bool(axis.collections) for axis in sheet().axes if axis.images]
    assert outlined.count(True) == 2  # the image with a mask, and its map
    assert not any(axis.collections for axis in sheet(masked=False).axes)


def test_circles_have_the_covering_radius():
    greedy, random = coreset().axes
    assert [patch.get_radius() for patch in greedy.patches] == [0.5, 0.5]
    assert [patch.get_radius() for patch in random.patches] == [1, 1, 1]
    assert greedy.get_title() == "greedy: covering radius 0.50"


def test_bars_leave_room_below_the_lowest_value():
    axis = bars().axes[0]
    assert axis.get_ylim()[0] < 0.8
    assert axis.get_ylim()[1] == 1
