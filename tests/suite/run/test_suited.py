"""Variants that cannot learn from what they are given: refused before anything is computed, all at once."""

import pytest

from patchcore_core import InputError
from patchcore_suite.preflight.requirements import check
from patchcore_suite.run.cells import plan

PIXELS = {"backbone": "pixels", "hierarchies": [2]}
SOFT = {"method": "softpatch", **PIXELS}


def study(*variants, shots):
    return {"variants": list(variants), "seeds": [0, 1], "shots": shots}


def refused(project):
    """What the plan says, which preflight says too."""
    with pytest.raises(InputError) as caught:
        plan(project.toy)
    return str(caught.value)


def test_fewer_images_than_a_method_can_do_with_are_refused(project):
    project.variants = {
        "nearest": {**SOFT, "discriminator": "nearest"},
        "factor": {**SOFT, "lof_neighbours": 2},
        "gaussians": {"method": "mahalanobis", **PIXELS},
        "tenth": PIXELS,
    }
    project.dataset["studies"] = {"few": study("nearest", "factor", "gaussians", "tenth", shots=[1, 2])}
    said = refused(project)
    assert "variants.nearest: 1 of bolt, nut (shots: 1), and it takes 2 or more" in said
    assert "variants.factor: 1 of bolt, nut (shots: 1), and it takes 3 or more" in said
    assert "variants.factor: 2 of bolt, nut (shots: 2), and it takes 3 or more" in said
    assert "variants.gaussians: 1 of bolt, nut (shots: 1)" in said
    assert said.count("  - ") == 4  # each once, whatever the seeds; and PatchCore does with one
    assert said.count("Remedy") == 1
    assert said in check(project.toy).problems


def test_all_images_of_a_category_may_be_too_few(project):
    project.variants = {"factor": SOFT}  # of five neighbours, and there are three images
    assert "variants.factor: 3 of bolt, nut, and it takes 6 or more" in refused(project)


def test_turned_images_and_those_of_other_categories_count(project):
    turned = {**SOFT, "lof_neighbours": 2, "rotations": [0, 45, 90]}
    project.variants = {"factor": turned, "nearest": {**SOFT, "discriminator": "nearest"}}
    project.dataset["studies"] = {"few": study("factor", shots=[1])}
    assert {cell.shots for cell in plan(project.toy).cells} == {1, None}
    project.dataset |= {"studies": {"few": study("nearest", shots=[1])}, "together": True}
    assert {cell.shots for cell in plan(project.toy).cells} == {1, None}


def test_preflight_refuses_what_cannot_be_learned_together(project):
    project.dataset |= {"together": True, "categories": ["nut"]}
    project.variants = {"tenth": PIXELS}
    manifest = project.toy.manifest()
    manifest.entries.pop("bolt")
    manifest.write(project.toy.manifest_file)
    assert "there is one category only: nut" in refused(project)
    assert any("there is one category only: nut" in problem for problem in check(project.toy).problems)


def test_sizes_that_a_transformer_does_not_take_are_refused_before_anything_is_computed(project):
    vit = {"backbone": "untrained/test_vit", "hierarchies": [2], "coreset_fraction": 0.1}
    project.variants = {"fits": vit, "tall": {**vit, "resize": [70, 64]}, "wide": {**vit, "resize": [64, 90]}}
    said = refused(project)
    assert "variants.tall: " in said
    assert "its patches of 16 x 16 do not divide them; choose 64 x 64 or 80 x 64" in said
    assert "variants.wide: " in said
    assert "variants.fits" not in said


def test_metrics_that_need_more_pixels_are_refused_before_anything_is_computed(project):
    project.variants = {"tenth": PIXELS}
    project.dataset["metrics"] = ["aupimo"]
    with pytest.raises(InputError, match="bolt: 2 nominal test images of 64 x 64 pixels, not 25"):
        project.score()
    assert not list((project.root / ".cache").glob("cells/*"))
