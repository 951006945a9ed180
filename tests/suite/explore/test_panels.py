"""What the panels show and answer, on a toy project and without a browser."""

from contextlib import chdir
from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pytest
from sealed_files import rewrite
from whole_project import EXPLORERS, NOTEBOOKS, ROOT, call_synthetic, code_cells, notebook_cells
from work_done import Work, counting

from benchmarks.explorers import BANK, DIMENSION, SIDE, answers, open_panels
from patchcore_core.config import PatchCoreConfig
from patchcore_suite.explore.anomaly_panels import UPLOADED, AnomalyExplorer
from patchcore_suite.explore.available import is_coreset, keeps_patches
from patchcore_suite.explore.coreset_panels import BankPanels, ToyPanels
from patchcore_suite.explore.welcome import state
from patchcore_suite.metrics.decisions import f1_optimum
from patchcore_suite.run.raw_results import RawResult
from patchcore_suite.settings.project import Project

BANK_VALUES, PICTURE = BANK * DIMENSION, 3 * SIDE * SIDE  # numbers in the large bank, and in one image
SEARCHED = 2 * (BANK + 100)  # rows that one search compares with: padded, and twice where rounding hides the order


@pytest.fixture
def explorer(scored):
    return AnomalyExplorer(Project(scored.params), "toy", "bolt", "tenth")


def upload(explorer, name, content):
    given = {"name": name, "type": "image/png", "size": len(content), "content": memoryview(content)}
    explorer.file.value = (given | {"last_modified": datetime.now()},)


# Anomalies


def test_a_category_opens_with_what_its_results_say(explorer, scored):
    _, result = next(
        pair for pair in scored.score().results(scored.root / "reports/scores/toy", category="bolt", variant="tenth")
    )
    assert explorer.category.result.scores.tolist() == result.scores.tolist()
    assert "real images" in explorer.chooser.status.value
    assert explorer.images.options[0][0] == "nominal 000"
    assert explorer.picture.layout.display is None


def test_choosing_an_image_shows_it_and_frames_the_patch_that_decides(explorer):
    explorer.images.value = 3
    result = explorer.category.result
    row, column = np.unravel_index(result.distances[3].argmax(), result.distances[3].shape)
    assert (explorer.rows.value, explorer.columns.value) == (row, column)
    assert f"score {result.scores[3]:.2f}" in explorer.figure.layout.title.text
    frame, side = explorer.figure.layout.shapes[0], 64 / result.distances.shape[1]
    assert (frame.x0, frame.y0) == (column * side - 0.5, row * side - 0.5)
    assert f"row {row}, column {column}" in explorer.why.value
    assert "anomalous (scratch)" in explorer.why.value


def test_sliders_and_clicks_choose_a_patch(explorer):
    explorer.rows.value = 2
    explorer.columns.value = 5
    assert explorer.place == (2, 5)
    assert f"distance {explorer.subject.distances[2, 5]:.2f}" in explorer.found.value
    explorer._click(None, SimpleNamespace(xs=[63], ys=[8]), None)
    assert explorer.place == (1, 7)
    assert (explorer.rows.value, explorer.columns.value) == (1, 7)
    explorer.farthest.click()
    assert explorer.place != (1, 7)


def test_the_nearest_patch_is_traced_to_the_training_image_that_holds_it(explorer):
    # The features of the named training patch lie at the distance that is shown.
    category, place = explorer.category, (2, 5)
    row = int(explorer.subject.indices[place])
    kept = category.nominal_features()[int(category.result.coreset_indices[row])]
    distance = (kept - category.test_features(0)[place]).norm()
    assert float(distance) == pytest.approx(float(explorer.subject.distances[place]), rel=1e-4)


def test_more_neighbours_come_in_order_and_begin_with_the_one_of_the_results(explorer):
    first = explorer.found.value
    explorer.count.value = 4
    distances = [float(part.split("<")[0]) for part in explorer.found.value.split(". distance ")[1:]]
    assert distances == sorted(distances)
    assert len(distances) == 4
    assert f"distance {distances[0]:.2f}" in first


def test_equation_7_is_taken_apart_to_the_score_of_the_results(explorer):
    reported = explorer.category.result.reweighted_scores[0]
    assert f"<b>{reported:.3f}</b>" in explorer.terms.value
    explorer.take_apart.click()
    assert f"<b>{reported:.3f}</b>" in explorer.terms.value
    assert sum(explorer.bars.data[0].y) == pytest.approx(1)


def test_a_moved_threshold_changes_counts_curve_and_errors(explorer):
    thresholds, scores = explorer.thresholds, explorer.category.scores
    thresholds.level.value = thresholds.level.max
    assert "2 missed, 0 false alarms" in thresholds.counts.value
    assert thresholds.errors.value.count("MISSED") == 4  # in caption and alternative text
    assert tuple(thresholds.curve_figure.data[1].x) == (0,)
    thresholds.level.value = thresholds.level.min
    assert "0 missed, 2 false alarms" in thresholds.counts.value
    assert "FALSE ALARM" in thresholds.errors.value
    assert "called <b>anomalous</b>" in explorer.why.value
    assert thresholds.histogram.layout.shapes[0].x0 == thresholds.level.value
    assert len(scores.nominal) == len(thresholds.histogram.data[0].x)


def test_a_dragged_line_moves_the_slider_and_stands_upright_again(explorer):
    thresholds = explorer.thresholds
    middle = (thresholds.level.min + thresholds.level.max) / 2
    thresholds.histogram.layout.shapes[0].update(x0=middle - 0.01, x1=middle + 0.01, y0=0.2, y1=1.2)
    assert thresholds.level.value == pytest.approx(middle, abs=0.02)
    line = thresholds.histogram.layout.shapes[0]
    assert (line.x0, line.y0, line.y1) == (line.x1, 0, 1)
    thresholds.histogram.layout.shapes[0].update(x0=1e6, x1=1e6)
    assert thresholds.level.value == thresholds.level.max


def test_the_first_threshold_is_the_f1_optimum(explorer):
    scores = explorer.category.scores
    best = f1_optimum(scores.labels, scores.scores)
    counts = scores.confusion(explorer.thresholds.level.value)
    assert (counts.missed, counts.false_alarms) == (best.false_negatives, best.false_positives)


def test_buttons_go_to_the_worst_errors(explorer):
    explorer.miss.click()
    assert explorer.images.value == explorer.category.scores.most_overlooked[0]
    explorer.alarm.click()
    assert explorer.images.value == explorer.category.scores.worst_alarms[0]


def test_an_uploaded_image_of_the_test_set_scores_as_it_did(explorer):
    upload(explorer, "mine.png", explorer.category.test[2].image.read_bytes())
    assert explorer.images.value == UPLOADED
    assert explorer.subject.score == pytest.approx(float(explorer.category.result.scores[2]), rel=1e-4)
    assert "mine.png" in explorer.verdict.value
    explorer.count.value = 3
    assert "3. distance" in explorer.found.value
    explorer.images.value = 0
    assert explorer.subject.name == "nominal 000"


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n damaged"])
def test_an_upload_that_is_no_image_is_told_below_it(explorer, content):
    upload(explorer, "<b>.png", content)
    assert "unreadable image: &lt;b&gt;.png" in explorer.verdict.value
    assert "Remedy" in explorer.verdict.value
    assert explorer.images.value != UPLOADED


# What cannot be opened


def test_without_results_the_panel_says_what_to_run(project):
    explorer = AnomalyExplorer(Project(project.params), "toy")
    assert "there are no results" in explorer.chooser.status.value
    assert "dvc repro score@toy" in explorer.chooser.status.value
    assert explorer.picture.layout.display == "none"
    assert "dvc repro score@toy" in BankPanels(Project(project.params), "toy").chooser.status.value
    assert "dvc repro score@toy" in state(Project(project.params))
    assert "make repro" in state(Project(project.params))


def test_an_unknown_dataset_is_told_with_those_that_there_are(scored):
    assert "known: toy" in AnomalyExplorer(Project(scored.params), "tyo").chooser.status.value


def test_results_of_another_version_are_told(scored):
    index = scored.root / "reports/scores/toy/index.json"
    rewrite(index, schema=1)
    explorer = AnomalyExplorer(Project(scored.params), "toy")
    assert "another version" in explorer.chooser.status.value
    assert "dvc repro score@toy" in explorer.chooser.status.value


def test_a_stamp_of_another_version_is_told(scored):
    path = scored.root / "reports/scores/toy/bolt/tenth/seed-0.safetensors"
    result = RawResult.read(path)
    stamp = {key: value for key, value in result.stamp.items() if key != "preprocessing"}
    arrays = {name: getattr(result, name) for name in RawResult.ARRAYS}
    RawResult(**arrays, stamp=stamp).write(path)
    explorer = AnomalyExplorer(Project(scored.params), "toy", "bolt", "tenth")
    assert "their stamp lacks preprocessing" in explorer.chooser.status.value
    RawResult(**arrays, stamp=result.stamp | {"config": {"colour": 1}}).write(path)
    explorer.chooser.open("toy", "bolt", "tenth")
    assert "colour" in explorer.chooser.status.value


def test_a_damaged_result_is_told(scored):
    (scored.root / "reports/scores/toy/bolt/tenth/seed-0.safetensors").write_bytes(b"nothing")
    explorer = AnomalyExplorer(Project(scored.params), "toy", "bolt", "tenth")
    assert "missing or damaged" in explorer.chooser.status.value
    explorer.chooser.categories.value = "nut"  # and the next one opens
    assert explorer.category is not None
    assert explorer.picture.layout.display is None


def test_images_that_changed_since_are_told(scored):
    image = scored.root / "images/bolt/test/good/000.png"
    image.write_bytes((scored.root / "images/bolt/test/good/001.png").read_bytes())
    scored.prepare()
    explorer = AnomalyExplorer(Project(scored.params), "toy", "bolt", "tenth")
    assert "have changed since they were scored" in explorer.chooser.status.value


def test_a_missing_image_is_told_where_it_would_be(explorer):
    explorer.category.test[1].image.unlink()
    explorer.category.picture.cache_clear()
    explorer.images.value = 1
    assert "no such image" in explorer.why.value


def test_a_category_without_masks_has_all_but_the_pro_curve(project):
    for mask in (project.root / "images/bolt/ground_truth").rglob("*.png"):
        mask.unlink()
    project.prepare().score()
    explorer = AnomalyExplorer(Project(project.params), "toy", "bolt", "tenth")
    assert "2 of the anomalous test images have no mask" in explorer.thresholds.curve_note.value
    assert len(explorer.thresholds.curve_figure.data[0].x) > 1
    explorer.images.value = 3
    assert "no mask" in explorer.why.value


def test_only_banks_of_patches_are_offered(scored):
    explorer = AnomalyExplorer(Project(scored.params), "toy")
    assert explorer.chooser.variants.options == ("tenth", "all")
    assert BankPanels(Project(scored.params), "toy").chooser.variants.options == ("tenth",)
    assert not keeps_patches(PatchCoreConfig(sampler="kmeans"))
    assert not keeps_patches(PatchCoreConfig(squared_distances=True))
    assert not is_coreset(PatchCoreConfig(sampler="random"))


def test_variants_are_those_of_the_category_and_the_choice_is_kept_where_it_can_be(scored):
    def without_one(index):
        index["cells"] = [cell for cell in index["cells"] if (cell["category"], cell["variant"]) != ("nut", "tenth")]

    rewrite(scored.root / "reports/scores/toy/index.json", without_one)
    chooser = AnomalyExplorer(Project(scored.params), "toy", "bolt", "all").chooser
    chooser.categories.value = "nut"
    assert (chooser.variants.options, chooser.variants.value) == (("all",), "all")
    chooser.categories.value = "bolt"
    assert (chooser.variants.options, chooser.variants.value) == (("tenth", "all"), "all")


def test_a_category_without_a_suitable_variant_is_told(scored):
    path = scored.root / "reports/scores/toy/index.json"
    rewrite(path, cells=[])
    explorer = AnomalyExplorer(Project(scored.params), "toy")
    assert "no results of a variant that can be shown here" in explorer.chooser.status.value


# Coresets


def test_a_step_draws_as_many_points_and_their_radius():
    panels = ToyPanels(points=200, fraction=0.1)
    panels.step.value = 7
    assert len(panels.figure.data[2].x) == 7
    assert "7 kept" in panels.figure.layout.title.text
    assert panels.text.value.startswith("<p>7 of 200 points kept")
    panels.sampler.value = "k-means"
    assert "k-means, 7 kept" in panels.figure.layout.title.text
    assert len(panels.comparison.data[5].x) == 7
    assert panels.radii.layout.shapes[0].x0 == 7


def test_another_fraction_distribution_or_seed_draws_anew():
    panels = ToyPanels(points=200, fraction=0.1)
    panels.step.value = 20
    before = list(panels.figure.data[0].x)
    panels.fraction.value = 0.05
    assert panels.step.value == panels.step.max == panels.play.max == 10
    assert list(panels.figure.data[0].x) == before
    panels.seed.value = 4
    assert list(panels.figure.data[0].x) != before


def test_a_bank_shows_picks_radii_and_what_random_forgets(scored):
    panels = BankPanels(Project(scored.params), "toy", "bolt", "tenth", drawn=50)
    rows, kept = 3 * 64, 19
    assert f"of {rows} nominal patches are drawn" in panels.note.value
    for size in (1, kept):
        panels.size.value = size
        assert len(panels.figure.data[1].x) == len(panels.figure.data[2].x) == size
    assert int(sum(map(sum, panels.density_figure.data[0].z))) == kept
    assert panels.forgotten.value.count("<figure") == 3  # one of each training image
    used = len(np.unique(panels.category.result.indices))
    assert f"{used} of {kept} rows are used" in panels.uses_figure.layout.title.text
    panels.image.value = 2
    assert panels.picks_figure.layout.title.text.startswith("nominal 002")


# The notebooks


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPLORERS)
def test_an_explorer_runs_on_a_toy_project_and_writes_nothing(name, scored):
    def files():
        return {path for path in scored.root.rglob("*") if path.is_file()}

    values = scored.params  # writes params.yaml
    before = files()
    parameters, *cells = code_cells(ROOT / f"notebooks/{name}.ipynb")
    variables: dict[str, object] = {}
    exec(parameters, variables)
    variables |= {"dataset": "toy", "variant": "tenth", "points": 100}
    with chdir(scored.root):
        for cell in cells:
            exec(cell, variables)
    assert files() == before
    assert set(values.datasets) == {"toy"}
    for panels in filter(None, (variables.get("explorer"), variables.get("bank"))):
        assert panels.category is not None, panels.chooser.status.value


def test_the_welcome_links_every_notebook():
    text = "\n".join(cell["source"] for cell in notebook_cells(ROOT / "notebooks/welcome.ipynb"))
    others = [path for path in NOTEBOOKS if path.stem != "welcome"]
    assert [path.name for path in others if f"({path.name})" not in text] == []


def test_the_welcome_says_which_results_are_there(scored):
    assert "| `toy` | real images | 2 |" in state(Project(scored.params))
    assert "All results are there" in state(Project(scored.params))
    call_synthetic(scored.root, "toy")
    assert "SYNTHETIC" in state(Project(scored.params))


# How much is done: `make bench` measures the seconds that it takes


def of_patch(k):
    """A patch and its k nearest: one search, and a cut-out of each. Indexing the bank writes some copies of it."""
    values = 8 * BANK_VALUES + 5 * k * PICTURE
    return Work(decoded=k, encoded=k + 1, compared=SEARCHED, values=values, sent=80_000 * (k + 1))


def of_image(k):
    """An image, its mask and its map beside what is shown of its worst patch, and the terms of Eq. 7."""
    patch = of_patch(k)
    return Work(
        decoded=2 + patch.decoded,
        encoded=1 + patch.encoded,
        compared=2 * SEARCHED + 4 * SIDE**2,
        values=patch.values + 12 * BANK_VALUES + 25 * PICTURE,
        sent=patch.sent + 8 * PICTURE,
    )


def allowed(name, k):
    """What a widget's answer may do, beside the large category. What is not named, it may not do at all."""
    restyled = Work(sent=1000)
    errors = Work(sent=12 * 60_000)  # thumbnails, made when the category was opened
    step = Work(clusterings=1, compared=2_500_000, values=5_000_000, sent=600_000)  # circles around each point
    # The first draw also multiplies once to see how fast bfloat16 is.
    drawn = Work(coresets=1, coverages=2, clusterings=11, compared=50_000_000, values=80_000_000, sent=800_000)
    return {
        "image": of_image(k),
        "worst false alarm, worst miss": of_image(k),
        **dict.fromkeys(("patch row", "patch column", "patch click", "farthest patch", "neighbours k"), of_patch(k)),
        **dict.fromkeys(("map opacity", "colour scale", "outline"), restyled),
        "terms of Eq. 7": Work(compared=SEARCHED, values=12 * BANK_VALUES, sent=1000),
        **dict.fromkeys(("threshold slider", "threshold line"), errors),
        **dict.fromkeys(("kept points", "sampler"), step),
        **dict.fromkeys(("distribution", "seed", "fraction"), drawn),
        "picks": Work(decoded=6, encoded=6, values=30 * PICTURE, sent=6 * 80_000 + 100_000),
        "training image": Work(decoded=1, encoded=1, values=5 * PICTURE, sent=2 * PICTURE),
    }[name]


@pytest.mark.slow
@pytest.mark.long
def test_every_widget_does_what_its_answer_needs_on_a_large_category(project, tmp_path):
    explorer, bank, plane = open_panels(project.params, tmp_path)
    too_much, done = {}, {}
    for name, answer in answers(explorer, bank, plane).items():
        for turn in (0, 1, 0, 1):
            with counting() as work:
                answer(turn)
            again = (name, turn) in done
            done[name, turn] = work
            most = allowed(name, explorer.count.value)
            if again:
                most = replace(most, decoded=0)  # what has been looked at is kept
            if beyond := work.beyond(most):
                too_much[f"{name}, turn {turn}{', again' if again else ''}"] = beyond
    print(*done.items(), sep="\n")  # shown with `pytest -rP`
    assert too_much == {}
