"""A toy project in which everything that the report shows has been made."""

import matplotlib.pyplot as plt
import pandas as pd

from patchcore_suite import figures
from patchcore_suite.report.sections import PAPER_SECTIONS, TIMED
from patchcore_suite.results.table import Table
from patchcore_suite.run import score

TOY_FIGURES = ("score_histograms_toy", "anomaly_maps_toy")
SHEETS = "anomaly_maps"  # the toy figure that stands for those of images

BY_VARIANT = pd.DataFrame(
    {
        "variant": ["<script>alert(1)</script>", "tenth", "all", "quoted"],
        "image AUROC": ["97.3 ± 0.4", "9.5", "100.0 ± 0.0", "not available"],
    }
)
BY_CATEGORY = pd.DataFrame(
    {
        "category": ["bolt", "nut", "mean"],
        "tenth": ["99.0 ± 0.5", "80.0 ± 1.5", "89.5 ± 1.0"],
        "all": ["not available", "90.0", "not available"],
    }
)
CURVES = {
    "f5_subsampling": ("sampler", "coreset fraction", ["greedy", "greedy", "random"], ["0.01", "0.1", "0.01"]),
    "s5_low_shot": ("variant", "nominal images", ["tenth", "tenth", "all"], ["1", "all", "5"]),
}


def make_everything(project):
    """Fill reports/ of a toy project: real results, small tables and figures, empty notebooks."""
    project.tables = {"t1_image_auroc": {"dataset": "toy"}, "s5_low_shot": {"dataset": "toy"}}
    score.collect(score.score_dataset(project.toy, show_progress=False))
    reports = project.root / "reports"
    sections = [*PAPER_SECTIONS, ("dataset_results@toy", "", ("results_toy",), TOY_FIGURES)]
    for notebook, _, tables, pictures in sections:
        write(reports / f"executed/{notebook}.html", "<!doctype html><title>notebook</title>")
        for name in tables:
            Table(f"title of {name}", "caption.", False, frame_of(name)).write(reports / "tables", name)
        for name in pictures:
            draw(reports / f"figures/{name}.png", sheet=name.startswith(SHEETS))
    for name in TIMED.values():
        Table(f"title of {name}", "caption.", False, BY_VARIANT).write(reports / "timings", name)
        draw(reports / f"timings/{name}.png")
    for path in ("executed/score@toy.html", "metrics/toy.csv"):
        write(reports / path, "")
    return project


def frame_of(name):
    """Cells of the shape that the real table has."""
    if name in ("s1_image_auroc", "s2_pixel_auroc", "s3_pro"):
        return BY_CATEGORY
    if name not in CURVES:
        return BY_VARIANT
    series, x, names, places = CURVES[name]
    numbers = {"image AUROC": ["90.0 ± 1.0", "95.0", "85.0"], "PRO": ["80.0", "not available", "70.0"]}
    return pd.DataFrame({series: names, x: places} | numbers)


def draw(path, *, sheet=False):
    figure, axis = plt.subplots(figsize=(1, 1))
    if sheet:
        axis.imshow([[0, 1]])
    figures.save(figure, path)
    plt.close(figure)


def write(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
