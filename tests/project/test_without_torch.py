"""An exported model on another machine: nothing there but onnxruntime, NumPy and Pillow."""

import os
import shutil
import subprocess
import sys
import venv

import numpy as np
import pytest
from clone import ROOT
from PIL import Image
from small_parts import image_files, small_model

from patchcore_core.common.files import sha256_file
from patchcore_suite.parts import export
from patchcore_suite.parts.export import export_onnx

pytestmark = [pytest.mark.slow, pytest.mark.long]

NEEDS = ("onnxruntime", "numpy", "pillow")
FROM_PYTHON = """
import sys
import numpy as np
from run_onnx import Model
model = Model()
scores, maps = model(np.stack([model.pixels(path) for path in sys.argv[2:]]))
np.savez(sys.argv[1], scores=scores, maps=maps)
"""


def environment():
    """The variables of this process without those that let Python find a clone."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def run(*command, cwd, code=0):
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Python of an environment with what the loader needs, and nothing else."""
    home = tmp_path_factory.mktemp("bare")
    venv.create(home, with_pip=False, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", home / "bin/python", "install", "--quiet", "--retries=1"]
    wanted = [*pip, "--timeout=5", "--only-binary=:all:", "--constraint", ROOT / "constraints.txt", *NEEDS]
    done = subprocess.run([*map(str, wanted)], env=environment(), capture_output=True, text=True, check=False)
    if done.returncode and "connection broken" in done.stderr:
        pytest.skip("no package index can be reached: there is no environment without torch to run an export in")
    assert done.returncode == 0, done.stderr
    return home / "bin/python"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A saved and exported model, copied to another folder, and the model itself."""
    for name in export.NEEDED:
        pytest.importorskip(name, reason=f"{name} is not installed: nothing is exported")
    folder, model = tmp_path_factory.mktemp("here") / "model", small_model(score="reweighted")
    model.save(folder)
    images = image_files(folder.parent, 2, size=(50, 60))
    export_onnx(model, folder / "onnx", images, parts_sha256=sha256_file(folder / "parts.json"))
    return shutil.copytree(folder, tmp_path_factory.mktemp("there") / "another model"), model


@pytest.fixture
def images(tmp_path):
    """Image files of several kinds."""
    paths = image_files(tmp_path, 4, size=(70, 40))
    others = [tmp_path / name for name in ("grey.jpg", "alpha.png", "deep.png")]
    with Image.open(paths[0]) as image:
        image.convert("L").save(others[0])
        image.convert("RGBA").save(others[1])
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(others[2])
    return paths + others


def test_nothing_of_the_suite_is_there(bare, tmp_path):
    for name in ("torch", "patchcore_core", "patchcore_suite", "onnx"):
        assert "ModuleNotFoundError" in run(bare, "-c", f"import {name}", cwd=tmp_path, code=1).stderr


def test_a_copied_export_scores_as_the_model_does(bare, elsewhere, images, tmp_path):
    folder, model = elsewhere
    said = model.judge(images, show_progress=False)
    rows = [row.split("\t") for row in run(bare, folder / "onnx/run_onnx.py", *images, cwd="/").stdout.splitlines()]
    assert [row[0] for row in rows] == [str(one.path) for one in said]
    assert [float(row[1]) for row in rows] == pytest.approx([one.score for one in said], rel=1e-5)
    assert [row[2] for row in rows] == ["ANOMALOUS" if one.anomalous else "good" for one in said]

    run(bare, "-c", FROM_PYTHON, tmp_path / "found.npz", *images, cwd=folder / "onnx")
    with np.load(tmp_path / "found.npz") as found:
        np.testing.assert_allclose(found["scores"], [one.score for one in said], rtol=1e-5)
        np.testing.assert_allclose(found["maps"], np.stack([one.map for one in said]), rtol=1e-4, atol=1e-6)


def test_an_export_beside_another_model_and_a_file_that_is_no_image_are_refused(bare, elsewhere, tmp_path):
    folder = shutil.copytree(elsewhere[0], tmp_path / "model")
    Image.new("RGB", (9, 9)).save(tmp_path / "a.eps")
    told = run(bare, folder / "onnx/run_onnx.py", tmp_path / "a.eps", cwd="/", code=1)
    assert told.stderr.startswith(f"ERROR: {tmp_path / 'a.eps'}: cannot identify")
    with (folder / "parts.json").open("a") as file:
        file.write("\n")
    told = run(bare, folder / "onnx/run_onnx.py", tmp_path / "a.eps", cwd="/", code=1)
    assert "was exported from another model" in told.stderr
    assert "Traceback" not in told.stderr
