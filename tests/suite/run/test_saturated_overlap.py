"""sPRO of MVTec LOCO AD: by hand, beside plain loops, and beside PRO where all of a defect must be found."""

import json

import numpy as np
import pytest
from PIL import Image

from patchcore_core import metrics
from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import Record
from patchcore_suite.run.saturated_overlap import Defect, Enough, defects_of, read_config, spro

CONFIG = [
    {"defect_name": "missing", "pixel_value": 255, "saturation_threshold": 8, "relative_saturation": False},
    {"defect_name": "bent", "pixel_value": 250, "saturation_threshold": 0.5, "relative_saturation": True},
]


def test_as_many_pixels_as_suffice_are_enough():
    """Two of four pixels of the defect lie above all nominal ones, the other two below."""
    maps = np.array([[[8.0, 7.0, 1.0, 1.0, 5.0, 4.0, 3.0, 2.0]]])
    mask = np.array([[True] * 4 + [False] * 4])
    for enough, found in ((1, 1.0), (2, 1.0), (4, 0.5), (3.2, 2 / 3.2)):
        assert spro([Defect(0, mask, enough)], maps) == pytest.approx(found)
    # At a rate of 1/4 and more a nominal pixel is above what is left: to there the curve is level.
    assert spro([Defect(0, mask, 4)], maps, max_fpr=0.25) == pytest.approx(0.5)


def test_defects_that_overlap_count_one_by_one():
    maps = np.array([[[9.0, 8.0, 1.0, 0.0]]])
    wide, narrow = np.array([[True, True, True, False]]), np.array([[True, False, False, False]])
    assert spro([Defect(0, wide, 3), Defect(0, narrow, 1)], maps) == pytest.approx(1.0)
    maps = np.array([[[9.0, 8.0, 1.0, 5.0]]])
    assert spro([Defect(0, wide, 3), Defect(0, narrow, 1)], maps) == pytest.approx((2 / 3 + 1) / 2)


def by_loops(defects, maps, max_fpr):
    """The mean over defects of min(found / enough, 1) at each threshold, integrated by trapezoids."""
    outside = np.ones(maps.shape, bool)
    for image, mask, _ in defects:
        outside[image] &= ~mask
    curve = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        found = [min((maps[image][mask] >= threshold).sum() / enough, 1) for image, mask, enough in defects]
        curve.append(((maps[outside] >= threshold).mean(), np.mean(found)))
    rates, overlaps = np.array(curve).T
    inside = rates <= max_fpr
    end = np.interp(max_fpr, rates, overlaps)
    return np.trapezoid(np.append(overlaps[inside], end), np.append(rates[inside], max_fpr)) / max_fpr


@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_plain_loops_find(seed):
    rng = np.random.default_rng(seed)
    maps = rng.permutation(3 * 12 * 10).reshape(3, 12, 10) / 7
    defects = [Defect(n % 2, rng.random((12, 10)) < 0.1 * (n + 1), 1 + 4.5 * n) for n in range(4)]
    for image, mask, _ in defects:
        maps[image][mask] += rng.permutation(mask.sum()) / 3.1
    for max_fpr in (0.05, 0.3):
        assert spro(defects, maps, max_fpr) == pytest.approx(by_loops(defects, maps, max_fpr))


def test_where_all_of_a_defect_must_be_found_it_is_pro():
    rng = np.random.default_rng(0)
    masks = np.zeros((2, 20, 20), bool)
    masks[0, 2:6, 3:9] = masks[1, 10:15, 10:12] = masks[1, 1:3, 1:3] = True
    maps = rng.random((2, 20, 20)) + masks * 0.4
    numbered = [(0, (2, 6, 3, 9)), (1, (10, 15, 10, 12)), (1, (1, 3, 1, 3))]
    defects = []
    for image, (top, bottom, left, right) in numbered:
        mask = np.zeros((20, 20), bool)
        mask[top:bottom, left:right] = True
        defects.append(Defect(image, mask, int(mask.sum())))
    assert spro(defects, maps, 0.3) == pytest.approx(metrics.pro(masks, maps, 0.3))


def test_what_suffices_follows_the_size_at_which_images_are_scored(tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    values = np.zeros((40, 20), np.uint8)
    values[:20, :10] = 255  # a quarter of the image, of which 8 pixels suffice
    Image.fromarray(values).save(folder / "000.png")
    Image.fromarray((values[::-1] // 255) * np.uint8(250)).save(folder / "001.png")
    (tmp_path / "defects_config.json").write_text(json.dumps(CONFIG))
    config = read_config(tmp_path / "defects_config.json")
    record = Record(tmp_path / "000.png", "box", "test", 1, "logical_anomalies", folder)
    whole = list(defects_of(record, 3, config, Preprocessing((40, 20))))
    half = list(defects_of(record, 3, config, Preprocessing((20, 10))))
    assert [(defect.image, int(defect.mask.sum()), defect.enough) for defect in whole] == [(3, 200, 8), (3, 200, 100)]
    assert [(int(defect.mask.sum()), defect.enough) for defect in half] == [(50, 2), (50, 25)]
    cut = list(defects_of(record, 3, config, Preprocessing((40, 20), (2, 20))))  # rows 19 and 20: 10 pixels of each
    assert [(int(defect.mask.sum()), defect.enough) for defect in cut] == [(10, 8), (10, 5)]
    with pytest.raises(InputError, match="says nothing of the value 255 of the mask"):
        list(defects_of(record, 3, {250: Enough(1, True)}, Preprocessing((40, 20))))


@pytest.mark.parametrize("text", [None, "", "[", "{}x", '[{"pixel_value": 255}]', "[3]", "3"])
def test_a_file_that_says_something_else_is_refused(tmp_path, text):
    path = tmp_path / "defects_config.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match="cannot read"):
        read_config(path)
    path.write_text(json.dumps([CONFIG[0] | {"saturation_threshold": 0}]))
    with pytest.raises(InputError, match=r"cannot suffice:\n  - pixel_value 255: 0.0"):
        read_config(path)
