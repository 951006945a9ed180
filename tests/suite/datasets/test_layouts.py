import errno
import http.server
import io
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_folders import SIZE, mstc_folder, mtd_folder, mvtec_folder, save_image, save_mask

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets import download, load
from patchcore_suite.datasets.layouts import LAYOUTS, mstc, mtd, recognise, scan, spec_type
from patchcore_suite.datasets.listing import content_checksum
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.datasets.spec import DatasetSpec
from patchcore_suite.run import prepare

REAL = Path(__file__).parents[4] / "shared" / "data"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real images in {REAL}")


def spec(root, layout, **options):
    return spec_type(layout)(source=str(root), layout=layout, **options)


def tally(records):
    counts = {}
    for record in records:
        counts[record.split, record.defect] = counts.get((record.split, record.defect), 0) + 1
    return counts


# Layouts


@pytest.mark.parametrize(("make", "layout"), [(mvtec_folder, "mvtec"), (mtd_folder, "mtd"), (mstc_folder, "mstc")])
def test_the_layout_of_a_folder_is_recognised(tmp_path, make, layout):
    assert recognise(make(tmp_path)) == layout


def test_a_missing_folder_is_named_with_a_remedy(tmp_path):
    with pytest.raises(InputError, match=r"no-such-folder does not exist\nRemedy: .*synthetic"):
        load(tmp_path / "no-such-folder")


def test_an_unknown_layout_gets_a_list_of_the_known_ones(tmp_path):
    save_image(tmp_path / "images" / "0.png")
    with pytest.raises(
        InputError, match=r"none of the known layouts:\n  - btad: (?s:.*)\n  - mstc: .*\n  - mtd: .*\n  - mvtec: "
    ):
        load(tmp_path)


def test_a_layout_that_the_folder_does_not_have_is_refused(tmp_path):
    with pytest.raises(InputError, match="has the layout 'mtd', not 'mvtec'"):
        scan(mtd_folder(tmp_path), spec(tmp_path, "mvtec"))


def test_every_wrong_value_of_a_spec_is_listed():
    with pytest.raises(InputError) as caught:
        DatasetSpec(source="", layout="coco", categories=[1], seed=-1)
    for name in ("source=''", "layout='coco'", "categories=(1,)", "seed=-1"):
        assert name in str(caught.value)


def test_a_category_is_named_once():
    with pytest.raises(InputError, match="must be null for all, or a list of different"):
        DatasetSpec(source="x", layout="mvtec", categories=["part", "other", "part"])


def test_the_values_of_a_layouts_own_keys_are_checked_with_the_others():
    with pytest.raises(InputError) as caught:
        mtd.Spec(source="", layout="mtd", held_out=1.0, train_list="")
    for name in ("source=''", "held_out=1.0", "train_list=''"):
        assert name in str(caught.value)
    with pytest.raises(InputError, match="every=True must be a whole number"):
        mstc.Spec(source="x", layout="mstc", every=True)


def test_a_layout_that_is_not_known_is_named_with_the_nearest_one():
    with pytest.raises(InputError, match=r"'mvtek' must be one of btad, .* \(did you mean mvtec\?\)"):
        spec_type("mvtek")
    with pytest.raises(InputError, match="layout=None must be one of"):
        spec_type(None)


DRAWN = {"seed": 0, "held_out": 0.2}
DIVISIONS = {
    "csv": {**DRAWN, "table": "labels.csv"},
    "folders": {**DRAWN, "good": ["ok"], "defects": ["ng"], "mask_folder": None},
    "kolektorsdd": DRAWN,
    "mtd": DRAWN,
    "mstc": {"every": 5},
    "ped2": {"every": 5},
    "real_iad": {"images": "realiad_1024", "lists": "realiad_jsons"},
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_says_all_that_messages_need(name):
    layout = LAYOUTS[name]
    assert layout.pattern
    assert layout.holds
    assert layout.homepage.startswith("https://") or layout.described  # your own are had nowhere
    assert layout.division(layout.spec(source="x", layout=name)) == DIVISIONS.get(name, {})


def test_load_gives_the_records_of_one_category_and_split(tmp_path):
    mvtec_folder(tmp_path, "bolt")
    mvtec_folder(tmp_path, "nut", training=4)
    training = load(tmp_path, "nut", "train")
    assert len(training) == 4
    assert [record.image.name for record in training] == ["000.png", "001.png", "002.png", "003.png"]
    assert {record.category for record in load(tmp_path)} == {"bolt", "nut"}
    assert load(tmp_path, "bolt")[0].label == 0
    with pytest.raises(InputError, match=r"- screw\nRemedy: those present are bolt, nut"):
        load(tmp_path, "screw")
    with pytest.raises(InputError, match="split='val'"):
        load(tmp_path, "nut", "val")


# MVTec AD and your own parts


def test_masks_are_matched_by_name_whatever_their_order_suffix_and_ending(tmp_path):
    mvtec_folder(tmp_path)
    images, masks = tmp_path / "part/test/dent", tmp_path / "part/ground_truth/dent"
    for stem in ("b", "a", "a_mask", "größe 1 ü"):
        save_image(images / f"{stem}.PNG")
    save_mask(masks / "a_mask.png")
    save_mask(masks / "a_mask_mask.bmp")
    save_mask(masks / "b.TIF")
    save_mask(masks / "größe 1 ü_mask.png")
    found = {r.image.name: r.mask.name for r in load(tmp_path) if r.defect == "dent"}
    assert found == {
        "a.PNG": "a_mask.png",
        "a_mask.PNG": "a_mask_mask.bmp",
        "b.PNG": "b.TIF",
        "größe 1 ü.PNG": "größe 1 ü_mask.png",
    }


def test_masks_that_match_no_image_are_all_listed(tmp_path):
    mvtec_folder(tmp_path)
    save_mask(tmp_path / "part/ground_truth/scratch/007_mask.png")
    save_mask(tmp_path / "part/ground_truth/dent/000_mask.png")  # a defect without any test image
    with pytest.raises(InputError) as caught:
        load(tmp_path, "part", "train")
    assert str(caught.value).count("mask matches no image") == 2
    assert "scratch/007_mask.png" in str(caught.value)
    assert "dent/000_mask.png" in str(caught.value)


def test_hidden_and_other_files_are_left_out(tmp_path):
    mvtec_folder(tmp_path)
    (tmp_path / "license.txt").write_text("terms")
    (tmp_path / "part/train/good/Thumbs.db").write_bytes(b"0")
    (tmp_path / "part/train/good/._000.png").write_bytes(b"0")
    (tmp_path / ".cache").mkdir()
    assert len(load(tmp_path, "part", "train")) == 3


def test_a_folder_may_itself_be_the_only_category(tmp_path):
    mvtec_folder(tmp_path)
    assert {record.category for record in load(tmp_path / "part")} == {"part"}


def test_an_empty_category_is_an_error_that_names_it(tmp_path):
    mvtec_folder(tmp_path)
    (tmp_path / "washer/train/good").mkdir(parents=True)
    mvtec_folder(tmp_path, "spring", training=0)
    with pytest.raises(InputError) as caught:
        load(tmp_path)
    assert "category without training images: washer" in str(caught.value)
    assert "category without training images: spring" in str(caught.value)


def test_masks_are_optional(tmp_path):
    save_image(tmp_path / "part/train/good/0.png")
    save_image(tmp_path / "part/test/dent/0.png")
    assert [(record.label, record.mask) for record in load(tmp_path)] == [(1, None)]


# Magnetic Tile Defects


def test_mtd_holds_out_a_share_of_the_nominal_images_and_tests_all_defects(tmp_path):
    mtd_folder(tmp_path, nominal=10)
    records = scan(tmp_path, spec(tmp_path, "mtd", held_out=0.3)).records
    assert tally(records) == {("train", "good"): 7, ("test", "good"): 3, ("test", "blowhole"): 2}
    assert all(record.mask == record.image.with_suffix(".png") for record in records)


def test_the_draw_of_mtd_depends_on_the_seed_only():
    names = [f"{index}.jpg" for index in range(50)]
    first = mtd.draw_training(names, seed=0, held_out=0.2)
    assert first == mtd.draw_training(names[::-1], seed=0, held_out=0.2)
    assert first != mtd.draw_training(names, seed=1, held_out=0.2)
    assert len(first) == 40


def test_a_training_list_decides_and_its_unknown_names_are_all_listed(tmp_path):
    mtd_folder(tmp_path, nominal=4)
    names = tmp_path / "names.txt"
    names.write_text("exp1_num_3.jpg\r\n\r\ngood/exp1_num_0.jpg\r\n")
    chosen = spec(tmp_path, "mtd", train_list=str(names))
    training = [record.image.name for record in scan(tmp_path, chosen).records if record.split == "train"]
    assert training == ["exp1_num_0.jpg", "exp1_num_3.jpg"]

    names.write_text("exp1_num_3.jpg\nnot_there.jpg\nexp2_num_0.jpg\n")
    assert [problem.rsplit(": ", 1)[1] for problem in scan(tmp_path, chosen).problems] == [
        "exp2_num_0.jpg",  # a defective image
        "not_there.jpg",
    ]


@pytest.mark.parametrize("content", [None, "", "\n \n"])
def test_a_training_list_that_names_nothing_is_refused(tmp_path, content):
    mtd_folder(tmp_path)
    names = tmp_path / "names.txt"
    if content is not None:
        names.write_text(content)
    with pytest.raises(InputError, match=r"training list .*names\.txt"):
        scan(tmp_path, spec(tmp_path, "mtd", train_list=str(names)))


# mini ShanghaiTech Campus


def test_mstc_takes_every_fifth_frame_and_labels_it_by_the_frame_mask(tmp_path):
    mstc_folder(tmp_path)
    (tmp_path / "training/videos/13_001.avi").write_bytes(b"a scene without test clips is left out")
    records, problems = scan(tmp_path, spec(tmp_path, "mstc"))
    assert not problems
    assert [(r.split, r.frame, r.label, r.defect) for r in records] == [
        ("train", 0, 0, "good"),
        ("train", 5, 0, "good"),
        ("train", 10, 0, "good"),
        ("test", 0, 0, "good"),
        ("test", 5, 0, "good"),
        ("test", 10, 1, "anomaly"),
    ]
    assert {record.category for record in records} == {"01"}
    assert records[-1].image.name == "010.jpg"
    assert records[-1].name.endswith("010.jpg#10")


def test_all_that_is_wrong_with_clips_and_videos_is_listed(tmp_path):
    mstc_folder(tmp_path)
    (tmp_path / "training/videos/01_002.avi").write_bytes(b"no video")
    (tmp_path / "testing/frames/01_0001/011.jpg").unlink()
    save_image(tmp_path / "testing/frames/01_0002/000.jpg")
    save_image(tmp_path / "testing/frames/02_0001/000.jpg")
    np.save(tmp_path / "testing/test_frame_mask/02_0001.npy", np.array([{}]), allow_pickle=True)
    np.save(tmp_path / "testing/test_pixel_mask/01_0009.npy", np.zeros((1, *SIZE), dtype=np.uint8))
    problems = scan(tmp_path, spec(tmp_path, "mstc")).problems
    for start, name in (
        ("unreadable video", "01_002.avi"),
        ("lengths differ", "01_0001: 11 frames, 12 frame labels, 12 masks"),
        ("unreadable mask", "test_frame_mask/01_0002.npy: [Errno 2]"),
        ("unreadable mask", "test_frame_mask/02_0001.npy: Array can't be memory-mapped"),
        ("mask matches no test clip", "test_pixel_mask/01_0009.npy"),
        ("category without training images", "02"),
    ):
        assert any(problem.startswith(start) and name in problem for problem in problems), (start, problems)


def test_mstc_does_without_pixel_masks_where_a_scene_has_none(tmp_path):
    mstc_folder(tmp_path)
    (tmp_path / "testing/test_pixel_mask/01_0001.npy").unlink()
    records, problems = scan(tmp_path, spec(tmp_path, "mstc"))
    assert not problems
    assert {record.mask for record in records} == {None}


# Real images


@needs_real
def test_real_mtd_has_952_defect_free_and_392_defective_images():
    root = REAL / "mtd"
    records, problems = scan(root, spec(root, "mtd"))
    assert not problems
    defects = {"blowhole": 115, "break": 85, "crack": 57, "fray": 32, "uneven": 103}
    tested = {("test", defect): count for defect, count in defects.items()}
    assert tally(records) == {("train", "good"): 762, ("test", "good"): 190, **tested}
    listed = spec(root, "mtd", train_list=str(REAL / "mtd_train_filenames.txt"))
    assert tally(scan(root, listed).records) == {("train", "good"): 761, ("test", "good"): 191, **tested}
    assert download.is_original("mtd", root)


@needs_real
def test_real_bottle_has_its_209_training_and_83_test_images_and_63_masks():
    tested = load(REAL / "mvtec", "bottle")
    assert len(load(REAL / "mvtec", "bottle", "train")) == 209
    assert len(tested) == 83
    assert sum(record.mask is not None for record in tested) == sum(record.label for record in tested) == 63


@needs_real
def test_real_ped2_is_read_as_one_scene():
    assert len(load(REAL / "stc_ped2", "01", "train")) == 570 / 5
    assert len(load(REAL / "stc_ped2", "01")) == 200 / 5


# Download


def archive_of(root, *, extra=()):
    """A zip file as the public one: everything in one top folder, and files that nobody needs."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("tiles-1234/README.md", "read me")
        for file in sorted(root.rglob("*.*")):
            archive.write(file, f"tiles-1234/{file.relative_to(root).as_posix()}")
        for name in extra:
            archive.writestr(name, "evil")
    return packed.getvalue()


@pytest.fixture
def tiles(tmp_path, monkeypatch):
    """A stand-in for the public archive, at a file:// address."""
    root = mtd_folder(tmp_path / "tiles")
    archive = tmp_path / "tiles.zip"
    archive.write_bytes(archive_of(root))
    published = LAYOUTS["mtd"].archive
    content = content_checksum(root, published.files)
    put_archive(monkeypatch, replace(published, url=archive.as_uri(), content_sha256=content))
    return archive


def put_archive(monkeypatch, archive):
    monkeypatch.setitem(LAYOUTS, "mtd", replace(LAYOUTS["mtd"], archive=archive))


def prepare_tiles(tmp_path):
    return prepare.prepare("mtd", spec("download", "mtd"), tmp_path / "data")


def assert_nothing_left(tmp_path):
    assert list((tmp_path / "data").rglob("*")) == [tmp_path / "data" / "mtd"]
    assert {path.name for path in tmp_path.iterdir()} == {"data", "tiles", "tiles.zip"}


def test_download_fetches_verifies_and_keeps_the_images(tmp_path, tiles, capsys):
    manifest = prepare_tiles(tmp_path)
    assert manifest.source == "download"
    assert manifest.root == tmp_path / "data/mtd/download"
    assert len(manifest.records("mtd")) == 12
    assert not (manifest.root / "README.md").exists()
    assert "mtd" in capsys.readouterr().out

    tiles.unlink()  # what is complete is not fetched again
    assert prepare_tiles(tmp_path) == manifest


def test_an_incomplete_download_is_fetched_again(tmp_path, tiles):
    manifest = prepare_tiles(tmp_path)
    manifest.records("mtd")[0].image.unlink()
    assert prepare_tiles(tmp_path) == manifest


@pytest.mark.parametrize("name", ["../escaped.txt", "/tmp/escaped.txt", "tiles/..\\escaped.txt", "C:/escaped.txt"])
def test_an_archive_that_reaches_outside_its_folder_is_refused(tmp_path, tiles, name):
    tiles.write_bytes(archive_of(tmp_path / "tiles", extra=[name]))
    with pytest.raises(InputError, match="outside its folder"):
        prepare_tiles(tmp_path)
    assert_nothing_left(tmp_path)


def test_an_archive_with_a_link_is_refused(tmp_path, tiles):
    with zipfile.ZipFile(tiles, "a") as archive:
        link = zipfile.ZipInfo("tiles-1234/MT_Free/Imgs/link.jpg")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match=r"outside its folder:\n  - tiles-1234/MT_Free/Imgs/link\.jpg"):
        prepare_tiles(tmp_path)
    assert_nothing_left(tmp_path)


def test_an_archive_with_other_images_is_refused(tmp_path, tiles):
    save_image(tmp_path / "tiles/MT_Free/Imgs/exp1_num_0.jpg", seed=7)
    tiles.write_bytes(archive_of(tmp_path / "tiles"))
    with pytest.raises(InputError, match="does not hold the images"):
        prepare_tiles(tmp_path)
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize("most", [1000, 5000])  # below the archive's own size; below that of its images
def test_an_archive_that_is_too_large_is_refused(tmp_path, tiles, monkeypatch, most):
    monkeypatch.setattr(download, "LARGEST", most)
    with pytest.raises(InputError, match=r"cannot download .*more than"):
        prepare_tiles(tmp_path)
    assert_nothing_left(tmp_path)


def test_a_damaged_archive_is_refused(tmp_path, tiles):
    tiles.write_bytes(tiles.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"cannot download .*zip"):
        prepare_tiles(tmp_path)
    assert_nothing_left(tmp_path)


def test_an_interrupted_download_leaves_nothing_behind(tmp_path, tiles, monkeypatch):
    class Halfway(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content = tiles.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Halfway) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/tiles.zip"
        put_archive(monkeypatch, replace(LAYOUTS["mtd"].archive, url=address))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with pytest.raises(InputError, match=r"interrupted after [\d,]+ of [\d,]+ bytes\nRemedy: try again"):
            prepare_tiles(tmp_path)
        server.shutdown()
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize("layout", ["mvtec", "mstc"])
def test_a_dataset_with_a_licence_form_is_not_downloaded(tmp_path, layout):
    with pytest.raises(InputError, match=r"licence\nRemedy: .*by hand from https://.* set the dataset's source"):
        prepare.prepare("x", spec("download", layout), tmp_path)


# Preparing


def test_a_folder_is_used_in_place(tmp_path, capsys):
    root = mvtec_folder(tmp_path / "mine")
    manifest = prepare.prepare("mine", spec(root, "mvtec"), tmp_path / "data")
    assert manifest.root == root
    assert [path.name for path in (tmp_path / "data/mine").iterdir()] == ["manifest.json"]
    assert Manifest.read(tmp_path / "data/mine/manifest.json") == manifest
    assert capsys.readouterr().out.splitlines()[1:3] == [
        "category  train  test nominal  test anomalous  defects",
        "part      3      2             2               1",
    ]


def test_synthetic_images_are_drawn_once_unless_seed_or_images_change(tmp_path, monkeypatch, capsys):
    drawn = []

    def generate(layout, root, *, seed):
        drawn.append(seed)
        mvtec_folder(root)

    monkeypatch.setattr(prepare.synthetic, "generate", generate)
    manifest = prepare.prepare("mvtec", spec("synthetic", "mvtec"), tmp_path)
    assert manifest.synthetic
    assert "SYNTHETIC" in capsys.readouterr().out
    assert prepare.prepare("mvtec", spec("synthetic", "mvtec"), tmp_path) == manifest
    assert drawn == [0]
    manifest.records("part")[0].image.unlink()
    assert prepare.prepare("mvtec", spec("synthetic", "mvtec"), tmp_path) == manifest
    assert drawn == [0, 0]
    prepare.prepare("mvtec", spec("synthetic", "mvtec", seed=1), tmp_path)
    assert drawn == [0, 0, 1]


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A dataset that is drawn in a moment; how often it was drawn, and the folder of its images."""
    drawn = []

    def generate(layout, root, *, seed):
        drawn.append(seed)
        mvtec_folder(root, f"part-{seed}")

    monkeypatch.setattr(prepare.synthetic, "generate", generate)
    prepare.prepare("toy", spec("synthetic", "mvtec"), tmp_path)
    return drawn, tmp_path / "toy/synthetic"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"seed": 0}'])
def test_without_a_whole_record_of_what_was_drawn_it_is_drawn_again_with_a_word(tmp_path, stand_in, content, capsys):
    drawn, root = stand_in
    record = root.with_suffix(".json")
    before = record.read_bytes()
    record.write_bytes(content)
    prepare.prepare("toy", spec("synthetic", "mvtec"), tmp_path)
    assert drawn == [0, 0]
    assert f"the images in {root} are drawn again" in capsys.readouterr().err
    assert record.read_bytes() == before


def test_what_was_drawn_is_drawn_anew_but_never_somebodys_own(tmp_path, stand_in):
    drawn, root = stand_in
    prepare.prepare("toy", spec("synthetic", "mvtec", seed=1), tmp_path)
    assert drawn == [0, 1]
    assert [path.name for path in root.iterdir()] == ["part-1"]  # other files, and all of them drawn here
    own = root / "part-1/train/good/my.png"
    own.write_bytes(b"an image that exists nowhere else")
    (root / ".DS_Store").write_bytes(b"")
    for seed in (1, 2):
        with pytest.raises(InputError, match="holds files that are not of the suite") as caught:
            prepare.prepare("toy", spec("synthetic", "mvtec", seed=seed), tmp_path)
        assert str(own) in caught.value.offenders
    assert own.read_bytes() == b"an image that exists nowhere else"
    assert not list((tmp_path / "toy").glob(".*"))


def test_a_link_where_images_are_drawn_is_left_alone(tmp_path, stand_in):
    _, root = stand_in
    root.rename(tmp_path / "elsewhere")
    root.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="holds files that are not of the suite"):
        prepare.prepare("toy", spec("synthetic", "mvtec", seed=1), tmp_path)
    assert root.is_symlink()
    assert (tmp_path / "elsewhere/part-0").is_dir()


def test_an_incomplete_download_takes_nothing_of_somebodys_own_with_it(tmp_path, tiles):
    root = prepare_tiles(tmp_path).root
    own = root / "MT_Free/Imgs/notes.txt"
    own.write_text("mine")
    (root / "MT_Free/Imgs/exp1_num_0.jpg").unlink()
    with pytest.raises(InputError, match="holds files that are not of the suite") as caught:
        prepare_tiles(tmp_path)
    assert caught.value.offenders == (str(own),)
    assert own.read_text() == "mine"


def test_a_file_that_is_no_manifest_is_not_written_over(tmp_path):
    root = mvtec_folder(tmp_path / "data/mine")  # the images lie where the manifest goes
    own = tmp_path / "data/mine/manifest.json"
    own.write_text('{"camera": "A", "images": []}')
    with pytest.raises(
        InputError, match=r"manifest\.json is no manifest, but lies where one is written\nRemedy: move it"
    ):
        prepare.prepare("mine", spec(root, "mvtec"), tmp_path / "data")
    assert own.read_text() == '{"camera": "A", "images": []}'
    own.write_text("{")  # one that was cut off
    assert prepare.prepare("mine", spec(root, "mvtec"), tmp_path / "data") == Manifest.read(own)


def test_what_a_killed_run_left_of_a_dataset_is_deleted(tmp_path, stand_in):
    home = tmp_path / "toy"
    mvtec_folder(home / ".synthetic-ab12/synthetic")
    (home / ".manifest.ab12.json").write_text("half")
    (home / ".own").write_text("mine")
    prepare.prepare("toy", spec("synthetic", "mvtec"), tmp_path)
    assert {path.name for path in home.iterdir()} == {"synthetic", "synthetic.json", "manifest.json", ".own"}


def test_a_full_disk_is_told_where_images_are_drawn(tmp_path, monkeypatch):
    def generate(layout, root, *, seed):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(prepare.synthetic, "generate", generate)
    with pytest.raises(
        InputError, match=r"toy/synthetic cannot be written: No space left on device; [\d,]+ MiB are free"
    ):
        prepare.prepare("toy", spec("synthetic", "mvtec"), tmp_path)
    assert not list((tmp_path / "toy").iterdir())


def test_a_failure_leaves_the_manifest_and_the_images_of_before(tmp_path, monkeypatch):
    def interrupted(layout, root, *, seed):
        mvtec_folder(root, "half")
        raise KeyboardInterrupt

    root = mvtec_folder(tmp_path / "mine")
    prepare.prepare("mine", spec(root, "mvtec"), tmp_path / "data")
    before = (tmp_path / "data/mine/manifest.json").read_bytes()
    (root / "part/test/scratch/000.png").unlink()
    with pytest.raises(InputError):
        prepare.prepare("mine", spec(root, "mvtec"), tmp_path / "data")
    monkeypatch.setattr(prepare.synthetic, "generate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare("mine", spec("synthetic", "mvtec"), tmp_path / "data")
    assert (tmp_path / "data/mine/manifest.json").read_bytes() == before
    assert [path.name for path in (tmp_path / "data/mine").iterdir()] == ["manifest.json"]
