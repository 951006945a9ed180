import struct
import warnings
from dataclasses import replace
from operator import length_hint

import cv2
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from scipy.ndimage import affine_transform
from torchvision import transforms
from toy_folders import SIZE, mstc_folder, mtd_folder, mvtec_folder, save_image, save_mask

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets import load
from patchcore_suite.datasets.decoding import decode
from patchcore_suite.datasets.images import Batches, image_tensor, mask_array, read_image, read_mask, turned
from patchcore_suite.datasets.inspection import build_manifest
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import Record
from patchcore_suite.datasets.spec import DatasetSpec

COLOURS = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
GREY = COLOURS[..., 0]


def record_of(image, mask=None, *, label=0, frame=None):
    return Record(image, "part", "test", label, "dent" if label else "good", mask, frame)


def read(path):
    return np.asarray(read_image(record_of(path)))


# Turning images


def smooth(height, width):
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / 9 + columns / 13 + shift) for shift in (0, 1, 2)]
    return np.round(127 + 120 * np.stack(waves, axis=2)).astype(np.uint8)


def test_a_quarter_turn_of_a_square_is_exact_and_goes_against_the_clock():
    image = Image.fromarray(COLOURS[:24, :24])
    for quarters in (1, 2, 3):
        found = np.asarray(turned(image, 90 * quarters))
        assert np.array_equal(found, np.rot90(image, quarters))
        assert np.array_equal(found, image.rotate(90 * quarters))


def test_a_half_turn_keeps_every_pixel_of_a_wide_image():
    assert np.array_equal(turned(Image.fromarray(COLOURS), 180), COLOURS[::-1, ::-1])


@pytest.mark.parametrize("degrees", [30, 45, 135, 202.5, 315])
def test_between_pixels_and_beyond_the_sides_it_is_as_scipy_has_it(degrees):
    image = smooth(40, 56)
    sine, cosine = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    back = np.array([[cosine, sine], [-sine, cosine]])  # from a (row, column) of the result to one of the image
    centre = (np.array(image.shape[:2]) - 1) / 2
    options = {"offset": centre - back @ centre, "order": 1, "mode": "mirror"}
    wanted = np.stack([affine_transform(one.astype(float), back, **options) for one in np.moveaxis(image, 2, 0)], 2)
    found = np.asarray(turned(Image.fromarray(image), degrees))
    assert np.abs(found - wanted).max() < 2  # OpenCV takes places to a thirty-second of a pixel
    inside = np.asarray(Image.fromarray(image).rotate(degrees, Image.Resampling.BILINEAR))[15:25, 23:33].astype(int)
    assert np.abs(found[15:25, 23:33] - inside).max() <= 2


def test_a_record_with_a_rotation_is_read_turned(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "colours.png")
    record = replace(record_of(tmp_path / "colours.png"), rotation=180.0)
    assert np.array_equal(read_image(record), COLOURS[::-1, ::-1])


# Reading images


def test_rgb_and_grey_are_read_as_they_are(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "colours.PNG")
    Image.fromarray(GREY).save(tmp_path / "grey.bmp")
    assert np.array_equal(read(tmp_path / "colours.PNG"), COLOURS)
    assert np.array_equal(read(tmp_path / "grey.bmp"), np.stack([GREY] * 3, axis=2))


def test_alpha_is_dropped_not_blended(tmp_path):
    Image.fromarray(np.dstack([COLOURS, GREY])).save(tmp_path / "rgba.png")
    Image.fromarray(np.dstack([GREY, GREY])).save(tmp_path / "la.png")
    assert np.array_equal(read(tmp_path / "rgba.png"), COLOURS)
    assert np.array_equal(read(tmp_path / "la.png")[..., 1], GREY)


def test_palettes_are_looked_up(tmp_path):
    indices = (GREY % 2).astype(np.uint8)
    image = Image.fromarray(indices)
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.save(tmp_path / "palette.png")
    image.save(tmp_path / "transparent.png", transparency=b"\x00\x80")
    expected = np.array([[10, 20, 30], [200, 100, 0]], dtype=np.uint8)[indices]
    assert np.array_equal(read(tmp_path / "palette.png"), expected)
    with warnings.catch_warnings(action="error"):
        assert np.array_equal(read(tmp_path / "transparent.png"), expected)


def test_one_bit_images_become_black_and_white(tmp_path):
    Image.fromarray(GREY > 127).save(tmp_path / "bits.png")
    assert np.array_equal(read(tmp_path / "bits.png")[..., 2], np.where(GREY > 127, 255, 0))


def test_cmyk_is_converted(tmp_path):
    Image.new("CMYK", (32, 24), (0, 255, 255, 0)).save(tmp_path / "red.jpg")
    assert np.abs(read(tmp_path / "red.jpg") - np.array([255, 0, 0])).max() < 8


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_keep_their_full_range(tmp_path, suffix):
    deep = np.random.default_rng(1).integers(0, 65536, (*SIZE, 3), dtype=np.uint16)
    deep[0, 0], deep[0, 1] = 65535, 0
    grey, colours = tmp_path / f"grey{suffix}", tmp_path / f"colours{suffix}"
    cv2.imwrite(str(grey), deep[..., 0])
    cv2.imwrite(str(colours), deep[..., ::-1])
    assert np.array_equal(read(grey), np.stack([deep[..., 0] >> 8] * 3, axis=2))
    assert np.array_equal(read(colours), deep >> 8)
    assert (read(grey)[0, 0] == 255).all()


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bit_tiff_of_either_byte_order(tmp_path, order):
    deep = (GREY.astype(np.uint16) << 8) + 17
    tifffile.imwrite(tmp_path / "deep.tiff", deep, byteorder=order)
    assert np.array_equal(read(tmp_path / "deep.tiff")[..., 0], GREY)


def test_images_of_unknown_range_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "float.tif", GREY.astype(np.float32))
    tifffile.imwrite(tmp_path / "wide.tif", GREY.astype(np.uint32))
    for name in ("float.tif", "wide.tif"):
        with pytest.raises(InputError, match=rf"{name}: 32 bits.*\nRemedy: save it with 8 or 16 bits"):
            read(tmp_path / name)


def test_sixteen_bits_in_planes_are_refused_because_pillow_reads_them_wrongly(tmp_path):
    tifffile.imwrite(tmp_path / "p.tif", np.zeros((3, *SIZE), np.uint16), photometric="rgb", planarconfig="separate")
    with pytest.raises(InputError, match="interleaved"):
        read(tmp_path / "p.tif")


def test_images_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    Image.fromarray(COLOURS).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read(tmp_path / "turned.png"), np.rot90(COLOURS, k=-1))
    assert read_mask(record_of(tmp_path / "turned.png")).shape == (32, 24)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
def test_truncated_images_are_named(tmp_path, suffix):
    path = save_image(tmp_path / f"cut{suffix}")
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InputError, match=rf"unreadable image: .*cut\{suffix}"):
        read(path)


def test_missing_empty_and_foreign_files_are_named(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(InputError, match=r"no such image: .*missing\.png"):
        read(tmp_path / "missing.png")
    for name in ("empty.png", "text.png"):
        with pytest.raises(InputError, match=f"unreadable image: .*{name}"):
            read(tmp_path / name)


def test_frames_of_a_video_may_be_asked_for_in_any_order(tmp_path):
    training = load(mstc_folder(tmp_path), "01", "train")
    assert [record.frame for record in training] == [0, 5, 10]
    lightness = {record.frame: read_image(record).convert("L").getpixel((5, 5)) for record in training}
    assert lightness == pytest.approx({frame: 20 * frame for frame in (0, 5, 10)}, abs=4)
    backwards = {record.frame: read_image(record).convert("L").getpixel((5, 5)) for record in reversed(training)}
    assert backwards == lightness
    with pytest.raises(InputError, match=r"01_001\.avi: frame 12 cannot be decoded"):
        read_image(record_of(training[0].image, frame=12))


def test_channels_of_a_video_are_in_the_right_order(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "red.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 24))
    writer.write(np.full((24, 32, 3), (0, 0, 255), dtype=np.uint8))  # OpenCV puts blue first
    writer.release()
    red, _, blue = read_image(record_of(tmp_path / "red.avi", frame=0)).getpixel((5, 5))
    assert red > 200 > 50 > blue


# Preprocessing


@pytest.mark.parametrize("size", [(96, 160), (160, 96), (100, 100), (97, 131)])
@pytest.mark.parametrize(("resize", "crop"), [(64, 56), (64, None), ((40, 72), None), ((40, 72), (32, 64)), (200, 180)])
def test_preprocessing_equals_torchvision_on_pillow_images(size, resize, crop):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))
    steps = [transforms.Resize(resize), *([transforms.CenterCrop(crop)] if crop else []), transforms.ToTensor()]
    tensor = image_tensor(image, Preprocessing(resize, crop))
    assert torch.equal(tensor, transforms.Compose(steps)(image))
    assert tensor.dtype == torch.float32
    assert 0 <= tensor.min() <= tensor.max() <= 1
    assert tuple(tensor.shape[1:]) == Preprocessing(resize, crop).size(size)


def test_masks_and_images_are_cropped_alike():
    mask = np.zeros((96, 160), dtype=bool)
    mask[30:60, 100:140] = True
    image = Image.fromarray(np.stack([mask * np.uint8(255)] * 3, axis=2))
    preprocessing = Preprocessing(48, (40, 60))
    small = mask_array(mask, preprocessing)
    assert small.dtype == bool
    assert small.shape == (40, 60)
    bright = image_tensor(image, preprocessing)[0].numpy()
    assert small[bright == 1].all()
    assert not small[bright == 0].any()


def test_a_bilinear_mask_keeps_the_pixels_that_stay_whole_by_hand():
    mask = np.zeros((8, 8), dtype=bool)
    mask[1:7, :] = True
    # Halved, a row of the result weights four rows by 1, 3, 3, 1: the first and the last also see what is nominal.
    assert mask_array(mask, Preprocessing(4, masks="bilinear"))[:, 1].tolist() == [False, True, True, False]
    assert mask_array(np.ones((8, 8), dtype=bool), Preprocessing(4, 2, masks="bilinear")).all()


@pytest.mark.parametrize(("resize", "crop"), [(64, 56), (64, None), ((40, 72), (32, 64)), (200, 180)])
def test_bilinear_masks_equal_those_of_the_authors_code(resize, crop):
    mask = np.random.default_rng(0).random((96, 160)) < 0.995
    mask[20:60, 30:90] = False
    steps = [transforms.Resize(resize), *([transforms.CenterCrop(crop)] if crop else []), transforms.ToTensor()]
    stored = Image.fromarray(mask.astype(np.uint8) * 255)  # as MVTec's masks are
    expected = transforms.Compose(steps)(stored)[0].numpy().astype(int)  # the cast drops all that is below 1
    found = mask_array(mask, Preprocessing(resize, crop, masks="bilinear"))
    assert found.dtype == bool
    assert np.array_equal(found, expected == 1)
    assert 0 < found.sum() < mask_array(mask, Preprocessing(resize, crop)).sum()


def test_masks_are_resized_with_nearest_neighbour_unless_told_otherwise():
    assert Preprocessing(64, 56) == Preprocessing(64, 56, masks="nearest")
    with pytest.raises(InputError, match="masks='cubic' must be one of nearest, bilinear"):
        Preprocessing(64, masks="cubic")


def test_a_crop_that_does_not_fit_is_refused_not_padded():
    assert Preprocessing(64, (64, 100)).size((96, 160)) == (64, 100)
    with pytest.raises(InputError, match=r"crop=\(64, 100\) does not fit"):
        Preprocessing(64, (64, 100)).size((160, 96))


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "256", (1, 2, 3), (0, 5), (), 16_385, 10**25])
def test_impossible_sizes_are_refused(value):
    with pytest.raises(InputError, match="resize="):
        Preprocessing(value)
    with pytest.raises(InputError, match="crop="):
        Preprocessing(256, value)


def test_all_that_is_wrong_with_a_preparation_is_listed():
    with pytest.raises(InputError) as caught:
        Preprocessing(0, [1, 2, 3], "cubic")
    assert [offender.partition("=")[0] for offender in caught.value.offenders] == ["resize", "crop", "masks"]


def test_lists_from_yaml_become_tuples():
    assert Preprocessing([32, 48], [16, 16]) == Preprocessing((32, 48), (16, 16))


# Masks


def test_the_mask_of_a_nominal_image_is_empty_and_needs_no_file(tmp_path):
    mask = read_mask(record_of(save_image(tmp_path / "0.png", size=(20, 30))))
    assert mask.shape == (20, 30)
    assert not mask.any()


def test_an_anomalous_image_without_mask_has_no_ground_truth(tmp_path):
    with pytest.raises(InputError, match=r"no mask: .*0\.png"):
        read_mask(record_of(save_image(tmp_path / "0.png"), label=1))


def test_masks_in_a_folder_mark_an_image_together(tmp_path):
    folder = tmp_path / "masks"
    record = record_of(save_image(tmp_path / "0.png"), folder, label=1)
    folder.mkdir()
    with pytest.raises(InputError, match="no mask in the folder"):
        read_mask(record)
    for name, corner in (("0.png", (0, 0)), ("1.png", (23, 31))):
        values = np.zeros(SIZE, np.uint8)
        values[corner] = 250
        Image.fromarray(values).save(folder / name)
    assert np.argwhere(read_mask(record)).tolist() == [[0, 0], [23, 31]]
    save_mask(folder / "2.png", size=(9, 9))
    with pytest.raises(InputError, match=r"several sizes in .*: 0\.png \(24, 32\), 1\.png \(24, 32\), 2\.png \(9, 9\)"):
        read_mask(record)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (np.uint8([[0, 255]]), [[False, True]]),
        (np.uint8([[0, 1]]), [[False, True]]),
        (np.uint8([[0, 1, 2, 3]]), [[False, True, True, True]]),  # numbered regions
        (np.uint8([[0, 1, 127, 128, 255]]), [[False, False, False, True, True]]),  # soft edges
        (np.uint16([[0, 65535]]), [[False, True]]),
        (np.uint8([[[0, 0, 0], [200, 0, 0]]]), [[False, True]]),
        (np.uint8([[[0, 0, 0, 255], [255, 255, 255, 255]]]), [[False, True]]),
        (np.array([[False, True]]), [[False, True]]),
        (np.uint8([[0, 0]]), [[False, False]]),
    ],
)
def test_masks_of_every_kind_show_the_defect(tmp_path, stored, expected):
    Image.fromarray(stored).save(tmp_path / "mask.png")
    record = record_of(tmp_path / "unused.png", tmp_path / "mask.png", label=1)
    assert read_mask(record).tolist() == expected


def test_a_palette_mask_shows_the_defect(tmp_path):
    image = Image.fromarray(np.uint8([[0, 1]]))
    image.putpalette([0, 0, 0, 0, 0, 128])
    image.save(tmp_path / "mask.png")
    record = record_of(tmp_path / "unused.png", tmp_path / "mask.png", label=1)
    assert read_mask(record).tolist() == [[False, True]]


def test_the_mask_of_a_frame_comes_from_its_place_in_the_stack(tmp_path):
    *_, record = load(mstc_folder(tmp_path))
    mask = read_mask(record)
    assert mask.sum() == 4 * 6
    assert mask[2:6, 3:9].all()


# Batches


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_come_in_the_order_of_the_records(tmp_path, workers):
    training = load(mvtec_folder(tmp_path, training=7), "part", "train")
    found = list(Batches(training, Preprocessing(16), 3, workers=workers))
    assert [len(batch) for batch in found] == [3, 3, 1]
    expected = torch.stack([image_tensor(read_image(record), Preprocessing(16)) for record in training])
    assert torch.equal(torch.cat(found), expected)


def test_batches_tell_how_many_are_left(tmp_path):
    read = Batches(load(mvtec_folder(tmp_path, training=7), "part", "train"), Preprocessing(16), 3)
    assert length_hint(read) == 3
    next(read)
    assert length_hint(read) == 2
    assert len(list(read)) == 2
    assert length_hint(read) == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_of_video_frames_are_the_same_with_threads(tmp_path, workers):
    training = load(mstc_folder(tmp_path), "01", "train")
    means = torch.cat([batch.mean(dim=(1, 2, 3)) for batch in Batches(training, Preprocessing(16), 1, workers=workers)])
    assert means.tolist() == pytest.approx([0, 100 / 255, 200 / 255], abs=0.02)


@pytest.mark.parametrize("workers", [0, 2])
def test_images_of_different_sizes_are_named_with_the_remedy(tmp_path, workers):
    tiles = load(mtd_folder(tmp_path), "mtd", "train")
    with pytest.raises(InputError) as caught:
        list(Batches(tiles, Preprocessing(16), 2, workers=workers))
    assert str(caught.value).count("MT_Free/Imgs/exp1_num_") == 2
    assert "give resize as [height, width], or add a crop" in str(caught.value)
    for preprocessing in (Preprocessing((16, 16)), Preprocessing(16, 16)):
        assert sum(len(batch) for batch in Batches(tiles, preprocessing, 2, workers=workers)) == len(tiles)


def test_a_file_that_another_program_would_run_is_no_image_whatever_it_is_called(tmp_path, monkeypatch):
    drawn = tmp_path / "1.png"
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(drawn, format="EPS")
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("it was run"))
    with pytest.raises(InputError, match=r"unreadable image: .*1\.png: not an image, or damaged"):
        read(drawn)


def test_an_image_too_large_to_be_opened_is_told_with_what_helps(tmp_path, monkeypatch):
    Image.new("L", (30, 20)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 299)
    with pytest.raises(InputError, match=r"large\.png: more than 598 pixels: save it smaller, or as several images"):
        decode(tmp_path / "large.png")


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_stops_the_batches(tmp_path, workers):
    training = load(mvtec_folder(tmp_path), "part", "train")
    training[1].image.write_bytes(b"")
    with pytest.raises(InputError, match=r"unreadable image: .*001\.png"):
        list(Batches(training, Preprocessing(16), 1, workers=workers))


def test_batches_show_progress_when_described(tmp_path, capsys):
    training = load(mvtec_folder(tmp_path), "part", "train")
    list(Batches(training, Preprocessing(16), 2))
    assert capsys.readouterr().err == ""
    list(Batches(training, Preprocessing(16), 2, description="part: read"))
    assert "part: read: 100%" in capsys.readouterr().err


# What decoders leave as it is stored


@pytest.mark.parametrize("bits", [8, 16])
def test_zero_may_be_white(tmp_path, bits):
    stored = np.full(SIZE, 3 << (bits - 2), np.uint8 if bits == 8 else np.uint16)
    tifffile.imwrite(tmp_path / "i.tif", stored, photometric="miniswhite")
    assert set(read(tmp_path / "i.tif").flat) == {63}


def test_twelve_bits_of_a_tiff_are_read_as_such(tmp_path):
    pixels = bytes([0xFF, 0xF8, 0x00])  # 4095 and 2048
    entries = [(256, 2), (257, 1), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 3)]
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    head = b"II*\0" + struct.pack("<I", 12) + pixels + b"\0"
    (tmp_path / "i.tif").write_bytes(head + struct.pack("<H", len(entries)) + table + bytes(4))
    assert read(tmp_path / "i.tif")[0, :, 0].tolist() == [255, 128]


def test_sixteen_bits_of_a_portable_graymap_keep_their_range(tmp_path):
    (tmp_path / "i.pgm").write_bytes(b"P5 2 1 4095\n" + np.array([4095, 2048], ">u2").tobytes())
    assert read(tmp_path / "i.pgm")[0, :, 0].tolist() == [255, 128]


def test_an_image_of_more_bits_than_its_category_is_refused(tmp_path):
    for highest, fits in ((4095, True), (4096, False)):
        Image.fromarray(np.full(SIZE, highest, np.uint16)).save(tmp_path / "i.png")
        record = Record(tmp_path / "i.png", "part", "test", 0, "good", bits=12)
        if fits:
            assert set(np.asarray(read_image(record)).flat) == {255}
        else:
            with pytest.raises(InputError, match=r"i\.png: values above 4095, which 12 bits hold"):
                read_image(record)


def test_several_images_in_a_file_are_refused(tmp_path):
    pages = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    for name in ("i.tif", "i.gif", "i.webp", "i.png"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
        with pytest.raises(InputError, match="2 images in one file"):
            read(tmp_path / name)


def test_a_mask_in_the_alpha_channel_is_refused(tmp_path):
    image = save_image(tmp_path / "i.png")
    white, alpha = np.full(SIZE, 255, np.uint8), np.zeros(SIZE, np.uint8)
    alpha[:4, :4] = 255
    for name, planes in (("rgba", [white, white, white, alpha]), ("la", [white, alpha])):
        mask = tmp_path / f"{name}.png"
        Image.fromarray(np.dstack(planes)).save(mask)
        with pytest.raises(InputError, match=r"unsuitable mask: .*transparent in part"):
            read_mask(record_of(image, mask, label=1))
    opaque = tmp_path / "opaque.png"
    Image.fromarray(np.dstack([alpha, alpha, alpha, white])).save(opaque)
    assert read_mask(record_of(image, opaque, label=1)).sum() == 16


@pytest.mark.parametrize(("value", "read"), [(1, None), (255, None), (2**15, 16), (2**16 - 1, 16)])
def test_a_mask_whose_values_are_lost_in_16_bits_of_colour_is_refused(tmp_path, value, read):
    image, mask = save_image(tmp_path / "i.png"), tmp_path / "mask.png"
    values = np.zeros((*SIZE, 3), np.uint16)
    values[:4, :4] = value
    cv2.imwrite(str(mask), values)
    if read:
        assert read_mask(record_of(image, mask, label=1)).sum() == read
        return
    with pytest.raises(InputError, match=r"unsuitable mask: .*colours of 16 bits, of which the lower 8 are not read"):
        read_mask(record_of(image, mask, label=1))


# Cameras that fill less than 16 bits


def camera(root, values):
    """A category whose images hold these values, of 16 bits each."""
    mvtec_folder(root)
    for path in root.glob("part/t*/*/*.png"):
        cv2.imwrite(str(path), values)
    return build_manifest("toy", root, DatasetSpec(source=str(root), layout="mvtec"))


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_what_a_camera_fills_is_read_as_the_whole(tmp_path, bits):
    values = np.linspace(0, 2**bits - 1, SIZE[0] * SIZE[1]).astype(np.uint16).reshape(SIZE)
    manifest = camera(tmp_path / "images", values)
    assert manifest.warnings[-1] == (
        f"part: of the 16 bits of an image {bits} are filled, and it is read as one of {bits} bits"
    )
    manifest.write(tmp_path / "manifest.json")
    record = Manifest.read(tmp_path / "manifest.json").records("part", "test")[0]
    assert np.array_equal(np.asarray(read_image(record))[..., 0], values >> (bits - 8))
    assert record.bits == bits


def test_sixteen_bits_that_are_filled_are_read_as_before(tmp_path):
    values = np.linspace(0, 2**16 - 1, SIZE[0] * SIZE[1]).astype(np.uint16).reshape(SIZE)
    manifest = camera(tmp_path, values)
    assert {record.bits for record in manifest.records("part")} == {16}
    assert not any("bits" in line for line in manifest.warnings)


@pytest.mark.parametrize("alpha", [False, True])
def test_colours_of_which_too_little_would_be_left_are_refused(tmp_path, alpha):
    values = np.dstack([COLOURS[..., i].astype(np.uint16) << 4 for i in range(3)])
    if alpha:
        values = np.dstack([values, np.full(SIZE, 2**16 - 1, np.uint16)])
    with pytest.raises(InputError, match="part: images of 16 bits, in colours or with alpha, of which 12 are filled"):
        camera(tmp_path, values)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"|u1', ", b"|u1',\xff"), (b"(1, 12, 9), }", b"(0, 12, 9), }"), (b"(1, 12, 9), }", b"(1, 12, 9),  ")],
)
def test_a_stack_of_masks_with_a_damaged_header_is_refused(tmp_path, old, new):
    path = tmp_path / "stack.npy"
    np.save(path, np.zeros((1, 12, 9), dtype=np.uint8))
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(InputError, match=r"(unreadable|unsuitable) mask: \S+stack\.npy"):
        read_mask(record_of(tmp_path / "image.png", path, label=1, frame=0))
