from contextlib import chdir
from dataclasses import fields

import numpy as np
import psutil
import pytest
import torch
import yaml
from PIL import Image
from toy_folders import mstc_folder, mtd_folder, mvtec_folder, save_image
from whole_project import run_main

from patchcore_core.backbones import feature_maps
from patchcore_core.config import PatchCoreConfig
from patchcore_suite.baselines import work
from patchcore_suite.baselines.config import PadimConfig, SpadeConfig
from patchcore_suite.baselines.patchcore_work import coreset_work, search_work
from patchcore_suite.baselines.work import cell_work, peak_bytes, result_bytes
from patchcore_suite.datasets.inspection import build_manifest
from patchcore_suite.datasets.paper_counts import known_manifest
from patchcore_suite.datasets.spec import DatasetSpec
from patchcore_suite.preflight import machine_speed, messages, operations, room
from patchcore_suite.preflight.messages import report
from patchcore_suite.preflight.operations import FLOAT, Work, backbone_work
from patchcore_suite.preflight.requirements import check
from patchcore_suite.run import score
from patchcore_suite.settings.params import load_params
from patchcore_suite.settings.project import Project

UNIT = Work(*[1e9] * 7)


def params_of(root, layout, source, *, variants=None, defaults=None, execution=None, **dataset):
    variants = variants or {"small": {"coreset_fraction": 0.5}}
    block = {
        "layout": layout,
        "paper": None,
        "source": str(source),
        "resize": [64, 64],
        "seeds": [0, 1],
        "variants": list(variants),
    }
    values = {
        "datasets": {"toy": block | dataset},
        "defaults": defaults or {"patchcore": {"backbone": "pixels", "hierarchies": [1, 2]}},
        "variants": variants,
        "execution": {"batch_size": 4} | (execution or {}),
    }
    root.mkdir(exist_ok=True)
    (root / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return load_params(root / "params.yaml")


def problems(params, **options):
    return "\n".join(check(Project(params).dataset("toy"), **options).problems)


def test_counts_of_images_cells_patches_and_memory_bank(tmp_path):
    mvtec_folder(tmp_path / "images", "bolt")
    found = check(Project(params_of(tmp_path / "p", "mvtec", tmp_path / "images")).dataset("toy"))
    (bolt,) = found.needs
    assert (bolt.train, bolt.test, bolt.todo, bolt.done) == (3, 4, 2, 0)
    assert bolt.patches == {16 * 16}
    assert bolt.bank == (3 * 16 * 16 // 2, 6)
    assert bolt.maps == 7 * (3 * 16 * 16 + 3 * 8 * 8) * FLOAT
    assert found.problems == []


def test_turned_images_are_counted_as_images_of_their_own(tmp_path):
    mvtec_folder(tmp_path / "images", "bolt")
    variants = {"small": {"coreset_fraction": 0.5}, "turned": {"coreset_fraction": 0.5, "rotations": [0, 45, 90]}}
    few = {"few": {"variants": ["turned"], "seeds": [0, 1], "shots": [2]}}
    params = params_of(tmp_path / "p", "mvtec", tmp_path / "images", variants=variants, studies=few)
    (bolt,) = check(Project(params).dataset("toy")).needs
    of_image = (3 * 16 * 16 + 3 * 8 * 8) * FLOAT
    assert bolt.maps == (7 + 3 * 3 + 4) * of_image
    assert bolt.bank == (3 * 3 * 16 * 16 // 2, 6)


def test_cells_in_the_store_are_done(project):
    score.score_dataset(project.toy, show_progress=False)
    project.variants["new"] = {"coreset_fraction": 0.2}
    found = check(project.toy)
    assert {(n.category, n.todo, n.done) for n in found.needs} == {("bolt", 2, 4), ("nut", 2, 4)}


def test_a_check_writes_nothing(tmp_path):
    mvtec_folder(tmp_path / "images", "bolt")
    check(Project(params_of(tmp_path / "p", "mvtec", tmp_path / "images")).dataset("toy"))
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["params.yaml"]


def test_a_missing_folder_says_where_the_dataset_is_had(tmp_path):
    text = problems(params_of(tmp_path / "p", "mvtec", tmp_path / "nothing"))
    assert "does not exist" in text
    assert "data/README.md" in text


def test_a_corrupt_image_and_unknown_masks_are_listed_together(tmp_path):
    root = mvtec_folder(tmp_path / "images", "bolt")
    (root / "bolt/train/good/000.png").write_bytes(b"nothing")
    (root / "bolt/ground_truth/scratch/000_mask.png").unlink()
    text = problems(params_of(tmp_path / "p", "mvtec", root))
    assert "000.png" in text
    assert "mask missing" in text


def test_a_corrupt_video_and_a_clip_shorter_than_its_masks_are_listed_together(tmp_path):
    root = mstc_folder(tmp_path / "images")
    (root / "training/videos/01_002.avi").write_bytes(b"nothing")
    np.save(root / "testing/test_pixel_mask/01_0001.npy", np.zeros((20, 24, 32), dtype=np.uint8))
    text = problems(params_of(tmp_path / "p", "mstc", root))
    assert "unreadable video" in text
    assert "lengths differ" in text


def test_a_scene_without_masks_is_a_warning(tmp_path):
    root = mstc_folder(tmp_path / "images")
    (root / "testing/test_pixel_mask/01_0001.npy").unlink()
    found = check(Project(params_of(tmp_path / "p", "mstc", root, every=2)).dataset("toy"))
    assert found.problems == []
    assert any("no pixel metrics" in text for text in found.warnings)


def test_all_that_is_wrong_is_listed_at_once(tmp_path):
    mvtec_folder(tmp_path / "images", "bolt")
    params = params_of(
        tmp_path / "p",
        "mvtec",
        tmp_path / "images",
        variants={"small": {}, "deep": {"hierarchies": [7]}, "unheard": {"backbone": "resnet5000"}},
        studies={"few": {"variants": ["small"], "seeds": [0], "categories": ["bold"]}},
    )
    text = problems(params)
    assert "hierarchies=[7]" in text
    assert "resnet5000" in text
    assert "few.categories: 'bold'" in text


def test_shots_above_what_is_there_are_a_problem(tmp_path):
    mvtec_folder(tmp_path / "images", "bolt")
    few = {"few": {"variants": ["small"], "seeds": [0], "shots": [2, 99]}}
    text = problems(params_of(tmp_path / "p", "mvtec", tmp_path / "images", studies=few))
    assert "datasets.toy.studies.few.shots: 99, but bolt has 3 nominal training images" in text


def test_images_that_come_out_in_several_sizes_are_a_problem(tmp_path):
    mtd_folder(tmp_path / "images")
    assert "sizes" in problems(params_of(tmp_path / "p", "mtd", tmp_path / "images", resize=64))


def test_an_ensemble_of_different_grids_is_a_problem(tmp_path):
    mvtec_folder(tmp_path / "images", "bolt")
    variants = {
        "fine": {"hierarchies": [1, 2]},
        "coarse": {"hierarchies": [2, 3]},
        "both": {"method": "ensemble", "models": ["fine", "coarse"]},
    }
    assert "different grids" in problems(params_of(tmp_path / "p", "mvtec", tmp_path / "images", variants=variants))


def test_a_bank_too_small_for_an_approximate_search_is_a_problem(tmp_path):
    mvtec_folder(tmp_path / "images", "bolt")
    variants = {"quick": {"coreset_fraction": 0.01, "search": "ivfpq"}}
    assert "at least 256 rows" in problems(params_of(tmp_path / "p", "mvtec", tmp_path / "images", variants=variants))


def test_missing_weights_are_told_with_the_remedy_and_leave_their_variants_out(tmp_path):
    mvtec_folder(tmp_path / "images", "bolt")
    variants = {"small": {}, "resnet": {"backbone": "resnet18", "hierarchies": [2, 3]}}
    params = params_of(tmp_path / "p", "mvtec", tmp_path / "images", variants=variants)
    found = check(Project(params).dataset("toy"))
    assert found.problems == []
    assert found.weights["resnet18"][1] == ["resnet"]
    assert found.needs[0].todo == 2
    assert check(Project(params).dataset("toy"), all_weights=True).needs[0].todo == 4
    text = report([found], Project(params), UNIT)
    assert "resnet18, for resnet" in text
    assert "https://download.pytorch.org/models/resnet18" in text


@pytest.mark.long
def test_what_a_transformer_cannot_do_is_told_of_all_variants_at_once(tmp_path):
    mvtec_folder(tmp_path / "images", "bolt")
    fits = {"backbone": "untrained/test_vit", "hierarchies": [1, 104], "coreset_fraction": 0.5}
    variants = {
        "fits": fits,
        "uneven": fits | {"resize": [60, 64]},
        "blocks": fits | {"hierarchies": [6]},
        "weights": fits | {"backbone": "test_vit"},
    }
    found = check(Project(params_of(tmp_path / "p", "mvtec", tmp_path / "images", variants=variants)).dataset("toy"))
    said = "\n".join(found.problems)
    assert "takes no images of 60 x 64 pixels: its patches of 16 x 16 do not divide them" in said
    assert "choose 48 x 64 or 64 x 64" in said
    assert "hierarchies=[6]: backbone 'untrained/test_vit' has 0, 1, 2, 3, 4, 5, 100" in said
    assert found.weights["test_vit"][1] == ["weights"]
    assert [need.patches for need in found.needs] == [{4 * 4}]


def test_nothing_is_downloaded_whether_the_images_are_prepared_or_not(project, monkeypatch):
    monkeypatch.setattr("patchcore_core.backbones.weights.reachable", lambda url: True)
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_: pytest.fail("a download"))
    project.variants["resnet"] = {"backbone": "resnet18"}
    assert "resnet18" in check(project.toy).weights
    project.toy.manifest_file.unlink()
    assert "resnet18" in check(project.toy).weights


def test_too_little_memory_is_a_problem(tmp_path, monkeypatch):
    mvtec_folder(tmp_path / "images", "bolt")
    there = psutil.virtual_memory()._replace(total=2**29)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: there)
    assert "0.5" in problems(params_of(tmp_path / "p", "mvtec", tmp_path / "images"))


def test_too_little_disk_is_a_problem(tmp_path, monkeypatch):
    mvtec_folder(tmp_path / "images", "bolt")
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: type("usage", (), {"free": 10}))
    assert "of disk are needed" in problems(params_of(tmp_path / "p", "mvtec", tmp_path / "images"))


def test_a_gpu_that_is_not_there_is_a_problem(tmp_path, monkeypatch):
    mvtec_folder(tmp_path / "images", "bolt")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    params = params_of(tmp_path / "p", "mvtec", tmp_path / "images", execution={"device": "cuda"})
    assert "no GPU" in problems(params)


def test_the_exit_code_tells_whether_something_would_fail(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(machine_speed, "calibrate", lambda *_, **__: UNIT)
    mvtec_folder(tmp_path / "images", "bolt")
    params_of(tmp_path / "p", "mvtec", tmp_path / "images")
    with chdir(tmp_path / "p"):
        run_main(messages)
        assert "bolt" in capsys.readouterr().out
        params_of(tmp_path / "p", "mvtec", tmp_path / "nothing")
        with pytest.raises(SystemExit) as ended:
            run_main(messages, "toy")
    assert ended.value.code == 1
    assert "Would fail" in capsys.readouterr().out


def test_a_stale_manifest_is_a_problem_of_changed_files(tmp_path):
    root = mvtec_folder(tmp_path / "images", "bolt")
    params = params_of(tmp_path / "p", "mvtec", root)
    spec = DatasetSpec(source=str(root), layout="mvtec")
    build_manifest("toy", root, spec).write(params.path("data/toy/manifest.json"))
    Image.new("RGB", (32, 24)).save(root / "bolt/train/good/000.png")
    assert "changed: " in problems(params)


def test_the_known_counts_are_those_of_the_paper():
    def known(paper, layout):
        return known_manifest("x", DatasetSpec(source="x", layout=layout, paper=paper))

    mvtec = known("mvtec-ad", "mvtec")
    assert len(mvtec.categories) == 15
    assert sum(len(mvtec.records(c, "train")) for c in mvtec.categories) == 3629
    assert sum(len(mvtec.records(c, "test")) for c in mvtec.categories) == 1725
    assert len(known("mtd", "mtd").records("mtd")) == 952 + 392
    assert known("mstc", "mstc") is None
    assert known(None, "mvtec") is None


def test_seconds_add_up_over_kinds():
    work = Work(products=4, traffic=6) + Work(products=2) * 3
    assert work == Work(products=10, traffic=6)
    assert work.seconds(Work(5, 1, 1, 1, 2, 1, 1)) == 5


def test_convolutions_are_counted_as_torch_counts_them():
    resnet = backbone_work("resnet18", (0,), (64, 64))
    assert resnet.convolutions == 2 * 64 * 3 * 49 * 32 * 32  # its first layer, 7 x 7 with stride 2
    assert backbone_work("pixels", (1,), (64, 64)).convolutions == 0


def test_the_work_of_a_network_is_counted_without_its_values(monkeypatch):
    seen = []

    def noted(network, images):
        seen.append(images.is_meta)
        return feature_maps(network, images)

    monkeypatch.setattr(operations, "feature_maps", noted)
    large, small = (backbone_work("pixels", (1,), (side, side)).traffic for side in (8192, 32))
    assert large == small * 256**2
    assert seen == [True, True]


def test_convolutions_in_groups_are_counted_apart():
    lite, resnet = (backbone_work(name, (2, 3), (64, 64)) for name in ("tf_efficientnet_lite0", "resnet18"))
    assert 0 < lite.grouped < lite.convolutions
    assert resnet.grouped == 0


def test_the_coreset_costs_rows_times_picks_times_projected_dimensions():
    config = PatchCoreConfig(coreset_fraction=0.1)
    assert coreset_work(config, 1000, 100, 128).products == 2 * 1000 * 100 * 128 + 2 * 100 * 100 * 128
    assert coreset_work(config, 1000, 1000, 128).products == 0


def test_the_work_of_cheaper_selections_is_that_of_their_parts():
    def products(sampler, n, kept, **changes):
        config = PatchCoreConfig(sampler=sampler, projection_dimension=None, **changes)
        return coreset_work(config, n, kept, 16).products

    def greedy(n, kept):
        return products("greedy", n, kept)

    assert products("two_round", 1000, 100, shards=4) == 4 * greedy(250, 100) + greedy(400, 100)
    assert products("two_round", 1000, 100, shards=1) == 2 * greedy(1000, 100) - 2 * 900 * 100 * 16
    assert products("merge_reduce", 1000, 100, shards=4) == 4 * greedy(250, 100) + 4 * greedy(200, 100)
    assert products("distance_sampling", 10_000, 100) == 2 * 2 * 10_000 * 1024 * 16


def test_the_search_costs_queries_times_rows_times_dimensions():
    assert search_work(PatchCoreConfig(), 50, 100, 152).products == 2 * 50 * 100 * 152


def test_an_approximate_search_is_cheaper_in_a_large_bank():
    exact, approximate = (search_work(PatchCoreConfig(search=name), 10**6, 10**5, 152) for name in ("torch", "ivf"))
    assert approximate.seconds(UNIT) < exact.seconds(UNIT) / 10


@pytest.mark.parametrize("config", [PatchCoreConfig(coreset_fraction=0.1), SpadeConfig(), PadimConfig()])
def test_work_memory_and_results_grow_with_images(config):
    def of(nominal, test):
        work = cell_work(config, [(28, 28, 100)], nominal=nominal, test=test, size=(224, 224), radius=False)
        counts = {"nominal": nominal, "test": test}
        peak = peak_bytes(config, [(28, 28, 100)], described=nominal + test, **counts)
        return work.seconds(UNIT), peak, result_bytes(config, [(28, 28, 100)], **counts)

    assert all(few < many for few, many in zip(of(20, 10), of(40, 20), strict=True))


def test_calibration_measures_every_kind():
    rates = machine_speed.calibrate(seconds=0.01)
    assert all(getattr(rates, item.name) > 0 for item in fields(rates))


def test_images_that_came_since_the_manifest_was_made_are_counted(project):
    save_image(project.root / "images/bolt/train/good/900.png", seed=9)
    found = check(project.toy)
    assert [needs.train for needs in found.needs] == [4, 3]
    assert found.images == "images in images, not prepared yet"


def test_a_memory_bank_lies_on_disk_only_where_it_has_no_room():
    config, shapes = PatchCoreConfig(coreset_fraction=0.5), [(28, 28, 1024)]
    counts = {"nominal": 200, "test": 100}
    n, q, kept = 200 * 784, 100 * 784, 100 * 784
    held, on_disk = (work.streamed_bytes(config, shapes, **counts, bank_on_disk=where) for where in (False, True))
    assert held == work.CELL_BASE_BYTES + 4 * (kept * 1024 + 2 * kept * 1024 + 6 * q)  # the bank, and its search
    assert on_disk == work.CELL_BASE_BYTES + 4 * (6 * q + 3 * 2**21)  # results, and a block of the bank thrice
    assert on_disk > work.CELL_BASE_BYTES + 4 * 6 * n
    assert not work.bank_lies_on_disk(config, shapes, budget=held, **counts)
    assert work.bank_lies_on_disk(config, shapes, budget=held - 1, **counts)
    told = {"described": 300, **counts}
    assert work.held_bytes(config, shapes, budget=held, **told) == held
    assert work.held_bytes(config, shapes, budget=held - 1, **told) == on_disk
    elsewhere = PatchCoreConfig(coreset_fraction=0.5, search="faiss")  # whose index holds all
    assert not work.bank_lies_on_disk(elsewhere, shapes, budget=1, **counts)
    assert work.file_bytes(config, shapes[0], nominal=200) == 4 * kept * 1024
