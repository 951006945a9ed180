"""Cells on a cluster of two machines, as Ray's own utility for tests starts one; skipped where Ray is absent."""

import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest
from ray_machines import started

from patchcore_core import InputError
from patchcore_core.common.files import sha256_file
from patchcore_suite.run import ray_crew, ray_engine
from patchcore_suite.run.cells import plan
from patchcore_suite.run.node_check import APART
from patchcore_suite.run.ray_worker import RayWorker

pytestmark = pytest.mark.slow
VARIANTS = {"tenth": {"coreset_fraction": 0.1}, "third": {"hierarchies": [3]}}


@pytest.fixture(scope="module")
def address():
    """Of a cluster of two machines with a core each, to which this process is connected."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    with started(2, {"PYTHONPATH": os.pathsep.join(sys.path)}) as address:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        yield address
        ray.shutdown()


def by(project, engine, folder, **ray):
    """What an engine makes of the project: SHA-256 of each raw result, by its key."""
    project.execution |= {"engine": engine, "ray": ray, "cache_dir": folder}
    project.score()
    work = plan(project.toy)
    return {cell.key: sha256_file(work.path(cell)) for cell in work.cells}


def finished(project):
    work = plan(project.toy)
    return {cell.variant for cell in work.cells if work.path(cell).is_file()}


def test_two_machines_give_what_one_process_gives_whether_they_see_the_store_or_not(project, address):
    project.variants = VARIANTS
    alone = by(project, "local", "alone")
    assert by(project, "ray", "shared", address=address) == alone
    assert by(project, "ray", "sent", address=address, send_results=True) == alone
    assert (project.root / "shared/features").exists()
    assert not (project.root / "sent/features").exists()
    assert not any(name.startswith(APART) for name in os.listdir(tempfile.gettempdir()))


def test_a_worker_that_is_killed_again_and_again_costs_its_group_alone(project, address, monkeypatch):
    class Poisoned(RayWorker):
        def compute(self, group):
            if group.cells[0].variant == "third":
                os.kill(os.getpid(), signal.SIGKILL)
            return super().compute(group)

    monkeypatch.setattr(ray_crew, "RayWorker", Poisoned)
    project.variants = VARIANTS
    project.dataset["categories"] = ["bolt"]
    project.execution |= {"engine": "ray", "ray": {"address": address}}
    with pytest.raises(InputError, match="bolt: third: the process that computed it died"):
        project.score()
    assert finished(project) == {"tenth"}


def test_machines_with_other_versions_or_images_are_refused_before_any_work(project, address, monkeypatch):
    project.execution |= {"engine": "ray", "ray": {"address": address}}
    here = ray_engine.expected() | {"torch": "0.1"}
    monkeypatch.setattr(ray_engine, "expected", lambda: here)
    with pytest.raises(InputError) as error:
        project.score()
    assert len(error.value.offenders) == 2  # one a machine
    assert all("torch: " in text and " there, 0.1 here" in text for text in error.value.offenders)
    monkeypatch.undo()
    (project.root / "images/nut/train/good/000.png").unlink()
    with pytest.raises(InputError, match="images of toy/nut: 1 files are not those of the manifest"):
        project.score()
    assert finished(project) == set()


def test_an_interrupt_ends_all_workers_and_keeps_what_was_finished(project, address):
    project.variants = VARIANTS
    project.dataset["seeds"] = list(range(16))
    project.execution |= {"engine": "ray", "ray": {"address": address, "send_results": True}}
    params = project.params.root / "params.yaml"
    script = (
        "from patchcore_core.common.errors import exit_on_input_error\n"
        "from patchcore_suite.run.score import score_dataset\n"
        "from patchcore_suite.settings.project import load_project\n"
        "with exit_on_input_error():\n"
        f"    score_dataset(load_project({str(params)!r}).dataset('toy'), show_progress=False)\n"
    )
    surroundings = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, env=surroundings)
    store = project.root / ".cache/cells"
    while not any(store.glob("[0-9a-f]*.safetensors")):
        assert run.poll() is None, run.stderr.read()
        time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    assert "interrupted; what was finished is kept" in run.communicate(timeout=30)[1]
    assert run.returncode == 130
    work = plan(project.toy)
    assert 0 < len(work.pending()) < len(work.cells)
