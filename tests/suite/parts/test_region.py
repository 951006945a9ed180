"""A region of interest, and models that look at nothing else, in tiles too."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from toy_folders import mvtec_folder, save_image

from patchcore_core import InputError
from patchcore_core.metrics import image_auroc
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.parts.command import main
from patchcore_suite.parts.describing import FitOptions, describe
from patchcore_suite.parts.fitting import evaluate, fit
from patchcore_suite.parts.following import silently
from patchcore_suite.parts.model import PartsModel
from patchcore_suite.parts.photographs import look_at
from patchcore_suite.parts.region import Region, hide, patches_inside, read_region
from patchcore_suite.parts.tiles import Tiles

SIZE = (48, 96)  # of images, and as the model sees them: 6 x 12 patches of 8 x 8 pixels
LEFT = np.arange(96)[None].repeat(48, axis=0) < 32


def save_region(path, inside=LEFT):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(inside, dtype=np.uint8) * 255).save(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Good images of noise; two defects are one of them with a flat left, and with a flat right."""
    root = tmp_path_factory.mktemp("parts")
    for number in range(6):
        save_image(root / f"good/{number:03}.png", seed=number, size=SIZE)
    for name, columns in (("left", slice(0, 28)), ("right", slice(72, 96))):
        image = save_image(root / f"{name}/000.png", seed=3, size=SIZE)
        with Image.open(image) as opened:
            pixels = np.array(opened)
        pixels[:, columns] = 255
        Image.fromarray(pixels).save(image)
    return root


@pytest.fixture(scope="module")
def mask(tmp_path_factory):
    return save_region(tmp_path_factory.mktemp("region") / "region.png")


def options(**changes):
    return FitOptions(resize=SIZE, backbone="pixels", coreset_fraction=1.0, **changes)


@pytest.fixture(scope="module")
def model(folder, mask):
    return fit(look_at(folder), options(region=mask), show_progress=False)


def judged(model, folder):
    return {
        name: model.judge([folder / f"{name}/000.png"], show_progress=False)[0] for name in ("good", "left", "right")
    }


def test_a_patch_is_looked_at_where_half_of_its_pixels_are():
    mask = np.zeros((4, 6), dtype=bool)
    mask[:, :3] = True  # half of the second column of patches of 2 x 2
    mask[0, 4] = True  # one pixel of four
    assert patches_inside(mask, (2, 3)).tolist() == [[True, True, False], [True, True, False]]
    with pytest.raises(InputError, match="smaller than a patch"):
        patches_inside(np.eye(8, dtype=bool), (1, 2))


def test_hidden_patches_say_what_one_that_is_seen_does():
    features = torch.arange(8.0).view(2, 2, 2, 1)
    inside = torch.tensor([[[False, True], [True, False]], [[True, False], [False, False]]])
    assert hide(features, inside).flatten().tolist() == [1, 1, 2, 1, 4, 4, 4, 4]


def test_only_patches_of_the_region_enter_the_bank(model, folder):
    features = describe(look_at(folder).good, options(), follow=silently).features
    assert model.patches == 6 * 24
    rows = features[:, :, :4].flatten(0, 2)
    bank = model.detector.memory_bank
    assert len(bank) == len(rows)
    assert (bank[:, None] == rows).all(dim=2).any(dim=1).all()
    # Each row of the bank is traced to its place among all patches.
    torch.testing.assert_close(features.flatten(0, 2)[model.detector.coreset_indices], bank)


def test_the_threshold_comes_from_what_is_looked_at_alone(model, folder):
    features = describe(look_at(folder).good, options(), follow=silently).features[:, :, :4]
    others = features[1:].flatten(0, 2)
    first = torch.cdist(features[0].flatten(0, 1), others).amin(1).max()
    assert model.nominal_scores[0] == pytest.approx(float(first), rel=1e-4)


def test_what_is_hidden_has_no_say_in_score_and_map(model, folder):
    found = judged(model, folder)
    assert found["left"].anomalous
    assert not found["right"].anomalous
    for one in found.values():
        assert (one.distances[:, 4:] == 0).all()
        assert (one.map[:, 32:] == 0).all()
        assert one.score == pytest.approx(one.distances.max(), rel=1e-6)
    assert (found["left"].map[:, :32] > 0).all()
    assert found["right"].score < found["left"].score / 100


def test_a_map_of_equal_distances_is_even_up_to_the_border_of_the_region(model, folder):
    from patchcore_core.detector import Prediction

    said = Prediction(torch.ones(1), distances=torch.full((1, 6, 12), 3.0))
    hidden = model._hidden(said, torch.from_numpy(LEFT), torch.from_numpy(LEFT[::8, ::8].copy()))
    torch.testing.assert_close(hidden.maps[0, :, :32], torch.full((48, 32), 3.0))
    assert not hidden.maps[0, :, 32:].any()


def test_pixels_are_not_measured_where_some_are_hidden(tmp_path):
    root = mvtec_folder(tmp_path, "bolt") / "bolt"
    region = save_region(tmp_path / "region.png", np.ones((24, 32)))
    chosen = FitOptions(resize=(24, 32), backbone="pixels")
    assert "PRO" in fit(look_at(root), chosen, show_progress=False).tested
    with_region = fit(look_at(root), FitOptions(resize=(24, 32), backbone="pixels", region=region), show_progress=False)
    assert "PRO" not in with_region.tested
    assert "image AUROC" in with_region.tested


def test_a_saved_model_keeps_tiles_and_region_under_its_hashes(folder, mask, tmp_path):
    made = fit(look_at(folder), options(region=mask, tiles=Tiles(32, 16)), show_progress=False)
    made.save(tmp_path / "model")
    loaded = PartsModel.load(tmp_path / "model")
    assert loaded.tiles == Tiles(32, 16)
    assert (loaded.region.mask == LEFT).all()
    before, after = judged(made, folder), judged(loaded, folder)
    assert [one.score for one in before.values()] == [one.score for one in after.values()]
    assert all((before[name].map == after[name].map).all() for name in before)
    card = (tmp_path / "model/README.md").read_text()
    assert "in tiles of 32 pixels that overlap by 16" in card
    assert "`region.png`" in card
    save_region(tmp_path / "model/region.png", ~LEFT)
    with pytest.raises(InputError, match=r"not those that were saved with it(.|\n)*region\.png"):
        PartsModel.load(tmp_path / "model")


def test_tiles_of_cells_alone_judge_as_whole_images_do(folder):
    whole = judged(fit(look_at(folder), options(), show_progress=False), folder)
    tiled = judged(fit(look_at(folder), options(tiles=Tiles(32, 16)), show_progress=False), folder)
    for name, one in whole.items():
        assert tiled[name].score == pytest.approx(one.score, rel=1e-5)
        np.testing.assert_allclose(tiled[name].map, one.map, rtol=1e-4, atol=1e-5)


# A mask for each image


@pytest.fixture(scope="module")
def masks(folder, tmp_path_factory):
    """The left of all images, but the right of the image with a flat right."""
    root = tmp_path_factory.mktemp("masks")
    for image in folder.rglob("*.png"):
        save_region(root / image.relative_to(folder), ~LEFT if image.parent.name == "right" else LEFT)
    return root


def test_each_image_is_looked_at_where_its_mask_says(folder, masks, tmp_path):
    made = fit(look_at(folder), options(region=masks), show_progress=False)
    found = judged(made, folder)
    assert found["right"].anomalous
    assert (found["right"].distances[:, :4] == 0).all()
    made.save(tmp_path / "model")
    loaded = PartsModel.load(tmp_path / "model")
    with pytest.raises(InputError, match=r"000\.png(.|\n)*Remedy: name the folder of their masks"):
        judged(loaded, folder)
    again = judged(loaded.with_region(masks), folder)
    assert [one.score for one in again.values()] == [one.score for one in found.values()]
    tested, _ = evaluate(loaded.with_region(masks), look_at(folder).tested, show_progress=False)
    assert tested["missed defects"] == 0


def test_the_mask_of_an_image_is_the_one_whose_place_is_the_longest_end_of_its_path(tmp_path):
    for place in ("000.png", "good/000.png", "test/good/000.png"):
        save_region(tmp_path / "masks" / place)
    region = Region.read(tmp_path / "masks", Preprocessing(SIZE), SIZE)
    for image, place in (
        ("parts/test/good/000.jpg", "test/good/000.png"),
        ("parts/train/good/000.png", "good/000.png"),
        ("elsewhere/000.png", "000.png"),
    ):
        assert region._file_of(tmp_path / image) == tmp_path / "masks" / place
    with pytest.raises(InputError, match=r"001\.png: no mask of its region"):
        region.of(tmp_path / "001.png", Preprocessing(SIZE), SIZE)


def test_all_images_without_a_mask_are_told_at_once(folder, masks, tmp_path):
    for name in ("000", "001"):
        save_region(tmp_path / f"masks/good/{name}.png")
    with pytest.raises(InputError, match=r"4 images have no region(.|\n)*002\.png(.|\n)*005\.png(.|\n)*Remedy:"):
        fit(look_at(folder), options(region=tmp_path / "masks"), show_progress=False)


# What is no region


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(SIZE, dtype=np.uint8), "hides everything"),
        (np.ones((24, 32), dtype=np.uint8), r"is of \(24, 32\), an image of \(48, 96\) pixels"),
        (np.arange(48 * 96, dtype=np.uint32).reshape(SIZE).astype(np.uint8), "has 256 values"),
    ],
)
def test_what_is_no_region_is_refused(values, message, tmp_path):
    Image.fromarray(values).save(tmp_path / "region.png")
    with pytest.raises(InputError, match=message):
        read_region(tmp_path / "region.png", SIZE)


def test_a_region_that_is_no_image_or_not_there_is_refused(tmp_path):
    (tmp_path / "region.png").write_text("no image")
    with pytest.raises(InputError, match="unreadable image"):
        read_region(tmp_path / "region.png", SIZE)
    with pytest.raises(InputError, match="no such image"):
        Region.read(tmp_path / "nothing.png", Preprocessing(SIZE), SIZE)
    (tmp_path / "masks").mkdir()
    with pytest.raises(InputError, match="no mask of a region in"):
        Region.read(tmp_path / "masks", Preprocessing(SIZE), SIZE)


def test_a_folder_of_masks_is_refused_by_a_model_that_has_none(model, masks):
    with pytest.raises(InputError, match="fitted without a mask for each image"):
        model.with_region(masks)


# From the command line


def run(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def test_tiles_and_region_are_given_by_the_command_and_used_by_all_others(folder, masks, tmp_path):
    model = tmp_path / "model"
    fitted = ["fit", folder, "--to", model, "--size", *SIZE, "--backbone", "pixels", "--coreset", 1]
    run(*fitted, "--tiles", 32, "--overlap", 16, "--region", masks)
    image = folder / "right/000.png"
    said = json.loads(run("predict", model, image, "--region", masks, "--json").stdout)["images"]
    assert said[0]["anomalous"]
    assert "image AUROC" not in run("evaluate", model, folder, "--region", masks).stdout  # no good ones to test with
    assert "farthest patch" in run("explain", model, image, "--region", masks, "--to", tmp_path / "why.png").stdout
    assert "--region FOLDER" in run("predict", model, image, code=1).stderr
    refused = run("export", model, image, "--to", tmp_path / "onnx", code=1).stderr
    assert "a mask for each image, and a graph holds one for all" in refused
    assert not (tmp_path / "onnx").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--overlap", 8], "--overlap 8 says nothing without tiles"),
        (["--tiles", 32, "--overlap", 32], "cannot be laid"),
        (["--tiles", 64], "larger than images of 48 x 96"),
        (["--region", "nothing.png"], "no such image: nothing.png"),
    ],
)
def test_tiles_and_regions_that_do_not_suit_are_told_in_a_line(arguments, message, folder, tmp_path):
    said = run("fit", folder, "--to", tmp_path / "m", "--size", *SIZE, "--backbone", "pixels", *arguments, code=1)
    assert message in said.stderr
    assert "Remedy:" in said.stderr
    assert not (tmp_path / "m").exists()


def test_scores_of_a_region_rank_defects_inside_it_first(model, folder):
    good = [model.judge([folder / f"good/{n:03}.png"], show_progress=False)[0].score for n in range(3)]
    left = judged(model, folder)["left"].score
    assert image_auroc([0, 0, 0, 1], [*good, left]) == 1
