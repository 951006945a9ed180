"""A machine of a cluster that lacks something, and stores that are full: real ones, which root alone may mount."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager

import numpy
import pytest
import timm
import torch
from ray_machines import joined, started
from safetensors.torch import save_file
from whole_project import ROOT

from patchcore_core import InputError
from patchcore_core.common.files import sha256_file
from patchcore_suite.run.cells import plan
from patchcore_suite.run.raw_results import RawResult

pytestmark = pytest.mark.long
BACKBONE = "test_resnet"
PAGE = 4096


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A file system of 8 MiB, which all machines see."""
    folder = tmp_path_factory.mktemp("full")
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", folder]).returncode:
        pytest.skip("who is not root, or may not mount, cannot make machines that differ")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="module")
def other_code(tmp_path_factory):
    """The place where a machine looks for packages first; empty."""
    return tmp_path_factory.mktemp("other")


@pytest.fixture(scope="module")
def cluster(full, other_code):
    """The address of a cluster of one machine, to which this process is connected."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    with started(1, {"PYTHONPATH": os.pathsep.join([str(other_code), *sys.path])}) as address:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        yield address
        ray.shutdown()


@pytest.fixture(scope="module")
def machine(cluster):
    """A machine of that cluster that sees other files than this one."""
    import ray

    with joined(cluster, lambda: sum(node["Alive"] for node in ray.nodes())) as there:
        yield there


@pytest.fixture
def project(project):
    """The toy project, by Ray, with a small network whose weights lie in a folder of its own."""
    save(project.root / "weights", seed=0)
    project.variants = {name: {"backbone": BACKBONE, "coreset_fraction": share} for name, share in SHARES.items()}
    project.dataset["seeds"] = [0]
    project.execution |= {"engine": "ray", "ray": {"address": "auto"}, "weights": str(project.root / "weights")}
    return project


SHARES = {"tenth": 0.1, "half": 0.5, "all": 1}


def save(folder, *, seed):
    folder.mkdir()
    torch.manual_seed(seed)
    save_file(timm.create_model(BACKBONE).state_dict(), folder / f"{BACKBONE}.safetensors")
    return folder


def results(project):
    """SHA-256 of each raw result that is there, by its key."""
    work = plan(project.toy)
    return {cell.key: sha256_file(work.path(cell)) for cell in work.cells if work.path(cell).is_file()}


def refused(project):
    """The error of a run after which the store holds whole results alone, and all that it held before."""
    before = results(project)
    with pytest.raises(InputError) as error:
        project.score()
    store = plan(project.toy).store
    assert [path.name for path in store.iterdir() if path.name.startswith(".")] == []
    assert [RawResult.damage(path, path.stem) for path in store.glob("*.safetensors")] == [""] * len(results(project))
    assert before.items() <= results(project).items()
    assert str(error.value).count("Remedy:") == 1
    return error.value


@contextmanager
def filled(folder, *, left):
    """Leave so many pages of a file system free."""
    there = os.statvfs(folder)
    ballast = folder / "ballast"
    ballast.write_bytes(bytes((there.f_bavail - left) * PAGE))
    yield
    ballast.unlink()


@pytest.mark.parametrize("sent", [False, True])
def test_a_store_that_is_full_is_told_and_the_run_goes_on_once_there_is_room(project, cluster, full, sent):
    shutil.rmtree(full / "store", ignore_errors=True)
    project.execution |= {"cache_dir": str(full / "store"), "ray": {"address": "auto", "send_results": sent}}
    project.dataset["variants"] = ["tenth"]
    project.score()
    finished = results(project)
    project.dataset["variants"] = list(SHARES)
    with filled(full, left=0):
        assert "cells cannot be written: No space left on device; 0 MiB are free there" in refused(project).problem
        assert results(project) == finished
    with filled(full, left=6):
        assert "cannot be written: No space left on device; 0 MiB are free there" in str(refused(project))
    assert finished.keys() < results(project).keys()
    project.score()
    found = results(project)
    project.execution |= {"engine": "local", "cache_dir": "alone"}
    project.score()
    assert found == results(project)


def test_a_store_without_room_for_feature_maps_is_told(project, cluster, full):
    shutil.rmtree(full / "store", ignore_errors=True)
    project.execution["cache_dir"] = str(full / "store")
    with filled(full, left=8):
        error = refused(project)
    assert all("need 1 MiB in" in problem for problem in error.offenders)
    assert results(project) == {}


def test_a_machine_without_weights_or_with_other_ones_computes_nothing(project, machine, tmp_path):
    folder = project.root / "weights"
    with machine.seeing("-t", "tmpfs", "none", folder):
        error = refused(project)
    (problem,) = error.offenders
    assert (
        f"weights of {BACKBONE}: missing there, {sha256_file(folder / f'{BACKBONE}.safetensors')[:12]} here" in problem
    )
    with machine.seeing("--bind", save(tmp_path / "others", seed=1), folder):
        error = refused(project)
    (problem,) = error.offenders
    assert f"weights of {BACKBONE}: SHA-256 " in problem
    assert "copy or mount what is missing or different" in error.remedy
    assert results(project) == {}


def test_a_machine_without_images_computes_nothing(project, machine):
    with machine.seeing("-t", "tmpfs", "none", project.root / "images"):
        error = refused(project)
    assert len(error.offenders) == 2
    assert all("9 files are not those of the manifest" in problem for problem in error.offenders)
    assert results(project) == {}


def test_a_machine_with_another_version_or_without_the_package_computes_nothing(project, machine, other_code, tmp_path):
    information = tmp_path / "other/numpy-0.1.dist-info/METADATA"
    information.parent.mkdir(parents=True)
    information.write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.1\n")
    with machine.seeing("--bind", tmp_path / "other", other_code):
        error = refused(project)
    assert [problem.partition(": ")[2] for problem in error.offenders] == [
        f"numpy: 0.1 there, {numpy.__version__} here"
    ]
    with machine.seeing("-t", "tmpfs", "none", ROOT / "patchcore_suite"):
        error = refused(project)
    assert len(error.offenders) == 1
    assert "pip install -c constraints.txt" in error.remedy
    assert results(project) == {}
