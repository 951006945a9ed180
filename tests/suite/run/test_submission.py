"""The package for the server of MVTec AD 2: what is written, and all that its check refuses."""

import shutil
import sys
import tarfile
from contextlib import chdir

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image
from toy_folders import mvtec_folder, save_image, save_mask

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets import submission as package
from patchcore_suite.datasets.tiff import read_tiff, write_tiff
from patchcore_suite.run import prepare
from patchcore_suite.run.submission import write_package
from patchcore_suite.settings.project import load_project

CATEGORIES = ("can", "rice")
LIGHTS = {"test_private": "regular", "test_private_mixed": "mixed"}
VARIANTS = {
    "all": {"backbone": "pixels", "hierarchies": [2], "coreset_fraction": 1},
    "whole": {"method": "nearest_images", "backbone": "pixels", "hierarchies": [2]},
}


def images_of(root, category, *, size=(24, 32)):
    """Two private test images of each kind, and what a model is fitted to."""
    for split in ("train", "validation"):
        for index in range(2):
            save_image(root / category / split / "good" / f"{index:03}_regular.png", seed=index, size=size)
    for kind in ("good", "bad"):
        save_image(root / category / "test_public" / kind / "000_regular.png", seed=7, size=size)
    save_mask(root / category / "test_public/ground_truth/bad/000_regular_mask.png", size=size)
    for folder, light in LIGHTS.items():
        for index in range(2):
            save_image(root / category / folder / f"{index:03}_{light}.png", seed=20 + index, size=size)


@pytest.fixture(scope="module")
def written_once(tmp_path_factory):
    """A project with two categories, one of large images, and the package that a variant makes of them."""
    root = tmp_path_factory.mktemp("submission")
    images_of(root / "images", "can")
    images_of(root / "images", "rice", size=(40, 30))
    toy = {"layout": "mvtec_ad_2", "paper": None, "source": "images", "resize": [32, 32], "seeds": [0]}
    values = {"datasets": {"toy": toy | {"variants": list(VARIANTS)}}, "variants": VARIANTS}
    (root / "params.yaml").write_text(yaml.safe_dump(values))
    with chdir(root), pytest.MonkeyPatch.context() as patch:
        patch.setattr("patchcore_suite.run.submission.COUNTS", dict.fromkeys(CATEGORIES, 2))
        dataset = load_project().dataset("toy")
        prepare.prepare("toy", dataset.spec, "data")
        said = write_package(dataset, "all", root / "package")
    assert said == f"{root / 'package'}: 8 maps, 8 thresholded"
    return root


@pytest.fixture
def written(written_once, tmp_path, monkeypatch):
    """A copy of that package; the server is said to know as many images."""
    monkeypatch.setattr(package, "COUNTS", dict.fromkeys(CATEGORIES, 2))
    return shutil.copytree(written_once / "package", tmp_path / "package")


def refusal(folder, images=None):
    with pytest.raises(InputError) as caught:
        package.check_package(folder, package.expected(images))
    return list(caught.value.offenders)


# What is written


def test_maps_are_of_16_bits_at_the_size_of_the_images_as_another_library_reads_them(written):
    for category, size in (("can", (24, 32)), ("rice", (40, 30))):
        for each, light in LIGHTS.items():
            values = tifffile.imread(written / f"anomaly_images/{category}/{each}/001_{light}.tiff")
            called = np.asarray(Image.open(written / f"anomaly_images_thresholded/{category}/{each}/001_{light}.png"))
            assert (values.dtype, values.shape, called.shape) == (np.float16, size, size)
            assert set(np.unique(called)) <= {0, 255}
            assert np.isfinite(values).all()


def test_a_pixel_is_called_anomalous_three_deviations_above_nominal_ones(written):
    """Images for validation are those for training, whose distance to a bank of all their patches is 0."""
    for path in (written / "anomaly_images").rglob("*.tiff"):
        called = path.parents[3] / "anomaly_images_thresholded" / path.relative_to(path.parents[2]).with_suffix(".png")
        assert np.array_equal(np.asarray(Image.open(called)) == 255, tifffile.imread(path) > 0)


def test_the_package_is_checked_by_what_the_server_knows_or_by_the_images(written, written_once):
    for images in (None, written_once / "images"):
        assert package.check_package(written, package.expected(images)) == f"{written}: 8 maps, 8 thresholded"
    shutil.rmtree(written / "anomaly_images_thresholded")
    assert "none thresholded" in package.check_package(written, package.expected())


def test_the_server_knows_2045_images_of_either_kind():
    assert len(package.expected()) == 2 * 2045
    assert "can/test_private_mixed/320_mixed" in map(str, package.expected())


def test_a_package_is_compressed_with_its_folder(written, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["submission", str(written), "--pack"])
    package.main()
    with tarfile.open(written.with_name("package.tar.gz")) as archive:
        names = archive.getnames()
    assert "package/anomaly_images/can/test_private/000_regular.tiff" in names
    assert "written: " in capsys.readouterr().out


# What is refused


def test_all_that_the_server_would_refuse_is_told_at_once(written):
    maps, called = written / "anomaly_images", written / "anomaly_images_thresholded"
    (written / "notes.txt").write_text("of the day")
    (maps / "can/.DS_Store").write_bytes(b"")
    shutil.rmtree(called / "rice/test_private_mixed")
    (maps / "rice/test_private/000_regular.tiff").unlink()
    (maps / "rice/test_private/000_regular.tif").write_bytes(b"")
    tifffile.imwrite(maps / "can/test_private/000_regular.tiff", np.zeros((24, 32), np.float32))
    tifffile.imwrite(maps / "can/test_private/001_regular.tiff", np.zeros((24, 32, 3), np.float16), photometric="rgb")
    tifffile.imwrite(maps / "can/test_private_mixed/000_mixed.tiff", np.full((24, 32), np.nan, np.float16))
    (maps / "can/test_private_mixed/001_mixed.tiff").write_bytes(b"II*\0 cut")
    Image.fromarray(np.full((24, 32), 7, np.uint8)).save(called / "can/test_private/000_regular.png")
    Image.new("RGB", (32, 24)).save(called / "can/test_private/001_regular.png")
    Image.new("L", (9, 9)).save(called / "can/test_private_mixed/000_mixed.png")
    found = refusal(written)
    for part in (
        f"not to be there: {written}: notes.txt",
        f"not to be there: {maps}/can: .DS_Store",
        f"missing: {called}/rice: test_private_mixed",
        f"missing: {maps}/rice/test_private: 000_regular.tiff",
        f"not to be there: {maps}/rice/test_private: 000_regular.tif",
        f"{maps}/can/test_private/000_regular.tiff: float32, not float16",
        f"{maps}/can/test_private/001_regular.tiff: not one image of one channel",
        f"{maps}/can/test_private_mixed/000_mixed.tiff: values that are not finite",
        f"unreadable TIFF file: {maps}/can/test_private_mixed/001_mixed.tiff",
        f"{called}/can/test_private/000_regular.png: values other than 0 and 255",
        f"{called}/can/test_private/001_regular.png: not one channel",
        f"{called}/can/test_private_mixed/000_mixed.png: of 9 x 9 pixels, not 24 x 32",
    ):
        assert any(problem.startswith(part) for problem in found), (part, found)
    assert len(found) == 12


def test_a_map_of_another_size_than_its_image_is_told(written, written_once):
    write_tiff(written / "anomaly_images/can/test_private/000_regular.tiff", np.zeros((32, 24), np.float16))
    assert refusal(written, written_once / "images") == [
        f"{written}/anomaly_images/can/test_private/000_regular.tiff: of 32 x 24 pixels, not 24 x 32"
    ]


def test_a_folder_that_is_no_package_is_told(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        package.check_package(tmp_path / "gone", package.expected())
    with pytest.raises(InputError, match=r"missing: .*: anomaly_images\n"):
        package.check_package(tmp_path, package.expected())
    with pytest.raises(InputError, match="no private test images"):
        package.expected(mvtec_folder(tmp_path))


def test_what_cannot_make_a_package_is_told_before_it_is_begun(written_once):
    (written_once / "there").mkdir(exist_ok=True)
    with chdir(written_once):
        dataset = load_project().dataset("toy")
        with pytest.raises(InputError) as caught:  # the server knows eight categories
            write_package(dataset, "all", written_once / "there")
    assert "lacks categories, and the server takes all: fabric" in caught.value.offenders[0]
    assert "is there already" in caught.value.offenders[1]


def test_a_method_without_maps_makes_no_package_and_leaves_nothing(written_once, monkeypatch):
    monkeypatch.setattr("patchcore_suite.run.submission.COUNTS", dict.fromkeys(CATEGORIES, 2))
    with chdir(written_once):
        dataset, before = load_project().dataset("toy"), sorted(written_once.iterdir())
        with pytest.raises(InputError, match="scores whole images"):
            write_package(dataset, "whole", written_once / "other")
    assert sorted(written_once.iterdir()) == before


# Files


@pytest.mark.parametrize("kind", [np.uint8, np.float16])
def test_tiff_files_hold_what_another_library_reads(tmp_path, kind):
    image = (np.random.default_rng(0).random((5, 7)) * 200).astype(kind)
    write_tiff(tmp_path / "ours.tif", image)
    assert np.array_equal(tifffile.imread(tmp_path / "ours.tif"), image)
    assert np.array_equal(read_tiff(tmp_path / "ours.tif").values, image)
    tifffile.imwrite(tmp_path / "deflated.tif", image, compression="zlib", rowsperstrip=2, byteorder=">")
    found = read_tiff(tmp_path / "deflated.tif")
    assert (found.size, found.kind, found.channels, found.images) == ((5, 7), np.dtype(kind).name, 1, 1)
    assert np.array_equal(found.values, image)
    tifffile.imwrite(tmp_path / "two.tif", np.stack([image, image]), photometric="minisblack")
    assert read_tiff(tmp_path / "two.tif").images == 2
