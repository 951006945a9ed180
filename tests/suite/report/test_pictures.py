import io
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image
from toy_report import draw

from patchcore_core.common.errors import InputError
from patchcore_suite.report.pictures import WIDEST, read_figure


def copy_of(figure):
    return Image.open(io.BytesIO(b64decode(figure.data)))


def test_a_drawing_is_copied_without_loss(tmp_path):
    draw(tmp_path / "figures/t3_pro.png")
    figure = read_figure(tmp_path / "figures/t3_pro.png", "Bars: PRO")
    with Image.open(tmp_path / "figures/t3_pro.png") as original, copy_of(figure) as copy:
        assert copy.format == "WEBP"
        assert figure.size == copy.size == original.size
        assert np.array_equal(np.asarray(original.convert("RGB")), np.asarray(copy.convert("RGB")))
    assert figure.formats == ("png", "svg")
    assert (figure.folder, figure.name, figure.alternative_text) == ("figures", "t3_pro", "Bars: PRO")


def test_a_sheet_of_images_is_copied_smaller_than_it_is(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 2 * WIDEST, 3), dtype=np.uint8)
    path = tmp_path / "figures/anomaly_maps_toy.png"
    path.parent.mkdir()
    Image.fromarray(pixels).save(path)
    figure = read_figure(path, "Maps")
    assert figure.size == copy_of(figure).size == (WIDEST, 20)
    assert len(figure.data) < path.stat().st_size / 2
    assert figure.formats == ("png",)


@pytest.mark.parametrize(("content", "problem"), [(None, "there is no figure"), (b"x", "cannot be read")])
def test_a_figure_that_is_not_there_is_named(tmp_path, content, problem):
    if content:
        (tmp_path / "figures").mkdir()
        (tmp_path / "figures/t3_pro.png").write_bytes(content)
    with pytest.raises(InputError, match=rf"{problem}|t3_pro\.png {problem}"):
        read_figure(tmp_path / "figures/t3_pro.png", "Bars: PRO")
