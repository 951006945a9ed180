import os
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from PIL import Image

from patchcore_suite import figures
from patchcore_suite.figures.style import ANOMALOUS_COLOUR, FALL_COLOUR, GREY, NOMINAL_COLOUR, RISE_COLOUR


def scores(n=12):
    labels = np.arange(n) % 2
    return labels, np.random.default_rng(1).random(n) + labels


def example(caption="spot  1.0", *, peak=1.0, masked=True, size=(12, 16)):
    """Caption, image, mask or None, and a map that rises to `peak`."""
    image = np.full((*size, 3), 0.5, dtype=np.float32)
    mask = np.zeros(size, dtype=bool)
    mask[4:8, 4:8] = masked is True
    values = np.linspace(0, peak, size[0] * size[1]).reshape(size)
    return caption, image, None if masked is None else mask, values


def curves(seeds=2):
    return pd.DataFrame(
        [
            [distribution, sampler, size, seed, (1 + seed + (sampler == "random")) / size]
            for distribution in ("multi-modal", "uniform")
            for sampler in ("greedy", "random")
            for size in (5, 10, 20)
            for seed in range(seeds)
        ],
        columns=["distribution", "sampler", "size", "seed", "covering_radius"],
    )


def bars(*, names=("bolt", "plate")):
    return pd.DataFrame(
        [[category, variant, 0.9 + 0.01 * seed] for category in names for variant in ("one", "two") for seed in (0, 1)],
        columns=["category", "variant", "image_auroc"],
    )


def panels(count=4):
    points = np.random.default_rng(2).normal(size=(30, 2))
    return [(f"panel {number}", points, np.array([0, 3, 5]), 1.25) for number in range(count)]


def way(values=(0.9, 0.95, 0.93, 0.93, 0.93)):
    """From one profile to another over three steps: up, down, and nothing."""
    return pd.DataFrame({"step": ["paper", "pooling", "image score", "masks", "official"], "pro": values})


def shots(draws=2):
    return pd.DataFrame(
        [
            [method, n, draw, 0.5 + 0.01 * n + 0.1 * draw]
            for method in ("a", "b")
            for n in (1, 5, 16)
            for draw in range(draws)
        ],
        columns=["method", "shots", "seed", "image_auroc"],
    )


def fractions(seeds=2):
    rows = pd.DataFrame(
        [[name, x, seed, x + seed] for name in ("greedy", "random") for x in (0.01, 0.1, 1) for seed in range(seeds)],
        columns=["series", "fraction", "seed", "covering_radius"],
    )
    return rows.assign(image_auroc=0.9, pro=np.nan)


def times():
    rows = [["whole", part, ms, 2 * ms] for part, ms in (("load", 1), ("search", 2), ("total", 3.5))]
    rows += [["other", part, ms, 3 * ms] for part, ms in (("load", 4), ("scoring", 5), ("total", 9))]
    return pd.DataFrame(rows, columns=["system", "part", "median_ms", "p95_ms"])


DRAWINGS = {
    "score_histograms": lambda title="": figures.score_histograms({"bolt": scores(), "nut": scores()}, title=title),
    "anomaly_sheet": lambda title="": figures.anomaly_sheet({"bolt": [example(), example()]}, title=title),
    "judged_image": lambda title="": figures.judged_image(*example()[1::2], high=2.0, caption=title),
    "coreset_against_random": lambda title="": figures.coreset_against_random(panels(), title=title),
    "radius_curves": lambda title="": figures.radius_curves(curves(), title=title),
    "category_bars": lambda title="": figures.category_bars(bars(), value="image_auroc", title=title),
    "grouped_bars": lambda title="": figures.grouped_bars(
        bars(), group="variant", hue="category", value="image_auroc", title=title
    ),
    "waterfall": lambda title="": figures.waterfall(way(), value="pro", title=title),
    "low_shot_curves": lambda title="": figures.low_shot_curves(shots(), value="image_auroc", title=title),
    "sweep": lambda title="": figures.sweep(
        fractions(), x="fraction", values=["image_auroc", "covering_radius"], log=True, title=title
    ),
    "time_bars": lambda title="": figures.time_bars(times(), title=title),
}
each_drawing = pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)


def test_every_public_drawing_is_tested():
    assert set(figures.__all__) == {*DRAWINGS, "save", "save_pixels"}


def test_a_picture_alone_touches_nothing_beside_it(tmp_path):
    (tmp_path / "figure.svg").write_text("a drawing")
    for name in ("anomaly_sheet", "category_bars"):
        figures.save_pixels(DRAWINGS[name](), tmp_path / "figure.png")
        assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "figure.svg").read_text() == "a drawing"


# Of every drawing


@each_drawing
def test_the_same_drawing_is_the_same_file(draw, tmp_path):
    for name in ("a", "b"):
        figures.save(draw("A title"), tmp_path / name / "figure.png")
    first, second = ((tmp_path / name / "figure.png").read_bytes() for name in ("a", "b"))
    assert first == second
    vectors = [(tmp_path / name / "figure.svg") for name in ("a", "b")]
    drawn = {path.read_bytes() for path in vectors if path.exists()}
    assert len(drawn) == (0 if draw in (DRAWINGS["anomaly_sheet"], DRAWINGS["judged_image"]) else 1)
    assert not any(b"matplotlib.org" in text or b"dc:date" in text for text in drawn)  # no version and no time
    with Image.open(tmp_path / "a/figure.png") as image:
        assert set(image.info) <= {"dpi"}  # no version and no time
        assert 100 < min(image.size) <= max(image.size) < 4000
        assert np.asarray(image.convert("L")).std() > 1  # not blank


@each_drawing
def test_a_drawing_has_its_title_and_is_not_left_open(draw):
    # Jupyter shows an open figure a second time.
    before = plt.get_fignums()
    assert draw("All of it").get_suptitle() == "All of it"
    assert draw().get_suptitle() == ""
    assert plt.get_fignums() == before


def test_a_sheet_of_images_takes_away_the_vectors_of_an_earlier_drawing(tmp_path):
    figures.save(DRAWINGS["category_bars"](), tmp_path / "figure.png")
    assert "<svg" in (tmp_path / "figure.svg").read_text(encoding="utf-8")
    figures.save(DRAWINGS["anomaly_sheet"](), tmp_path / "figure.png")
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]


def test_a_failed_save_leaves_an_earlier_picture(tmp_path):
    figures.save(DRAWINGS["category_bars"](), tmp_path / "figure.png")
    before = (tmp_path / "figure.png").read_bytes()
    figure = DRAWINGS["category_bars"]()
    figure.axes[0].set_title("$\\frac$", parse_math=True)  # no formula, so drawing it fails
    with pytest.raises(ValueError):
        figures.save(figure, tmp_path / "figure.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure.png", "figure.svg"]
    assert (tmp_path / "figure.png").read_bytes() == before


@pytest.mark.parametrize("name", ["5$ a_b^c 6$", "$x_{$ größe"])
def test_names_of_folders_are_drawn_as_they_are(name):
    # A category or a defect is called what its folder is called; it is never a formula.
    drawn = [
        figures.score_histograms({name: scores()}, title=name),
        figures.anomaly_sheet({name: [example(f"{name}  1.0")]}, title=name),
        figures.category_bars(bars(names=(name,)), value="image_auroc"),
        figures.category_bars(bars().replace("one", name), value="image_auroc"),
        figures.waterfall(way().replace("masks", name), value="pro"),
        figures.low_shot_curves(shots().replace("a", name), value="image_auroc"),
        figures.sweep(fractions().replace("greedy", name), x="fraction", values=["image_auroc"]),
        figures.time_bars(times().replace({"whole": name, "load": name})),
    ]
    for figure in drawn:
        figure.draw_without_rendering()
        texts = [text for text in figure.findobj(plt.Text) if name in text.get_text()]
        assert texts
        assert not any(text.get_parse_math() for text in texts)


@each_drawing
def test_no_formula_shows_as_its_source(draw):
    # matplotlib labels logarithmic axes with formulas, and would draw them as they are written.
    figure = draw()
    figure.draw_without_rendering()
    assert [text.get_text() for text in figure.findobj(plt.Text) if "mathdefault" in text.get_text()] == []


@pytest.mark.filterwarnings("error")
def test_one_seed_has_no_spread_and_no_warning():
    drawn = [
        figures.radius_curves(curves(seeds=1)),
        figures.category_bars(bars().drop_duplicates(["category", "variant"]), value="image_auroc"),
        figures.low_shot_curves(shots(draws=1), value="image_auroc"),
        figures.sweep(fractions(seeds=1), x="fraction", values=["covering_radius"]),
    ]
    for figure in drawn:
        figure.draw_without_rendering()


# Score histograms


def test_histograms_have_a_panel_for_each_category():
    figure = figures.score_histograms({name: scores() for name in ("bolt", "nut", "plate", "wire")}, columns=3)
    assert [axis.get_title() for axis in figure.axes] == ["bolt", "nut", "plate", "wire"]
    assert all(axis.get_xlabel() == "image score" for axis in figure.axes)
    legend = figure.axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["nominal", "anomalous"]


def test_histograms_count_each_group_with_the_same_bins():
    labels, values = np.array([0, 0, 1]), np.array([0.0, 1.0, 24.0])
    (axis,) = figures.score_histograms({"bolt": (labels, values)}).axes
    nominal, anomalous = axis.containers
    edges = [[bar.get_x() for bar in group] for group in (nominal, anomalous)]
    assert edges[0] == edges[1]
    assert [bar.get_height() for bar in nominal][:2] == pytest.approx([0.5, 0.5])  # a density: bins are 1 wide
    assert [bar.get_height() for bar in nominal][-1] == 0
    assert [bar.get_height() for bar in anomalous][-1] == pytest.approx(1)
    assert nominal[0].get_facecolor()[:3] == to_rgba(NOMINAL_COLOUR)[:3]
    assert anomalous[0].get_facecolor()[:3] == to_rgba(ANOMALOUS_COLOUR)[:3]


# Anomaly maps


def test_a_sheet_has_two_rows_a_category_and_a_column_an_image():
    shown = {"bolt": [example("good  0.1"), example("spot  2.0"), example()], "nut": [example("bent  9.9")]}
    figure = figures.anomaly_sheet(shown)
    assert len(figure.axes) == 4 * 3
    titles = np.array([axis.get_title() for axis in figure.axes]).reshape(4, 3)
    assert list(titles[0]) == ["good  0.1", "spot  2.0", "spot  1.0"]
    assert list(titles[2]) == ["bent  9.9", "", ""]
    assert not titles[1].any()
    filled = np.array([len(axis.images) for axis in figure.axes]).reshape(4, 3)
    assert filled.tolist() == [[1, 1, 1], [1, 1, 1], [1, 0, 0], [1, 0, 0]]
    names = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert names == ["bolt", "nut"]


def test_maps_of_a_category_share_their_colours():
    figure = figures.anomaly_sheet({"bolt": [example(peak=1.0), example(peak=5.0)], "nut": [example(peak=9.0)]})
    limits = np.array([axis.images[0].get_clim() if axis.images else (0, 0) for axis in figure.axes])
    maps = limits.reshape(4, 2, 2)[[1, 3]]
    assert maps[0, 0].tolist() == maps[0, 1].tolist()
    assert maps[0, 0, 1] == 5.0
    assert maps[1, 0, 1] == 9.0


@pytest.mark.parametrize(("masked", "outlined"), [(True, True), (False, False), (None, False)])
def test_the_ground_truth_is_outlined_where_there_is_one(masked, outlined):
    figure = figures.anomaly_sheet({"bolt": [example(masked=masked)]})
    assert [bool(axis.collections) for axis in figure.axes] == [outlined, outlined]


# Coresets


def test_a_coreset_is_drawn_with_the_circles_of_its_covering_radius():
    figure = figures.coreset_against_random(panels(4))
    assert [axis.get_title() for axis in figure.axes] == [f"panel {n}: covering radius 1.25" for n in range(4)]
    for axis in figure.axes:
        assert [patch.get_radius() for patch in axis.patches] == [1.25] * 3
        everything, kept = axis.collections
        assert len(everything.get_offsets()) == 30
        assert kept.get_offsets().tolist() == everything.get_offsets()[[0, 3, 5]].tolist()
        assert axis.get_aspect() == 1


def test_radius_curves_compare_the_samplers_of_each_distribution():
    figure = figures.radius_curves(curves())
    assert [axis.get_title() for axis in figure.axes] == ["multi-modal", "uniform"]
    for axis in figure.axes:
        assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")
        greedy, _ = (line for line in axis.lines if len(line.get_xdata()))  # the others are the legend's
        assert to_rgba(greedy.get_color()) == to_rgba(NOMINAL_COLOUR)
        assert greedy.get_xdata().tolist() == [5, 10, 20]
        assert greedy.get_ydata().tolist() == pytest.approx([1.5 / 5, 1.5 / 10, 1.5 / 20])  # mean of two seeds
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"greedy", "random"}


# Bars


def test_bars_have_a_group_for_each_category_and_reach_the_mean():
    (axis,) = figures.category_bars(bars(), value="image_auroc").axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["bolt", "plate"]
    assert axis.get_ylabel() == "image AUROC"
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["one", "two"]
    heights = [bar.get_height() for group in axis.containers if hasattr(group, "patches") for bar in group.patches]
    assert heights == pytest.approx([0.905] * 4)


@pytest.mark.parametrize("lowest", [0.0, 0.2, 0.95, 1.0])
def test_no_bar_is_cut_off_below(lowest):
    rows = bars().assign(image_auroc=[lowest] + [1.0] * 7)
    (axis,) = figures.category_bars(rows, value="image_auroc").axes
    low, high = axis.get_ylim()
    assert 0 <= low <= lowest
    assert high == 1
    assert low < lowest or lowest == 0


def test_groups_and_bars_keep_their_order():
    rows = bars().replace({"one": "z", "two": "a", "bolt": "tf_efficientnet_lite0"})
    (axis,) = figures.grouped_bars(rows, group="variant", hue="category", value="image_auroc").axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["z", "a"]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["tf_efficientnet_lite0", "plate"]


@pytest.mark.parametrize("count", [2, 10, 11, 20])
def test_no_two_variants_share_a_colour(count):
    rows = pd.DataFrame({"category": "bolt", "variant": [f"v{n}" for n in range(count)], "image_auroc": 0.9})
    (axis,) = figures.category_bars(rows, value="image_auroc").axes
    assert len({patch.get_facecolor() for patch in axis.get_legend().get_patches()}) == count


@pytest.mark.parametrize(("name", "slanted"), [("toothbrush", False), ("tf_efficientnet_lite0", True)])
def test_long_names_are_slanted_so_that_they_do_not_meet(name, slanted):
    (axis,) = figures.category_bars(bars(names=("bolt", name)), value="image_auroc").axes
    assert [label.get_rotation() > 0 for label in axis.get_xticklabels()] == [slanted, slanted]


def test_a_missing_value_leaves_a_gap():
    rows = bars().assign(image_auroc=[np.nan] * 2 + [0.9] * 6)
    (axis,) = figures.category_bars(rows, value="image_auroc").axes
    assert len([label.get_text() for label in axis.get_xticklabels()]) == 2
    assert np.isfinite(axis.get_ylim()).all()


# From profile to profile


def bars_of(figure):
    """(bottom, top) of each bar by its place."""
    (axis,) = figure.axes
    return {round(bar.get_x() + bar.get_width() / 2): bar for group in axis.containers for bar in group}


def test_a_waterfall_leads_from_one_profile_to_the_other():
    figure = figures.waterfall(way(), value="pro")
    drawn = bars_of(figure)
    low = figure.axes[0].get_ylim()[0]
    ends = [sorted((bar.get_y(), bar.get_y() + bar.get_height())) for _, bar in sorted(drawn.items())]
    assert np.allclose(ends, [(low, 0.9), (0.9, 0.95), (0.93, 0.95), (0.93, 0.93), (low, 0.93)])
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()][1:4] == ["pooling", "image score", "masks"]


def test_a_waterfall_labels_changes_in_percentage_points():
    (axis,) = figures.waterfall(way(), value="pro").axes
    assert [text.get_text() for text in axis.texts] == ["90.0 %", "+5.0", "-2.0", "0.0", "93.0 %"]
    assert axis.get_ylabel() == "PRO"


def test_a_change_that_rounds_to_zero_has_no_sign():
    (axis,) = figures.waterfall(way((0.9, 0.90001, 0.9, 0.9, 0.9)), value="pro").axes
    assert [text.get_text() for text in axis.texts] == ["90.0 %", "0.0", "0.0", "0.0", "90.0 %"]


def test_a_waterfall_shows_rise_fall_and_no_change_in_colours_of_their_own():
    drawn = bars_of(figures.waterfall(way(), value="pro"))
    wanted = [NOMINAL_COLOUR, RISE_COLOUR, FALL_COLOUR, GREY, NOMINAL_COLOUR]
    assert [drawn[place].get_facecolor() for place in range(5)] == [to_rgba(colour) for colour in wanted]


def test_a_waterfall_shows_means_over_seeds():
    values = np.array(way()["pro"])
    seeds = pd.concat([way(values - 0.01), way(values + 0.01)])
    (axis,) = figures.waterfall(seeds, value="pro").axes
    assert [text.get_text() for text in axis.texts] == ["90.0 %", "+5.0", "-2.0", "0.0", "93.0 %"]


@pytest.mark.parametrize("values", [(1.0,) * 5, (0.0,) * 5, (0.0, 1.0, 0.5, 0.5, 0.5)])
def test_a_waterfall_leaves_room_around_any_values(values):
    (axis,) = figures.waterfall(way(values), value="pro").axes
    low, high = axis.get_ylim()
    assert 0 <= low <= min(values)
    assert low < min(values) or min(values) == 0
    assert high > max(values)


def test_profiles_that_agree_have_a_waterfall_without_steps():
    (axis,) = figures.waterfall(pd.DataFrame({"step": ["a", "b"], "pro": [0.9, 0.9]}), value="pro").axes
    assert [text.get_text() for text in axis.texts] == ["90.0 %", "90.0 %"]


# Lines


def lines_of(axis):
    """The points of each line that has any."""
    return [line.get_xydata().tolist() for line in axis.lines if len(line.get_xdata())]


def test_low_shot_curves_show_the_mean_over_draws():
    rows = pd.concat([shots(), pd.DataFrame({"method": ["a"], "shots": [None], "seed": [0], "image_auroc": [1.0]})])
    (axis,) = figures.low_shot_curves(rows, value="image_auroc").axes
    a, b = lines_of(axis)
    assert a == b
    assert np.allclose(a, [(1, 0.56), (5, 0.6), (16, 0.71)])
    assert axis.get_xscale() == "log"
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "5", "16"]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["a", "b"]


def test_the_band_of_low_shot_curves_is_a_deviation_wide():
    (axis,) = figures.low_shot_curves(shots(), value="image_auroc").axes
    heights = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx(0.71 + np.std([0, 0.1], ddof=1))


def test_a_sweep_has_a_panel_for_each_metric_that_was_measured():
    figure = figures.sweep(fractions(), x="fraction", values=["covering_radius", "pro", "image_auroc"])
    assert [axis.get_title() for axis in figure.axes] == ["covering radius", "image AUROC"]
    assert np.allclose(lines_of(figure.axes[0]), [[(0.01, 0.51), (0.1, 0.6), (1, 1.5)]] * 2)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["greedy", "random"]
    assert figure.axes[0].get_xscale() == "linear"


def test_a_series_without_a_metric_keeps_its_colour():
    rows = fractions()
    rows.loc[rows["series"] == "greedy", "covering_radius"] = np.nan
    figure = figures.sweep(rows, x="fraction", values=["covering_radius", "image_auroc"], log=True)
    (only,) = [line for line in figure.axes[0].lines if len(line.get_xdata())]
    second = [line for line in figure.axes[1].lines if len(line.get_xdata())][1]
    assert only.get_color() == second.get_color()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["greedy", "random"]


def test_a_sweep_of_one_series_needs_no_legend():
    rows = fractions()
    assert figures.sweep(rows[rows["series"] == "greedy"], x="fraction", values=["image_auroc"]).legends == []


def test_where_nothing_was_measured_a_figure_says_so():
    rows = pd.DataFrame({"series": ["greedy"], "fraction": [0.1], "pro": [np.nan], "shots": [1.0], "method": ["spade"]})
    empty = rows[:0]
    drawn = [
        figures.sweep(rows, x="fraction", values=["pro"]),
        figures.grouped_bars(rows, group="series", hue="fraction", value="pro"),
        figures.grouped_bars(empty, group="series", hue="fraction", value="pro"),
        figures.low_shot_curves(rows, value="pro"),
        figures.waterfall(empty, value="pro"),
        figures.time_bars(empty),
        figures.score_histograms({}),
        figures.anomaly_sheet({}),
    ]
    for figure in drawn:
        (axis,) = figure.axes
        assert "nothing was measured" in axis.texts[0].get_text()


# Times


def test_parts_of_the_time_are_stacked_in_order():
    (axis,) = figures.time_bars(times()).axes
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["load", "search", "scoring"]
    spans = [[(bar.get_x(), bar.get_x() + bar.get_width()) for bar in group] for group in axis.containers]
    assert spans == [[(0, 1), (0, 4)], [(1, 3), (4, 4)], [(3, 3), (4, 9)]]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["whole", "other"]


def test_a_bar_of_times_tells_the_median_and_the_percentile_of_the_total():
    (axis,) = figures.time_bars(times()).axes
    assert [text.get_text() for text in axis.texts] == ["3.5 (95 %: 7)", "9 (95 %: 27)"]
    assert axis.yaxis_inverted()


# A person's settings

DRAWN = """
import hashlib, sys
from pathlib import Path
import numpy as np
from patchcore_suite import figures
figure = figures.score_histograms({"a": (np.array([0, 0, 1, 1]), np.array([1.0, 2, 3, 4]))}, title="t")
figures.save(figure, Path(sys.argv[1]) / "x.png")
print(*[hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(Path(sys.argv[1]).glob("x.*"))])
"""
SETTINGS = """
text.usetex: True
font.weight: bold
font.size: 20
figure.titlesize: 40
savefig.transparent: True
savefig.facecolor: black
svg.fonttype: none
"""


def drawn(folder, **environment):
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", DRAWN, str(folder)]
    run = subprocess.run(command, env=os.environ | environment, cwd=folder, capture_output=True, text=True, check=False)
    return run.stdout or run.stderr


@pytest.mark.slow
def test_nobodys_settings_of_matplotlib_have_a_say_in_a_figure(tmp_path):
    first = drawn(tmp_path / "plain")
    assert len(first.split()) == 2
    for name, content in {"personal": b"font.family: \xe9", "here": SETTINGS.encode()}.items():  # not UTF-8
        (tmp_path / name).mkdir()
        (tmp_path / name / "matplotlibrc").write_bytes(content)
    assert drawn(tmp_path / "here", MPLCONFIGDIR=str(tmp_path / "personal"), MPLBACKEND="nonsense") == first
