"""A model is exported with a proof, whole or not at all."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from small_parts import decoded, image_files, small_model
from torch import nn

from patchcore_core import InputError
from patchcore_core.common.files import sha256_file
from patchcore_suite.parts import export
from patchcore_suite.parts.export import export_onnx, export_saved
from patchcore_suite.parts.region import Region
from patchcore_suite.parts.tiles import Tiles


@pytest.fixture(scope="module")
def model():
    return small_model(score="reweighted")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return image_files(tmp_path_factory.mktemp("images"), 18, size=(50, 60))


@pytest.fixture(scope="module")
def exported_once(model, images, tmp_path_factory):
    """An exported model; not to be changed."""
    for name in export.NEEDED:
        pytest.importorskip(name, reason=f"{name} is not installed")
    folder = tmp_path_factory.mktemp("exported") / "onnx"
    (folder.parent / "parts.json").write_text("a model")
    export_onnx(model, folder, images, parts_sha256=sha256_file(folder.parent / "parts.json"), times=True)
    return folder


@pytest.fixture
def exported(exported_once, tmp_path):
    """A copy of it, to be changed by the test."""
    return shutil.copytree(exported_once, tmp_path / "onnx")


@pytest.fixture
def perturbed(monkeypatch):
    """Let an exported model give these factors of the model's scores, one an image, without any ONNX."""
    monkeypatch.setattr(export, "NEEDED", ())
    monkeypatch.setattr(export, "write_graph", lambda model, path, facts: path.write_bytes(b"a graph"))
    monkeypatch.setattr(export, "runtimes", lambda graph, run: {"onnxruntime": run})

    def give(model, *factors):
        class Loaded:
            pixels = staticmethod(decoded)

            def __call__(self, pixels):
                said = model.detector.predict(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)
                return said.scores.numpy() * np.float32(factors[: len(pixels)]), said.maps.numpy()

        monkeypatch.setattr(export, "_loaded", lambda folder: Loaded())

    return give


@pytest.mark.long
def test_an_exported_model_is_whole(exported_once):
    names = ["README.md", "model.onnx", "onnx.json", "run_onnx.py"]
    assert sorted(path.name for path in exported_once.iterdir()) == names
    facts = json.loads((exported_once / "onnx.json").read_text())
    assert (facts["size"], facts["bits"], facts["threshold"]["rule"]) == ([32, 48], 16, "given")
    differences = [one for one in facts["comparison"]["differences"] if one["runtime"] == "onnxruntime"]
    assert [one["batch"] for one in differences] == [1, 16]
    assert all(0 <= one["scores"] < 1e-5 and one["verdicts"] == one["reranked"] == 0 for one in differences)
    page = (exported_once / "README.md").read_text()
    assert "| onnxruntime | 16 | " in page
    assert "| images at once | torch | onnxruntime |" in page
    assert str(export.__file__).encode() not in (exported_once / "model.onnx").read_bytes()


@pytest.mark.long
def test_any_number_of_images_of_any_size_goes_in_at_once(exported_once, model, tmp_path):
    import onnxruntime

    session = onnxruntime.InferenceSession(exported_once / "model.onnx")
    for n, size in [(1, (1, 1)), (3, (90, 20)), (2, (32, 48)), (7, (33, 200))]:
        paths = image_files(tmp_path, n, size)
        scores, maps = session.run(["scores", "maps"], {"pixels": np.stack([decoded(path) for path in paths])})
        said = model.judge(paths, show_progress=False)
        np.testing.assert_allclose(scores, [one.score for one in said], rtol=1e-5)
        np.testing.assert_allclose(maps, [one.map for one in said], rtol=1e-4, atol=1e-6)


@pytest.mark.long
def test_a_model_with_tiles_and_a_region_is_exported_with_both(tmp_path):
    for name in export.NEEDED:
        pytest.importorskip(name, reason=f"{name} is not installed")
    mask = np.arange(48)[None].repeat(32, axis=0) > 20
    model = replace(small_model(score="reweighted"), tiles=Tiles(32, 16), region=Region(mask))
    found = export_onnx(model, tmp_path / "onnx", image_files(tmp_path, 18, size=(50, 60)))
    assert {one.runtime for one in found.compared.differences} >= {"onnxruntime"}
    assert found.compared.scores < 1e-5
    assert found.compared.maps < 1e-5
    assert_a_tile_at_a_time(tmp_path / "onnx/model.onnx")


def assert_a_tile_at_a_time(path):
    """A runtime holds what the network makes of one tile, however many an image has, and warns of nothing unused."""
    import onnx

    graph = onnx.load(path).graph
    first = next(node for node in graph.node if node.op_type == "Scan")
    body = next(one.g for one in first.attribute if one.name == "body")
    assert "Conv" in {node.op_type for node in body.node}
    assert "Conv" not in {node.op_type for node in graph.node}
    # Weights that stood outside would be prepared for no step: it took 1.7 times as long.
    assert {name for node in body.node for name in node.input[1:]} <= {one.name for one in body.initializer} | {
        name for node in body.node for name in node.output
    }
    assert [size.dim_value for size in body.input[1].type.tensor_type.shape.dim][1:] == [3, 32, 32]
    inside = [one.g for node in graph.node for one in node.attribute if one.name == "body"]
    taken = {name for part in (graph, *inside) for node in part.node for name in node.input}
    assert {one.name for one in graph.initializer} <= taken


@pytest.mark.long
def test_openvino_finds_the_same_at_its_first_call_and_whenever_more_images_come(exported_once, model, tmp_path):
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    found = openvino.compile_model(exported_once / "model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    paths = image_files(tmp_path, 9, (200, 90))
    said = np.array([one.score for one in model.judge(paths, show_progress=False)])
    for n in (1, 3, 9, 2):
        scores = found(np.stack([decoded(path) for path in paths[:n]]))["scores"]
        np.testing.assert_allclose(scores, said[:n], rtol=1e-5)


@pytest.mark.long
def test_a_runtime_holds_the_products_of_one_part_of_the_bank_at_a_time(exported_once):
    import onnx

    graph = onnx.load(exported_once / "model.onnx").graph
    assert "If" not in {node.op_type for node in graph.node}  # OpenVINO overwrites what it gives
    loops = [node for node in graph.node if node.op_type == "Scan"]
    bodies = [next(one.g for one in loop.attribute if one.name == "body") for loop in loops]
    assert [sum(node.op_type == "MatMul" for node in body.node) for body in bodies] == [1, 1]
    taken = {name for body in bodies for node in body.node for name in node.input if name in by_name(graph)}
    assert taken <= {one.name for one in graph.initializer}  # OpenVINO's loops see no other values from outside


def by_name(graph):
    return {name for node in graph.node for name in node.output} | {one.name for one in graph.initializer}


def judged(folder, *images):
    """What the loader prints where nothing but its own needs can be imported."""
    blocked = "import sys; sys.modules.update(dict.fromkeys(['torch', 'torchvision', 'scipy', 'patchcore_core', "
    blocked += "'patchcore_suite', 'onnx', 'timm', 'cv2', 'safetensors']))\n"
    blocked += "import runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", blocked, folder / "run_onnx.py", *images]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=surroundings, cwd=folder)


@pytest.mark.long
def test_the_loader_judges_files_without_torch(exported, model, tmp_path):
    paths = image_files(tmp_path, 2, (70, 40))
    (tmp_path / "text.png").write_text("no image")
    Image.new("L", (1, 1)).save(tmp_path / "small.png")  # any size is brought to the model's
    found = judged(exported, *paths, tmp_path / "text.png", tmp_path / "none.png", tmp_path / "small.png")
    rows = [line.split("\t") for line in found.stdout.splitlines()]
    said = model.judge([*paths, tmp_path / "small.png"], show_progress=False)
    assert [row[0] for row in rows] == [str(one.path) for one in said]
    assert [float(row[1]) for row in rows] == pytest.approx([one.score for one in said], rel=1e-5)
    assert [row[2] for row in rows] == ["ANOMALOUS" if one.anomalous else "good" for one in said]
    assert found.returncode == 1
    assert [line.split(": ")[1] for line in found.stderr.splitlines()] == [
        str(tmp_path / "text.png"),
        str(tmp_path / "none.png"),
    ]


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "before", "message"),
    [
        ("model.onnx", b"g", "was changed or damaged"),
        ("onnx.json", b'"graph_sha256": "', "was changed or damaged"),
        ("../parts.json", b"a", "was exported from another model"),
    ],
)
def test_the_loader_refuses_what_is_not_of_one_model(name, before, message, exported):
    (exported.parent / "parts.json").write_text("a model")
    place = (held := (exported / name).read_bytes()).index(before) + len(before)
    (exported / name).write_bytes(held[:place] + bytes([held[place] ^ 1]) + held[place + 1 :])
    found = judged(exported, "a.png")
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith("ERROR: ")
    assert message in found.stderr
    assert "Traceback" not in found.stderr


def test_an_export_that_scores_otherwise_is_not_written(perturbed, tmp_path):
    model = small_model()
    perturbed(model, 1, 1, 1.001)
    (tmp_path / "onnx").mkdir()
    paths = image_files(tmp_path, 3)
    with pytest.raises(InputError, match=r"scores differ by 0\.001 relative, more than 0\.0001: .*02\.png") as told:
        export_onnx(model, tmp_path / "onnx", paths)
    assert str(told.value).count("Remedy:") == 1
    assert sorted(tmp_path.iterdir()) == sorted([*paths, tmp_path / "onnx"])
    assert not [*(tmp_path / "onnx").iterdir()]  # which is as empty as before


@pytest.mark.parametrize(
    ("config", "remedy"), [({"search": "hnsw"}, "search: torch"), ({"storage": "float16"}, "storage: float32")]
)
def test_what_makes_scores_differ_is_named(config, remedy, perturbed, tmp_path):
    model = small_model(seed=5, **config)
    perturbed(model, 1.001)
    with pytest.raises(InputError, match=remedy):
        export_onnx(model, tmp_path / "onnx", image_files(tmp_path, 1))


def test_an_export_replaces_one_before_and_nothing_else(perturbed, tmp_path):
    model = small_model()
    perturbed(model, 1)
    paths = image_files(tmp_path, 1)
    for sha256 in ("first", "second"):
        export_onnx(model, tmp_path / "onnx", paths, parts_sha256=sha256)
    assert json.loads((tmp_path / "onnx/onnx.json").read_text())["parts_sha256"] == "second"
    (tmp_path / "onnx/__pycache__").mkdir()  # of the loader, once it is imported
    export_onnx(model, tmp_path / "onnx", paths)
    (tmp_path / "mine").mkdir()
    for folder, name in [("mine", "model.onnx"), ("onnx", "letter.txt")]:
        (tmp_path / folder / name).write_text("dear")
        with pytest.raises(InputError, match=f"{folder} holds what no export wrote, and would be lost: {name}: "):
            export_onnx(model, tmp_path / folder, paths)
        assert (tmp_path / folder / name).read_text() == "dear"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([paths[0].name, "mine", "onnx"])


def test_the_models_own_page_says_what_was_found(perturbed, tmp_path, monkeypatch):
    model = small_model()
    perturbed(model, 1)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/parts.json").write_text("a model")
    monkeypatch.setattr(export.PartsModel, "load", lambda folder, **where: model)
    export_saved(tmp_path / "model", image_files(tmp_path, 1))
    assert "| onnxruntime | 1 | 0.0e+00 | 0.0e+00 | 0 |" in (tmp_path / "model/README.md").read_text()
    facts = json.loads((tmp_path / "model/onnx/onnx.json").read_text())
    assert facts["parts_sha256"] == sha256_file(tmp_path / "model/parts.json")


def test_all_that_does_not_fit_is_told_at_once(perturbed, tmp_path):
    model = small_model(network=lambda images: [images])
    perturbed(model, 1)
    (tmp_path / "onnx").write_text("a file")
    with pytest.raises(InputError) as told:
        export_onnx(model, tmp_path / "onnx", image_files(tmp_path, 1))
    assert len(told.value.offenders) == 2
    assert "no nn.Module" in told.value.offenders[0]
    assert "already" in told.value.offenders[1]


def test_missing_packages_are_named_with_what_installs_them(monkeypatch, tmp_path):
    monkeypatch.setattr(export, "NEEDED", ("json", "no_such_runtime"))
    with pytest.raises(InputError, match="export needs no_such_runtime") as told:
        export_onnx(small_model(), tmp_path / "onnx", [])
    assert "patchcore-bench[export]" in told.value.remedy


@pytest.mark.long
def test_a_network_that_cannot_be_traced_is_told(tmp_path):
    for name in export.NEEDED:
        pytest.importorskip(name, reason=f"{name} is not installed")

    class Choosing(nn.Module):
        def forward(self, images):
            return [images[:, :, ::2, ::2] if images.mean().item() > 0.1 else images[:, :, ::4, ::4]]

    model = small_model(Choosing())
    with pytest.raises(InputError, match="cannot be written as ONNX"):
        export_onnx(model, tmp_path / "onnx", image_files(tmp_path, 1))
    assert not (tmp_path / "onnx").exists()
