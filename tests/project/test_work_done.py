"""What the tests count is what is done."""

import numpy as np
import plotly.graph_objects as go
import torch
from ipywidgets import HTML
from PIL import Image
from work_done import LARGE, Work, counting

from patchcore_suite.explore import views
from patchcore_suite.explore.coresets import coverage


def test_each_kind_of_work_is_counted(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "image.png")
    rows = torch.rand(5, 3)
    with counting() as work:
        Image.open(tmp_path / "image.png").close()
        views.address(np.zeros((4, 4, 3)))
        go.FigureWidget()
        np.sort(np.arange(LARGE)), np.unique(np.arange(LARGE)), np.arange(LARGE).sort(), np.sort(np.arange(3))
        rows @ rows.T
    assert (work.decoded, work.encoded, work.figures, work.sorts) == (1, 1, 1, 3)
    assert (work.compared, work.values) == (25, 25)


def test_what_is_sent_to_the_browser_is_counted_in_bytes():
    text, figure = HTML(), go.FigureWidget([go.Scatter()])
    with counting() as words:
        text.value = "x" * 1000
    with counting() as numbers:
        figure.data[0].y = np.zeros(1000)
    assert 1000 < words.sent < 1200
    assert 8000 < numbers.sent < 8400


def test_searches_and_coverages_are_counted_wherever_they_are_called_from():
    rows = torch.rand(8, 3)
    with counting() as work:
        coverage(rows, torch.arange(4), [1, 4])
        torch.cdist(rows, rows[:2])
    assert work.coverages == 1
    assert work.compared == 4 * 8 + 8 * 2


def test_nothing_is_counted_afterwards():
    with counting() as work:
        pass
    torch.rand(3) + 1
    views.address(np.zeros((4, 4, 3)))
    assert work == Work()


def test_what_goes_beyond_is_named_with_its_limit():
    assert Work(decoded=2, sent=5).beyond(Work(decoded=1, sent=5)) == {"decoded": "2, not 1"}
