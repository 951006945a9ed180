import hashlib

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation, binary_fill_holes

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets import synthetic
from patchcore_suite.datasets.records import NOMINAL
from patchcore_suite.datasets.synthetic import mstc, mtd, mvtec, writers
from patchcore_suite.datasets.synthetic.surface import changed

pytestmark = pytest.mark.xdist_group("stand-ins")  # in one process, which draws them once

DEFECTS = [(category, defect) for category, made in mvtec.CATEGORIES.items() for defect in made.defects]

# Of the shortened datasets that `drawn` makes. A change of the drawings changes these; another machine must not.
SHA256 = {
    "mvtec": "1132cdb31c3ca6735f3afbf3d6b1cd46ef09a3efa716bf51918781fe92bcbd84",
    "mtd": "65a802a823f963eee1e3d1d472d6e15de56a8393c457fb99758ce4a838a2f51b",
    "mstc": "0a38f09e1fd18fa59fb0658ad7a53754efeedfcec6195b0825b34ecd0ee3a606",
    "btad": "866f58f8020f240ba5f5e0d0095a022505ac56c7ae3ffe5fc645400f8e6311cf",
    "csv": "0cd59db4d1121e1ca6ba1174ad583186e15efeadc80e0cf5a970ff33aa8a7d71",
    "folders": "65650e5b917ad47e619494f302d98ea9576d98419cf46227d28dd959fc64d0f3",
    "kolektorsdd": "5f98c5ffe9362f01c6ea72784c565454bdfca5862cb79f86796301d0b80e2b82",
    "kolektorsdd2": "3593a828839ebc32c247e8c2247ade838a69e4b7ca1941b66fa5ec865e5a6a36",
    "mpdd": "a3b9e27791ebd7ed6dbe0cec892263a14a506d2ad00a7ec7dc33b99ed831df92",
    "mvtec_ad_2": "741d4aa2fdb8a7ad1787f9e880f8838c2a2272bf405179e09231ca6fee600d2f",
    "mvtec_loco": "9f88357e0b2c5c5ab840837f0e4320862f6a466e7a0cd7b630945289d0efcd6b",
    "ped2": "5656983fc5a28d4fa0fae0ad5cff01a29883a9edd776af7962c2bc78962788ad",
    "real_iad": "5884a0db05687ca2023f21828450230e24b15b240bcfbc8cb8deaedef9b34e61",
    "visa": "8a96aa7840b6fdb59fc72a42e51aa80dabc82588d32444a49b5e0d3a3b1a24cc",
}


def files(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def pixels(path):
    return np.asarray(Image.open(path))


@pytest.mark.parametrize("dataset", synthetic.DATASETS)
def test_a_seed_gives_the_same_bytes_on_every_machine(drawn, dataset):
    digest = hashlib.sha256()
    for name in files(drawn / dataset):
        digest.update(name.encode() + b"\0" + (drawn / dataset / name).read_bytes())
    assert digest.hexdigest() == SHA256[dataset]


def test_another_seed_gives_other_images():
    assert not np.array_equal(*(mvtec.picture("weave", "train", NOMINAL, 0, seed=seed)[0] for seed in (0, 1)))
    shapes = {mtd.picture("Free", 0, seed=seed)[0].shape for seed in range(3)}
    assert len(shapes) == 3
    first, second = (mstc.clip("01", "training", 0, frames=1, seed=seed)[0][0] for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_an_image_does_not_depend_on_those_drawn_before_it(drawn):
    alone, _ = mvtec.picture("tile", "train", NOMINAL, 1, seed=0)
    assert np.array_equal(pixels(drawn / "mvtec/tile/train/good/001.png"), alone)


def test_mvtec_has_the_layout_of_mvtec_ad(drawn):
    expected = []
    for category, made in mvtec.CATEGORIES.items():
        expected += [f"{category}/train/good/{index:03d}.png" for index in range(2)] + [f"{category}/test/good/000.png"]
        for defect in made.defects:
            expected += [f"{category}/test/{defect}/000.png", f"{category}/ground_truth/{defect}/000_mask.png"]
    assert files(drawn / "mvtec") == sorted(expected)
    assert (mvtec.TRAIN, mvtec.TEST_GOOD, mvtec.TEST_DEFECT) == (24, 10, 6)
    assert len(list(mvtec.jobs(0))) == 6 * (24 + 10) + 6 * len(DEFECTS)
    assert all(len(made.defects) >= 3 for made in mvtec.CATEGORIES.values())


def test_mvtec_images_are_rgb_or_grey_and_masks_black_and_white(drawn):
    for name in files(drawn / "mvtec"):
        image = Image.open(drawn / "mvtec" / name)
        grey = "ground_truth" in name or name.startswith("gear")
        assert (image.size, image.mode) == ((256, 256), "L" if grey else "RGB")
        if "ground_truth" in name:
            assert set(np.unique(image)) == {0, 255}


@pytest.mark.parametrize(("category", "defect"), DEFECTS)
def test_a_mask_is_where_the_defect_changed_the_image(category, defect):
    name = (0, "mvtec", category, "test", defect, 3)
    image, mask = mvtec.picture(category, "test", defect, 3, seed=0)
    nominal = mvtec._draw(category, name, NOMINAL)
    differs = np.any(np.atleast_3d(image != nominal), axis=2)
    assert np.all(mask[differs])
    assert not np.any(mask & ~binary_fill_holes(binary_dilation(differs, iterations=2)))
    assert 100 < mask.sum() < 0.1 * mask.size
    assert mask[16:-16, 16:-16].sum() == mask.sum()  # the centre crop keeps the whole defect


def test_a_mask_bridges_small_gaps_and_includes_what_a_change_encloses():
    nominal = np.zeros((9, 12), np.uint8)
    flawed = nominal.copy()
    flawed[0, [0, 1, 3]] = 9  # a gap at the border
    flawed[3:8, 5:10] = 9
    flawed[4:7, 6:9] = 0  # an unchanged middle
    expected = np.zeros((9, 12), bool)
    expected[0, :4] = expected[3:8, 5:10] = True
    assert np.array_equal(changed(nominal, flawed), expected)
    assert np.array_equal(changed(np.repeat(nominal[..., None], 3, 2), np.repeat(flawed[..., None], 3, 2)), expected)


def test_mtd_has_the_public_layout_and_images_of_many_sizes(drawn):
    root, sizes = drawn / "mtd", set()
    counts = {"Free": 7, "Blowhole": 2, "Break": 2, "Crack": 2, "Fray": 2, "Uneven": 2}
    assert {folder.name for folder in root.iterdir()} == {f"MT_{kind}" for kind in counts}
    for kind, count in counts.items():
        images = sorted((root / f"MT_{kind}/Imgs").glob("exp?_num_*.jpg"))
        assert len(images) == count
        for path in images:
            image, mask = Image.open(path), Image.open(path.with_suffix(".png"))
            assert (image.mode, mask.mode, mask.size) == ("L", "L", image.size)
            assert set(np.unique(mask)) == ({0} if kind == "Free" else {0, 255})
            sizes.add(image.size)
    names = [path.name for path in root.glob("*/Imgs/*.jpg")]
    assert len(set(names)) == len(names) == sum(counts.values())
    assert len(sizes) > 12
    assert (mtd.FREE, mtd.DEFECTIVE) == (90, 9)


def test_mstc_has_the_layout_of_shanghaitech_campus(drawn):
    root = drawn / "mstc"
    assert sorted(path.name for path in (root / "training/videos").iterdir()) == [
        "01_001.avi", "01_002.avi", "02_001.avi", "02_002.avi",
    ]  # fmt: skip
    for clip in ("01_0001", "01_0002", "02_0001", "02_0002"):
        frames = sorted((root / "testing/frames" / clip).iterdir())
        masks = np.load(root / "testing/test_pixel_mask" / f"{clip}.npy")
        labels = np.load(root / "testing/test_frame_mask" / f"{clip}.npy")
        assert [frame.name for frame in frames] == [f"{number:03d}.jpg" for number in range(24)]
        assert (masks.dtype, labels.dtype) == (np.uint8, np.uint8)
        assert masks.shape == (24, *pixels(frames[0]).shape[:2])
        assert np.array_equal(labels, masks.max(axis=(1, 2)))
        assert set(np.unique(labels)) == {0, 1}


def test_the_intruder_of_a_whole_clip_comes_and_goes():
    _, masks = mstc.clip("02", "testing", 0, frames=mstc.TEST_FRAMES, seed=0)
    present = masks.any(axis=(1, 2))
    assert not present[0]
    assert not present[-1]
    assert present[::5].sum() >= 10  # the protocol takes every fifth frame


def test_a_training_clip_shows_nobody_but_walkers():
    _, masks = mstc.clip("01", "training", 0, frames=2, seed=0)
    assert not masks.any()


def test_png_files_hold_the_pixels_uncompressed(tmp_path):
    rng = np.random.default_rng(0)
    for shape in [(3, 5), (300, 256), (256, 256, 3)]:  # less than a block, more than one, many
        image = rng.integers(0, 256, shape, dtype=np.uint8)
        writers.write_png(tmp_path / "image.png", image)
        assert np.array_equal(pixels(tmp_path / "image.png"), image)
        assert image[0].tobytes() in (tmp_path / "image.png").read_bytes()


def test_videos_hold_every_frame_in_order(drawn):
    video = cv2.VideoCapture(str(drawn / "mstc/training/videos/02_001.avi"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 6
    expected, _ = mstc.clip("02", "training", 0, frames=6, seed=0)
    for image in expected:
        found, frame = video.read()
        assert found
        error = np.abs(frame[..., ::-1].astype(int) - image)
        assert error.mean() < 2  # JPEG, and colours in YUV
    assert not video.read()[0]


def test_an_unknown_dataset_is_an_error_that_names_the_known_ones(tmp_path):
    with pytest.raises(InputError, match=r"(?s)'coco'.*mstc.*mtd.*mvtec.*visa"):
        synthetic.generate("coco", tmp_path / "coco")


def test_what_is_already_there_is_not_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match="in the way"):
        synthetic.generate("mtd", tmp_path)
    assert files(tmp_path) == ["mine.txt"]


def test_an_interrupted_run_leaves_no_half_dataset(tmp_path, monkeypatch):
    def jobs(seed):
        yield lambda root: (root / "first.txt").write_text("drawn")
        yield lambda root: 1 / 0

    monkeypatch.setattr(synthetic, "DATASETS", {"broken": jobs})
    with pytest.raises(ZeroDivisionError):
        synthetic.generate("broken", tmp_path / "broken")
    assert list(tmp_path.iterdir()) == []


def test_progress_goes_to_stderr(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(synthetic, "DATASETS", {"quick": lambda seed: iter([lambda root: None])})
    synthetic.generate("quick", tmp_path / "quick")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "quick" in captured.err
