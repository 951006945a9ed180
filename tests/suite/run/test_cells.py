from dataclasses import replace

import numpy as np
import pytest
import torch
from small_networks import SmallPyramid
from toy_folders import save_image

from patchcore_core import InputError, backbones
from patchcore_core.backbones import WeightsMissing
from patchcore_core.common.files import sha256_json
from patchcore_suite.run import cells as cells
from patchcore_suite.run import fingerprints
from patchcore_suite.run.cells import plan
from patchcore_suite.run.raw_results import RawResult


def study(variants, seeds=(0,), **more):
    return {"variants": list(variants), "seeds": list(seeds)} | more


def planned(project, **options):
    return plan(project.toy, **options)


def named(cells):
    return [(cell.category, cell.variant, cell.shots, cell.seed) for cell in cells]


def message(act, *arguments, **options):
    with pytest.raises(InputError) as caught:
        act(*arguments, **options)
    return str(caught.value)


# What is planned


def test_the_main_study_is_every_category_variant_and_seed(project):
    assert named(planned(project).cells) == [
        (category, variant, None, seed)
        for category in ("bolt", "nut")
        for variant in ("tenth", "all")
        for seed in (0, 1)
    ]


def test_what_several_studies_share_is_planned_once(project):
    project.dataset["studies"] = {
        "more_seeds": study(["tenth"], [1, 2]),
        "one_category": study(["all"], [0, 3], categories=["nut"]),
        "the_same": study(["tenth", "all"], [0, 1]),
        "shots": study(["tenth"], [0], shots=[None, 2]),
    }
    main = [(c, v, None, s) for c in ("bolt", "nut") for v in ("tenth", "all") for s in (0, 1)]
    more = [(c, "tenth", None, 2) for c in ("bolt", "nut")]
    more += [("nut", "all", None, 3), *((c, "tenth", 2, 0) for c in ("bolt", "nut"))]
    found = named(planned(project).cells)
    assert sorted(found, key=str) == sorted(main + more, key=str)
    assert [cell[0] for cell in found] == sorted(cell[0] for cell in found)  # category by category


def test_a_study_leaves_the_keys_of_cells_that_it_shares_as_they_are(project):
    before = {cell.file: cell.key for cell in planned(project).cells}
    project.dataset["studies"] = {"other": study(["tenth"], [0, 7], categories=["bolt"], shots=[1, None])}
    after = {cell.file: cell.key for cell in planned(project).cells}
    assert {file: after[file] for file in before} == before
    assert len(after) == len(before) + 3


def test_every_cell_has_a_key_and_a_file_of_its_own(project):
    project.dataset["studies"] = {"shots": study(["tenth", "all"], [0, 1], shots=[1, 2, 3, None])}
    found = planned(project).cells
    assert len({cell.key for cell in found}) == len({cell.file for cell in found}) == len(found) == 2 * 2 * 2 * 4
    by_cell = {(c.category, c.variant, c.shots, c.seed): c for c in found}
    assert by_cell["nut", "all", None, 1].file == "nut/all/seed-1.safetensors"
    assert by_cell["nut", "all", 2, 1].file == "nut/all/shots-2/seed-1.safetensors"
    for cell in found:
        assert cell.key == sha256_json(cell.stamp)
        assert (cell.stamp["shots"], cell.stamp["seed"]) == (cell.shots, cell.seed)


def test_a_method_that_draws_nothing_runs_with_one_seed(project):
    project.variants |= {name: {"method": name} for name in ("spade", "padim", "random_scores", "mean_image")}
    project.dataset |= {"seeds": [4, 2], "studies": {"later": study(["spade", "padim"], [2, 9])}}
    found = [cell for cell in named(planned(project).cells) if cell[0] == "bolt"]
    seeds = {variant: [cell[3] for cell in found if cell[1] == variant] for variant in project.variants}
    assert seeds["tenth"] == seeds["random_scores"] == [4, 2]
    assert seeds["padim"] == [4, 2, 9]
    assert seeds["mean_image"] == [4]
    assert seeds["spade"] == [4, 2]  # the first seed of each study that names it


def test_a_method_that_draws_nothing_has_every_seed_that_draws_its_images(project):
    project.variants["spade"] = {"method": "spade"}
    project.dataset["studies"] = {"shots": study(["spade"], [0, 1, 2], shots=[2, None], categories=["bolt"])}
    found = [cell for cell in named(planned(project).cells) if cell[:2] == ("bolt", "spade")]
    assert sorted(found, key=str) == sorted(
        [("bolt", "spade", 2, 0), ("bolt", "spade", 2, 1), ("bolt", "spade", 2, 2), ("bolt", "spade", None, 0)], key=str
    )


def test_a_covering_radius_is_measured_where_one_study_wants_it(project):
    project.dataset["studies"] = {"radius": study(["tenth"], [0, 5], categories=["nut"], covering_radius=True)}
    found = planned(project).cells
    wanted = {cell for cell, described in zip(named(found), found, strict=True) if described.covering_radius}
    assert wanted == {("nut", "tenth", None, 0), ("nut", "tenth", None, 5)}
    assert all(cell.stamp["covering_radius_wanted"] == cell.covering_radius for cell in found)


def test_an_ensemble_has_the_weights_of_all_its_models(project):
    project.variants |= {
        "other": {"backbone": "untrained/tf_efficientnet_lite0"},
        "both": {"method": "ensemble", "models": ["tenth", "other"]},
    }
    cell = next(cell for cell in planned(project).cells if cell.variant == "both")
    assert [entry["backbone"] for entry in cell.stamp["weights"]] == [
        "tf_efficientnet_lite0",
        "untrained/tf_efficientnet_lite0",
    ]
    assert len({entry["sha256"] for entry in cell.stamp["weights"]}) == 2
    assert cell.stamp["method"] == "ensemble"


def test_variants_that_prepare_images_differently_have_other_keys(project):
    project.variants = {
        "plain": {"coreset_fraction": 0.1},
        "masks": {"coreset_fraction": 0.1, "masks": "bilinear"},
        "crop": {"coreset_fraction": 0.1, "crop": 56},
    }
    found = {cell.variant: cell for cell in planned(project).cells if cell.category == "bolt" and cell.seed == 0}
    stamps = [{key: value for key, value in found[name].stamp.items() if key != "variant"} for name in project.variants]
    assert [stamp["preprocessing"] for stamp in stamps] == [
        {"resize": (64, 64), "crop": None, "masks": "nearest"},
        {"resize": (64, 64), "crop": None, "masks": "bilinear"},
        {"resize": (64, 64), "crop": 56, "masks": "nearest"},
    ]
    assert len({sha256_json(stamp) for stamp in stamps}) == 3


def test_code_of_one_method_is_in_the_keys_of_that_method_alone(project, monkeypatch):
    project.variants |= {"spade": {"method": "spade"}, "padim": {"method": "padim"}}
    before = {cell.file: cell.key for cell in planned(project).cells}
    original = fingerprints.code_fingerprint
    monkeypatch.setattr(
        cells,
        "code_fingerprint",
        lambda *names: original(*names) + "edited" * names[-1].endswith("baselines.padim"),
    )
    after = {cell.file: cell.key for cell in planned(project).cells}
    assert {file for file in before if before[file] != after[file]} == {file for file in before if "/padim/" in file}


def test_code_of_a_configuration_is_in_the_keys_of_its_method(project, monkeypatch):
    seen = []
    monkeypatch.setattr(cells, "code_fingerprint", lambda *names: seen.append(names) or "")
    planned(project)
    assert set(seen) == {(cells.SCORING, "patchcore_core.config", "patchcore_core.patchcore")}


# What cannot run


@pytest.mark.parametrize(
    ("changes", "module"),
    [
        ({"sampler": "kmeans"}, "patchcore_suite.plugins.samplers"),
        ({"search": "ivf"}, "patchcore_suite.plugins.searches"),
        ({"backbone": "untrained/test_vit"}, "patchcore_suite.plugins.tokens"),
    ],
)
def test_code_of_what_is_added_by_name_is_in_the_keys_of_variants_that_name_it(project, monkeypatch, changes, module):
    original = fingerprints.code_fingerprint
    monkeypatch.setattr(cells, "code_fingerprint", lambda *names: original(*names) + "edited" * (module in names))
    project.variants |= {"added": changes}
    edited = {cell.variant for cell in planned(project).cells if cell.stamp["code_sha256"].endswith("edited")}
    assert edited == {"added"}


def test_studies_that_do_not_suit_the_dataset_are_all_listed(project):
    project.dataset["studies"] = {
        "first": study(["tenth"], categories=["bolt", "nutt"]),
        "second": study(["tenth"], categories=["gear"]),
        "fine": study(["tenth"], shots=[3]),
    }
    text = message(planned, project)
    where = "datasets.toy.studies"
    assert "studies do not suit toy" in text
    assert f"{where}.first.categories: 'nutt', but there are bolt, nut" in text
    assert f"{where}.second.categories: 'gear', but there are bolt, nut" in text
    assert text.count("  - ") == 2


def test_a_study_of_one_category_may_have_more_shots_than_others_have_images(project):
    save_image(project.root / "images/nut/train/good/003.png", seed=9)
    project.prepare()
    project.variants = {"tenth": {"coreset_fraction": 0.1}}
    project.dataset["studies"] = {"nuts": study(["tenth"], [0], categories=["nut"], shots=[4, None])}
    assert {(cell.category, cell.shots) for cell in plan(project.toy).cells} == {
        ("bolt", None),
        ("nut", None),
        ("nut", 4),
    }
    project.dataset["studies"]["both"] = study(["tenth"], [0], shots=[4])
    assert "studies.both.shots: 4, but bolt has 3 nominal training images" in message(planned, project)


def test_variants_whose_backbones_lack_something_are_all_listed(project):
    project.variants |= {
        "deep": {"hierarchies": [2, 9]},
        "unknown": {"backbone": "resnet19"},
        "pyramid": {"method": "spade", "pooled_hierarchy": 7},
        "one_of_two": {"method": "ensemble", "models": ["tenth", "deep"]},
    }
    text = message(planned, project)
    assert "variants cannot run on toy" in text
    assert "variants.deep: hierarchies=[2, 9]: backbone 'tf_efficientnet_lite0' has 0, 1, 2, 3, 4" in text
    assert "variants.unknown: backbone='resnet19' is neither a torchvision nor a timm network" in text
    assert "variants.pyramid: hierarchies=[1, 2, 3, 7]" in text
    assert "variants.one_of_two: hierarchies=[2, 9]" in text
    assert "variants.tenth" not in text


def test_a_hierarchy_that_is_missing_is_an_error_even_where_weights_are_missing_too(project):
    project.variants["deep"] = {"backbone": "wide_resnet50_2", "hierarchies": [2, 9]}
    assert "variants.deep: hierarchies=[2, 9]" in message(planned, project)


def test_variants_whose_weights_are_missing_are_left_out_with_the_remedy(project):
    project.variants |= {
        "wide": {"backbone": "wide_resnet50_2"},
        "wide-too": {"backbone": "wide_resnet50_2", "stride": 2},
        "both": {"method": "ensemble", "models": ["tenth", "wide"]},
    }
    project.dataset |= {"variants": ["tenth", "all"], "studies": {"wide": study(["wide", "wide-too", "both", "tenth"])}}
    work = planned(project)
    assert {cell.variant for cell in work.cells} == {"tenth", "all"}
    assert list(work.weights_missing) == ["wide", "wide-too", "both"]
    for text in work.weights_missing.values():
        assert "weights missing for backbone 'wide_resnet50_2'" in text
        assert "Remedy" in text


def test_each_backbones_weights_are_looked_for_once(project, monkeypatch):
    asked, original = [], backbones.backbone_weights

    def backbone_weights(name, **options):
        asked.append(name)
        if name.startswith("wide"):
            raise WeightsMissing("none here")
        return original(name, **options)

    monkeypatch.setattr(cells, "backbone_weights", backbone_weights)
    project.variants |= {f"wide-{number}": {"backbone": "wide_resnet50_2", "stride": number} for number in (1, 2, 3)}
    work = planned(project)
    assert sorted(asked) == ["tf_efficientnet_lite0", "wide_resnet50_2"]
    assert len(work.weights_missing) == 3


# Networks of the caller's


def test_a_network_of_the_callers_stands_for_the_backbone_of_its_name(project):
    project.variants = {
        "mine": {"backbone": "mine", "hierarchies": [1, 2, 30]},
        "wide": {"backbone": "wide_resnet50_2"},
        "spade": {"method": "spade", "backbone": "mine"},
        "tenth": {"coreset_fraction": 0.1},
    }
    networks = {"mine": SmallPyramid(), "wide_resnet50_2": SmallPyramid((2, 3))}
    work = planned(project, networks=networks)
    assert {cell.variant for cell in work.cells} == set(project.variants)
    assert work.weights_missing == {}
    origins = {cell.variant: cell.weights_origin for cell in work.cells}
    assert origins["mine"] == origins["wide"] == origins["spade"] == "given by the caller"
    assert "package" in origins["tenth"]


def test_a_networks_parameters_are_in_the_keys_of_its_cells_alone(project):
    project.variants["mine"] = {"backbone": "mine", "hierarchies": [2, 3]}
    first, again, other = (
        {cell.file: cell.key for cell in planned(project, networks={"mine": SmallPyramid((2, 3), seed=seed)}).cells}
        for seed in (0, 0, 1)
    )
    assert first == again
    assert {file for file in first if first[file] != other[file]} == {file for file in first if "/mine/" in file}


def test_without_its_network_a_variant_is_refused(project):
    project.variants["mine"] = {"backbone": "mine"}
    assert "variants.mine: backbone='mine' is neither" in message(planned, project)


def test_a_function_is_no_network(project):
    project.variants["mine"] = {"backbone": "mine"}
    assert "is no nn.Module" in message(planned, project, networks={"mine": lambda images: [images]})


# The store


def test_a_cell_whose_result_is_in_the_store_is_not_pending(project):
    work = planned(project)
    assert work.pending() == list(work.cells)
    path = work.path(work.cells[3])
    RawResult(scores=np.zeros(2, dtype=np.float32), stamp={"key": work.cells[3].key}).write(path)
    assert path == project.root / ".cache/cells" / f"{work.cells[3].key}.safetensors"
    assert work.pending() == [cell for cell in work.cells if cell is not work.cells[3]]


def test_where_weights_were_found_is_no_part_of_a_key(project):
    cell = planned(project).cells[0]
    assert replace(cell, weights_origin="elsewhere").key == cell.key
    assert "package" not in str(cell.stamp)


def test_the_kind_of_device_is_part_of_a_key_and_its_number_is_not(project):
    keys = []
    for device in ("cpu", "cuda", "cuda:0", "cuda:1"):
        project.execution["device"] = device
        keys.append(planned(project).cells[0].key)
    assert keys[0] != keys[1] == keys[2] == keys[3]
    assert torch.device("cuda:1").type == "cuda"


def test_variants_that_cannot_run_are_named_at_once_with_one_remedy(project):
    project.variants = {
        "typo": {"backbone": "resnet5O"},
        "deep": {"backbone": "resnet18", "hierarchies": [2, 7]},
        "both": {"method": "ensemble", "models": ["typo", "deep"]},
    }
    text = message(planned, project)
    assert [line.split(":")[0] for line in text.splitlines()] == [
        "variants cannot run on toy",
        "  - variants.typo",
        "  - variants.deep",
        "  - variants.both",
        "Remedy",
    ]
    assert (
        "variants.typo: backbone='resnet5O' is neither a torchvision nor a timm network (did you mean resnet50?);"
        in text
    )
