"""A model is exported with a proof, whole or not at all."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from small_networks import SmallPyramid, pictures
from torch import nn

from patchcore_core import InputError, PatchCore, PatchCoreConfig
from patchcore_suite.parts import export
from patchcore_suite.parts.export import check_export, export_onnx

PREPARE = {"resize": [32, 48]}


@pytest.fixture(scope="module")
def model():
    config = PatchCoreConfig(coreset_fraction=0.3, score="reweighted")
    return PatchCore(config, network=SmallPyramid(hierarchies=(1, 2), channels=(4, 6))).fit(pictures(4))


@pytest.fixture(scope="module")
def exported_once(model, tmp_path_factory):
    """An exported model; not to be changed."""
    for name in export.NEEDED:
        pytest.importorskip(name, reason=f"{name} is not installed")
    folder = tmp_path_factory.mktemp("exported") / "onnx"
    threshold = {"value": float(model.predict(pictures(1, seed=1)).scores[0]) + 1e-3, "rule": "given"}
    export_onnx(model, (32, 48), folder, pictures(20, seed=1), preprocessing=PREPARE, threshold=threshold)
    return folder


@pytest.fixture
def exported(exported_once, tmp_path):
    """A copy of it, to be changed by the test."""
    return shutil.copytree(exported_once, tmp_path / "onnx")


@pytest.fixture
def perturbed(monkeypatch, model):
    """Let an exported model give these factors of the model's scores, one an image, without any ONNX."""
    monkeypatch.setattr(export, "NEEDED", ())
    monkeypatch.setattr(export, "write_graph", lambda model, size, path: path.write_bytes(b"a graph"))

    def give(*factors):
        def run(images):
            said = model.predict(torch.from_numpy(images))
            return said.scores.numpy() * np.float32(factors[: len(images)]), said.maps.numpy()

        monkeypatch.setattr(export, "_runner", lambda path: run)

    return give


def test_an_exported_model_is_whole(exported, model):
    assert sorted(path.name for path in exported.iterdir()) == ["README.md", "model.onnx", "onnx.json", "run_onnx.py"]
    facts = json.loads((exported / "onnx.json").read_text())
    assert (facts["size"], facts["preprocessing"], facts["threshold"]["rule"]) == ([32, 48], PREPARE, "given")
    differences = facts["comparison"]["differences"]
    assert [one["batch"] for one in differences] == [1, 16]
    assert all(0 <= one["scores"] < 1e-5 and one["verdicts"] == one["reranked"] == 0 for one in differences)
    assert "| 16 | " in (exported / "README.md").read_text()
    assert str(export.__file__).encode() not in (exported / "model.onnx").read_bytes()
    check_export(exported, model)


def test_any_number_of_images_goes_in_at_once(exported_once, model):
    import onnxruntime

    session = onnxruntime.InferenceSession(exported_once / "model.onnx")
    for n in (1, 3, 7):
        scores, maps = session.run(["scores", "maps"], {"images": pictures(n, seed=2).numpy()})
        said = model.predict(pictures(n, seed=2))
        np.testing.assert_allclose(scores, said.scores, rtol=1e-5)
        np.testing.assert_allclose(maps, said.maps, rtol=1e-4)


def test_a_runtime_holds_the_products_of_one_part_of_the_bank_at_a_time(exported_once, model):
    import onnx

    graph = onnx.load(exported_once / "model.onnx").graph
    loops = [node for node in graph.node if node.op_type == "Scan"]
    bodies = [next(one.g for one in loop.attribute if one.name == "body") for loop in loops]
    assert [sum(node.op_type == "MatMul" for node in body.node) for body in bodies] == [1, 1]
    taken = {name for body in bodies for node in body.node for name in node.input if name in by_name(graph)}
    assert taken <= {one.name for one in graph.initializer}  # OpenVINO's loops see no other values from outside


def by_name(graph):
    return {name for node in graph.node for name in node.output} | {one.name for one in graph.initializer}


def test_an_export_is_known_by_its_bank_and_its_bytes(exported, model):
    other = PatchCore(model.config, network=model.network).fit(pictures(4, seed=9))
    with pytest.raises(InputError, match="another memory bank"):
        check_export(exported, other)
    (exported / "model.onnx").write_bytes(b"another")
    with pytest.raises(InputError, match="is not the model that") as told:
        check_export(exported, other)
    assert len(told.value.offenders) == 2
    (exported / "onnx.json").write_text("{}")
    with pytest.raises(InputError, match="no exported model, or a damaged one"):
        check_export(exported, model)


def judged(folder, *images):
    """What the loader prints where nothing but its own needs can be imported."""
    blocked = "import sys; sys.modules.update(dict.fromkeys(['torch', 'torchvision', 'scipy', 'patchcore_core', "
    blocked += "'patchcore_suite', 'onnx', 'timm', 'cv2', 'safetensors']))\n"
    blocked += "import runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", blocked, folder / "run_onnx.py", *images]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=surroundings, cwd=folder)


def test_the_loader_judges_files_without_torch(exported, model, tmp_path):
    paths = []
    for number, picture in enumerate(pictures(2, seed=1)):
        paths.append(tmp_path / f"ä {number}.png")
        Image.fromarray((picture.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)).save(paths[-1])
    (tmp_path / "text.png").write_text("no image")
    Image.new("L", (1, 1)).save(tmp_path / "small.png")  # any size is brought to the model's
    found = judged(exported, *paths, tmp_path / "text.png", tmp_path / "none.png", tmp_path / "small.png")
    rows = [line.split("\t") for line in found.stdout.splitlines()]
    seen = torch.stack([torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1) / 255 for path in paths])
    said = model.predict(seen).scores
    assert [row[0] for row in rows] == [*map(str, paths), str(tmp_path / "small.png")]
    assert [float(row[1]) for row in rows[:2]] == pytest.approx(said.tolist(), rel=1e-5)
    value = json.loads((exported / "onnx.json").read_text())["threshold"]["value"]
    assert [row[2] for row in rows[:2]] == ["ANOMALOUS" if score >= value else "good" for score in said]
    assert found.returncode == 1
    assert [line.split(": ")[1] for line in found.stderr.splitlines()] == [
        str(tmp_path / "text.png"),
        str(tmp_path / "none.png"),
    ]


def test_the_loader_refuses_what_is_not_of_one_model(exported, model):
    import safetensors.torch

    safetensors.torch.save_file({"memory_bank": model.memory_bank + 1}, exported.parent / "memory_bank.safetensors")
    (exported / "model.onnx").write_bytes(b"another")
    found = judged(exported, "a.png")
    assert found.returncode == 1
    assert "model.onnx is not the model that onnx.json is of; " in found.stderr
    assert "memory_bank.safetensors is the bank of another model" in found.stderr
    assert "Traceback" not in found.stderr


def test_the_loader_takes_a_bank_that_is_the_models(exported, model):
    safetensors = pytest.importorskip("safetensors.torch")
    tensors = {"memory_bank": model.memory_bank, "coreset_indices": model.coreset_indices}
    safetensors.save_file(tensors, exported.parent / "memory_bank.safetensors")
    assert judged(exported, "none.png").stderr.startswith("ERROR: none.png: ")


def test_an_export_that_scores_otherwise_is_not_written(model, perturbed, tmp_path):
    perturbed(1, 1, 1.001)
    (tmp_path / "onnx").mkdir()
    with pytest.raises(InputError, match=r"scores differ by 0\.001 relative, more than 0\.0001: image 2") as told:
        export_onnx(model, (32, 48), tmp_path / "onnx", pictures(3), preprocessing=PREPARE)
    assert "16 images at once" in str(told.value)
    assert str(told.value).count("Remedy:") == 1
    assert [*tmp_path.rglob("*")] == [tmp_path / "onnx"]  # which is as empty as before


@pytest.mark.parametrize(
    ("config", "remedy"), [({"search": "hnsw"}, "search: torch"), ({"storage": "float16"}, "storage: float32")]
)
def test_what_makes_scores_differ_is_named(config, remedy, perturbed, model, tmp_path):
    perturbed(1.001)
    network = SmallPyramid(hierarchies=(1, 2), channels=(4, 6))
    other = PatchCore(PatchCoreConfig(coreset_fraction=0.3, **config), network=network).fit(pictures(4, seed=5))
    with pytest.raises(InputError, match=remedy):
        export_onnx(other, (32, 48), tmp_path / "onnx", pictures(1), preprocessing=PREPARE)


def test_an_export_replaces_one_before_and_nothing_else(model, perturbed, tmp_path):
    perturbed(1)
    folder = tmp_path / "onnx"
    for size in ("first", "second"):
        export_onnx(model, (32, 48), folder, pictures(1), preprocessing=PREPARE, threshold={"value": 1, "rule": size})
    assert json.loads((folder / "onnx.json").read_text())["threshold"]["rule"] == "second"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="is there already, and is no exported model"):
        export_onnx(model, (32, 48), tmp_path / "mine", pictures(1), preprocessing=PREPARE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "onnx"]


def test_all_that_does_not_fit_is_told_at_once(perturbed, tmp_path):
    perturbed(1)
    (tmp_path / "onnx").write_text("a file")
    model = PatchCore(PatchCoreConfig(), network=lambda images: [images])
    given = {"preprocessing": {"resize": [32, 32], "bits": 20}, "threshold": {"value": float("nan")}}
    with pytest.raises(InputError) as told:
        export_onnx(model, (32, 48), tmp_path / "onnx", pictures(1), **given)
    words = (
        "no memory bank yet",
        "no nn.Module",
        "and not to size=(32, 48)",
        "bits=20",
        "must have a number",
        "already",
    )
    assert len(told.value.offenders) == len(words)
    assert all(any(word in problem for problem in told.value.offenders) for word in words)


@pytest.mark.parametrize(
    ("preprocessing", "problem"),
    [
        ({}, "resize=None"),
        ({"resize": 0}, "resize=0"),
        ({"resize": 32, "crop": [32, 40]}, r"to \(32, 40\), and not to size=\(32, 48\)"),
        ({"resize": 48}, "to 48, and not to"),
        ({"resize": 32, "cropp": 3}, "cropp"),
        ({"resize": 32, "bits": "16"}, "bits='16'"),
    ],
)
def test_images_must_come_out_at_the_models_size(preprocessing, problem, model, perturbed, tmp_path):
    perturbed(1)
    with pytest.raises(InputError, match=problem):
        export_onnx(model, (32, 48), tmp_path / "onnx", pictures(1), preprocessing=preprocessing)


@pytest.mark.parametrize(
    "preprocessing", [{"resize": 32}, {"resize": 64, "crop": [32, 48], "masks": "bilinear", "bits": 12}]
)
def test_shorter_side_and_crop_are_taken(preprocessing, model, perturbed, tmp_path):
    perturbed(1)
    export_onnx(model, (32, 48), tmp_path / "onnx", pictures(1), preprocessing=preprocessing)
    assert json.loads((tmp_path / "onnx" / "onnx.json").read_text())["preprocessing"] == preprocessing


def test_missing_packages_are_named_with_what_installs_them(model, monkeypatch, tmp_path):
    monkeypatch.setattr(export, "NEEDED", ("json", "no_such_runtime"))
    with pytest.raises(InputError, match="export needs no_such_runtime") as told:
        export_onnx(model, (32, 48), tmp_path / "onnx", pictures(1), preprocessing=PREPARE)
    assert "patchcore-bench[export]" in told.value.remedy


def test_a_network_that_cannot_be_traced_is_told(tmp_path):
    for name in export.NEEDED:
        pytest.importorskip(name, reason=f"{name} is not installed")

    class Choosing(nn.Module):
        def forward(self, images):
            return [images[:, :, ::2, ::2] if images.mean().item() > 0.1 else images[:, :, ::4, ::4]]

    model = PatchCore(PatchCoreConfig(coreset_fraction=0.3), network=Choosing()).fit(pictures(2))
    with pytest.raises(InputError, match="cannot be written as ONNX"):
        export_onnx(model, (32, 48), tmp_path / "onnx", pictures(1), preprocessing=PREPARE)
    assert not [*tmp_path.iterdir()]
