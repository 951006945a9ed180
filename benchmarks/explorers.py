"""The explorers and the report as a reader meets them: how long a widget, a page and its tables take to answer."""

import os
import shutil
import statistics
import tempfile
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import torch
from ipywidgets.widgets.widget import _instances
from PIL import Image

from benchmarks.clock import Row, Table, interleaved
from patchcore_core.config import PatchCoreConfig
from patchcore_suite.datasets.records import Record
from patchcore_suite.explore.anomaly_panels import AnomalyExplorer
from patchcore_suite.explore.categories import Category
from patchcore_suite.explore.coreset_panels import BankPanels, ToyPanels
from patchcore_suite.explore.figure import Figure
from patchcore_suite.run.raw_results import RawResult
from patchcore_suite.settings.params import Params
from patchcore_suite.settings.project import Project

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TRAIN, TEST, GRID, BANK, DIMENSION, SIDE = 77, 600, (28, 28), 6000, 152, 224
PROMISED_WIDGET, PROMISED_PAGE = 0.3, 2.0  # seconds until there is an answer
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
NOWHERE = "large"  # a dataset that no project has: panels open empty, and are shown the large category

SORT = """() => new Promise((done) => {
    const tables = [...document.querySelectorAll("table[id]")].filter((table) => table.querySelector(".sort"));
    const longest = tables.reduce((one, two) => (two.rows.length > one.rows.length ? two : one));
    const start = performance.now();
    longest.querySelector(".sort").click();
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
})"""
OPEN_CHART = """() => new Promise((done) => {
    const figure = document.querySelector("figure[data-chart]");
    const start = performance.now();
    const drawn = () => figure.querySelector(".main-svg")
        ? done(performance.now() - start) : requestAnimationFrame(drawn);
    figure.querySelector(".tools button").click();
    drawn();
})"""

Answers = dict[str, Callable[[int], object]]


def large_category(folder: Path) -> Category:
    """600 test images of 224 x 224 and a bank of 6,000 x 152, drawn at random.

    Args:
        folder: where the one picture and the one mask are written that all images share.
    """
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(folder / "image.png")
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    mask[60:90, 60:90] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    patches = GRID[0] * GRID[1]

    def record(number: int, split: str) -> Record:
        anomalous = split == "test" and number % 2 == 1
        mask = folder / "mask.png" if anomalous else None
        return Record(folder / "image.png", NOWHERE, split, int(anomalous), "scratch" if anomalous else "good", mask)

    distances = random.gamma(9, 1, (TEST, *GRID)).astype(np.float32)
    result = RawResult(
        scores=distances.max(axis=(1, 2)),
        reweighted_scores=distances.max(axis=(1, 2)),
        distances=distances,
        indices=random.integers(0, BANK, (TEST, *GRID), dtype=np.int32),
        coreset_indices=random.permutation(TRAIN * patches)[:BANK].astype(np.int32),
        stamp={
            "config": PatchCoreConfig(coreset_fraction=0.1).to_dict(),
            "preprocessing": {"resize": SIDE, "crop": None},
            "image_size": [SIDE, SIDE],
            "images_sha256": "",
            "nominal_images": TRAIN,
            "method": "patchcore",
            "seed": 0,
        },
    )
    category = Category(
        [record(number, "train") for number in range(TRAIN)],
        [record(number, "test") for number in range(TEST)],
        result,
    )
    features = torch.randn(TRAIN * patches, DIMENSION, generator=torch.Generator().manual_seed(0))
    category._nominal = features  # as if the network had been asked
    category.test_features = lambda number: features[:patches].view(*GRID, DIMENSION)
    return category


def open_panels(params: Params, folder: Path) -> tuple[AnomalyExplorer, BankPanels, ToyPanels]:
    """The panels of both explorers, with the large category open."""
    category = large_category(folder)
    explorer, bank, plane = AnomalyExplorer(Project(params), NOWHERE), BankPanels(Project(params), NOWHERE), ToyPanels()
    explorer.show_category(category)
    bank.show_category(category)
    plane.fraction.value = 0.1  # 200 picks
    explorer.count.value = 2
    for widget in _instances.values():  # as if a page had drawn them: from then on it is told of changes alone
        if isinstance(widget, Figure):
            widget.drawn = True
    return explorer, bank, plane


def answers(explorer: AnomalyExplorer, bank: BankPanels, plane: ToyPanels) -> Answers:
    """What a reader does with each widget, by its name; each turn chooses something else than the one before."""
    level, sizes = explorer.thresholds.level, bank.size.options

    def drag(turn: int) -> None:
        explorer.thresholds.histogram.layout.shapes[0].update(x0=18 + turn % 2, x1=18 + turn % 2)

    return {
        "image": lambda turn: setattr(explorer.images, "value", 7 + turn),
        "patch row": lambda turn: setattr(explorer.rows, "value", 3 + turn),
        "patch column": lambda turn: setattr(explorer.columns, "value", 3 + turn),
        "patch click": lambda turn: explorer._click(None, SimpleNamespace(xs=[90 + 9 * turn], ys=[50]), None),
        "farthest patch": lambda turn: explorer.farthest.click(),
        "neighbours k": lambda turn: setattr(explorer.count, "value", 5 + turn % 5),
        "map opacity": lambda turn: setattr(explorer.opacity, "value", (0.1, 0.6)[turn % 2]),
        "colour scale": lambda turn: setattr(explorer.scale, "value", ("Viridis", "Greys")[turn % 2]),
        "outline": lambda turn: setattr(explorer.outline, "value", bool(turn % 2)),
        "worst false alarm, worst miss": lambda turn: (explorer.alarm, explorer.miss)[turn % 2].click(),
        "terms of Eq. 7": lambda turn: explorer.take_apart.click(),
        "threshold slider": lambda turn: setattr(level, "value", level.min + (turn + 1) * 5 * level.step),
        "threshold line": drag,
        "kept points": lambda turn: setattr(plane.step, "value", 150 + turn),
        "sampler": lambda turn: setattr(plane.sampler, "value", ("random", "k-means")[turn % 2]),
        "distribution": lambda turn: setattr(plane.distribution, "value", ("uniform", "multi-modal")[turn % 2]),
        "seed": lambda turn: setattr(plane.seed, "value", 5 + turn),
        "fraction": lambda turn: setattr(plane.fraction, "value", (0.02, 0.1)[turn % 2]),
        "picks": lambda turn: setattr(bank.size, "value", sizes[turn % 2 - 2]),
        "training image": lambda turn: setattr(bank.image, "value", 5 + turn),
    }


def exploration(params: Params, *, repeats: int) -> Table:
    """How long each widget takes to answer on the large category."""
    load, cores = os.getloadavg()[0], os.cpu_count()
    with tempfile.TemporaryDirectory() as folder:
        acting = answers(*open_panels(params, Path(folder)))
        turns = {name: count() for name in acting}
        seconds = interleaved(
            {name: lambda name=name: acting[name](next(turns[name])) for name in acting},
            repeats,
        )
    title = f"Exploration: every widget's answer on a bank of {BANK:,} x {DIMENSION} and {TEST} images"
    text = f"With {torch.get_num_threads()} threads; what else ran kept {load:.1f} of {cores} cores busy before."
    return _promised(title, seconds, dict.fromkeys(seconds, PROMISED_WIDGET), text=text)


def report_page(report: Path, *, repeats: int) -> Table:
    """How long a browser takes to open the report, to sort its longest table and to open its first chart."""
    title, browser = "The report: a page's answer in Chromium", next(filter(None, map(shutil.which, BROWSERS)), None)
    if not report.is_file():
        return Table(title, "", [], ["Not timed: no report has been made here; `make repro` makes it."])
    if browser is None:
        return Table(title, "", [], ["Not timed: there is no Chromium on this machine."])
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return Table(title, "", [], ["Not timed: playwright is not installed; the extra `dev` has it."])
    with sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        found = [_visit(chromium, report) for _ in range(repeats)]
        chromium.close()
    seconds = {name: statistics.median(visit[name] for visit in found) / 1000 for name in found[0]}
    promised = dict.fromkeys(("open until it can be used", "sort the longest table"), PROMISED_PAGE)
    return _promised(title, seconds, promised, text=f"{report.stat().st_size / 1e6:.1f} MB.")


def _visit(chromium: "Browser", report: Path) -> dict[str, float]:
    """Milliseconds of one reader's first steps, by the page's own clock."""
    page = chromium.new_page()
    page.goto(report.as_uri())
    timing = "performance.getEntriesByType('navigation')[0]"
    found = {
        "open until it can be used": page.evaluate(f"{timing}.domInteractive"),
        "open until all is there": page.evaluate(f"{timing}.loadEventEnd"),
        "sort the longest table": page.evaluate(SORT),
    }
    if page.locator("figure[data-chart] .tools button").count():
        found["open the first chart"] = page.evaluate(OPEN_CHART)
    page.close()
    return found


def _promised(title: str, seconds: Mapping[str, float], promised: Mapping[str, float], *, text: str = "") -> Table:
    """A table with limits beside what was measured, and a sentence about what is beyond them."""
    rows = [
        Row(name, value, f"limit {promised[name]:g} s" if name in promised else "") for name, value in seconds.items()
    ]
    late = [name for name, limit in promised.items() if seconds[name] > limit]
    finding = f"**Beyond the limit: {', '.join(late)}.**" if late else "All are within their limits."
    return Table(title, text, rows, [finding])
