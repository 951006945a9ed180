"""From a folder of photographs to a saved model, as the panels of `bring_your_own` do it, without a browser."""

from dataclasses import replace
from threading import Event

import pytest
from PIL import Image
from toy_folders import save_image, save_mask

from patchcore_core import InputError
from patchcore_suite.explore import own_views
from patchcore_suite.explore.own_model import BY_HAND, COST, F1, FALSE_ALARMS
from patchcore_suite.explore.own_parts import OwnParts
from patchcore_suite.parts.model import PartsModel
from patchcore_suite.results.section import Section
from patchcore_suite.settings.project import Project


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A category in MVTec AD's layout: eight good images of noise, two more to test with, two flat ones as defects."""
    root = tmp_path_factory.mktemp("parts") / "washer"
    for number in range(8):
        save_image(root / f"train/good/{number:03}.png", seed=number)
    for number in range(2):
        save_image(root / f"test/good/{number:03}.png", seed=50 + number)
        save_image(root / f"test/<flat>/{number:03}.png", seed=60 + number, size=(6, 8))
        with Image.open(root / f"test/<flat>/{number:03}.png") as small:
            small.resize((32, 24)).save(root / f"test/<flat>/{number:03}.png")
        save_mask(root / f"ground_truth/<flat>/{number:03}_mask.png")
    (root / "train/good/notes.txt").write_text("")
    return root


def run(background):
    background.button.click()
    background.wait()
    return background.said.value


@pytest.fixture
def parts(project, photographs):
    made = OwnParts(Project(project.params), str(photographs))
    made.state.options = replace(made.state.options, backbone="pixels")
    return made


@pytest.fixture
def looked(parts):
    run(parts.photographs.look)
    parts.preparation.side.value = 48
    return parts


@pytest.fixture
def fitted(looked):
    run(looked.fit.run)
    return looked


def test_nothing_but_the_folder_is_shown_before_it_was_looked_at(parts):
    others = (parts.preparation, parts.few_images, parts.frontier, parts.fit, parts.threshold, parts.maps, parts.saving)
    assert [panel.widget.layout.display for panel in others] == ["none"] * 7
    run(parts.photographs.look)
    assert [panel.widget.layout.display for panel in others] == [None] * 4 + ["none"] * 3


def test_a_folder_is_gone_to_by_its_name_and_left_upwards(parts, photographs):
    assert parts.photographs.inside.options == (".. (up)", "ground_truth", "test", "train")
    assert parts.photographs.good.label == "as the folder says"
    parts.photographs.inside.value = "train"
    assert parts.photographs.path.value == str(photographs / "train")
    assert parts.photographs.inside.options == (".. (up)", "good")
    parts.photographs.inside.value = ".. (up)"
    assert parts.photographs.path.value == str(photographs)


def test_the_check_says_what_is_used_and_what_is_not(looked):
    said = looked.photographs.check.value
    assert "<td>good, to fit to</td><td>8</td>" in said
    assert "<td>defect: &lt;flat&gt;</td><td>2</td>" in said
    assert "train/good/notes.txt" in said


def test_a_folder_without_images_or_that_is_not_there_is_told(parts, tmp_path):
    (tmp_path / "empty").mkdir()
    parts.photographs.path.value = str(tmp_path / "empty")
    assert "holds no image" in run(parts.photographs.look)
    parts.photographs.path.value = str(tmp_path / "nowhere")
    assert "cannot be opened" in parts.photographs.look.said.value
    assert "no such folder" in run(parts.photographs.look)
    assert parts.state.found is None


def test_a_crop_says_what_it_cuts_away(looked):
    looked.preparation.crop.value = 32
    said = looked.preparation.said.value
    assert "The crop keeps 33% of an image" in said
    assert "test/&lt;flat&gt;/000.png" in said
    assert looked.state.options.crop == 32
    looked.preparation.crop.value = 64
    assert "crop=64 does not fit" in looked.preparation.said.value
    assert looked.state.options.crop == 32


def test_the_curve_of_few_images_is_drawn_and_told(looked):
    looked.few_images.draws.value = 1
    said = run(looked.few_images.run)
    assert looked.few_images.figure._widget_data[0]["x"] == [2, 5, 6]  # what a page draws that comes to it late
    curve = looked.state.curve
    assert [one.images for one in curve] == [2, 5, 6]
    assert list(looked.few_images.figure.data[0].x) == [2, 5, 6]
    assert list(looked.few_images.figure.data[2].y) == [one.auroc for one in curve]
    assert "<b>99 good images</b>" in said
    assert f"{curve[-1].alarms:.1%}" in looked.few_images.table.value


def test_a_choice_of_the_frontier_is_taken(looked):
    looked.frontier.sides.value, looked.frontier.rows.value = (96,), (500, 1000)
    run(looked.frontier.run)
    assert [one.rows for one in looked.state.choices] == [500, 1000]
    drawn = [x for trace in looked.frontier.figure.data for x in trace.x]
    assert sorted(drawn) == sorted(1000 * one.seconds for one in looked.state.choices)
    assert looked.frontier.taken.label == "the settings as they are"
    looked.frontier.taken.value = looked.state.choices[0]
    assert (looked.preparation.side.value, looked.fit.rows.value) == (96, 500)
    run(looked.fit.run)
    assert len(looked.state.model.detector.memory_bank) == 500


def test_a_threshold_is_chosen_by_a_rule_or_by_hand(fitted):
    panel, state = fitted.threshold, fitted.state
    assert panel.rule.options == (FALSE_ALARMS, F1, COST, BY_HAND)
    assert state.threshold == state.model.threshold
    assert panel.level.value == pytest.approx(state.threshold.value, rel=1e-5)
    panel.rate.value = 0.2
    assert "20 % of good images" in panel.said.value
    panel.rule.value = COST
    assert "least cost" in panel.said.value
    panel.miss.value = 0
    assert "with 0 a miss" in panel.said.value
    panel.rule.value = F1
    assert "best F1 score" in panel.said.value
    panel.histogram.layout.shapes[0].update(x0=panel.ends[1], x1=panel.ends[1])
    assert panel.rule.value == BY_HAND
    assert state.threshold.value == panel.ends[1]
    assert "2 missed, 0 false alarms" in panel.counts.value


def test_maps_say_what_is_called_what(fitted):
    panel = fitted.maps
    assert len(panel.images.options) == 4
    assert "In truth it is" in panel.said.value
    fitted.threshold.level.value = fitted.threshold.ends[0]
    assert "<b>ANOMALOUS</b>" in panel.said.value
    assert "FALSE ALARM" in panel.errors.value
    fitted.threshold.level.value = fitted.threshold.ends[1]
    assert "<b>good</b>" in panel.said.value
    assert "MISSED" in panel.errors.value
    assert "<flat>" not in panel.errors.value
    panel.images.value = panel.images.options[-1][1]
    assert f"{fitted.state.judged[panel.images.value].score:.2f}" in panel.figure.layout.title.text


def test_the_model_is_saved_with_the_threshold_that_was_chosen(fitted, tmp_path):
    fitted.threshold.level.value = fitted.threshold.ends[1]
    fitted.saving.folder.value = str(tmp_path / "model")
    said = run(fitted.saving.save)
    assert "patchcore predict" in said
    saved = PartsModel.load(tmp_path / "model")
    assert saved.threshold.value == fitted.threshold.ends[1]
    assert saved.threshold.rule == "chosen by hand"
    assert (saved.tested["missed defects"], saved.tested["false alarms"]) == (2, 0)
    assert "chosen by hand" in said
    fitted.saving.folder.value = str(tmp_path)
    assert "is no model" in run(fitted.saving.save)


def test_the_report_is_handed_a_section_of_what_was_done(fitted):
    fitted.few_images.draws.value = 1
    fitted.frontier.sides.value, fitted.frontier.rows.value = (96,), (500, 1000)
    run(fitted.few_images.run)
    run(fitted.frontier.run)
    run(fitted.saving.report)
    reports = fitted.state.project.reports
    section = Section.read(reports / "sections/bring_your_own_measured.json")
    assert list(section.tables) == ["own_model", "own_few_images", "own_frontier"]
    assert list(section.pictures) == ["own_few_images", "own_frontier", "own_maps"]
    assert str(section.heading) == "Your parts: washer"
    values = dict(section.tables["own_model"].frame.itertuples(index=False))
    assert values["good images"].value in (2, 8)
    assert (reports / "timings/own_maps.png").is_file()
    assert not (reports / "tables/own_model.csv").exists()  # which DVC would watch


def test_only_good_images_give_a_threshold_and_no_more(parts, photographs):
    parts.photographs.path.value = str(photographs / "train/good")
    run(parts.photographs.look)
    parts.preparation.side.value = 48
    run(parts.fit.run)
    assert parts.threshold.rule.options == (FALSE_ALARMS, BY_HAND)
    assert parts.threshold.counts.value == own_views.UNTESTED
    assert parts.maps.widget.layout.display == "none"
    assert "there are no defective images" in run(parts.few_images.run)
    parts.frontier.sides.value, parts.frontier.rows.value = (96,), (500,)
    assert "only times are known" in (run(parts.frontier.run), parts.frontier.table.value)[1]


def test_work_is_stopped_before_its_next_step(looked):
    reached, go_on = Event(), Event()
    work = looked.fit.run._work

    def slow(follow):
        reached.set()
        go_on.wait()
        work(follow)

    looked.fit.run._work = slow
    looked.fit.run.button.click()
    reached.wait()
    assert looked.fit.run.button.disabled
    assert "Something else is running" in run(looked.few_images.run)
    looked.fit.run.stop.click()
    go_on.set()
    looked.fit.run.wait()
    assert "Stopped" in looked.fit.run.said.value
    assert looked.state.model is None
    assert not looked.fit.run.button.disabled
    looked.fit.run._work = work
    run(looked.fit.run)
    assert looked.state.model is not None


def test_an_error_ends_the_work_and_is_told(looked, tmp_path):
    def refused(follow):
        raise InputError("<no>", remedy="try another")

    looked.fit.run._work = refused
    assert "&lt;no&gt;" in run(looked.fit.run)
    assert not looked.fit.run.button.disabled


def test_other_photographs_forget_what_was_found(fitted):
    run(fitted.photographs.look)
    assert fitted.state.model is None
    assert fitted.threshold.widget.layout.display == "none"
    assert fitted.saving.widget.layout.display == "none"
