"""JupyterLab as `make lab` starts it, with a browser that does what a person does."""

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw
from whole_project import ROOT, make_project, run_main

from patchcore_suite.parts.model import PartsModel
from patchcore_suite.run import prepare, score
from patchcore_suite.settings.params import load_params
from patchcore_suite.settings.project import Project

SCREENSHOTS = Path(os.environ.get("PATCHCORE_SCREENSHOTS", ROOT / "reports" / "screenshots"))
DATASET, UNSCORED, VARIANT = "mvtec", "mine", "patchcore-10"
PATIENCE = 180_000  # milliseconds, far more than any answer takes: only so that a kernel that hangs fails
# Plotly's module comes three seconds late, as on a busy machine; after two, its widget hears nothing any more.
LATE_DRAWING = """(address => {
    const wait = "await new Promise(done => setTimeout(done, 3000));";
    URL.createObjectURL = file =>
        address.call(URL, file.size > 1e6 ? new Blob([wait, file], {type: file.type}) : file);
})(URL.createObjectURL)"""
DRAWN_POINTS = "() => [...document.querySelectorAll('.js-plotly-plot')].map(e => (e.data || []).map(t => t.x?.length))"
NOT_OURS = re.compile("favicon")  # what the browser says of itself

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The notebooks, and toy images of one dataset scored by one variant; another dataset has no results."""
    folder = make_project(tmp_path_factory.mktemp("project"))
    shutil.copytree(ROOT / "lab", folder / "lab", ignore=shutil.ignore_patterns("__pycache__"))
    values = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    dataset = {key: value for key, value in values["datasets"][DATASET].items() if key != "studies"}
    dataset |= {"variants": [VARIANT], "seeds": [0]}
    values["datasets"] = {DATASET: dataset, UNSCORED: dataset}
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    with chdir(folder):
        params = load_params()
        run_main(prepare, DATASET)
        score.collect(score.score_dataset(Project(params).dataset(DATASET), show_progress=False))
    return folder


@pytest.fixture(scope="module")
def lab(project, tmp_path_factory):
    """The address of a JupyterLab that writes into no home but one of its own."""
    home = tmp_path_factory.mktemp("home")
    bin_folder = Path(sys.executable).parent
    settings = {
        "HOME": str(home),
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "JUPYTER_PATH": str(home / "share" / "jupyter"),  # the kernel, as `make lab` installs it
        "OMP_NUM_THREADS": "1",
    }
    environment = {key: value for key, value in os.environ.items() if not key.startswith("JUPYTER")} | settings
    kernel = ["--prefix", str(home), "--name", "python3", "--display-name", "PatchCore Bench"]
    subprocess.run([sys.executable, "-m", "ipykernel", "install", *kernel], env=environment, check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    command = [str(bin_folder / "jupyter"), "lab", f"--config={project / 'lab/jupyter_server_config.py'}"]
    command += ["--no-browser", "--ip=127.0.0.1", f"--port={port}", f"--IdentityProvider.token={token}"]
    if getattr(os, "geteuid", lambda: 1)() == 0:
        command.append("--allow-root")
    with open(home / "log.txt", "w") as log:
        server = subprocess.Popen(command, cwd=project, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(f"{address}/api?token={token}", server, home / "log.txt")
        yield address, token
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait_for(address, server, log):
    for _ in range(120):
        try:
            urllib.request.urlopen(address, timeout=5).read()
        except OSError:
            if server.poll() is not None:
                pytest.fail(f"JupyterLab ended: {log.read_text()}")
            time.sleep(0.5)
        else:
            return
    pytest.fail(f"JupyterLab does not answer: {log.read_text()}")


class Notebook:
    """A notebook in a page of its own, tall enough for all of it, that runs a script before its own ones."""

    def __init__(self, browser, lab, name, height, script=""):
        address, token = lab
        self.errors = []
        self.page = browser.new_page(viewport={"width": 1440, "height": height})
        self.page.add_init_script(script)
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", lambda message: self._note(message.type, message.text, message.location))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(f"{address}/lab/tree/notebooks/{name}.ipynb?token={token}&reset")
        self.page.locator(".jp-Notebook .jp-Cell").first.wait_for()

    def _note(self, kind, text, location):
        if kind == "error" and not NOT_OURS.search(f"{text} {location.get('url', '')}"):
            self.errors.append(text)

    def menu(self, *names):
        self.page.get_by_role("menubar").get_by_text(names[0], exact=True).click()
        for name in names[1:]:
            self.page.locator(".lm-Menu-itemLabel").get_by_text(name, exact=True).click()

    def run_all(self):
        """Run the notebook, once its kernel is there: before that JupyterLab asks for one."""
        self.page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').first.wait_for(state="attached")
        self.page.locator(".jp-StatusBar-Item, .jp-StatusBar-TextItem").filter(has_text="| Idle").first.wait_for()
        self.page.wait_for_timeout(1000)
        self.menu("Run", "Run All Cells")

    def save(self):
        """Save, and wait until the server has it: the mark of unsaved changes goes."""
        self.menu("File", "Save Notebook")
        self.page.locator(".lm-TabBar-tab.lm-mod-current.jp-mod-dirty").wait_for(state="detached")

    def text(self, text):
        """The first output that shows this text."""
        return self.page.locator(".jp-OutputArea-output").filter(has_text=text).first

    def choose(self, description, option):
        self.field(description).locator("select").select_option(label=option)

    def press(self, description, key, times=1, *, at=None):
        """Press a key that moves a slider; where the kernel has just moved it, once it shows the value `at`.

        A slider shows at once where it is. One that stays was not told: JupyterLab took the focus between the two
        steps of a press, and it is pressed again, as a person would.
        """
        readout = self.field(description).locator(".widget-readout")
        if at is not None:
            readout.get_by_text(at, exact=True).wait_for()
        handle = self.field(description).locator(".noUi-handle").first
        for _ in range(times):
            before = readout.inner_text()
            handle.press(key)
            self.page.wait_for_timeout(250)
            if readout.inner_text() == before:
                handle.press(key)

    def press_button(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()

    def fill(self, description, value):
        field = self.field(description).locator("input")
        field.fill(value)
        field.press("Enter")

    def upload(self, file):
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_role("button", name="choose a file").click()
        chooser.value.set_files(file)

    def field(self, description):
        label = self.page.locator(".widget-label").get_by_text(description, exact=True)
        return self.page.locator(".widget-inline-hbox").filter(has=label).first

    def shoot(self, name):
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")


@pytest.fixture
def opened(browser, lab, request):
    """Opens a notebook; whatever becomes of the test, a picture is kept."""
    notebooks = []

    def open_notebook(name, **options):
        notebooks.append(Notebook(browser, lab, name, **options))
        return notebooks[-1]

    yield open_notebook
    for notebook in notebooks:
        notebook.shoot(f"{request.node.name}_at_the_end")
        notebook.page.close()


def test_the_welcome_says_what_is_there_and_what_to_run(opened):
    notebook = opened("welcome", height=1500)
    notebook.page.get_by_text("PatchCore Bench", exact=True).first.wait_for()  # the kernel's name
    notebook.run_all()
    notebook.text(f"dvc repro score@{UNSCORED}").wait_for()
    notebook.shoot("welcome")
    assert notebook.errors == []


def test_an_anomaly_is_explained_where_a_person_points(opened, project):
    notebook = opened("explore_anomalies", height=3700, script=LATE_DRAWING)
    before = (project / "notebooks/explore_anomalies.ipynb").read_bytes()
    notebook.run_all()
    notebook.text("Why this score?").wait_for()
    notebook.page.locator(".js-plotly-plot .heatmaplayer image").first.wait_for()

    notebook.choose("image", "spot 1")
    notebook.text("in truth it is anomalous (spot)").wait_for()
    notebook.page.locator(".gtitle").get_by_text("spot 1: score").wait_for()

    # A click in the middle of the upper left patch of 7 x 7.
    box = notebook.page.locator(".js-plotly-plot .heatmaplayer image").first.bounding_box()
    notebook.page.mouse.click(box["x"] + box["width"] / 14, box["y"] + box["height"] / 14)
    notebook.text("row 0, column 0").wait_for()
    notebook.press("patch column", "ArrowRight", times=2, at="0")
    notebook.text("row 0, column 2").wait_for()
    notebook.press("neighbours k", "ArrowRight", times=2)
    notebook.text("3. distance").wait_for()

    counted = notebook.text("missed,").inner_text()
    notebook.press("threshold", "End")
    notebook.text("3 missed, 0 false alarms").wait_for()
    assert notebook.text("missed,").inner_text() != counted
    notebook.shoot("anomalies")
    _drag_threshold(notebook)

    notebook.upload({"name": "notes.txt", "mimeType": "image/png", "buffer": b"no image"})
    notebook.text("unreadable image: notes.txt").wait_for()
    picture = next((project / "folders/mvtec/screw/test/spot").iterdir())
    notebook.upload(picture)
    notebook.text("It is shown in the panels above").wait_for()

    notebook.choose("dataset", UNSCORED)
    notebook.text(f"dvc repro score@{UNSCORED}").wait_for()
    notebook.save()
    assert (project / "notebooks/explore_anomalies.ipynb").read_bytes() == before
    assert notebook.errors == []


def _drag_threshold(notebook):
    """Drag the dashed line of the histogram to the left, with the mouse."""
    counted = notebook.text("missed,").inner_text()
    line = notebook.page.locator(".shapelayer path[style*='dasharray']").first.bounding_box()
    x, y = line["x"] + line["width"] / 2, line["y"] + line["height"] / 2
    notebook.page.mouse.move(x, y)
    notebook.page.mouse.down()
    notebook.page.mouse.move(x - 200, y, steps=5)
    notebook.page.mouse.up()
    notebook.page.wait_for_function(
        "counted => ![...document.querySelectorAll('.jp-OutputArea-output')].some(o => o.innerText === counted)",
        arg=counted,
    )


def test_a_coreset_is_picked_step_by_step(opened, project):
    notebook = opened("explore_coreset", height=5200)
    before = (project / "notebooks/explore_coreset.ipynb").read_bytes()
    notebook.run_all()
    notebook.text("10 of 2000 points kept").wait_for()
    notebook.text("test patches; the").wait_for()
    notebook.press("kept points", "ArrowRight", times=2)
    notebook.text("12 of 2000 points kept").wait_for()
    notebook.choose("sampler", "random")
    notebook.page.locator(".gtitle").get_by_text("random, 12 kept").wait_for()
    notebook.page.locator(".widget-play button").first.click()
    notebook.text("14 of 2000 points kept").wait_for()
    notebook.page.locator(".widget-play button").first.click()  # enough: each step is drawn three times

    notebook.press("picks", "Home")
    notebook.text("After 1 picks").wait_for()
    notebook.press("picks", "End")
    notebook.press("training image", "ArrowRight")
    notebook.page.locator(".gtitle").get_by_text("nominal 1:").wait_for()
    notebook.shoot("coreset")
    notebook.save()
    assert (project / "notebooks/explore_coreset.ipynb").read_bytes() == before
    assert notebook.errors == []


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Drawn washers: twelve good ones, two more to test with, and two with a scratch; one photograph is there twice."""
    root = tmp_path_factory.mktemp("photographs") / "washers"
    for number in range(12):
        _washer(root / f"train/good/{number:03}.png", seed=number)
    shutil.copy(root / "train/good/000.png", root / "train/good/copy.png")
    (root / "train/good/notes.txt").write_text("taken on Monday")
    for number in range(2):
        _washer(root / f"test/good/{number:03}.png", seed=50 + number)
        _washer(root / f"test/scratch/{number:03}.png", seed=60 + number, mask=root / "ground_truth/scratch")
    return root


def _washer(path, *, seed, mask=None):
    """A grey ring on a dark ground with some noise; with a bright scratch where there is a folder for its mask."""
    drawn = np.random.default_rng(seed)
    image, truth = Image.new("RGB", (96, 96), (30, 34, 40)), Image.new("L", (96, 96))
    pen = ImageDraw.Draw(image)
    pen.ellipse((14, 14, 82, 82), fill=(150, 152, 158))
    pen.ellipse((34, 34, 62, 62), fill=(30, 34, 40))
    if mask is not None:
        for target, colour in ((pen, (235, 220, 190)), (ImageDraw.Draw(truth), 255)):
            target.line((20, 40 + 5 * (seed % 3), 40, 28), fill=colour, width=4)
        mask.mkdir(parents=True, exist_ok=True)
        truth.save(mask / f"{path.stem}_mask.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    noisy = np.asarray(image, dtype=float) + drawn.normal(0, 4, (96, 96, 3))
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path)


def test_a_folder_of_photographs_becomes_a_model_by_clicking(opened, project, photographs):
    notebook = opened("bring_your_own", height=6500, script=LATE_DRAWING)
    page, before = notebook.page, (project / "notebooks/bring_your_own.ipynb").read_bytes()
    notebook.run_all()
    folder = notebook.field("folder").locator("input")
    folder.fill(str(photographs.parent))
    folder.press("Enter")
    notebook.choose("go to", "washers")
    page.wait_for_function(
        "path => [...document.querySelectorAll('input')].some(i => i.value === path)", arg=str(photographs)
    )
    notebook.press_button("look at the photographs")
    notebook.text("defect: scratch").wait_for()
    notebook.text("train/good/notes.txt").wait_for()
    notebook.text("train/good/000.png = train/good/copy.png").wait_for()
    for name, value in (("shorter side", "96"), ("crop (0: none)", "48")):
        notebook.fill(name, value)
    notebook.text("The crop keeps 25% of an image").wait_for()
    notebook.text("The crop cuts defects away").wait_for()
    notebook.fill("crop (0: none)", "0")
    notebook.text("images of 96 x 96 pixels").wait_for()
    notebook.shoot("own_folder")

    notebook.fill("draws of each", "1")
    notebook.press_button("fit models of few and of many")
    notebook.text("can be promised from").wait_for()
    for name, option in (("image sides", ["96", "128"]), ("bank rows", ["500"])):
        notebook.field(name).locator("select").select_option(option)
    notebook.press_button("fit and time them")
    notebook.text("beaten by none").wait_for()
    notebook.press_button("fit the model")
    notebook.text("other images are judged").wait_for()
    notebook.text("95 % interval").wait_for()
    page.locator(".js-plotly-plot .heatmaplayer image").first.wait_for()
    few, frontier, histogram, _ = page.evaluate(DRAWN_POINTS)
    assert (few, sum(frontier), histogram) == ([3, 3, 3], 2, [14, 2])
    notebook.choose("chosen by", "best F1 score")
    notebook.text("best F1 score, 1.000: 0 missed, 0 false alarms").wait_for()
    notebook.text("Defects, the most overlooked first").wait_for()

    notebook.press_button("save the model")
    notebook.text("patchcore predict").wait_for()
    notebook.press_button("show it in the report")
    notebook.text("below all datasets").wait_for()
    notebook.shoot("own_parts")
    assert PartsModel.load(project / "models/washers").threshold.rule.startswith("best F1 score")
    assert (project / "reports/sections/bring_your_own_measured.json").is_file()
    notebook.save()
    assert (project / "notebooks/bring_your_own.ipynb").read_bytes() == before
    assert notebook.errors == []
