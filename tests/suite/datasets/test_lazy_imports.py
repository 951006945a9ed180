import subprocess
import sys
from pathlib import Path

import pytest

from patchcore_suite import datasets

ROOT = Path(__file__).parents[3]
LIGHT = [
    "datasets",
    "datasets.spec",
    "datasets.preprocessing",
    "datasets.records",
    "datasets.manifest",
    "datasets.layouts",
    "datasets.loading",
    "baselines.config",
    "settings.params",
]


def test_settings_manifests_and_layouts_are_imported_without_torch_and_opencv():
    names = ", ".join(f"patchcore_suite.{name}" for name in LIGHT)
    code = f"import sys, {names}; print(*({{'torch', 'torchvision', 'cv2'}} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_every_name_of_the_package_has_a_home():
    assert {name: getattr(datasets, name).__name__ for name in datasets.__all__} == {n: n for n in datasets.__all__}
    assert set(datasets.__all__) == set(datasets._HOMES)


def test_a_name_that_the_package_does_not_have_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'photographs'"):
        _ = datasets.photographs
