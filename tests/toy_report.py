"""A toy project in which everything that the report shows has been made."""

import matplotlib.pyplot as plt
import pandas as pd

from patchcore_suite import figures
from patchcore_suite.results.quantities import Quantity
from patchcore_suite.results.section import Chart, Picture, Section
from patchcore_suite.results.table import Heading, Table
from patchcore_suite.run import score


def percent(mean, spread=None):
    return Quantity(mean / 100, None if spread is None else spread / 100, unit="%")


def plain(value):
    return Quantity(value, form="g")


ABSENT = Quantity(float("nan"), unit="%")
BY_VARIANT = pd.DataFrame(
    {
        "variant": ["<script>alert(1)</script>", "tenth", "all", "quoted"],
        "image AUROC": [percent(97.3, 0.4), percent(9.5), percent(100, 0), ABSENT],
    }
)
BY_CATEGORY = pd.DataFrame(
    {
        "category": ["bolt", "nut", "mean"],
        "tenth": [percent(99, 0.5), percent(80, 1.5), percent(89.5, 1)],
        "all": [ABSENT, percent(90), ABSENT],
    }
)
NUMBERS = {"image AUROC": [percent(90, 1), percent(95), percent(85)], "PRO": [percent(80), ABSENT, percent(70)]}
BY_FRACTION = pd.DataFrame(
    {"sampler": ["greedy", "greedy", "random"], "coreset fraction": [plain(0.01), plain(0.1), plain(0.01)]} | NUMBERS
)
BY_SHOTS = pd.DataFrame({"variant": ["tenth", "tenth", "all"], "nominal images": [plain(1), "all", plain(5)]} | NUMBERS)


CHARTS = {
    "t1_image_auroc": Chart("s1_image_auroc", "category", metrics=("image AUROC",)),
    "f5_subsampling": Chart("f5_subsampling", "coreset fraction", "sampler"),
    "s5_low_shot": Chart("s5_low_shot", "nominal images", "variant"),
}


def drawing():
    figure, _ = plt.subplots(figsize=(1, 1))
    plt.close(figure)
    return figure


def sheet():
    """A figure of images."""
    figure, axis = plt.subplots(figsize=(1, 1))
    axis.imshow([[0, 1]])
    plt.close(figure)
    return figure


def table(name, frame, paper=None, datasets=("toy",)):
    return Table(f"title of {name}", "caption.", False, frame, paper and Heading(*paper), datasets)


def picture(name, chart=None, figure=None):
    return Picture(figure or drawing(), f"Bars: what {name} shows, in words", chart)


def sections():
    """One section of each kind: with categories, curves, images, measured times, and without a table of the paper."""
    tables = {
        "t1_image_auroc": table("t1_image_auroc", BY_VARIANT, ("Table 1", "image AUROC")),
        "s1_image_auroc": table("s1_image_auroc", BY_CATEGORY, ("Table S1", "image AUROC by category")),
    }
    yield _section("t1_image_auroc", ("Table 1", "image AUROC on MVTec AD"), 1, tables)
    accuracy = {"t5_accuracy": table("t5_accuracy", BY_VARIANT, ("Table 5", "inference time and accuracy"))}
    times, heading = {"t5_inference_time": table("t5_inference_time", BY_VARIANT)}, Heading("Table 5", "inference time")
    pictures = {"t5_inference_time": picture("t5_inference_time")}
    yield Section("t5_inference_time", heading, 5, accuracy, unmeasured="The times were not measured here.")
    yield Section("t5_inference_time", heading, 5, times, pictures, measured=True)
    for order, (name, frame, number) in enumerate(
        [
            ("s5_low_shot", BY_SHOTS, "Table S5"),
            ("f3_coreset_vs_random", BY_VARIANT, "Figure 3"),
            ("f4_locality_and_hierarchies", BY_VARIANT, "Figure 4"),
            ("f5_subsampling", BY_FRACTION, "Figure 5"),
        ]
    ):
        yield _section(name, (number, f"what {name} is"), 7 + order, {name: table(name, frame, (number, "x"))})
    yield _section("s_profiles", ("Profiles", "why"), 20, {"s_profiles": table("s_profiles", BY_VARIANT)})
    pictures = {
        "score_histograms_toy": picture("score_histograms_toy"),
        "anomaly_maps_toy": picture("anomaly_maps_toy", figure=sheet()),
    }
    results = {"results_toy": table("results_toy", BY_VARIANT)}
    yield Section("dataset_results@toy", Heading("Dataset toy", "all metrics"), 100, results, pictures)


def _section(name, heading, order, tables):
    return Section(name, Heading(*heading), order, tables, {name: picture(name, CHARTS.get(name))})


def make_everything(project):
    """Fill reports/ of a toy project: real results, small tables and figures, empty notebooks."""
    score.collect(score.score_dataset(project.toy, show_progress=False))
    reports = project.root / "reports"
    for section in sections():
        section.write(reports)
        write(reports / f"executed/{section.notebook}.html", "<!doctype html><title>notebook</title>")
    for path in ("executed/score@toy.html", "metrics/toy.csv", "leaderboard.html"):
        write(reports / path, "")
    return project


def draw(path, *, images=False):
    figures.save(sheet() if images else drawing(), path)


def write(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
