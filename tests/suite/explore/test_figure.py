"""Figures whose module a page loads late."""

from patchcore_suite.explore.figure import DRAWING, NOTHING, Figure


def test_a_figure_begins_with_a_module_that_is_there_at_once_and_is_then_given_the_one_that_draws(monkeypatch):
    sent = []
    monkeypatch.setattr(Figure, "open", lambda self: sent.append(self._esm))
    figure = Figure()
    assert sent == [NOTHING]
    assert figure._esm == DRAWING
    assert "newPlot" in DRAWING


def test_what_changes_is_kept_for_a_page_that_draws_late():
    figure = Figure(data=[{"type": "scatter"}])
    with figure.batch_update():
        figure.data[0].x = [2, 5, 6]
        figure.layout.title.text = "late"
    assert figure._widget_data[0]["x"] == [2, 5, 6]
    assert figure._widget_layout["title"]["text"] == "late"
    figure.data[0].y = [1, 0, 1]  # alone, not in a batch
    figure.layout.title.text = "later"
    assert figure._widget_data[0]["y"] == [1, 0, 1]
    assert figure._widget_layout["title"]["text"] == "later"


def test_once_a_page_has_drawn_a_figure_it_is_told_of_changes_alone():
    figure = Figure(data=[{"type": "scatter"}])
    figure.data[0].x = [1, 2, 3]
    figure._js2py_traceDeltas = {"trace_deltas": [{"uid": figure.data[0].uid}], "trace_edit_id": 1}  # as the page says
    assert figure.drawn
    figure.data[0].x = [4, 5, 6]
    assert figure.data[0].x == (4, 5, 6)
    assert figure._widget_data[0]["x"] == [1, 2, 3]
