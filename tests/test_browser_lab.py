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

import pytest
import yaml
from whole_project import ROOT, run_main

from patchcore_core import benchmark
from patchcore_core.datasets import prepare
from patchcore_core.params import load_params

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SCREENSHOTS = Path(os.environ.get("PATCHCORE_SCREENSHOTS", ROOT / "reports" / "screenshots"))
DATASET, CATEGORY, VARIANT = "mvtec", "gear", "patchcore-10"
PATIENCE = 30_000  # milliseconds until a kernel must have answered
# What JupyterLab and Chromium write themselves, on any notebook.
NOT_OURS = re.compile(r"favicon|/api/|/lab/|/static/|ERR_INTERNET|GPU|WebGL|third-party", re.IGNORECASE)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The suite's own synthetic images of one category, scored by one variant."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("notebooks", "lab"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns(".*"))
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    dataset = {key: value for key, value in values["datasets"][DATASET].items() if key != "studies"}
    dataset |= {"source": "synthetic", "categories": [CATEGORY], "variants": [VARIANT], "seeds": [0]}
    values["datasets"] = {DATASET: dataset, "unscored": dataset}
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    with chdir(folder):
        params = load_params()
        run_main(prepare, DATASET)
        benchmark.collect(benchmark.score_dataset(DATASET, params, show_progress=False), params)
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
        "JUPYTER_PATH": str(home / "share" / "jupyter"),
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


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        found = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


class Notebook:
    """A notebook in a page of its own, all of it in view."""

    def __init__(self, browser, lab, name, height=4200):
        address, token = lab
        self.errors = []
        self.page = browser.new_page(viewport={"width": 1440, "height": height})
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", lambda message: self._note(message.type, message.text, message.location))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(f"{address}/lab/tree/notebooks/{name}.ipynb?token={token}&reset")
        self.cells = self.page.locator(".jp-Notebook .jp-Cell")
        self.cells.first.wait_for()

    def _note(self, kind, text, location):
        if kind == "error" and not NOT_OURS.search(f"{text} {location.get('url', '')}"):
            self.errors.append(text)

    def menu(self, *names):
        self.page.get_by_role("menubar").get_by_text(names[0], exact=True).click()
        for name in names[1:]:
            self.page.locator(".lm-Menu-itemLabel").get_by_text(name, exact=True).click()

    def run_all(self):
        self.page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').first.wait_for(state="attached")
        self.page.locator(".jp-StatusBar-Item, .jp-StatusBar-TextItem").filter(has_text="| Idle").first.wait_for()
        self.page.wait_for_timeout(1500)
        self.menu("Run", "Run All Cells")

    def output(self, text):
        return self.page.locator(".jp-OutputArea-output").filter(has_text=text).first

    def shoot(self, name):
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def saved(self):
        self.menu("File", "Save Notebook")


@pytest.fixture
def opened(browser, lab, request):
    """Opens notebooks; whatever becomes of the test, a picture of each is kept."""
    notebooks = []

    def open_notebook(name, **size):
        notebooks.append(Notebook(browser, lab, name, **size))
        return notebooks[-1]

    yield open_notebook
    for notebook in notebooks:
        notebook.shoot(f"{request.node.name}_end")
        notebook.page.close()


def test_welcome(opened):
    n = opened("welcome", height=1800)
    n.run_all()
    n.output("unscored").wait_for()
    n.shoot("welcome")


def test_anomalies(opened):
    n = opened("explore_anomalies")
    n.run_all()
    n.output("Why this score?").wait_for()
    n.page.wait_for_timeout(3000)
    n.shoot("anomalies")
    print(n.errors)


def test_coreset(opened):
    n = opened("explore_coreset", height=5200)
    n.run_all()
    n.output("test patches; the").wait_for()
    n.page.wait_for_timeout(3000)
    n.shoot("coreset")
    print(n.errors)
