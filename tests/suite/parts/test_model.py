import json

import numpy as np
import pytest
import torch
from PIL import Image
from toy_folders import save_image

from patchcore_core import InputError, PatchCore
from patchcore_core.common.files import sha256_file
from patchcore_suite.datasets.images import image_tensor, read_image
from patchcore_suite.parts.fitting import FitOptions, evaluate, fit
from patchcore_suite.parts.model import PartsModel
from patchcore_suite.parts.photographs import look_at
from patchcore_suite.run.sealed import read_sealed, write_sealed

OPTIONS = FitOptions(resize=(64, 64), coreset_fraction=0.5)


@pytest.fixture(scope="module")
def model(folder):
    return fit(look_at(folder), OPTIONS, show_progress=False)


@pytest.fixture
def saved(model, tmp_path):
    model.save(tmp_path / "model")
    return tmp_path / "model"


def test_a_model_says_of_an_image_what_patchcore_says(model, folder):
    image = next((folder / "test/scratch").iterdir())
    (judged,) = model.judge([image], show_progress=False)
    record = look_at(folder).tested[-1].record
    fitted = PatchCore(model.detector.config).fit(
        torch.stack([image_tensor(read_image(entry.record), model.preprocessing) for entry in look_at(folder).good])
    )
    said = fitted.predict(image_tensor(read_image(record), model.preprocessing)[None])
    (judged,) = model.judge([record.image], show_progress=False)
    assert judged.score == pytest.approx(float(said.scores[0]), rel=1e-6)
    np.testing.assert_allclose(judged.map, said.maps[0], rtol=1e-5, atol=1e-6)
    assert judged.anomalous == (judged.score >= model.threshold.value)


def test_a_threshold_comes_from_each_good_image_without_its_own_patches(model, folder):
    good = [image_tensor(read_image(entry.record), model.preprocessing) for entry in look_at(folder).good]
    assert len(model.nominal_scores) == len(good) == len(model.sources)
    features = PatchCore(model.detector.config).describe_images(torch.stack(good))[0]
    bank, kept = model.detector.memory_bank, model.detector.coreset_indices
    others = bank[kept // (features.shape[1] * features.shape[2]) != 0]
    of_first = torch.cdist(features[0].flatten(0, 1), others).min(dim=1).values.max()
    assert model.nominal_scores[0] == pytest.approx(float(of_first), rel=1e-4)
    assert (model.nominal_scores < model.threshold.value).all()  # few images: the largest one chooses


def test_a_saved_model_judges_alike_and_says_what_it_is(model, saved, folder):
    images = sorted((folder / "test").rglob("*.png"))
    before, after = (one.judge(images, show_progress=False) for one in (model, PartsModel.load(saved)))
    assert [one.score for one in before] == [one.score for one in after]
    assert PartsModel.load(saved).threshold == model.threshold
    card = (saved / "README.md").read_text()
    assert f"**Threshold {model.threshold.value:.4g}**: {model.threshold.rule}" in card
    assert "image AUROC" in card
    assert not [path for path in saved.parent.iterdir() if path.name.startswith(".")]


def test_weights_travel_with_the_model_where_that_is_asked_for(model, folder, tmp_path):
    model.save(tmp_path / "model", with_weights=True)
    copied = next((tmp_path / "model").glob("weights.*"))
    loaded = PartsModel.load(tmp_path / "model")
    assert loaded.detector.weights.path == copied
    assert loaded.detector.covering_radius == model.detector.covering_radius is not None  # so it can grow
    assert loaded.detector.rows_seen == model.detector.rows_seen is not None
    images = sorted((folder / "test").rglob("*.png"))
    before, after = (one.judge(images, show_progress=False) for one in (model, loaded))
    assert [one.score for one in before] == [one.score for one in after]
    copied.write_bytes(copied.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"not those that were saved with it(.|\n)*weights"):
        PartsModel.load(tmp_path / "model")


@pytest.mark.parametrize("name", ["parts.json", "model.json", "memory_bank.safetensors"])
@pytest.mark.parametrize("harm", ["changed", "cut", "gone"])
def test_a_model_with_a_harmed_file_is_refused(saved, name, harm):
    file = saved / name
    content = file.read_bytes()
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes(content[:-20] if harm == "cut" else content.replace(b"e", b"a", 1)[:-1] + b"\x01")
    with pytest.raises(InputError, match=r"Remedy: "):
        PartsModel.load(saved)


def test_a_model_of_another_version_says_which(saved):
    write_sealed(saved / "parts.json", read_sealed(saved / "parts.json") | {"format": 9, "written_by": "a later one"})
    with pytest.raises(InputError, match="written by a later one"):
        PartsModel.load(saved)


def test_a_model_is_replaced_whole_and_nothing_else_is(model, saved, tmp_path):
    model.with_threshold(model.thresholds["f1"]).save(saved)
    assert PartsModel.load(saved).threshold == model.thresholds["f1"]
    (tmp_path / "photographs").mkdir()
    save_image(tmp_path / "photographs/1.png", seed=1)
    with pytest.raises(InputError, match="is no model"):
        model.save(tmp_path / "photographs")
    assert (tmp_path / "photographs/1.png").is_file()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is no model"):
        model.save(tmp_path / "file")


def test_what_others_put_beside_a_model_stays_and_an_export_stays_with_its_model(model, saved):
    (saved / "notes").mkdir()
    (saved / "notes/mine.txt").write_text("dear")
    (saved / "onnx").mkdir()
    write_sealed(saved / "onnx/onnx.json", {"parts_sha256": sha256_file(saved / "parts.json")})
    model.save(saved)
    assert (saved / "onnx/onnx.json").is_file()
    model.with_threshold(model.thresholds["f1"]).save(saved)
    assert not (saved / "onnx").exists()
    assert (saved / "notes/mine.txt").read_text() == "dear"


def test_what_others_put_into_an_export_stays_though_the_export_goes(model, saved):
    (saved / "onnx/letters").mkdir(parents=True)
    for name in ("README.md", "letters/first.txt"):
        (saved / "onnx" / name).write_text("dear")
    model.save(saved)
    assert (saved / "onnx/README.md").read_text() == "dear"  # no export lies there
    write_sealed(saved / "onnx/onnx.json", {"parts_sha256": "of another model"})
    model.save(saved)
    assert [path.name for path in (saved / "onnx").iterdir()] == ["letters"]
    assert (saved / "onnx/letters/first.txt").read_text() == "dear"


def test_images_that_cannot_be_judged_are_all_named_and_the_others_are_judged(model, folder, tmp_path):
    image = next((folder / "test/good").iterdir())
    (tmp_path / "cut.png").write_bytes(image.read_bytes()[:60])
    found = list(model.judge_each([tmp_path / "cut.png", image, tmp_path / "none.png"], show_progress=False))
    assert [isinstance(one, InputError) for one in found] == [True, False, True]
    with pytest.raises(InputError, match=r"2 images cannot be judged(.|\n)*cut\.png(.|\n)*none\.png"):
        model.judge([tmp_path / "cut.png", image, tmp_path / "none.png"], show_progress=False)


def test_an_image_of_other_proportions_is_refused_where_the_size_follows_from_it(folder, tmp_path):
    model = fit(look_at(folder), FitOptions(resize=48, coreset_fraction=0.5), show_progress=False)
    Image.new("RGB", (90, 40)).save(tmp_path / "long.png")
    with pytest.raises(InputError, match=r"long\.png: it comes out at \(48, 108\)"):
        model.judge([tmp_path / "long.png"], show_progress=False)


def test_a_model_is_tested_with_the_defects_that_are_there(model, folder):
    tested, thresholds = evaluate(model, look_at(folder).tested, show_progress=False)
    assert tested == model.tested
    assert thresholds.keys() == {"f1", "cost"}
    assert {"image AUROC", "pixel AUROC", "PRO"} <= tested.keys()
    good = [entry for entry in look_at(folder).tested if not entry.record.label]
    only_good, none = evaluate(model, good, show_progress=False)
    assert none == {}
    assert only_good["false alarms"] <= len(good)
    assert "image AUROC" not in only_good


def test_one_good_image_and_images_of_several_sizes_are_told(tmp_path):
    save_image(tmp_path / "one/1.png", seed=0)
    with pytest.raises(InputError, match="has 1 good images"):
        fit(str(tmp_path / "one"), OPTIONS)
    save_image(tmp_path / "one/2.png", seed=1)
    Image.new("RGB", (90, 40)).save(tmp_path / "one/3.png")
    with pytest.raises(InputError, match=r"come out at 2 sizes(.|\n)*--size"):
        fit(str(tmp_path / "one"), FitOptions(resize=64))


def test_a_model_holds_nothing_but_numbers_and_names(saved):
    said = json.loads((saved / "parts.json").read_text())
    assert said["written_by"].startswith("patchcore-bench ")
    assert len(said["nominal_scores"]) == len(said["sources"])
